"""What the daemon costs: the first byte on demand beside the least that can be done, a daemon that sleeps, and
its memory.  Run by `meson test --benchmark`, or:

    python3 tests/bench/bench-daemon.py BUILD

The first byte is measured in pairs, one after the other and every second pair the other way round, so that whatever
else the machine does hits both: same program with the same arguments and output, which says READY=1 to a socket in
both.  What is compared is the median of the pairs' ratios; the spread stands beside it.  Goals: first byte at most
1.15 of poll-and-exec; asleep no processor at all; a start costs the same with 2,000 workers as with 500.
"""

import contextlib
import os
import resource
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
import house  # noqa: E402  (its place is known only now)
import namespaces  # noqa: E402

PAIRS = 151
WARM_UP = 3
GOAL_FIRST_BYTE = 1.15
GOAL_LINEAR = 1.5


def first_byte(port):
    """Milliseconds from the first packet to the first byte of the answer."""
    with socket.socket() as visitor:
        begun = time.monotonic()
        visitor.connect(("127.0.0.1", port))
        visitor.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        assert visitor.recv(1)
        return (time.monotonic() - begun) * 1e3


def wait_asleep(pid):
    """Until its worker is gone and reaped, and both processors are quiet again."""
    for worker in house.children_of(pid):
        with contextlib.suppress(OSError), house.Process(worker) as process:
            process.wait_gone()
    while house.children_of(pid):
        select.select([], [], [], 0.001)
    select.select([], [], [], 0.02)


def spread(times):
    tenths = statistics.quantiles(times, n=10)
    return f"{min(times):.2f}/{tenths[0]:.2f}/{statistics.median(times):.2f}/{tenths[8]:.2f}"


def measure_first_byte(found, build, kind):
    config = house.toy(["--exit-after=30"], service='activation = "on-demand"; standard_output = "null"; '
                                                    'standard_error = "null";').replace('"notify"', f'"{kind}"')
    daemon = found.run(config,
                       arguments=["--log-level=warning"])  # lines are read by a thread of ours, which would be counted
    floor = subprocess.Popen([str(build / "tests/bench/bench-spawn"), "--floor", "9090", str(found.toy)],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    ours, theirs = [], []
    sides = [(8080, daemon.pid, ours), (9090, floor.pid, theirs)]
    try:
        house.Lines(floor.stdout).wait("floor: listens")
        for _ in range(PAIRS + WARM_UP):
            for port, pid, times in sides:
                times.append(first_byte(port))
                wait_asleep(pid)
            sides.reverse()
    finally:
        floor.kill()
        floor.wait()
        Path(f"/tmp/bench-floor-{floor.pid}").unlink(missing_ok=True)
    assert daemon.stop() == 0
    ours, theirs = ours[WARM_UP:], theirs[WARM_UP:]
    ratio = statistics.median(a / b for a, b in zip(ours, theirs))
    fastest = statistics.quantiles(ours, n=10)[0] / statistics.quantiles(theirs, n=10)[0]
    print(f"first byte on demand, type {kind}, ms, minimum/tenth/median/last tenth of {PAIRS} pairs: {spread(ours)}, "
          f"poll and exec {spread(theirs)}")
    print(f"first byte on demand, type {kind} / poll and exec: median of the pairs {ratio:.3f}, fastest tenth {fastest:.3f} "
          f"(goal: {GOAL_FIRST_BYTE})")
    return ratio <= GOAL_FIRST_BYTE


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


def measure_many(found):
    """Whether a start costs the same beside 2,000 others."""
    used = {}
    for n in (100, 500, 1000, 2000):
        each = min(n, 500)
        services = "".join(f's{i}: {{ endpoints = ["e{i}"]; exec_start = ["@TOY@"]; type = "notify"; workers = {each}; '
                           'standard_output = "null"; standard_error = "null"; };' for i in range(n // each))
        begun = time.monotonic()
        daemon = found.run(endpoints(n // each) + f"services: {{ {services} }};", arguments=["--log-level=warning"])
        is_open = time.monotonic() - begun
        house.wait_answers(lambda: sum(s["workers_ready"] for s in daemon.ask("list")["services"]),
                           lambda seen, n=n: seen[-1] == n, "all are ready", seconds=120)
        took = time.monotonic() - begun
        used[n] = state_of(daemon.pid)[0] * 10 / n
        print(f"{n} workers: READY=1 after {is_open:.2f} s, all ready after {took:.2f} s, {took * 1e3 / n:.2f} ms each, "
              f"of which the daemon's {used[n]:.2f} ms")
        assert daemon.stop(120) == 0
    print(f"2000 / 500 workers, the daemon's processor time for each: {used[2000] / used[500]:.2f} "
          f"(goal: {GOAL_LINEAR})")
    return used[2000] <= used[500] * GOAL_LINEAR


def main():
    build = Path(sys.argv[1]).resolve()
    if os.getuid() != 0:
        print("needs root, for a network of its own")
        return 77
    namespaces.new_user_and_mounts()
    namespaces.new_network()
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # as /run is
    with tempfile.TemporaryDirectory(prefix="reuseportd-bench-", dir=memory) as name, contextlib.ExitStack() as stack:
        found = house.House(build, Path(name))
        stack.callback(found.destroy)
        good = [measure_first_byte(found, build, kind) for kind in ("notify", "exec")] + [measure_idle(found)]
        measure_memory(found)
        good.append(measure_many(found))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
