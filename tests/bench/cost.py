"""What a deploy costs: where its time goes, beside the least that a supervisor can do."""

import re
import time

from bench import OTHER_PORT, Page, deploy, median, msec, quantile, toys, wait_settled

GOAL_FIRST_VISITOR_MSEC = 5
GOAL_BEYOND_MSEC = 60
WORKERS = 2
PARTS = ("command to ready", "ready to first visitor", "ready to old asked to stop", "whole deploy")
LINE = re.compile(r"toy: \d+ (is up|first visitor|asked to stop) at (\d+)")


def read_times(text):
    """{event: [µs]} of what the toys have said."""
    found = {"is up": [], "first visitor": [], "asked to stop": []}
    for event, usec in LINE.findall(text):
        found[event].append(int(usec))
    return found


class Watch:
    """What the toys write, from deploy to deploy."""

    def __init__(self, path):
        self.path = path
        path.touch()
        self.read_to = path.stat().st_size

    def next(self):
        """Waits until a whole deploy was told."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with self.path.open("rb") as file:
                file.seek(self.read_to)
                text = file.read().decode()
            found = read_times(text)
            if all(len(times) >= WORKERS for times in found.values()):
                self.read_to += len(text.encode())
                return found
            time.sleep(0.002)  # another process writes it
        raise AssertionError(f"no deploy was told, but: {text}")


def parts_of(begun, found):
    """µs of each of PARTS."""
    ready, stop = max(found["is up"]), min(found["asked to stop"])
    return ready - begun, min(found["first visitor"]) - ready, stop - ready, stop - begun


def measure(watch, do, n):
    rows = []
    for _ in range(n):
        begun = time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6
        do()
        rows.append(parts_of(begun, watch.next()))
    return list(zip(*rows))


def run(bench):
    page = Page("What a deploy costs")
    n = bench.count(10, 100)
    with bench.house() as found:
        path, other_path = found.directory / "ours", found.directory / "floor"
        daemon = bench.daemon(found, toys(WORKERS, "--times").replace(
            'standard_error = "null"', f'standard_error = "append:{path}"'))
        with other_path.open("ab") as errors, bench.floor(OTHER_PORT, WORKERS, "--times", errors=errors) as floor:
            loads = [found.load(f"--address=127.0.0.1:{port}", "--clients=8", "--rate=2000", "--seconds=3600")
                     .wait_running() for port in (8080, OTHER_PORT)]
            wait_settled(daemon)
            ours, theirs = Watch(path), Watch(other_path)

            def deploy_ours():
                deploy(daemon)
                wait_settled(daemon)

            parts = [], []
            for _ in range(10):
                parts[0].append(measure(ours, deploy_ours, n // 10))
                parts[1].append(measure(theirs, floor.deploy, n // 10))
            results = [load.stop() for load in loads]
    ours, theirs = ([sum(column, ()) for column in zip(*rounds)] for rounds in parts)
    page.say(f"{n} deploys of each, in turns of {n // 10}; {WORKERS} toys, which are ready at once, under 2,000 new "
             f"connections/s. Lost: {results[0]['lost']} and {results[1]['lost']}.")
    page.table(["ms", "reuseportd, median", "p90", "minimal supervisor, median", "p90"],
               [(name, msec(median(a)), msec(quantile(a, 90)), msec(median(b)), msec(quantile(b, 90)))
                for name, a, b in zip(PARTS, ours, theirs)])
    page.say("Ready to first visitor: from the moment when the last new worker is about to say READY=1 until one of "
             "them has read a request. The minimal supervisor's new servers share the socket before they are ready, "
             "so its figure may be negative.")
    first = median(ours[1]) / 1e3
    beyond = (median(ours[3]) - median(theirs[0])) / 1e3
    page.goal("ready to first visitor, median", f"≤ {GOAL_FIRST_VISITOR_MSEC} ms", f"{first:.1f} ms",
              first <= GOAL_FIRST_VISITOR_MSEC)
    page.goal("deploy beyond the server's own start, median", f"≤ {GOAL_BEYOND_MSEC} ms", f"{beyond:.1f} ms",
              beyond <= GOAL_BEYOND_MSEC)
    return page
