"""What a daemon leaves to its successor, as bytes: read, and changed by who has no business there."""

import json
import os
import struct
import zlib

HEAD = struct.Struct("<16sIIQQ")        # magic, version, unused, half, number of whole records
RECORD = struct.Struct("<IIIIQ")        # checksum, size of key, size of text, unused, sequence
VERSION_AT, N_WHOLE_AT, FIRST, HALF_SIZE = 16, 32, 4096, 1 << 40


def find(pid):
    """The path of the memfd, through a process that has it."""
    place = f"/proc/{pid}/fd"
    for name in os.listdir(place):
        if "memfd:reuseportd-state" in os.readlink(f"{place}/{name}"):
            return f"{place}/{name}"
    raise AssertionError(f"{pid} has no state")


class StateFile:
    """The bytes of one: what stands before the records, and those of the half that counts."""

    def __init__(self, data):
        self.data = bytearray(data)
        magic, self.version, _, self.half, self.n_whole = HEAD.unpack_from(self.data)
        assert magic == b"reuseport-state\0" and self.half in (0, 1)

    @classmethod
    def read(cls, path):
        with open(path, "rb") as file:
            head = file.read(FIRST)
            file.seek(FIRST + HEAD.unpack_from(head)[3] * HALF_SIZE)
            return cls(head + file.read(16 << 20))

    def write(self, path):
        with open(path, "r+b") as file:
            file.truncate(self.half * HALF_SIZE + len(self.data))
            file.write(self.data[:FIRST])
            file.seek(FIRST + self.half * HALF_SIZE)
            file.write(self.data[FIRST:])

    def copy(self):
        return StateFile(self.data)

    def walk(self):
        """(offset, sequence, key, text) of each record, as far as they are whole."""
        at, last = FIRST, 0
        while at + RECORD.size <= len(self.data):
            checksum, n_key, n_text, _, sequence = RECORD.unpack_from(self.data, at)
            end = at + RECORD.size + n_key + n_text
            if (n_key == 0 or end > len(self.data) or (last and sequence != last + 1)
                    or zlib.crc32(self.data[at + 4:end]) != checksum):
                return
            body = bytes(self.data[at + RECORD.size:end])
            yield at, sequence, body[:n_key].decode(), body[n_key:].decode()
            at, last = (end + 7) // 8 * 8, sequence

    def end(self):
        """Where the next record goes, and its sequence."""
        at, last = FIRST, 0
        for at, last, key, text in self.walk():
            at = (at + RECORD.size + len(key) + len(text.encode()) + 7) // 8 * 8
        return at, last + 1

    def records(self):
        """{key: what is true}"""
        found = {}
        for _, _, key, text in self.walk():
            found[key] = text
        return {key: text for key, text in found.items() if text}

    def get(self, key):
        return json.loads(self.records()[key])

    def put(self, key, value):
        """A record as the daemon writes it; None: there is none of that key any more."""
        text = b"" if value is None else json.dumps(value, separators=(",", ":")).encode()
        at, sequence = self.end()
        rest = struct.pack("<IIIQ", len(key), len(text), 0, sequence) + key.encode() + text
        del self.data[at:]
        self.data += bytes(at - len(self.data)) + struct.pack("<I", zlib.crc32(rest)) + rest
        struct.pack_into("<Q", self.data, N_WHOLE_AT, sequence)
        return self

    def flip(self, at, bits=0x10):
        self.data[at] ^= bits
        return self
