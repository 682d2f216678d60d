"""A daemon that cannot go on from what another has left in systemd's store."""

import signal

import pytest
from booted import UNIT, Booted
from house import DEADLINE, Process, Request, get
from damage import DAMAGES, LeftState

WITHOUT = "2 workers serve on without a daemon"


def damage(box, k, how):
    """Kills the daemon with its state damaged; waits until the next one cannot go on."""
    damage_it, message = DAMAGES[how]
    log = box.follow_journal("--unit", UNIT)
    with Process(k.pid()) as daemon:
        daemon.kill(signal.SIGSTOP)
        state = LeftState(daemon.pid)
        damage_it(state)
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
