"""What the chapters of proofs.py share: private daemons, the minimal supervisor, loads, and a page that grows."""

import contextlib
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
import house  # noqa: E402  (its place is known only now)
import namespaces  # noqa: E402

PORT, OTHER_PORT = 8080, 9090


@dataclasses.dataclass
class Goal:
    """A figure that is to be reached, and what was seen."""

    what: str
    goal: str
    seen: str
    is_met: bool


class Page:
    """A chapter in Markdown, and the goals in it."""

    def __init__(self, title):
        self.title = title
        self.lines = []
        self.goals = []

    def say(self, text=""):
        self.lines.append(text)
        print(text, flush=True)

    def table(self, head, rows):
        """The first column is text, all others are numbers."""
        self.say()
        self.say("| " + " | ".join(head) + " |")
        self.say("|---|" + "---:|" * (len(head) - 1))
        for row in rows:
            self.say("| " + " | ".join(str(cell) for cell in row) + " |")
        self.say()

    def goal(self, what, goal, seen, is_met):
        self.goals.append(Goal(what, goal, seen, is_met))
        print(f"goal: {what}: {seen} ({goal}): {'met' if is_met else 'MISSED'}", flush=True)


class Bench:
    """How long it may take, what was built, and a house in a network of its own for each measurement."""

    def __init__(self, build, is_long, place, readme):
        self.build = build
        self.is_long = is_long
        self.place = place    # of pages and plots
        self.readme = readme  # to write a table into, or None
        self.toy = build / "tests/integration/toy-worker"

    def count(self, short, long):
        return long if self.is_long else short

    @contextlib.contextmanager
    def house(self):
        namespaces.new_network()
        with tempfile.TemporaryDirectory(prefix="reuseportd-bench-") as name:
            # As /run is: on a disk the sockets of a thousand workers would be a measurement of its file system.
            namespaces.mount("tmpfs", name, "tmpfs")
            directory = Path(name)
            directory.chmod(0o755)
            found = house.House(self.build, directory)
            try:
                yield found
            finally:
                found.destroy()
                namespaces.unmount(name)

    def daemon(self, found, config, **options):
        """A daemon that says little: its log is read by a thread of ours, which would be counted."""
        return found.run(config, arguments=["--log-level=warning"], **options)

    @contextlib.contextmanager
    def floor(self, port, workers, *switches, errors=subprocess.DEVNULL):
        floor = Floor(self.build, self.toy, port, workers, switches, errors)
        try:
            yield floor
        finally:
            floor.destroy()


class Floor:
    """The minimal supervisor with toys."""

    def __init__(self, build, toy, port, workers, switches, errors):
        self.popen = subprocess.Popen(
            [str(build / "tests/bench/bench-floor"), str(port), str(workers), str(toy), *switches],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert self.popen.stdout.readline() == "runs\n"

    @property
    def pid(self):
        return self.popen.pid

    def deploy(self):
        """Seconds until the old ones were asked to stop, as it says."""
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()
        word, usec = self.popen.stdout.readline().split()
        assert word == "deployed"
        return int(usec) / 1e6

    def destroy(self):
        self.popen.stdin.close()
        self.popen.stdout.close()
        self.popen.wait()


def toys(workers, *switches, port=PORT, endpoint="", service=""):
    """A configuration of toys that say READY=1 and nothing else."""
    return house.toy(switches, workers=workers, listen=f'listen_stream = "127.0.0.1:{port}"; {endpoint}',
                     service=f'standard_error = "null"; {service}')


def deploy(daemon, name="site", **options):
    """A deploy of the same once more; what it says of the end."""
    result = json.loads(daemon.ctl("--json", "deploy", name, timeout=60, **options).stdout)
    assert result["result"] == "done", result
    return result


def wait_settled(daemon, name="site"):
    """Until no old generation is left."""
    house.wait_answers(lambda: daemon.ask("status", name)["deploy"], lambda seen: seen[-1] is None,
                       "no deploy goes on")


def every(seconds, until):
    """Yields at even times until the given moment."""
    at = time.monotonic() + seconds
    while at < until:
        time.sleep(max(0.0, at - time.monotonic()))  # the beat of the measurement
        yield
        at = max(at + seconds, time.monotonic())


def median(values):
    return statistics.median(values)


def quantile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, round((len(values) - 1) * percent / 100))]


def spread(values, digits=2):
    """The range, for people."""
    return f"{min(values):.{digits}f}–{max(values):.{digits}f}"


def msec(usec):
    """A time for people, in milliseconds."""
    value = usec / 1e3
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"
