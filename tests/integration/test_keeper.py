"""The keeper, seen from outside: its pid, its children, its signals; the daemon below it comes back."""

import concurrent.futures
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import threading

import pytest
from crash import resident_of
from house import DEADLINE, Process, children_of, command_of, count, descriptors_of, get, toy, wait_answers
from test_deploy import check_lost_nothing, loads

KEPT = 'daemon: { fd_store = "keeper"; };'


@pytest.fixture(autouse=True)
def keeper(house):
    result = house.command("-t", "-c", house.write(KEPT + toy(), "keeper.conf"))
    if result.returncode == 78 and "fd_store" in result.stderr:
        pytest.skip("this daemon has no key fd_store")
    assert result.returncode == 0, result


def is_daemon(pid, keeper_pid):
    """The same program, below it."""
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe") == os.readlink(f"/proc/{keeper_pid}/exe")
    return False


def daemon_of(kept):
    """The pid of the daemon that answers now."""
    def ask():
        result = kept.ctl("--json", "status")
        found = [pid for pid in children_of(kept.pid) if is_daemon(pid, kept.pid)]
        is_it = len(found) == 1 and result.returncode == 0 and json.loads(result.stdout)["daemon"]["pid"] == found[0]
        return found[0] if is_it else None

    return wait_answers(ask, lambda found: found[-1], f"a daemon answers\n{kept.log.text()}")[-1]


def workers_of(kept):
    return sorted(w["pid"] for w in kept.ask("status", "site")["workers"])


def inodes_of(pid):
    """Of its sockets that listen at the port."""
    ours = {target[8:-1] for target in descriptors_of(pid).values() if target.startswith("socket:[")}
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as file:
            for line in list(file)[1:]:
                word = line.split()
                if word[1].endswith(":1F90") and word[3] == "0A" and word[9] in ours:
                    found.add(word[9])
    return found


def settled(ask, what):
    """A number that does not change any more."""
    return wait_answers(ask, lambda found: len(found) > 200 and len(set(found[-200:])) == 1, what)[-1]


def n_descriptors(pid):
    return len(descriptors_of(pid))


# Else large arrays come from where they happen to be cleared or not, 300 KiB more or less.
MEASURED = {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072"}


def is_back(before, after):
    """To what resident_of() said before, within 1 % of all that is resident."""
    return abs(after[1] - before[1]) <= before[0] * 0.01


def run(house, environment=None, **options):
    kept = house.run(KEPT + toy(["--version=1"], workers=2, **options), environment=environment)
    wait_answers(lambda: kept.ask("status", "site"), lambda found: found[-1]["state"] == "running", "it runs")
    return kept


def test_it_keeps_its_pid_and_has_one_daemon(house):
    kept = run(house)
    pid = daemon_of(kept)
    assert pid != kept.pid and os.getsid(pid) == pid
    assert get(8080).status == 200
    assert kept.stop() == 0
    assert not kept.log.has("started again")


ENDS = [signal.SIGKILL, signal.SIGABRT, signal.SIGUSR2]


def measure(kept, pid):
    """(descriptors, memory) of the keeper and of the daemon, which was asked the same each time."""
    for _ in range(10):
        kept.ask("status", "site")
    return {who: (settled(lambda of=of: n_descriptors(of), who), resident_of(of))
            for who, of in (("keeper", kept.pid), ("daemon", pid))}


def end_daemon(kept):
    with Process(daemon_of(kept)) as process:
        process.kill()
        process.wait_gone()


def deploy_version(house, kept, number):
    """The whole of it, whoever goes on with it; a daemon that dies may take the first word with it."""
    def run():
        kept.ctl("deploy", "site", "--no-wait", "--id", f"deploy-{number}", "--", house.toy, f"--version={number}")
        status = kept.ctl("--json", "status", "site")
        last = json.loads(status.stdout).get("last_deploy") if status.returncode == 0 else None
        return last and last["id"] == f"deploy-{number}" and json.loads(status.stdout)["deploy"] is None and last

    return wait_answers(run, lambda found: found[-1], f"deploy {number} ends")[-1]


@pytest.mark.alone
def test_a_daemon_that_dies_at_any_moment_comes_back_and_nobody_is_lost(house, show):
    kills = count(10, 200)
    dice = random.Random(8)
    kept = run(house, MEASURED)
    pid = daemon_of(kept)
    workers, inodes = workers_of(kept), inodes_of(pid)
    assert inodes
    end_daemon(kept)                        # what is measured has the same past both times
    pid = daemon_of(kept)
    base = measure(kept, pid)
    running = loads(house, 3600)
    for i in range(kills):
        with Process(pid) as process:
            process.is_gone(dice.uniform(0, 0.3))  # at a moment that nobody knows
            process.kill(dice.choice(ENDS))
            process.wait_gone()
        before, pid = pid, daemon_of(kept)
        assert pid != before and workers_of(kept) == workers and inodes_of(pid) == inodes, i
    check_lost_nothing([load.stop() for load in running], show)
    after = measure(kept, pid)
    for who, (n, memory) in base.items():
        assert after[who][0] == n and is_back(memory, after[who][1]), (who, base, after)
    assert len(kept.log.times_of("toy: .* starts")) == 2  # nobody was started twice
    show(f"{kills} ends; before {base}, afterwards {after}: descriptors and KiB")
    assert kept.stop() == 0


@pytest.mark.once
def test_deploys_while_the_daemon_dies_at_any_moment_lose_nobody(house, show):
    """One deploy after the other, and kills at moments that nobody chose: before, in and after each."""
    kills, dice = count(10, 200), random.Random(9)
    kept = run(house, MEASURED, service='deploy: { canary = [50]; step = "50ms"; };')
    base = None
    for i in range(3):                      # what is measured has the same past both times
        deploy_version(house, kept, i)
        end_daemon(kept)
    inodes, base = inodes_of(daemon_of(kept)), measure(kept, daemon_of(kept))
    assert inodes
    running = loads(house, 3600)
    stop, ended = threading.Event(), []

    def deploy_on():
        while not stop.is_set():
            ended.append(deploy_version(house, kept, len(ended) + 3)["result"])

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        deploys = pool.submit(deploy_on)
        try:
            for _ in range(kills):
                with Process(daemon_of(kept)) as process:
                    process.is_gone(dice.uniform(0, 0.5))
                    process.kill(dice.choice(ENDS))
                    process.wait_gone()
        finally:
            stop.set()
        deploys.result()
    assert deploy_version(house, kept, len(ended) + 3)["result"] == "done"
    n_workers = len(kept.log.times_of("toy: .* starts"))
    check_lost_nothing([load.stop() for load in running], show)
    wait_answers(lambda: workers_of(kept), lambda found: len(found[-1]) == 2, "two workers are left")
    end_daemon(kept)
    pid = daemon_of(kept)
    assert inodes_of(pid) == inodes
    after = measure(kept, pid)
    show(f"{kills} ends, {len(ended)} deploys, {ended.count('done')} done; before {base}, afterwards {after}")
    assert n_workers == 2 * (1 + 3 + len(ended) + 1), "nobody was started twice"
    for who, (n, memory) in base.items():
        assert after[who][0] == n and is_back(memory, after[who][1]), (who, base, after)
    assert kept.stop() == 0


def test_a_first_start_that_fails_ends_the_keeper_with_its_code(house):
    with socket.socket() as first:
        first.bind(("0.0.0.0", 8080))
        first.listen()
        kept = house.start(KEPT + toy())
        assert kept.wait() == 1
        kept.log.wait("cannot open .*8080")


def test_orphans_are_reaped(house):
    kept = run(house, service='kill_mode = "process"; restart_delay = "1ms";')
    pid = daemon_of(kept)
    for _ in range(3):
        victim = workers_of(kept)[0]
        with Process(pid) as process:  # its workers become the keeper's
            process.kill(signal.SIGKILL)
            process.wait_gone()
        pid = daemon_of(kept)
        with Process(victim) as process:
            process.kill(signal.SIGKILL)
        wait_answers(lambda: workers_of(kept), lambda found, victim=victim: len(found[-1]) == 2
                     and victim not in found[-1], "it is replaced")

    def zombies():
        found = []
        for child in children_of(kept.pid):
            with contextlib.suppress(OSError), open(f"/proc/{child}/stat", encoding="ascii") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                    found.append(child)
        return found

    wait_answers(zombies, lambda found: found[-1] == [], "nobody waits to be reaped")
    assert kept.stop() == 0


def test_what_a_terminal_sends_to_all_comes_once(house):
    """Else the second SIGINT would cut what the first has asked to end."""
    kept = run(house)
    assert os.getpgid(daemon_of(kept)) != os.getpgid(kept.pid)
    kept.signal(signal.SIGINT)
    assert kept.wait() == 0
    assert not kept.log.has("Told to stop again")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: a pid namespace")
def test_as_the_first_process_it_keeps_without_being_asked(house):
    """As in a container; the first process is signalled from outside."""
    path = house.write(toy(workers=2))
    directory = house.directory / "first"
    (directory / "run").mkdir(parents=True)
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", str(house.build / "src/daemon/reuseportd"),
               "-c", str(path)]
    with open(directory / "log", "wb") as log, subprocess.Popen(
            command, env={"PATH": os.environ["PATH"], "RUNTIME_DIRECTORY": str(directory / "run")},
            stdout=log, stderr=log, stdin=subprocess.DEVNULL) as outer:
        try:
            wait_answers(try_get, lambda found: found[-1] == 200, "it serves")
            first = children_of(outer.pid)[0]
            daemons = [pid for pid in children_of(first) if is_daemon(pid, first)]
            assert len(daemons) == 1, [command_of(pid) for pid in children_of(first)]
            inodes = inodes_of(daemons[0])
            with Process(daemons[0]) as process:
                process.kill(signal.SIGKILL)
                process.wait_gone()
            others = wait_answers(lambda: [p for p in children_of(first) if is_daemon(p, first) and p != daemons[0]],
                                  lambda found: found[-1], "another daemon")[-1]
            assert get(8080).status == 200 and inodes_of(others[0]) == inodes
            with Process(first) as process:
                process.kill(signal.SIGTERM)
                process.wait_gone()
            assert outer.wait(DEADLINE) == 0, (directory / "log").read_text()
        finally:
            if outer.poll() is None:
                outer.kill()


def try_get():
    with contextlib.suppress(OSError):
        return get(8080).status
