"""What a daemon has left for its successor, damaged in such ways that nobody can go on from it, and mended."""

import os
import struct

import state_file


class LeftState:
    """The memfd of that daemon, which outlives it here."""

    def __init__(self, pid):
        self.fd = os.open(state_file.find(pid), os.O_RDWR | os.O_CLOEXEC)
        self.path = f"/proc/self/fd/{self.fd}"
        self.before = None

    def damage(self, change):
        self.before = state_file.StateFile.read(self.path)
        state = self.before.copy()
        change(state)
        state.write(self.path)

    def mend(self):
        """As it was."""
        self.before.write(self.path)


def lose_magic(state):
    state.data[:16] = b"something else\0\0"


def become_of_another_format(state):
    struct.pack_into("<I", state.data, state_file.VERSION_AT, 99)


def lose_first_record(state):
    state.data[state_file.FIRST:state_file.FIRST + state_file.RECORD.size] = bytes(state_file.RECORD.size)


def become_of_another_version(state):
    state.put("daemon", state.get("daemon") | {"version": 99, "program": "9.9"})


def lose_a_field(state):
    state.put("daemon", {key: value for key, value in state.get("daemon").items() if key != "settings"})


# How it is damaged, and what the daemon says of it.
DAMAGES = {
    "magic": (lose_magic, "it is damaged"),
    "format": (become_of_another_format, "it is (of another version|written in format 99)"),
    "first record": (lose_first_record, "it is damaged"),
    "version": (become_of_another_version, "reuseportd 9.9 .*has version 99"),
    "field": (lose_a_field, "(it|its record daemon) is damaged"),
}
