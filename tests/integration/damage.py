"""What a daemon has left for its successor, as a test damages it: src/daemon/state/state-log.c says how it looks."""

import json
import os
import struct
import zlib

from house import descriptors_of

HEAD = struct.Struct("=16sIIQ")                 # magic, version, nothing, half
RECORD = struct.Struct("=IIIIQ")                # checksum, size of the key, size of the text, nothing, sequence
FIRST, HALF_SIZE = 4096, 1 << 40


class LeftState:
    """The memfd of that daemon, which outlives it here."""

    def __init__(self, pid):
        number = next(n for n, target in descriptors_of(pid).items() if "memfd:reuseportd-state" in target)
        self.fd = os.open(f"/proc/{pid}/fd/{number}", os.O_RDWR | os.O_CLOEXEC)
        self._before = []

    def write(self, data, offset):
        self._before.append((os.pread(self.fd, len(data), offset).ljust(len(data), b"\0"), offset))
        os.pwrite(self.fd, data, offset)

    def mend(self):
        """As it was."""
        while self._before:
            os.pwrite(self.fd, *self._before.pop())

    def begin(self):
        return FIRST + HEAD.unpack(os.pread(self.fd, HEAD.size, 0))[3] * HALF_SIZE

    def _read(self):
        """The last text of each key; where the next record goes, and its sequence."""
        found, offset, sequence = {}, self.begin(), None
        while True:
            head = os.pread(self.fd, RECORD.size, offset)
            checksum, key_size, text_size, _, number = RECORD.unpack(head.ljust(RECORD.size, b"\0"))
            body = os.pread(self.fd, key_size + text_size, offset + RECORD.size) if checksum else b""
            if not body or sequence not in (None, number) or zlib.crc32(head[4:] + body) != checksum:
                return found, offset, sequence
            found[body[:key_size].decode()] = body[key_size:]
            offset += (RECORD.size + len(body) + 7) // 8 * 8
            sequence = number + 1

    def get(self, key):
        return json.loads(self._read()[0][key])

    def put(self, key, value):
        _, offset, sequence = self._read()
        text = json.dumps(value).encode()
        head = RECORD.pack(0, len(key), len(text), 0, sequence)
        checksum = zlib.crc32(head[4:] + key.encode() + text)
        self.write(struct.pack("=I", checksum) + head[4:] + key.encode() + text, offset)

    # ---- what a successor cannot go on from ----

    def lose_magic(self):
        self.write(b"something else\0\0", 0)

    def become_of_another_format(self):
        self.write(struct.pack("=I", 99), 16)

    def lose_first_record(self):
        self.write(b"\0" * RECORD.size, self.begin())

    def become_of_another_version(self):
        self.put("daemon", self.get("daemon") | {"version": 99, "program": "9.9"})

    def lose_a_field(self):
        self.put("daemon", {key: value for key, value in self.get("daemon").items() if key != "settings"})


# How it is damaged, and what the daemon says of it.
DAMAGES = {
    "magic": (LeftState.lose_magic, "it is damaged"),
    "format": (LeftState.become_of_another_format, "it is (of another version|written in format 99)"),
    "first record": (LeftState.lose_first_record, "it is damaged"),
    "version": (LeftState.become_of_another_version, "reuseportd 9.9 .*has version 99"),
    "field": (LeftState.lose_a_field, "(it|its record daemon) is damaged"),
}
