"""The daemon of the box, as one that is started again when it dies."""

from pathlib import Path

from crash import OK, Survivor, memory_of
from house import Process, toy, wait_answers

UNIT = "reuseportd.service"
QUICK = 'deploy: { progress_deadline = "5s"; step = "200ms"; };'


def listening_inodes(port=8080):
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    return sorted(row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A")


class Visitors:
    """New connections, kept ones, and requests that take two seconds."""

    KINDS = {"new": ["--clients=8"], "kept": ["--clients=4", "--keep-alive"],
             "slow": ["--clients=4", "--path=/sleep/2000"]}

    def __init__(self, box):
        self.loads = {kind: box.load("--address=127.0.0.1:8080", "--seconds=3600", *options).wait_running()
                      for kind, options in self.KINDS.items()}

    def check(self, show, what):
        results = {kind: load.stop() for kind, load in self.loads.items()}
        show(f"{what}: " + ", ".join(f"{kind} {result['requests']} requests, {result['lost']} lost"
                                     for kind, result in results.items()))
        for kind, result in results.items():
            assert result["lost"] == 0 and result["requests"] > 0, (kind, result)


class Booted(Survivor):
    """Started by systemd with two workers."""

    def __init__(self, box, service=QUICK, switches=("--version=1",)):
        self.box = box
        self.toy = box.toy
        box.start(toy(list(switches), workers=2, service=service))
        self.wait_running()

    def ctl(self, *arguments, **options):
        return self.box.ctl(*arguments, check=False, **options)

    def pid(self):
        def look():
            answer = self.ctl("--json", "status")
            return answer.returncode == OK and self.box.main_pid()

        return wait_answers(look, lambda seen: seen[-1], "a daemon answers")[-1]

    def wait_successor(self, pid):
        """Until another daemon than that one answers; its pid."""
        return wait_answers(self.pid, lambda seen: seen[-1] != pid, "a successor")[-1]

    def kill(self):
        """Ends the daemon; returns the pid of the next."""
        with Process(self.pid()) as process:
            process.kill()
            return self.wait_successor(process.pid)

    def servers(self):
        """All that there are in the box."""
        found = set()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if path.read_bytes().split(b"\0")[0].decode() == str(self.toy):
                    found.add(int(path.parent.name))
            except OSError:  # it has just ended
                pass
        return found

    def sockets(self):
        return listening_inodes()

    def n_restarts(self):
        return int(self.box.show(UNIT, "NRestarts"))

    def n_stored(self):
        """In systemd's store, when nothing changes any more."""
        return wait_answers(lambda: int(self.box.show(UNIT, "NFileDescriptorStore")),
                            lambda seen: len(seen) > 3 and seen[-1] == seen[-2] == seen[-3], "nothing changes")[-1]

    def check_no_zombies(self):
        def look():
            return [path for path in Path("/proc").glob("[0-9]*/stat") if is_zombie(path)]

        wait_answers(look, lambda seen: not seen[-1], "nobody waits to be reaped")

    def costs(self):
        """What must not grow, whatever happens: descriptors by kind, those in systemd's store, KiB of memory."""
        return self.kinds(), self.n_stored(), memory_of(self.pid())

    def check_costs(self, before, show):
        self.wait_kinds(before[0])
        after = self.costs()
        show(f"{sum(after[0].values())} descriptors before and after, {before[1]} and {after[1]} in systemd's store, "
             f"{before[2]} and {after[2]} KiB")
        assert after[1] == before[1]
        # One percent, but pages are four KiB, and heaps differ by some of them from one process to the next.
        assert after[2] <= before[2] + max(before[2] // 100, 16)


def is_zombie(path):
    try:
        return path.read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return False
