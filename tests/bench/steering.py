"""Which way to spread visitors over workers: how even each is, and what p99 it gives."""

import collections
import os
import statistics

import house
from bench import Page, median, msec, toys

WAYS = {
    "shared": "shared = true;",
    "hash": 'steering = "hash";',
    "random": 'steering = "random";',
    "cpu": 'steering = "cpu";',
}
CLIENTS = {"few": 4, "many": 256}
BUSY = 100               # µs of work for each request
LONG_WORK = 5000         # µs, of the uneven ones
LONG_RATE = 40           # of them a second
RATE = 3000              # new connections/s, of the even ones


class Case:
    def __init__(self, workers, clients, is_uneven):
        self.workers, self.clients, self.is_uneven = workers, clients, is_uneven

    @property
    def title(self):
        return (f"{self.workers} workers, {self.clients} clients ({CLIENTS[self.clients]}), "
                f"{'uneven' if self.is_uneven else 'even'} work")


class Seen:
    """Of one way in one case."""

    def __init__(self):
        self.p99, self.largest, self.lost = [], [], 0


def cases():
    return [Case(workers, clients, is_uneven) for workers in (2, 4) for clients in CLIENTS
            for is_uneven in (False, True)]


def spread_of(results, workers):
    """What the busiest worker got, to an even share."""
    by_pid = collections.Counter()
    for result in results:
        by_pid.update(dict(zip(result["pids"], result["n_by_pid"])))
    return max(by_pid.values()) * workers / by_pid.total()


def wait_running(daemon):
    house.wait_answers(lambda: daemon.ask("list")["services"][0]["state"], lambda seen: seen[-1] == "running",
                       "it runs")


def generators(found, address, case, seconds):
    """One on each CPU: over loopback a connection arrives where its client runs."""
    cpus = sorted(os.sched_getaffinity(0))
    for cpu in cpus:
        load = found.load(address, f"--clients={CLIENTS[case.clients] // len(cpus) or 1}",
                          f"--rate={RATE // len(cpus)}", f"--seconds={seconds}")
        os.sched_setaffinity(load.popen.pid, {cpu})
        yield load


def measure(found, port, case, seconds, seen):
    address = f"--address=127.0.0.1:{port}"
    loads = list(generators(found, address, case, seconds))
    if case.is_uneven:
        others = found.load(address, "--clients=2", f"--path=/busy/{LONG_WORK}", f"--rate={LONG_RATE}",
                            f"--seconds={seconds}")
        seen.lost += others.result()["lost"]
    results = [load.result() for load in loads]
    seen.p99.append(max(result["p99_usec"] for result in results))
    seen.largest.append(spread_of(results, case.workers))
    seen.lost += sum(result["lost"] for result in results)


def measure_all(bench):
    """{(case, way): Seen}; within a round every way has its turn in the same case."""
    table = {}
    with bench.house() as found:
        ports = {}
        for workers in (2, 4):
            for number, (way, key) in enumerate(WAYS.items()):
                port = 8000 + 10 * workers + number
                wait_running(bench.daemon(found, toys(
                    workers, f"--busy={BUSY}", port=port, endpoint=key,
                    service='cpu_affinity = "slot";' if way == "cpu" else "")))
                ports[workers, way] = port
        for case in cases():
            for _ in range(bench.count(1, 3)):
                for way in WAYS:
                    measure(found, ports[case.workers, way], case, bench.count(1, 2),
                            table.setdefault((case.title, way), Seen()))
    return table


def rows_of(table):
    for case in cases():
        seen = {way: table[case.title, way] for way in WAYS}
        best = min(median(s.p99) for s in seen.values())
        yield case, seen, best


def make_table(table, page):
    rows = []
    for case, seen, best in rows_of(table):
        cells = []
        for s in seen.values():
            p99 = median(s.p99)
            cells.append(f"**{msec(p99)}**" if p99 == best else msec(p99))
        cells += [f"{median(s.largest):.2f}" for s in seen.values()]
        rows.append((case.title, *cells))
    page.table(["", *(f"{way}: p99, ms" for way in WAYS), *(f"{way}: busiest" for way in WAYS)], rows)


def ratio(table, way, other, choose):
    """Geometric mean of p99 to p99 over the cases that are chosen."""
    return statistics.geometric_mean([median(table[c.title, way].p99) / median(table[c.title, other].p99)
                                      for c in cases() if choose(c)])


def evenness(table, way, choose):
    return max(median(table[c.title, way].largest) for c in cases() if choose(c))


def advise(table, page):
    """What the figures of this very run say."""
    def is_few(case):
        return case.clients == "few"

    def is_uneven(case):
        return case.is_uneven

    def everything(_):
        return True

    page.say("In this run, over all cases:")
    page.say()
    for way in ("hash", "random", "cpu"):
        page.say(f"- `{way}` against `shared`: p99 × {ratio(table, way, 'shared', everything):.1f} "
                 f"(few clients × {ratio(table, way, 'shared', is_few):.1f}, uneven work "
                 f"× {ratio(table, way, 'shared', is_uneven):.1f}); its busiest worker got up to "
                 f"{evenness(table, way, everything):.2f} of an even share "
                 f"(few clients {evenness(table, way, is_few):.2f})")
    page.say(f"- with `shared` it got up to {evenness(table, 'shared', everything):.2f}: whoever is free takes the "
             "next, and the first to wake is often the same")


PAGE = """# Which steering to choose

Visitors are spread over the workers of a generation when they connect, by the kernel. Two keys of an endpoint say how:
`shared` and `steering`.

| | choose it when | what it costs |
|---|---|---|
| `shared = true` | requests differ much in how long they take; or clients are few; or a short p99 matters more than the last percent of throughput | one queue, and one lock in the kernel for it; idle workers are woken together; work is not even over workers, it goes to whoever is free |
| `steering = "hash"` (default) | many clients, many cores, requests of about the same length; datagrams, whose flows must stay together | a worker that is busy keeps whoever is in its queue, also while others are idle; with few clients uneven |
| `steering = "random"` | few clients behind the same addresses whose ports are chosen badly; shares that must be exact at every moment; streams only | as `hash` |
| `steering = "cpu"` | one worker for each CPU, pinned (`cpu_affinity = "slot"`), and network cards that spread their interrupts: a connection stays on the CPU where it arrived | as even as the interrupts are; workers beyond the number of CPUs get nobody; over loopback it follows the CPU of the *client* |

If in doubt: workers that handle one request at a time (most of Python, Ruby, PHP) `shared = true`; event loops and
threads (nginx, haproxy, Node, Go, DNS) leave the default.

For a worker that blocks, what matters is the longest request: with a queue of its own it makes everybody wait who came
after it, with a shared queue only a worker is missing.

## Measured

"""


def write(bench, page):
    lines = PAGE + "\n".join(page.lines).strip() + "\n"
    while "\n\n\n" in lines:
        lines = lines.replace("\n\n\n", "\n\n")
    (bench.place / "steering.md").write_text(lines, encoding="utf-8")


def run(bench):
    page = Page("Steering")
    page.say(f"Toys that work {BUSY} µs for each request, {RATE:,} new connections/s over loopback; uneven: besides, "
             f"{LONG_RATE} requests/s that work {LONG_WORK / 1000:.0f} ms. p99 is that of the short ones. Busiest: "
             f"what the busiest worker got, 1.00 being an even share. {os.cpu_count()} CPUs, with a load generator on each, "
             "and with `cpu` worker i on CPU i; bold: the shortest of its row.")
    table = measure_all(bench)
    make_table(table, page)
    advise(table, page)
    write(bench, page)
    lost = sum(seen.lost for seen in table.values())
    page.goal("lost by steering", "0", str(lost), lost == 0)
    return page
