"""kill -9 at system calls spread over a whole deploy, under load and the keeper: nobody is lost, and it is told how
the deploy ended."""

import collections
import json
import os
import signal
import subprocess

import pytest
from house import count, get, toy, wait_answers
from test_crash import start
from test_crash_points import check_whole
from test_deploy import ADDRESS, QUICK, new_version

OK, NOT_REACHABLE, ROLLED_BACK = 0, 5, 7
VISITORS = {"new connections": ["--clients=8"], "keep-alive": ["--clients=4", "--keep-alive"],
            "slow requests": ["--clients=4", "--path=/sleep/300"]}


class Tracer:
    """Kills the daemon at its n-th call from now on; n 0: counts them."""

    def __init__(self, house, pid, n):
        self.process = subprocess.Popen([house.build / "tests/integration/kill-at", str(pid), str(n)],
                                        stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "attached\n":
            self.process.wait()
            pytest.skip("nobody may be traced here")

    def stop(self):
        """How it ended."""
        while True:
            try:
                return self.process.communicate(timeout=0.1)[0].strip()
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGTERM)


def deploy(house, k, number, n):
    """One deploy with the daemon killed at its n-th call; returns where, and how the deploy ended."""
    tracer = Tracer(house, k.pid(), n)
    # Who comes when there is none comes again; its id makes it the same deploy.
    result = wait_answers(lambda: k.daemon.ctl("deploy", "site", "--id", f"d{number}", *new_version(house, number),
                                               timeout=60),
                          lambda seen: seen[-1].returncode != NOT_REACHABLE, "a daemon is there")[-1]
    wait_answers(lambda: k.daemon.ctl("--json", "status", "site"),
                 lambda seen: seen[-1].returncode == OK and json.loads(seen[-1].stdout)["deploy"] is None,
                 "no deploy goes on")
    where = tracer.stop()
    k.pid()
    last = k.daemon.ask("status", "site")["last_deploy"]
    assert last["id"] == f"d{number}" and result.returncode in (OK, ROLLED_BACK), (where, last, result)
    assert (last["result"] == "done") == (result.returncode == OK), (where, last, result)
    check_whole(house, k)
    version = str(number) if last["result"] == "done" else None
    return where, last["result"], version


def test_at_system_calls_spread_over_a_deploy(house, show):
    k = start(house, toy(["--version=1"], workers=2, service=QUICK % ""))
    sockets = k.sockets()
    running = {kind: house.load(ADDRESS, "--seconds=3600", *options).wait_running()
               for kind, options in VISITORS.items()}
    n_calls = int(deploy(house, k, 2, 0)[0].split()[0])
    before = k.descriptors()

    n_calls = n_calls * 6 // 10  # how long a deploy waits, and so its number of calls, is not always the same
    n_points = count(20, 300)
    ends, calls, n_killed = collections.Counter(), collections.Counter(), 0
    version = "2"
    for i in range(n_points):
        n = 1 + i * n_calls // n_points
        where, result, new = deploy(house, k, 3 + i, n)
        version = new or version
        assert get(8080).headers["X-Version"] == version, (where, result)
        if where.startswith("killed"):
            n_killed += 1
            ends[result] += 1
            calls[where.split()[-1]] += 1
        assert k.sockets() == sockets, where
    show(f"the first {n_calls} calls of a deploy; killed at {n_killed} of {n_points}: "
         + ", ".join(f"{n} {result}" for result, n in ends.items())
         + "; at " + ", ".join(f"{name} {n}" for name, n in calls.most_common()))

    for kind, load in running.items():
        result = load.stop()
        show(f"{kind}: {result['requests']} requests, {result['lost']} lost")
        assert result["lost"] == 0 and result["requests"] > 0, (kind, result)
    k.wait_descriptors(before)
    assert n_killed >= count(5, 200)
    assert os.path.exists(f"/proc/{k.daemon.pid}") and k.daemon.stop() == OK
