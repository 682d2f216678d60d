"""A daemon that cannot go on from what another has left in systemd's store, or cannot begin."""

import contextlib
import signal
import socket
import time

import pytest
from booted import UNIT, Booted
from house import DEADLINE, Process, Request, get, toy
from damage import DAMAGES, LeftState

WITHOUT = "2 workers serve on without a daemon"


def damage(box, k, how):
    """Kills the daemon with its state damaged; waits until the next one cannot go on."""
    change, message = DAMAGES[how]
    log = box.follow_journal("--unit", UNIT)
    with Process(k.pid()) as daemon:
        daemon.kill(signal.SIGSTOP)
        state = LeftState(daemon.pid)
        state.damage(change)
        daemon.kill(signal.SIGKILL)
    log.wait(message)
    log.wait(WITHOUT)
    return log, state


@pytest.mark.parametrize("how", ["magic", "version"])
def test_it_is_said_and_tried_again_until_one_can(box, how):
    k = Booted(box)
    workers, sockets = k.workers(), k.sockets()
    log, state = damage(box, k, how)
    box.wait_until(lambda: "2 workers serve on" in box.show(UNIT, "StatusText"), "systemctl status says it")
    with Process(box.main_pid()) as daemon:
        assert not daemon.is_gone(3), "it is tried too often"
        daemon.wait_gone(DEADLINE)
    log.wait(WITHOUT, times=2)
    assert k.n_restarts() == 2
    assert get(8080).pid in workers and k.servers() == set(workers)

    state.mend()
    box.systemctl("restart", UNIT)              # the right program is there again
    k.check_whole()
    assert k.workers() == workers and k.sockets() == sockets


@pytest.mark.parametrize("how", ["first record", "field"])
def test_a_stop_ends_the_workers_and_a_start_begins_anew(box, how):
    k = Booted(box)
    workers = k.workers()
    request = Request(8080, "/sleep/2000")
    request.wait_sent()
    damage(box, k, how)
    box.systemctl("stop", UNIT)
    assert request.answer().status == 200
    assert k.servers() == set()
    assert box.show(UNIT, "Result") == "success"
    box.systemctl("start", UNIT)
    k.check_whole()
    assert not set(k.workers()) & set(workers)


def test_told_by_somebody_else_it_ends_them_and_begins_anew(box):
    k = Booted(box)
    workers = k.workers()
    log, _ = damage(box, k, "magic")
    box.systemctl("kill", "--signal=TERM", "--kill-whom=main", UNIT)
    log.wait("2 workers of the daemon before us are asked to end")
    k.check_whole()
    assert not set(k.workers()) & set(workers)


# ---- a start that fails ----

@contextlib.contextmanager
def taken(box):
    """A start that finds its port taken, and is tried again."""
    log = box.follow_journal("--unit", UNIT)
    with socket.socket() as other:
        other.bind(("0.0.0.0", 8080))
        other.listen()
        box.configure(toy(workers=2))
        begun = time.monotonic()
        assert box.systemctl("start", UNIT, check=False).returncode != 0
        assert time.monotonic() - begun < 8, "whoever asks for a start waits for nothing"
        log.wait("Trying again in 10s")
        yield log


def test_a_start_that_fails_is_tried_again_after_a_while(box):
    with taken(box) as log, Process(box.main_pid()) as daemon:
        assert not daemon.is_gone(3), "it is tried too often"
        assert len(log.times_of("Nothing was started")) == 2
        assert "trying again" in box.show(UNIT, "StatusText")
    box.wait_until(lambda: box.show(UNIT, "ActiveState") == "active", "it runs", seconds=DEADLINE * 2)
    k = Booted(box)
    k.check_whole()
    k.kill()
    k.check_whole()
    assert k.n_stored() == 9, "state, sockets in two banks, and for each worker two: no word of a start that failed"


def test_a_stop_ends_the_waiting_and_a_start_does_not_wait(box):
    with taken(box):
        begun = time.monotonic()
        box.systemctl("stop", UNIT)
        assert time.monotonic() - begun < 8
        assert box.show(UNIT, "Result") == "success" and box.show(UNIT, "NFileDescriptorStore") == "0"
    Booted(box).check_whole()
