"""Nothing of ours is in the data path: the same server on our sockets, and on sockets that it binds by itself."""

import contextlib
import json
import subprocess

import house
from bench import OTHER_PORT, PORT, Page, median, quantile, spread, toys

WORKERS = 2
GOAL = 0.02
TURNS = 8


class Alone:
    """Toys that bind the port by themselves, each with a SO_REUSEPORT socket, and no rule over them.

    Each in a session of its own, as a supervisor's servers are: the scheduler shares processors by session.
    """

    def __init__(self, toy, port):
        self.popens = [subprocess.Popen([str(toy), f"--bind=127.0.0.1:{port}"], stderr=subprocess.PIPE, env={},
                                        start_new_session=True)
                       for _ in range(WORKERS)]
        for popen in self.popens:
            house.Lines(popen.stderr).wait("ready")

    def destroy(self):
        for popen in self.popens:
            popen.terminate()
            popen.wait()


class Server:
    """Where it is, its processes, and what was measured of it."""

    def __init__(self, port, pids):
        self.port, self.pids = port, pids
        self.rates, self.costs = [], []

    def processor_usec(self):
        total = 0
        for pid in self.pids:
            with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0]) / 1e3
        return total

    def measure(self, found, n):
        """n requests on a new connection each, as fast as they are answered.  Returns µs, and µs of processor."""
        before = self.processor_usec()
        result = found.load(f"--address=127.0.0.1:{self.port}", "--clients=16", f"--count={n}").result()
        assert result["lost"] == 0, result
        return result["duration_usec"], self.processor_usec() - before


def measure_pair(found, servers, n):
    """In short turns, so that whoever else uses the processors hits both alike."""
    total = {server: [0, 0] for server in servers}
    for server in [*servers, *reversed(servers)] * (TURNS // 2):
        for i, usec in enumerate(server.measure(found, n // TURNS)):
            total[server][i] += usec
    for server, (usec, processor_usec) in total.items():
        server.rates.append(n / usec * 1e6)
        server.costs.append(processor_usec / n)


def compare_rates(bench, page):
    n_requests, n = bench.count(8000, 40_000), bench.count(3, 15)
    with bench.house() as found, contextlib.ExitStack() as stack:
        daemon = bench.daemon(found, toys(WORKERS))
        house.wait_workers(WORKERS, port=PORT)
        alone = Alone(bench.toy, OTHER_PORT)
        stack.callback(alone.destroy)
        ours = Server(PORT, daemon.workers())
        theirs = Server(OTHER_PORT, [popen.pid for popen in alone.popens])
        for i in range(n + 1):  # the first pair warms up
            measure_pair(found, (ours, theirs)[::1 if i % 2 else -1], n_requests)
    ratios = [a / b for a, b in zip(ours.rates[1:], theirs.rates[1:])]
    costs = [a / b for a, b in zip(ours.costs[1:], theirs.costs[1:])]
    value = median(ratios)
    page.say(f"{WORKERS} toys, one connection for each request, as fast as they are answered; {n} pairs of "
             f"{n_requests:,} requests each, in {TURNS} turns:")
    page.table(["", "requests/s, median", "range", "processor time of the servers for each, µs"],
               [(name, f"{median(s.rates[1:]):,.0f}", spread(s.rates[1:], 0), f"{median(s.costs[1:]):.2f}")
                for name, s in (("on sockets of reuseportd", ours), ("binding by itself", theirs))]
               + [("ratio of a pair, median", f"{value:.3f}", spread(ratios, 3), f"{median(costs):.3f}"),
                  ("its quartiles", "", f"{quantile(ratios, 25):.3f}–{quantile(ratios, 75):.3f}",
                   f"{quantile(costs, 25):.3f}–{quantile(costs, 75):.3f}")])
    page.goal("request rate ÷ binding by itself, median", f"1.00 ± {GOAL}", f"{value:.3f} ({spread(ratios, 3)})",
              abs(value - 1) <= GOAL)


def measure_rule(bench, page):
    with bench.house():
        lines = subprocess.run([str(bench.build / "tests/bench/bench-rule"), str(bench.count(40, 250))],
                               check=True, capture_output=True, text=True).stdout.splitlines()
    results = [json.loads(line) for line in lines]
    page.say("The rule runs once for each connection, in the kernel. A connect() over loopback, which runs the whole "
             f"handshake, to a group with our rule and to one without, {results[0]['connections']:,} of them in turns:")
    page.table(["slots", "connect() with the rule, ns", "without", "difference of a pair, median", "its quartiles"],
               [(f"{r['slots']}" + (f", {r['dead']} of them dead" if r["dead"] else ""), f"{r['with_ns']:,}",
                 f"{r['without_ns']:,}", r["difference_ns"], f"{r['quartiles_ns'][0]} – {r['quartiles_ns'][1]}")
                for r in results])


def run(bench):
    page = Page("No work in the data path")
    compare_rates(bench, page)
    measure_rule(bench, page)
    return page
