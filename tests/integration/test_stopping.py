"""A daemon that ends while it stops, under the keeper: the next one goes on stopping, and nobody is cut who would have
ended in time."""

import os
import signal
import time

import pytest
from crash import Tracer
from house import Process, Request, count, get, toy, wait_answers
from test_crash import FAILED, OK, Kept, kept, start

STOPPED = 'timeout_stop = "%s"; kill_signal = "SIGTERM";'


def stop(k):
    """Tells it to stop; returns the pid of the daemon that has begun to."""
    pid, n = k.pid(), len(k.log.times_of("Stopping"))
    k.daemon.signal(signal.SIGTERM)
    k.log.wait("Stopping", times=n + 1)
    return pid


def kill(k, pid):
    """Ends the daemon; returns the pid of the one that goes on stopping."""
    n_adoptions, n_stops = k.adoptions(), len(k.log.times_of("Stopping"))
    os.kill(pid, signal.SIGKILL)
    k.log.wait("services go on", times=n_adoptions + 1)
    k.log.wait("Stopping", times=n_stops + 1)
    return wait_answers(k.daemon_child, lambda seen: seen[-1], "a daemon is there")[-1]


@pytest.mark.parametrize("times", [1, 3])
def test_the_next_one_goes_on_stopping(house, times):
    k = start(house, toy(workers=2, service=STOPPED % "60s"))
    requests = [Request(8080, "/sleep/3000") for _ in range(4)]
    for request in requests:
        request.wait_sent()
    pid = stop(k)
    for _ in range(times):
        pid = kill(k, pid)
    for request in requests:
        assert request.answer().status == 200
    assert k.daemon.wait() == OK
    assert not k.log.has("Told to stop again|cut off|could not be taken back|was ended by SIGKILL.* toy")
    with pytest.raises(ConnectionRefusedError):
        get(8080)


def test_who_does_not_end_has_what_is_left_of_its_time(house):
    k = start(house, toy(["--deaf"], service=STOPPED % "3s"))
    begun = time.monotonic()
    pid = stop(k)
    for _ in range(2):
        pid = kill(k, pid)
    assert k.daemon.wait() == FAILED
    assert time.monotonic() - begun >= 3, "it was cut too early"
    assert k.log.has("1 workers did not end in time and were cut off")


def test_told_again_the_next_one_kills(house):
    k = start(house, toy(["--deaf"], service=STOPPED % "10min"))
    kill(k, stop(k))
    assert not k.log.has("Told to stop again")
    k.daemon.signal(signal.SIGTERM)
    k.log.wait("Told to stop again")
    assert k.daemon.wait() == FAILED


def test_who_was_told_and_died_before_it_could_begin(house):
    k = start(house, toy(workers=2))
    with Process(k.pid()) as daemon:
        daemon.kill(signal.SIGSTOP)
        k.daemon.signal(signal.SIGTERM)
        wait_answers(lambda: (int(line.split()[1], 16) for line in open(f"/proc/{daemon.pid}/status", encoding="ascii")
                              if line.startswith("ShdPnd")).__next__(),
                     lambda seen: seen[-1] & 1 << (signal.SIGTERM - 1), "it is told")
        daemon.kill(signal.SIGKILL)
    assert k.daemon.wait() == OK
    assert k.log.has("services go on") and not k.log.has("Told to stop again")


def end_at(house, n):
    """A stop with the daemon killed at its n-th call; returns where, and what the keeper ended with."""
    # Who is traced is not searched for leaks.
    daemon = house.run(kept(toy(workers=2, service=STOPPED % "60s")),
                       environment={"ASAN_OPTIONS": "abort_on_error=0:exitcode=99:detect_leaks=0"})
    k = Kept(daemon)
    k.wait_running()
    request = Request(8080, "/sleep/100")
    request.wait_sent()
    tracer = Tracer(house.build, k.pid(), n)
    k.daemon.signal(signal.SIGTERM)
    assert request.answer().status == 200
    status = k.daemon.wait()
    where = tracer.stop()
    assert not k.log.has("Told to stop again|cut off"), k.log.text()
    return where, status


def test_killed_at_system_calls_spread_over_a_stop(house, show):
    n_calls = int(end_at(house, 0)[0].split()[0])
    n_points, n_killed = count(8, 100), 0
    for i in range(n_points):
        where, status = end_at(house, 1 + i * n_calls // n_points)
        is_killed = where.startswith("killed")
        n_killed += is_killed
        # 137: it had ended everything, and was killed on its own way out.
        assert status in ((OK, 137) if is_killed else (OK,)), (where, status)
    show(f"{n_calls} calls of a stop; killed at {n_killed} of {n_points}")
    assert n_killed > n_points // 2
