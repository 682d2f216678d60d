"""A second network beside the test's own, joined to it by a cable, whose packets can be held back.

Our end is HERE.  The neighbour's is SLOW, whose handshakes stop after the SYN for as long as hold() says, and DEAD,
who never sends anything but a SYN.
"""

import contextlib
import os
import shutil
import subprocess
import sys

import namespaces
import pytest

HERE, SLOW, DEAD = "10.83.0.1", "10.83.0.2", "10.83.0.3"

MISSING = [program for program in ("ip", "nft", "nsenter") if not shutil.which(program)]
NEEDS_CABLE = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)}: not installed")

# The client's third segment, and all that follows it, are dropped until its SYN is so old; from then on what it or the
# server sends again gets through.
FILTER = """
    table inet hold {{
        set held {{ type inet_service; flags dynamic, timeout; timeout {msec}ms; size 65535; }}
        chain out {{
            type filter hook output priority 0;
            ip saddr {dead} tcp flags & (syn | rst) == 0 drop
            tcp flags & (syn | ack) == syn add @held {{ tcp sport }}
            tcp sport @held tcp flags & (syn | rst) == 0 drop
        }}
    }}
"""


class Neighbour:
    def __init__(self):
        ready, self._end = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            with contextlib.suppress(OSError):
                namespaces.new_network()
                os.close(self._end[1])
                os.write(ready[1], b"x")
                os.read(self._end[0], 1)
                status = 0
            os._exit(status)
        os.close(ready[1])
        os.close(self._end[0])
        is_there = os.read(ready[0], 1)
        os.close(ready[0])
        if not is_there:
            self.destroy()
            raise OSError("no second network")
        self._lay_cable()

    def _lay_cable(self):
        subprocess.run(["ip", "link", "add", "name", "here", "type", "veth", "peer", "name", "there",
                        "netns", str(self.pid)], check=True)
        subprocess.run(["ip", "address", "add", f"{HERE}/24", "dev", "here"], check=True)
        subprocess.run(["ip", "link", "set", "here", "up"], check=True)
        for address in (SLOW, DEAD):
            self.run("ip", "address", "add", f"{address}/24", "dev", "there")
        self.run("ip", "link", "set", "there", "up")

    def words(self, *words):
        """A command line that runs words there."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *map(str, words)]

    def run(self, *words, **options):
        return subprocess.run(self.words(*words), check=True, **options)

    def start(self, script, *arguments):
        """One of our Python programs, there; its output is a pipe."""
        return subprocess.Popen(self.words(sys.executable, "-B", script, *arguments), stdout=subprocess.PIPE, text=True)

    def hold(self, seconds):
        self.run("nft", "-f", "-", input=FILTER.format(msec=int(seconds * 1000), dead=DEAD), text=True)

    def destroy(self):
        os.close(self._end[1])
        os.waitpid(self.pid, 0)
