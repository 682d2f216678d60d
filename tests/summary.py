"""Adds up what tests/run.sh has left in a directory: `checks`, and JUnit files of meson and pytest.

Prints what failed, what was skipped and why, and last the line that tells it all.
"""

import collections
import sys
from pathlib import Path
from xml.etree import ElementTree


def results_of_checks(path):
    for line in path.read_text().splitlines():
        outcome, name, reason = line.split("\t")
        yield outcome, name, reason


def reason_of(element):
    return (element.get("message") or element.text or "").strip().split("\n")[0]


def results_of_junit(path):
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{path.stem}: {case.get('classname', '')} {case.get('name')}"
        failed = case.find("failure") if case.find("failure") is not None else case.find("error")
        skipped = case.find("skipped")
        if failed is not None:
            yield "failed", name, reason_of(failed)
        elif skipped is not None:
            # meson writes the reason beside the mark.
            yield "skipped", name, reason_of(skipped) or (case.findtext("system-out") or "").strip()
        else:
            yield "passed", name, ""


def main():
    directory = Path(sys.argv[1])
    results = list(results_of_checks(directory / "checks"))
    for path in sorted(directory.glob("*.xml")):
        found = list(results_of_junit(path))
        results += found or [("failed", path.stem, "a report without a single test")]

    counts = collections.Counter(outcome for outcome, _, _ in results)
    for outcome in ("skipped", "failed"):
        for found, name, reason in results:
            if found == outcome:
                print(f"{outcome}: {name}: {reason}")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
