"""The same visitors, the same server where it can be the same, and everybody's way to replace it."""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import Bench, Page, every, median, msec  # the first: it knows where house.py is
import contenders
import house
import plot

RATE = 1500
MARKS = "<!-- side by side: begin -->", "<!-- side by side: end -->"
SOURCES = Path(__file__).resolve().parents[2]


class Result:
    def __init__(self, name, is_ours=False, seconds=(), load=None):
        self.name, self.is_ours = name, is_ours
        self.seconds = list(seconds)  # of each replacement
        self.load = load


def replace_once(who):
    """Seconds until the last process of the old version is gone."""
    with contextlib.ExitStack() as stack:
        old = []
        for pid in who.servers():
            with contextlib.suppress(ProcessLookupError):
                old.append(stack.enter_context(house.Process(pid)))
        assert old, f"{who.name}: no server runs"
        begun = time.monotonic()
        who.replace()
        for process in old:
            process.wait_gone()
        return time.monotonic() - begun


def measure(bench, kind):
    with bench.house() as found:
        who = kind(bench, found)
        result = Result(kind.name, getattr(kind, "is_ours", False))
        who.start()
        try:
            contenders.wait_until(contenders.answers, f"{kind.name} answers")
            load = found.load(f"--address={contenders.ADDRESS}", "--clients=32", f"--rate={RATE}", "--seconds=3600")
            load.wait_running()
            for _ in every(1, time.monotonic() + bench.count(3, 11)):
                result.seconds.append(replace_once(who))
                contenders.wait_until(contenders.answers, f"{kind.name} answers again")
            result.load = load.stop()
        finally:
            who.stop()
        return result


def measure_in_box(bench, kind):
    """The same where systemd is PID 1.  Returns a Result, or why there is none."""
    with tempfile.TemporaryDirectory(prefix="reuseportd-box-") as name:
        words = ["sh", str(SOURCES / "tests/systemd/boot.sh"), "-b", name, sys.executable, "-B", __file__,
                 str(bench.build), name, *(["--long"] if bench.is_long else [])]
        run = subprocess.run(words, cwd=SOURCES, capture_output=True, text=True, check=False)
        if run.returncode == 77:
            return run.stdout.strip().split("\n")[-1]
        assert run.returncode == 0, run.stdout
        seen = json.loads((Path(name) / "result").read_text())
    return Result(kind.name, seconds=seen["seconds"], load=seen["load"])


def measure_inside():
    """What measure_in_box() runs, in the box: BUILD DIRECTORY [--long]."""
    class Inside(Bench):
        @contextlib.contextmanager
        def house(self):
            found = house.House(self.build, self.place)
            try:
                yield found
            finally:
                found.destroy()

    place = Path(sys.argv[2])
    result = measure(Inside(Path(sys.argv[1]), "--long" in sys.argv, place, None), contenders.SystemdUnit)
    (place / "result").write_text(json.dumps({"seconds": result.seconds, "load": result.load}))


def make_table(results, skipped):
    head = ["", "replaced", "requests", "lost", "lost each time", "p99, ms", "worst wait, ms", "took, ms"]
    rows = []
    for r in results:
        n = len(r.seconds)
        rows.append((f"**{r.name}**" if r.is_ours else r.name, n, f"{r.load['requests']:,}", r.load["lost"],
                     f"{r.load['lost'] / n:.1f}", msec(r.load["p99_usec"]), msec(r.load["max_usec"]),
                     msec(median(r.seconds) * 1e6)))
    rows += [(name, *("–",) * 6, reason) for name, reason in skipped]
    return head, rows


def draw(results, path):
    def panel(title, is_log, value, shown):
        return title, is_log, [(r.name, value(r), shown(r), r.is_ours) for r in results]

    plot.bars(path, [
        panel("Lost each time", False, lambda r: r.load["lost"] / len(r.seconds),
              lambda r: f"{r.load['lost'] / len(r.seconds):.1f}"),
        panel("Worst wait, ms", True, lambda r: r.load["max_usec"] / 1e3, lambda r: msec(r.load["max_usec"])),
        panel("p99 of all waits, ms", True, lambda r: r.load["p99_usec"] / 1e3, lambda r: msec(r.load["p99_usec"])),
        panel("Until the old version is gone, ms", True, lambda r: median(r.seconds) * 1e3,
              lambda r: msec(median(r.seconds) * 1e6)),
    ])


def write_readme(readme, lines):
    """The table between the two marks."""
    before, rest = readme.read_text(encoding="utf-8").split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    readme.write_text(f"{before}{MARKS[0]}\n" + "\n".join(lines).strip() + f"\n{MARKS[1]}{after}", encoding="utf-8")


def run(bench):
    page = Page("Side by side")
    page.say(f"{RATE:,} new connections/s while the server is replaced once a second. The upper ones are the same "
             f"toy, {contenders.BUSY} µs of work for each request, {contenders.WORKERS} processes or the one that the "
             "supervisor allows; asked to stop it closes its sockets without a look into the queues, as most servers "
             "do. The lower ones are nginx and haproxy. Took: until the last process of the old version is gone.")
    results, skipped = [], []
    for kind in contenders.ALL:
        found = kind.reason()
        if not found:
            found = (measure_in_box if getattr(kind, "is_boxed", False) else measure)(bench, kind)
        if isinstance(found, str):
            skipped.append((kind.name, found))
            print(f"skipped: {kind.name}: {found}", flush=True)
        else:
            results.append(found)
            print(f"{kind.name}: lost {found.load['lost']}", flush=True)
    begin = len(page.lines)
    page.table(*make_table(results, skipped))
    table = page.lines[begin:]
    page.say("![Side by side](side-by-side.svg)")
    draw(results, bench.place / "side-by-side.svg")
    if bench.readme:
        write_readme(bench.readme, table)
    ours = [r for r in results if "reuseportd" in r.name]
    lost = sum(r.load["lost"] for r in ours)
    page.goal("lost side by side, in our hands", "0", str(lost), lost == 0)
    return page


if __name__ == "__main__":
    measure_inside()
