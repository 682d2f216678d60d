"""How the daemon goes, and what it refuses to do on the way."""

import signal
import time

import pytest
from house import Process, Request, get, toy


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_in_flight_is_answered_and_the_port_refuses(house, number):
    daemon = house.run(toy(workers=2))
    request = Request(8080, "/sleep/2000")
    request.wait_sent()
    daemon.signal(number)
    daemon.log.wait("toy: .* stops", times=2)
    with pytest.raises(ConnectionRefusedError):
        get(8080)
    assert request.answer().status == 200
    assert daemon.wait() == 0


def test_requests_that_wait_in_a_queue_are_answered(house):
    """One at a time, 20 ms each: most are in the queue when the stop comes."""
    daemon = house.run(toy(["--accept=1", "--busy=20000"]))
    assert get(8080).status == 200
    requests = [Request(8080, "/") for _ in range(20)]
    assert daemon.stop() == 0
    assert [r.answer().status for r in requests] == [200] * 20


def test_a_deaf_worker_is_killed_at_its_deadline_and_that_is_told(house):
    daemon = house.run(toy(["--deaf"], service='timeout_stop = "300ms";'))
    request = Request(8080, "/sleep/60000")
    request.wait_sent()
    before = time.monotonic()
    assert daemon.stop() == 1
    assert time.monotonic() - before > 0.28
    with pytest.raises((ConnectionResetError, OSError)):
        request.answer()


def test_a_second_signal_ends_it_now(house):
    daemon = house.run(toy(["--deaf"], service='timeout_stop = "infinity";'))
    assert get(8080).status == 200
    daemon.signal(signal.SIGTERM)
    daemon.log.wait("toy: .* ignores")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 1


def test_kill_signal_is_the_one_that_is_sent(house):
    daemon = house.run(toy(["--deaf"], service='kill_signal = "SIGKILL"; timeout_stop = "60s";'))
    assert get(8080).status == 200
    daemon.signal(signal.SIGTERM)
    daemon.wait(5)
    assert not daemon.log.has("toy: .* ignores")


def test_a_stop_while_workers_are_not_ready_does_not_wait_for_them(house):
    daemon = house.run(toy(["--ready=never"], service='timeout_start = "infinity";', workers=2))
    daemon.log.wait("toy: .* starts", times=2)
    assert daemon.stop(5) in (0, 1)


def test_a_stop_in_the_middle_of_a_back_off_is_at_once(house):
    daemon = house.run(toy(["--ready=never", "--exit-after=0", "--exit-code=1"],
                           service='restart_delay = "60s"; restart_max_delay = "60s";'))
    daemon.log.wait("toy: .* starts")
    assert daemon.stop(5) == 0


@pytest.mark.parametrize("number", [signal.SIGUSR2])
def test_what_is_not_there_yet_is_refused_with_a_line(house, number):
    daemon = house.run(toy())
    pid = get(8080).pid
    daemon.signal(number)
    daemon.log.wait(number.name)
    assert get(8080).pid == pid
    assert daemon.stop() == 0


def test_its_manager_hears_of_the_beginning_and_the_end(house):
    daemon = house.run(toy())
    daemon.signal(signal.SIGTERM)
    daemon.manager.wait("STOPPING=1", daemon.process)
    assert daemon.wait() == 0


def test_ready_does_not_wait_for_workers(house):
    """Sockets are open, so visitors queue: they get their answer from a worker that is late."""
    house.run(toy(["--ready=500"]))
    assert get(8080).status == 200


def test_a_worker_that_leaves_a_grandchild_does_not_hold_up_the_end(house):
    daemon = house.run(toy(["--grandchild"], service='timeout_stop = "5s";'))
    pid = int(daemon.log.wait(r"toy: (\d+) is a grandchild").group(1))
    with Process(pid) as grandchild:
        assert daemon.stop() == 0
        grandchild.kill()
