"""Nothing of ours is in the data path: the same server on our sockets, and on sockets that it binds by itself."""

import contextlib
import json
import subprocess

import house
from bench import OTHER_PORT, PORT, Page, median, quantile, spread, toys

WORKERS = 2
GOAL = 0.02


class Alone:
    """Toys that bind the port by themselves, each with a SO_REUSEPORT socket, and no rule over them."""

    def __init__(self, toy, port):
        self.popens = [subprocess.Popen([str(toy), f"--bind=127.0.0.1:{port}"], stderr=subprocess.PIPE, env={})
                       for _ in range(WORKERS)]
        for popen in self.popens:
            house.Lines(popen.stderr).wait("ready")

    def destroy(self):
        for popen in self.popens:
            popen.terminate()
            popen.wait()


def rate(found, port, seconds):
    """Requests/s, a new connection for each, as fast as they are answered."""
    result = found.load(f"--address=127.0.0.1:{port}", "--clients=16", f"--seconds={seconds}").result()
    assert result["lost"] == 0, result
    return result["answered"] / result["duration_usec"] * 1e6


def compare_rates(bench, page):
    ours, theirs = [], []
    seconds, n = bench.count(1, 2), bench.count(3, 15)
    with bench.house() as found, contextlib.ExitStack() as stack:
        bench.daemon(found, toys(WORKERS))
        alone = Alone(bench.toy, OTHER_PORT)
        stack.callback(alone.destroy)
        for i in range(n + 1):  # the first pair warms up
            for port, rates in ((PORT, ours), (OTHER_PORT, theirs))[::1 if i % 2 else -1]:
                rates.append(rate(found, port, seconds))
    ratios = [a / b for a, b in zip(ours[1:], theirs[1:])]
    value = median(ratios)
    page.say(f"{WORKERS} toys, one connection for each request, as fast as they are answered; {n} pairs of {seconds} s, "
             "in turns:")
    page.table(["", "requests/s, median", "range"],
               [("on sockets of reuseportd", f"{median(ours[1:]):,.0f}", spread(ours[1:], 0)),
                ("binding by itself", f"{median(theirs[1:]):,.0f}", spread(theirs[1:], 0)),
                ("ratio of a pair", f"{value:.3f}", spread(ratios, 3)),
                ("its quartiles", "", f"{quantile(ratios, 25):.3f}–{quantile(ratios, 75):.3f}")])
    page.goal("request rate ÷ binding by itself, median", f"1.00 ± {GOAL}", f"{value:.3f} ({spread(ratios, 3)})",
              abs(value - 1) <= GOAL)


def measure_rule(bench, page):
    with bench.house():
        lines = subprocess.run([str(bench.build / "tests/bench/bench-rule"), str(bench.count(40, 400))],
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
