"""The daemon crashes or stands still (F2): workers serve on, the next one adopts them, nobody is started twice."""

import random
import signal
import time

import pytest
from house import SANITIZER_OPTIONS, Process, count, get, toy, wait_answers
from test_deploy import check_lost_nothing, loads
from test_keeper import KEPT, daemon_of, inodes_of, n_descriptors, run, settled, workers_of

STALL = 30  # seconds
WATCHDOG = 10  # of the keeper; and two until SIGKILL

# What a sanitizer does about a signal that we have sent is none of its business.
ENVIRONMENT = {"ASAN_OPTIONS": SANITIZER_OPTIONS["ASAN_OPTIONS"] + ":handle_segv=0:handle_abort=0"}


def n_starts(kept):
    return len(kept.log.times_of("toy: .* starts"))


@pytest.mark.alone
def test_f2_a_daemon_that_crashes_comes_back_and_nobody_is_lost_or_started_twice(house, show):
    runs = count(10, 200)
    dice = random.Random(2)
    kept = run(house, environment=ENVIRONMENT)
    pid = daemon_of(kept)
    workers, inodes, before = workers_of(kept), inodes_of(pid), settled(lambda: n_descriptors(pid), "the daemon")
    assert inodes
    running = loads(house, 3600)
    times = []
    for i in range(runs):
        with Process(pid) as process:
            process.is_gone(dice.uniform(0, 0.2))  # at a moment that nobody knows
            process.kill([signal.SIGSEGV, signal.SIGABRT][i % 2])
            begun = time.monotonic()
            process.wait_gone()
        last, pid = pid, daemon_of(kept)
        times.append(time.monotonic() - begun)
        assert pid != last and workers_of(kept) == workers and inodes_of(pid) == inodes, i
    check_lost_nothing([load.stop() for load in running], show)
    assert n_starts(kept) == len(workers), "nobody was started twice"
    assert settled(lambda: n_descriptors(pid), "the daemon") == before
    show(f"{runs} crashes, the next one answered after {max(times):.2f} s at most")
    assert kept.stop() == 0


def test_f2_a_worker_that_dies_while_there_is_no_daemon_is_replaced_once(house, show):
    runs = count(5, 50)
    kept = run(house, environment=ENVIRONMENT, service='restart_delay = "1ms";')
    for i in range(runs):
        pid, victim = daemon_of(kept), workers_of(kept)[i % 2]
        with Process(pid) as process, Process(victim) as worker:
            process.kill(signal.SIGSTOP)
            worker.kill(signal.SIGKILL)
            process.kill([signal.SIGSEGV, signal.SIGABRT][i % 2])
            process.kill(signal.SIGCONT)
            process.wait_gone()
        assert daemon_of(kept) != pid
        wait_answers(lambda: workers_of(kept),
                     lambda found, victim=victim: len(found[-1]) == 2 and victim not in found[-1], f"{i}: it is replaced")
        wait_answers(lambda: kept.ask("status", "site")["workers_ready"], lambda found: found[-1] == 2, "both are ready")
    show(f"{runs} workers died while there was no daemon, {n_starts(kept) - 2} were started")
    assert n_starts(kept) == 2 + runs
    assert kept.stop() == 0


@pytest.mark.once
def test_f2_daemons_that_stand_still_are_replaced_while_workers_serve(house, show):
    """Several side by side, since each of them takes as long as the keeper is patient."""
    n, rounds = count(3, 25), count(1, 8)
    all_kept = [house.run(KEPT + toy(["--version=1"], listen=f'listen_stream = "127.0.0.1:{8080 + i}";', workers=2),
                          environment=ENVIRONMENT) for i in range(n)]
    for kept in all_kept:
        assert kept.ctl("wait", "site", "--for=running").returncode == 0
    workers = [workers_of(kept) for kept in all_kept]
    times = []
    for _ in range(rounds):
        stalled = [Process(daemon_of(kept)) for kept in all_kept]
        for process in stalled:
            process.kill(signal.SIGSTOP)
        begun = time.monotonic()
        while not all(process.is_gone() for process in stalled):
            stalled[0].is_gone(0.2)
            for i in range(n):
                assert get(8080 + i).pid in workers[i]
            assert time.monotonic() - begun < STALL
        times.append(time.monotonic() - begun)
        for i, (kept, process) in enumerate(zip(all_kept, stalled)):
            kept.log.wait(rf"The daemon \(pid {process.pid}\) does not answer, killing it")
            assert daemon_of(kept) != process.pid
            assert workers_of(kept) == workers[i], i
            process.close()
    for kept in all_kept:
        assert n_starts(kept) == 2, "nobody was started twice"
        assert kept.stop() == 0
    show(f"{n * rounds} daemons stood still, each was replaced within {max(times):.1f} s")
    assert max(times) < WATCHDOG + 2 + 5
