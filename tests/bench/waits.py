"""How long visitors wait during deploys, beside the least that a supervisor can do."""

import contextlib
import time

from bench import OTHER_PORT, PORT, Page, deploy, every, median, msec, spread, toys, wait_settled

BUSY = 200  # µs of work for each request
SWITCHES = [f"--busy={BUSY}", "--hasty"]
RATE = 1500          # new connections/s
GOAL = 1.25


class Ours:
    def __init__(self, name, base, daemon, port):
        self.name, self.base, self.daemon, self.port = name, base, daemon, port

    def deploy(self):
        deploy(self.daemon)

    def settle(self):
        wait_settled(self.daemon)


class Minimal:
    base = None

    def __init__(self, name, floor, port):
        self.name, self.floor, self.port = name, floor, port

    def deploy(self):
        self.floor.deploy()

    def settle(self):
        pass


class Round:
    """One kind of load: how often and how long each has its turn, how often it deploys, what else goes on.

    What counts in a round is the median of an odd number of short turns, so that a moment in which somebody else uses
    the processors does not decide.
    """

    def __init__(self, title, n_rounds, n_turns, seconds, interval=None, has_long_requests=False):
        self.title, self.n_rounds, self.n_turns, self.seconds = title, n_rounds, n_turns, seconds
        self.interval, self.has_long_requests = interval, has_long_requests


def measure(found, who, kind):
    """p99 in µs of new connections while who deploys every so often, and how many were lost."""
    address = f"--address=127.0.0.1:{who.port}"
    load = found.load(address, "--clients=32", f"--rate={RATE}", "--seconds=3600").wait_running()
    loads = [load]
    if kind.has_long_requests:
        loads.append(found.load(address, "--clients=8", "--path=/sleep/2000", "--seconds=3600"))
    end = time.monotonic() + kind.seconds
    for _ in every(kind.interval or kind.seconds, end):
        if kind.interval:
            who.deploy()
    results = [load.stop() for load in loads]
    who.settle()
    return results[0]["p99_usec"], sum(result["lost"] for result in results)


def compare(found, everybody, page, kind):
    """Rounds in which each has its turn; {name: ratios to its base}, {name: lost}."""
    p99 = {who.name: [] for who in everybody}
    lost = dict.fromkeys(p99, 0)
    for _ in range(kind.n_rounds):
        turns = {who.name: [] for who in everybody}
        for number in range(kind.n_turns):
            for who in everybody if number % 2 == 0 else reversed(everybody):
                usec, n_lost = measure(found, who, kind)
                turns[who.name].append(usec)
                lost[who.name] += n_lost
        for name, values in turns.items():
            p99[name].append(median(values))
    ratios = {who.name: [a / b for a, b in zip(p99[who.name], p99[who.base])] for who in everybody if who.base}
    page.say(f"**{kind.title}**, {kind.n_rounds} rounds of {kind.n_turns} × {kind.seconds} s")
    rows = []
    for name, values in p99.items():
        shown = (f"{median(ratios[name]):.2f}", spread(ratios[name])) if name in ratios else ("", "")
        rows.append((name, msec(median(values)), f"{msec(min(values))}–{msec(max(values))}", *shown, lost[name]))
    page.table(["p99 of new connections", "ms, median", "range", "÷ minimal, median", "range", "lost"], rows)
    return ratios, lost


def invite(bench, found, stack):
    """Everybody, each with a port of its own; who is asleep costs nothing."""
    everybody = []
    for n, word in (1, "1 worker"), (2, "2 workers"):
        port = PORT + 10 * n
        base = f"minimal supervisor, {word}"
        everybody.append(Ours(f"reuseportd, {word}", base, bench.daemon(found, toys(n, *SWITCHES, port=port)), port))
        if n > 1:
            shared = bench.daemon(found, toys(n, *SWITCHES, port=port + 1, endpoint="shared = true;"))
            everybody.append(Ours(f"reuseportd, {word}, `shared = true`", base, shared, port + 1))
        floor = stack.enter_context(bench.floor(OTHER_PORT + n, n, *SWITCHES))
        everybody.append(Minimal(base, floor, OTHER_PORT + n))
    return everybody


def run(bench):
    page = Page("Waits during deploys")
    page.say(f"Toys that work {BUSY} µs for each request and, asked to stop, close their sockets without a look into "
             f"the queues, as most servers do; {RATE:,} new connections/s. The minimal supervisor "
             "(tests/bench/bench-floor.c) holds one socket that all its servers share, starts new ones on it, waits "
             "for READY=1 and asks the old ones to stop. Each has its turn in each round, all in one run; ratios are "
             "of the same round. With sockets of their own two workers have two queues, and the p99 of two queues is "
             "above that of one also without any deploy: [steering.md](steering.md).")
    page.say()
    n = bench.count(1, 5)
    kinds = [Round("No deploys, for comparison", bench.count(1, 3), 3, 0.7),
             Round("A deploy every 0.5 s", n, 3, 1.7, 0.5),
             Round("A deploy every 1 s, requests of 2 s in flight", n, bench.count(1, 3), 2.2, 1, True)]
    with bench.house() as found, contextlib.ExitStack() as stack:
        everybody = invite(bench, found, stack)
        for kind in kinds:
            ratios, lost = compare(found, everybody, page, kind)
            for name, values in ratios.items() if kind.interval else ():
                page.goal(f"p99, {kind.title[0].lower()}{kind.title[1:]}: {name} ÷ minimal supervisor", f"≤ {GOAL}",
                          f"{median(values):.2f} ({spread(values)}), lost {lost[name]}",
                          median(values) <= GOAL and lost[name] == 0)
    return page
