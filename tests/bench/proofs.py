"""The figures of a deploy, measured: see proofs.sh.

    python3 tests/bench/proofs.py BUILD [--long] [--only CHAPTER]…

Prints Markdown as it goes.  With --long, docs/measured.md, docs/steering.md, the plots and the table in the README are
written too; else they are left in BUILD/proofs.
"""

import argparse
import datetime
import importlib
import os
import platform
import sys
import time
from pathlib import Path

import bench
import namespaces

SOURCES = Path(__file__).resolve().parents[2]
CHAPTERS = ("handshakes", "waits", "cost", "data_path", "side_by_side", "scale", "steering")


def machine():
    """What it was measured on, in a sentence."""
    with open("/proc/cpuinfo", encoding="ascii") as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    with open("/proc/meminfo", encoding="ascii") as file:
        gigabytes = round(int(file.readline().split()[1]) / 2**20)
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    kernel = platform.release().split("-")[0]
    return (f"{os.cpu_count()} × {models[0] if models else platform.machine()}, {gigabytes} GiB, {system}, "
            f"Linux {kernel}, {datetime.date.today()}")


def load_beside():
    """Whoever else uses the processors, before we do."""
    return f"{os.getloadavg()[0]:.1f}"


def write(pages, place, is_long, beside, seconds):
    place.mkdir(parents=True, exist_ok=True)
    lines = ["# Measured", "",
             f"By `sh tests/bench/proofs.sh{' --long' if is_long else ''}`, in {seconds / 60:.0f} minutes, on "
             f"{machine()}; load average before it began: {beside}.", "",
             "Lost means refused, reset, closed before a full answer, or no answer in 5 s.", "",
             "| goal | wanted | seen | |", "|---|---:|---:|---|"]
    lines += [f"| {g.what} | {g.goal} | {g.seen} | {'met' if g.is_met else '**missed**'} |"
              for page in pages for g in page.goals]
    for page in pages:
        lines += ["", f"## {page.title}", "", *page.lines]
    text = "\n".join(lines).rstrip() + "\n"
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    (place / "measured.md").write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--only", action="append", choices=CHAPTERS)
    options = parser.parse_args()
    if os.getuid() != 0:
        print("needs root, for networks of its own")
        return 77

    build = options.build.resolve()
    is_whole = options.long and not options.only
    place = SOURCES / "docs" if is_whole else build / "proofs"
    place.mkdir(parents=True, exist_ok=True)
    beside, begun = load_beside(), time.monotonic()
    namespaces.new_user_and_mounts()
    namespaces.become_subreaper()
    found = bench.Bench(build, options.long, place, SOURCES / "README.md" if is_whole else None)
    pages = []
    for name in options.only or CHAPTERS:
        at = time.monotonic()
        pages.append(importlib.import_module(name).run(found))
        print(f"\n{name}: {time.monotonic() - at:.0f} s\n", flush=True)
    write(pages, place, options.long, beside, time.monotonic() - begun)
    missed = [goal.what for page in pages for goal in page.goals if not goal.is_met]
    print(f"{place}/measured.md; goals missed: {', '.join(missed) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
