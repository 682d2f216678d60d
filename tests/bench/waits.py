"""How long visitors wait during deploys, beside the least that a supervisor can do."""

import contextlib
import time

from bench import OTHER_PORT, PORT, Page, deploy, every, median, msec, spread, toys, wait_settled

BUSY = "--busy=200"  # µs of work for each request
RATE = 1500          # new connections/s
GOAL = 1.25


class Ours:
    def __init__(self, name, daemon, port):
        self.name, self.daemon, self.port = name, daemon, port

    def deploy(self):
        deploy(self.daemon)

    def settle(self):
        wait_settled(self.daemon)


class Theirs:
    def __init__(self, name, floor, port):
        self.name, self.floor, self.port = name, floor, port

    def deploy(self):
        self.floor.deploy()

    def settle(self):
        pass


def measure(found, who, seconds, interval, has_long_requests):
    """p99 in µs of new connections while who deploys every so often, and how many were lost."""
    address = f"--address=127.0.0.1:{who.port}"
    loads = [found.load(address, "--clients=32", f"--rate={RATE}", "--seconds=3600")]
    if has_long_requests:
        loads.append(found.load(address, "--clients=8", "--path=/sleep/2000", "--seconds=3600"))
    for load in loads[:1]:
        load.wait_running()
    for _ in every(interval, time.monotonic() + seconds) if interval else ():
        who.deploy()
    if not interval:
        time.sleep(seconds)  # nothing happens, and that is measured
    results = [load.stop() for load in loads]
    who.settle()
    return results[0]["p99_usec"], sum(result["lost"] for result in results)


def compare(bench, found, everybody, page, title, seconds, interval, has_long_requests):
    """Rounds in which each has its turn; the last of everybody is what the others are compared with."""
    p99 = {who.name: [] for who in everybody}
    lost = dict.fromkeys(p99, 0)
    for number in range(bench.count(1, 5)):
        for who in everybody if number % 2 == 0 else reversed(everybody):
            usec, n_lost = measure(found, who, seconds, interval, has_long_requests)
            p99[who.name].append(usec)
            lost[who.name] += n_lost
    base = everybody[-1].name
    page.say(f"**{title}**")
    ratios = {name: [a / b for a, b in zip(p99[name], p99[base])] for name in p99}
    page.table(["p99 of new connections", "ms, median", "ms, range", "÷ the minimal one", "range", "lost"],
               [(name, msec(median(p99[name])), f"{msec(min(p99[name]))}–{msec(max(p99[name]))}",
                 f"{median(ratios[name]):.2f}", spread(ratios[name]), lost[name]) for name in p99])
    return ratios, lost


def run(bench):
    page = Page("Waits during deploys")
    page.say(f"Two toys that work {BUSY[7:]} µs for each request, {RATE:,} new connections/s. The minimal supervisor "
             "(tests/bench/bench-floor.c) holds one socket, starts new servers on it, waits for READY=1 and asks the "
             "old ones to stop. Each has its turn in each round, all in one run; ratios are of the same round.")
    page.say()
    with bench.house() as found, contextlib.ExitStack() as stack:
        slots = bench.daemon(found, toys(2, BUSY))
        shared = bench.daemon(found, toys(2, BUSY, port=PORT + 1, endpoint="shared = true;"))
        floor = stack.enter_context(bench.floor(OTHER_PORT, 2, BUSY))
        everybody = [Ours("reuseportd, a socket for each worker", slots, PORT),
                     Ours("reuseportd, `shared = true`", shared, PORT + 1),
                     Theirs("the minimal supervisor", floor, OTHER_PORT)]
        compare(bench, found, everybody, page, "No deploys, for comparison", bench.count(1, 4), None, False)
        for title, seconds, interval, is_long, what in (
                ("A deploy every 0.5 s", bench.count(2, 6), 0.5, False, ""),
                ("A deploy every 3 s, requests of 2 s in flight", bench.count(4, 7), 3, True,
                 ", requests of 2 s in flight")):
            ratios, lost = compare(bench, found, everybody, page, title, seconds, interval, is_long)
            for who in everybody[:2]:
                value = median(ratios[who.name])
                page.goal(f"p99 during deploys ÷ minimal supervisor, {who.name.split(', ')[1]}{what}",
                          f"≤ {GOAL}", f"{value:.2f}, lost {lost[who.name]}", value <= GOAL and lost[who.name] == 0)
    return page
