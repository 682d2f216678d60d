"""What the daemon costs: the first byte on demand beside the least that can be done, a daemon that sleeps, and
its memory.  Run by `meson test --benchmark`, or:

    python3 tests/bench/bench-daemon.py BUILD

The first byte is measured alternately in one run, and compared by the fastest tenth, since others use the machine
too.  Goals: first byte at most 1.15 of poll-and-exec; asleep no processor at all.
"""

import contextlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
import house  # noqa: E402  (its place is known only now)
import namespaces  # noqa: E402

ROUNDS = 101
GOAL_FIRST_BYTE = 1.15


def first_byte(port):
    begun = time.monotonic()
    assert house.get(port).status == 200
    return (time.monotonic() - begun) * 1e3


def measure_first_byte(found, build):
    toy = found.toy
    daemon = found.run(house.toy(["--exit-after=60"], service='activation = "on-demand"; standard_error = "null";'),
                       arguments=["--log-level=warning"])  # lines are read by a thread of ours, which would be counted
    floor = subprocess.Popen([str(build / "tests/bench/bench-spawn"), "--floor", "9090", str(toy)],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    lines = house.Lines(floor.stdout)
    try:
        lines.wait("floor: listens")
        ours, theirs = [], []
        for i in range(ROUNDS):
            ours.append(first_byte(8080))
            house.wait_answers(daemon.workers, lambda found: found[-1] == [], "it sleeps")
            theirs.append(first_byte(9090))
            lines.wait("floor: sleeps", times=i + 1)
    finally:
        floor.kill()
        floor.wait()
    assert daemon.stop() == 0
    a, b = (statistics.quantiles(t, n=10)[0] for t in (ours, theirs))
    print(f"first byte on demand: {a:.2f} ms, poll and exec: {b:.2f} ms, ratio {a / b:.2f} (goal: {GOAL_FIRST_BYTE})")
    return a / b <= GOAL_FIRST_BYTE


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        words = file.read().rsplit(")", 1)[1].split()
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    switches = sum(int(v) for k, v in lines.items() if k.endswith("ctxt_switches"))
    return int(words[11]) + int(words[12]), switches, int(lines["VmRSS"].split()[0])


def measure_idle(found):
    daemon = found.run(house.toy(service='restart_delay = "1ms";', workers=2))
    house.wait_workers(2)
    before = state_of(daemon.pid)
    time.sleep(5)  # what it does not do is what is measured
    after = state_of(daemon.pid)
    assert daemon.stop() == 0
    print(f"idle for 5 s: {after[0] - before[0]} ticks of processor, woken {after[1] - before[1]} times (goal: 0)")
    return after[0] == before[0]


def endpoints(n):
    return "endpoints: {\n" + "".join(
        f'  e{i}: {{ listen_stream = "127.1.{i // 250}.{i % 250 + 1}:8080"; }};\n' for i in range(n)) + "};"


def measure_memory(found):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    for n in (100, 10000):
        if n + 100 > limit:
            print(f"{n} endpoints need {n + 100} descriptors, {limit} are allowed")
            continue
        daemon = found.run(endpoints(n))
        size = state_of(daemon.pid)[2]
        print(f"{n} endpoints that no service uses (one socket each, bound): {size / 1024:.1f} MiB resident")
        assert daemon.stop() == 0


def main():
    build = Path(sys.argv[1]).resolve()
    if os.getuid() != 0:
        print("needs root, for a network of its own")
        return 77
    namespaces.new_user_and_mounts()
    namespaces.new_network()
    with tempfile.TemporaryDirectory(prefix="reuseportd-bench-") as name, contextlib.ExitStack() as stack:
        found = house.House(build, Path(name))
        stack.callback(found.destroy)
        good = [measure_first_byte(found, build), measure_idle(found)]
        measure_memory(found)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
