"""A daemon that cannot go on from what another has left: it says so, workers serve on, and nothing is lost for the
program that could."""

import os
import signal

import pytest
from house import Process, Request, get, toy
from damage import DAMAGES, LeftState
from test_crash import FAILED, OK, alive, start

WITHOUT = "workers serve on without a daemon"


def damage(k, how):
    """Kills the daemon with its state damaged; waits until the next one cannot go on."""
    change, message = DAMAGES[how]
    with Process(k.pid()) as daemon:
        daemon.kill(signal.SIGSTOP)
        state = LeftState(daemon.pid)
        state.damage(change)
        daemon.kill(signal.SIGKILL)
    k.log.wait(message)
    k.log.wait(WITHOUT)
    return state


@pytest.mark.parametrize("how", DAMAGES)
def test_workers_serve_on_until_one_comes_that_can_go_on(house, how):
    k = start(house, toy(workers=2))
    workers, sockets = k.workers(), k.sockets()
    state = damage(k, how)
    # It is tried again, later each time.
    pattern = r"before it was ready; it is started again in (\d+)ms"
    delays = [int(k.log.wait(pattern, times=n).group(1)) for n in (1, 2, 3)]
    assert delays == [100, 200, 400]
    assert alive(workers) and {get(8080).pid for _ in range(20)} <= set(workers)
    state.mend()
    k.log.wait("services go on")
    assert k.workers() == workers and k.sockets() == sockets
    k.check_whole()
    assert k.daemon.stop() == OK


@pytest.mark.parametrize("how", DAMAGES)
def test_who_is_told_to_stop_ends_the_workers_in_order(house, how):
    k = start(house, toy(workers=2))
    workers = k.workers()
    request = Request(8080, "/sleep/2000")
    request.wait_sent()
    damage(k, how)
    k.daemon.signal(signal.SIGTERM)
    assert request.answer().status == 200
    assert k.daemon.wait() == OK
    assert not any(os.path.exists(f"/proc/{pid}") for pid in workers)
    assert k.log.has("2 workers of the daemon before us are asked to end") and not k.log.has("left workers behind")


def test_told_again_it_kills_them(house):
    k = start(house, toy(["--deaf"], workers=2))
    workers = k.workers()
    damage(k, "magic")
    k.daemon.signal(signal.SIGTERM)
    k.log.wait("2 workers of the daemon before us are asked to end")
    k.log.wait("toy: .* ignores signal", times=2)
    k.daemon.signal(signal.SIGTERM)
    assert k.daemon.wait() == FAILED
    assert k.log.has("2 workers did not end in time and were cut off")
    assert not any(os.path.exists(f"/proc/{pid}") for pid in workers)
