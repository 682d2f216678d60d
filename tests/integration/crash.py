"""What all tests share that kill the daemon, whoever starts it again: the keeper, or systemd."""

import collections
import json
import re
import signal
import subprocess

import pytest
from house import children_of, command_of, descriptors_of, get, wait_answers

# Of the daemon while it deploys; `reloaded` comes beside them.
POINTS = ["store", "stored", "unstore", "record-torn", "record-written", "spawn", "spawned", "spawn-recorded",
          "rule", "rule-replaced", "ask", "deploy-born", "deploy-begun", "deploy-decided", "deploy-recorded",
          "deploy-acted"]
OK, NOT_REACHABLE, ROLLED_BACK = 0, 5, 7


class Tracer:
    """Kills a process at its n-th call from now on; n 0: counts them."""

    def __init__(self, build, pid, n):
        self.process = subprocess.Popen([build / "tests/integration/kill-at", str(pid), str(n)],
                                        stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "attached\n":
            self.process.wait()
            pytest.skip("nobody may be traced here")

    def stop(self):
        """How it ended: "killed at N NAME", or "N calls"."""
        while True:
            try:
                return self.process.communicate(timeout=0.1)[0].strip()
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGTERM)


def kinds_of(pid):
    """How many descriptors of each kind it has."""
    return collections.Counter(re.sub(r"[0-9]+", "", target) for target in descriptors_of(pid).values())


def resident_of(pid):
    """(all that is resident, what of it is its own), in KiB: pages of files may be dropped and come again.

    Counted one by one: since Linux 6.2 what /proc/PID/status says is off by up to 128 KiB for each processor.
    """
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        found = {line.split()[0]: int(line.split()[1]) for line in list(file)[1:]}
    return found["Rss:"], found["Anonymous:"]


def memory_of(pid):
    """KiB of its own pages."""
    return resident_of(pid)[1]


def below(pid, program):
    """Pids of all processes of a program below that one, in whatever generation of processes."""
    found, left = set(), [pid]
    while left:
        for child in children_of(left.pop()):
            left.append(child)
            if command_of(child).startswith(str(program)):
                found.add(child)
    return found


class Survivor:
    """A daemon with the service `site` of two toys, which is started again when it dies.

    Who inherits has toy, the path of its program; ctl(), which may fail; pid(), of the daemon that answers now;
    servers(), the pids of all toys that there are; and sockets(), the inodes that listen.
    """

    def ask(self, *arguments):
        result = wait_answers(lambda: self.ctl("--json", *arguments),
                              lambda seen: seen[-1].returncode != NOT_REACHABLE, "a daemon is there")[-1]
        assert result.returncode == OK, (arguments, result)
        return json.loads(result.stdout)

    def workers(self):
        return sorted(w["pid"] for w in self.ask("status", "site")["workers"])

    def wait_running(self):
        wait_answers(lambda: self.ctl("wait", "site", "--for=running", "--timeout", "20s").returncode,
                     lambda seen: seen[-1] == OK, "it is running")

    def wait_no_deploy(self):
        """Until none goes on, and the generation that was left is gone."""
        wait_answers(lambda: self.ctl("--json", "status", "site"),
                     lambda seen: seen[-1].returncode == OK and json.loads(seen[-1].stdout)["deploy"] is None,
                     "no deploy goes on")

    def check_whole(self):
        """Nobody is there twice or unknown, and what is there is what is said."""
        self.wait_running()
        wait_answers(lambda: (self.servers(), set(self.workers())),
                     lambda seen: seen[-1][0] == seen[-1][1] and len(seen[-1][1]) == 2, "the two workers are all")
        assert get(8080).status == 200

    def deploy(self, number, *options):
        """One deploy, over whatever happens to the daemon: what the command ended with, and what `status` says of
        it.  Who comes when there is no daemon comes again; its id makes it the same deploy."""
        words = ["--id", f"d{number}", *options, "--", self.toy, f"--version={number}"]
        result = wait_answers(lambda: self.ctl("deploy", "site", *words, timeout=60),
                              lambda seen: seen[-1].returncode != NOT_REACHABLE, "a daemon is there")[-1]
        self.wait_no_deploy()
        last = self.ask("status", "site")["last_deploy"]
        assert last["id"] == f"d{number}" and result.returncode in (OK, ROLLED_BACK), (last, result)
        assert (last["result"] == "done") == (result.returncode == OK), (last, result)
        return result, last

    def kinds(self):
        """Of its descriptors, when they do not change any more."""
        def look():
            try:
                return kinds_of(self.pid())
            except OSError:  # it has just died
                return None

        return wait_answers(look, lambda seen: len(seen) > 3 and seen[-1] and seen[-1] == seen[-2] == seen[-3],
                            "nothing changes")[-1]

    def wait_kinds(self, before):
        """Whoever has just begun still looks around."""
        wait_answers(self.kinds, lambda seen: seen[-1] == before, f"{before}")


def at_each_time(point, n_runs, run):
    """Runs deploys with the daemon killed at a point for the first time in it, for the second, and so on, and from
    the first again when the deploy is over before, until there were n_runs kills.

    run(n) starts the daemon anew, with REUSEPORTD_CRASH_AT=point:n, and returns whether it was killed and how the
    deploy ended.  Returns a line for each."""
    lines, n, n_max, n_killed = [], 1, None, 0
    while n_killed < n_runs:
        is_killed, last = run(f"{point}:{n}")
        lines.append(f"{point}:{n} {'killed' if is_killed else 'not reached'}, {last['result']}")
        assert is_killed or n > 1, f"{point} was never reached"
        n_killed += is_killed
        n_max = n_max if is_killed else n - 1
        n = 1 if n == n_max or not is_killed else n + 1
    return lines


def spread_over_a_deploy(k, kill_at, n_points, after):
    """A deploy after the other, each with the daemon killed at another system call, spread over what one makes.

    kill_at(n) is the Tracer of the daemon that runs now.  after(where) is called after each.  Returns how many were
    killed, and a sentence of what happened."""
    def deploy(number, n):
        tracer = kill_at(n)
        try:
            last = k.deploy(number)[1]
        finally:
            where = tracer.stop()
        k.check_whole()
        return where, last

    n_calls = int(deploy(2, 0)[0].split()[0])
    before = k.kinds()
    n_calls = n_calls * 6 // 10  # how long a deploy waits, and so its number of calls, is not always the same
    ends, calls, places, version = collections.Counter(), collections.Counter(), set(), "2"
    for i in range(n_points):
        n = 1 + i * n_calls // n_points
        where, last = deploy(3 + i, n)
        version = str(3 + i) if last["result"] == "done" else version
        assert get(8080).headers["X-Version"] == version, (where, last)
        if where.startswith("killed"):
            ends[last["result"]] += 1
            calls[where.split()[-1]] += 1
            places.add(n)
        after(where)
    k.wait_kinds(before)
    return len(places), (f"the first {n_calls} calls of a deploy; killed at {len(places)} of {n_points}: "
                         + ", ".join(f"{n} {result}" for result, n in ends.items())
                         + "; at " + ", ".join(f"{name} {n}" for name, n in calls.most_common()))
