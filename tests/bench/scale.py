"""How start, list, reload and a deploy grow with the number of services."""

import os
import resource
import statistics
import subprocess
import time

import plot
from bench import Page, deploy, median, msec, wait_settled
from house import wait_answers

SIZES = (10, 100, 1000)
GOAL = 1.5        # of 1,000 services to 10; what does not grow is 1
GOAL_USEC = 20.0  # of a reload, for each further service, whose every key is compared


def service(bench, number, timeout):
    return f'''
    s{number}: {{
        endpoints = ["a{number}", "b{number}"];
        exec_start = ["{bench.toy}"];
        type = "notify";
        standard_error = "null";
        timeout_stop = "{timeout}s";
    }};'''


def config(bench, n, changed_timeout=90):
    """n services with two endpoints each; one key of one of them may differ."""
    endpoints = "".join(f'    {name}{i}: {{ listen_stream = "127.{block}.{i // 250}.{i % 250 + 1}:8080"; }};\n'
                        for i in range(n) for block, name in ((1, "a"), (2, "b")))
    services = "".join(service(bench, i, changed_timeout if i == n // 2 else 90) for i in range(n))
    return f"endpoints: {{\n{endpoints}}};\nservices: {{{services}\n}};\n"


def kilobytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def processor_msec(pid):
    """That it has used, its threads included."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e6


def with_children_msec(pid):
    """The same with that of the children that it has waited for, in ticks of the clock."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return processor_msec(pid) + (int(words[13]) + int(words[14])) * 1000 / os.sysconf("SC_CLK_TCK")


def timed(do, *arguments, **options):
    begun = time.monotonic()
    result = do(*arguments, **options)
    return time.monotonic() - begun, result


def median_time(n, do, *arguments, **options):
    return median([timed(do, *arguments, **options)[0] for _ in range(n)])


def is_running(daemon, n):
    def count():
        return sum(s["state"] == "running" for s in daemon.ask("list")["services"])

    wait_answers(count, lambda seen: seen[-1] == n, f"{n} services run", seconds=300)


def change_and_reload(bench, found, daemon, n, timeout):
    """A reload that changes one key, and a mere check of the same file: seconds of each, and of processor."""
    path = found.write(config(bench, n, timeout))
    before = with_children_msec(daemon.pid)
    whole, result = timed(daemon.ctl, "reload", timeout=300)
    used = (with_children_msec(daemon.pid) - before) / 1e3
    assert result.returncode == 0, result

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    check = timed(subprocess.run, [str(bench.build / "src/daemon/reuseportd"), "--check", "-c", str(path)],
                  check=True, capture_output=True)[0]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return whole, check, used, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(bench, n):
    """A row of seconds and bytes."""
    rounds = bench.count(3, 9)
    with bench.house() as found:
        text = config(bench, n)
        begun = time.monotonic()
        daemon = found.start(text, arguments=["--log-level=warning"])
        daemon.wait_ready(300)
        row = {"sockets open": time.monotonic() - begun}
        is_running(daemon, n)
        row["all running"] = time.monotonic() - begun
        row["memory"] = kilobytes(daemon.pid)
        row["list"] = median_time(rounds, daemon.ctl, "list", timeout=60)
        row["status of one"] = median_time(rounds, daemon.ctl, "status", f"s{n // 2}", timeout=60)
        pairs = [change_and_reload(bench, found, daemon, n, 91 + i) for i in range(rounds)]
        whole, check, used, used_by_check = zip(*pairs)
        row["reload of one key"] = median(whole)
        row["check of the file alone"] = median(check)
        row["processor time of the reload"] = statistics.fmean(used)
        row["processor time of the check"] = statistics.fmean(used_by_check)
        seconds, used = [], []
        for _ in range(rounds * 3):
            before = processor_msec(daemon.pid)
            seconds.append(deploy(daemon, f"s{n // 2}")["duration_usec"] / 1e6)
            wait_settled(daemon, f"s{n // 2}")
            used.append((processor_msec(daemon.pid) - before) / 1e3)
        row["a deploy of one"] = median(seconds)
        row["its processor time in the daemon"] = median(used)
        assert daemon.stop(300) == 0
        return row


def run(bench):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    page = Page("Scale")
    sizes = SIZES if bench.is_long else SIZES[:2]
    rows = {n: measure(bench, n) for n in sizes}
    page.say("Services with two endpoints and one worker each. A reload that changes one key of one service; a check "
             "reads and parses the same file and does nothing else; a reload compares every key of every service too.")
    names = [name for name in rows[sizes[0]] if name != "memory"]
    last = rows[sizes[-1]]
    table = [(f"{name}, ms", *(msec(rows[n][name] * 1e6) for n in sizes), f"× {last[name] / rows[sizes[0]][name]:.1f}")
             for name in names]
    table.append(("memory of the daemon, MiB", *(f"{rows[n]['memory'] / 1024:.1f}" for n in sizes),
                  f"{(last['memory'] - rows[sizes[0]]['memory']) / (sizes[-1] - sizes[0]):.1f} KiB each"))
    page.table(["services", *(f"{n:,}" for n in sizes), f"from {sizes[0]} to {sizes[-1]:,}"], table)
    shown = ("all running", "reload of one key", "list", "a deploy of one")
    plot.lines(bench.place / "scale.svg", "Time by the number of services, ms", "services",
               {name: [(n, rows[n][name] * 1e3) for n in sizes] for name in shown})
    page.say("![Scale](scale.svg)")
    first = rows[sizes[0]]
    growth = last["a deploy of one"] / first["a deploy of one"]
    page.goal(f"a deploy of one, {sizes[-1]:,} services ÷ {sizes[0]}", f"≤ {GOAL}", f"{growth:.1f}", growth <= GOAL)
    beyond = [row["processor time of the reload"] - row["processor time of the check"] for row in (first, last)]
    usec = (beyond[1] - beyond[0]) / (sizes[-1] - sizes[0]) * 1e6
    page.goal("processor time of a reload beyond reading and checking the file, for each further service",
              f"≤ {GOAL_USEC:.0f} µs", f"{usec:.1f} µs", usec <= GOAL_USEC)
    return page
