"""A thousand deploys, one after the other, while a million connections come."""

import statistics
import time

from house import count, toy
from test_deploy import ADDRESS, OK, deploy, settle

KINDS = ("new connections", "keep-alive")


def visitors(house):
    return house.load(ADDRESS, "--clients=16", f"--count={count(20_000, 1_000_000)}", "--seconds=36000").wait_running()


def regulars(house):
    return house.load(ADDRESS, "--clients=4", "--rate=500", "--keep-alive", "--seconds=36000").wait_running()


def test_a_thousand_deploys_and_a_million_connections(house, show):
    n_deploys = count(20, 1000)
    daemon = house.run(toy(["--version=1"], workers=2), arguments=["--log-level=warning"])
    running = [visitors(house), regulars(house)]
    seconds = []
    begun = time.monotonic()
    while len(seconds) < n_deploys or running[0].popen.poll() is None:
        started = time.monotonic()
        result = deploy(daemon)
        assert result["result"] == "done" and result["code"] == OK, result
        assert result["cut_connections"] == 0, result
        seconds.append(time.monotonic() - started)
        if running[0].popen.poll() is not None and len(seconds) < n_deploys:  # all came already: more of them
            check([running[0].result()], show)
            running[0] = visitors(house)
    took = time.monotonic() - begun
    results = [running[0].result(), running[1].stop()]
    settle(daemon)
    show(f"{len(seconds)} deploys in {took:.0f} s, median {statistics.median(seconds) * 1e3:.0f} ms, "
         f"longest {max(seconds) * 1e3:.0f} ms")
    check(results, show)
    assert daemon.ask("status", "site")["generation"] == len(seconds) + 1
    assert daemon.stop() == OK


def check(results, show):
    for kind, result in zip(KINDS, results):
        show(f"{kind}: {result['connections']} connections, {result['requests']} requests, {result['lost']} lost, "
             f"{len(result['pids'])} servers, p99 {result['p99_usec'] / 1e3:.1f} ms, "
             f"worst {result['max_usec'] / 1e3:.0f} ms")
        assert result["lost"] == 0, (kind, result)
        assert result["requests"] > 0, kind
