"""What is read and written goes wrong: a journal that stops (F15), files that are none (F16)."""

import os
import re
import socket
import time
from pathlib import Path

import hostile
import pytest
from house import DEADLINE, count

NEEDS_RUN = pytest.mark.skipif(not Path("/run/systemd").is_dir(), reason="there is no /run/systemd")

# How long each message takes until it was acted on, in microseconds; how long the loop ran meanwhile, and how much
# is its own blocking: in which it neither ran nor waited for a processor, and neither did we (/proc/PID/schedstat).
# Slower than the rate at which a worker's own socket is read no further.
TALK = '''
speaker = Speaker()
speaker.say("READY=1")
tell("talks")
files = [open(f"/proc/{pid}/schedstat", "rb", buffering=0) for pid in (os.getppid(), os.getpid())]
def scheduled():
    found = []
    for file in files:
        file.seek(0)
        found += [int(word) / 1e9 for word in file.read().split()[:2]]
    return found
n = 0
while True:  # each is a line of the daemon's log at level debug
    took, ran, blocked = [], [], []
    for _ in range(100):
        n += 1
        time.sleep(0.0025)
        before = scheduled()
        speaker.say(f"STATUS=line {n}")
        took.append(speaker.barrier())
        used = [b - a for a, b in zip(before, scheduled())]
        ran.append(used[0])
        blocked.append(max(0, took[-1] - sum(used)))
    tell("talked", *(int(1e6 * value) for value in (sorted(took)[98], max(took), max(ran), max(blocked))))
'''


class StoppedJournal:
    """The socket of a journal that does not read."""

    def __enter__(self):
        directory = Path("/run/systemd/journal")
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "socket"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(DEADLINE)
        return self

    def __exit__(self, *error):
        self.socket.close()
        self.path.unlink()
        self.path.parent.rmdir()


@pytest.mark.alone
@NEEDS_RUN
def test_f15_a_journal_that_has_stopped_holds_nobody_and_what_is_dropped_is_counted(house):
    hundreds = count(5, 2000)
    path = hostile.script(house, TALK)
    with StoppedJournal() as journal:
        daemon = house.run('endpoints: { web: { listen_stream = ":8080"; }; }; services: {'
                           + hostile.service(path, settings='standard_error = "inherit";') + "};",
                           arguments=["--log-target=journal", "--log-level=debug"])
        daemon.log.wait("worker: talked", times=hundreds, seconds=900)
        found = [[int(word) for word in line.split()[2:]]
                 for line in daemon.log.lines if line.startswith("worker: talked")]
        p99, longest, ran, blocked = (max(column) for column in zip(*found))
        print(f"{100 * len(found)} messages: acted on within {p99} µs (the worst p99 of a hundred) and {longest} µs (the "
              f"worst of all); meanwhile the loop ran {ran} µs and was blocked {blocked} µs at most")
        assert ran < 10000 and blocked < 10000, found

        # Now it reads again: what comes next says how much is missing.
        deadline, text = time.monotonic() + DEADLINE, b""
        while b"lines of this log were dropped" not in text:
            text = journal.socket.recv(65536)
            assert time.monotonic() < deadline
        dropped = int(re.search(rb"(\d+) lines of this log were dropped", text).group(1))
        assert dropped > 100 * (hundreds - 2) - 20, dropped
        assert daemon.stop() == 0


# ---- files ----

def keys(n):
    return "endpoints: { web: { " + "".join(f"key{i} = {i}; " for i in range(n)) + "}; };"


def sparse(path):
    with open(path, "wb") as file:
        file.truncate(1 << 30)


FILES = {
    "fifo": os.mkfifo,
    "device": lambda path: os.symlink("/dev/zero", path),
    "directory": os.mkdir,
    "gibibyte": sparse,
    "nul": lambda path: path.write_bytes(b'endpoints: { a: { listen_stream = "80\0"; }; };'),
    "include": lambda path: path.write_text('@include "/etc"\n'),
    "many": lambda path: path.write_text(keys(50000)),
    "bits": lambda path: path.write_bytes(os.urandom(4096)),
    "brace": lambda path: path.write_text("{" * 100000),
    **{f"integer {n}": lambda path, n=n: path.write_text(
        f'endpoints: {{ web: {{ listen_stream = ":80"; backlog = {n}; }}; }};')
       for n in ((1 << 31), -(1 << 31), (1 << 32) + 80, (1 << 63), -(1 << 63), 10 ** 30)},
}


@pytest.mark.alone
@pytest.mark.parametrize("name", FILES)
def test_f16_what_is_no_configuration_is_one_line_within_two_seconds(house, name):
    path = house.directory / "endpoints.conf"
    FILES[name](path)
    begun = time.monotonic()
    result = house.command("-c", path)
    took = time.monotonic() - begun
    assert result.returncode == 78, result
    lines = result.stderr.splitlines()
    # Of many unknown keys each is told, up to a limit.
    assert lines and (len(lines) == 1 or name == "many"), lines[:5]
    assert all(line.startswith(str(path)) or line.startswith("and ") for line in lines), lines[:5]
    assert took < 2, took
    assert not any(character < " " for line in lines for character in line), lines[:3]


def test_f16_a_file_cut_at_any_byte_starts_nothing_or_what_it_says(house):
    text = '''endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; };
services: { site: { endpoints = ["web"]; exec_start = ["/bin/sleep", "9"]; workers = 2; }; };
'''
    path = house.directory / "endpoints.conf"
    step = count(7, 1)
    for length in range(0, len(text), step):
        path.write_text(text[:length])
        result = house.command("-t", "-c", path)
        assert result.returncode in (0, 78), (length, result)
        if result.returncode == 78:
            assert str(path) in result.stderr
        else:  # nothing, the endpoint alone, or all
            assert length == 0 or "good" in result.stdout
    path.write_text(text)
    assert house.run(path).stop() == 0
