"""Workers die, hang and misbehave; the service goes on."""

import os
import signal

import pytest
from house import NEEDS_ROOT, Process, count, get, toy, wait_answers, wait_workers


def test_a_killed_worker_is_replaced_in_its_slot(house):
    daemon = house.run(toy(workers=2))
    before = wait_workers(2)
    with Process(before["1"]) as victim:
        victim.kill()
        victim.wait_gone()
    after = wait_workers(2, but=[before["1"]])
    assert after["0"] == before["0"], "the other one was left alone"
    assert sorted(after.values()) == daemon.workers()


def test_kills_under_load_refuse_nobody_and_leave_nobody_hanging(house):
    kills, clients = count(5, 50), 8
    daemon = house.run(toy(workers=4, service='restart_delay = "10ms";'))
    load = house.load("--address=127.0.0.1:8080", f"--clients={clients}", "--seconds=600").wait_running()
    killed = []
    for _ in range(kills):
        victim = get(8080).pid
        os.kill(victim, signal.SIGKILL)
        killed.append(victim)
        wait_workers(4, but=killed)
    result = load.stop()
    assert len(set(killed)) == kills
    assert result["refused"] == 0 and result["timed_out"] == 0, result
    # What is lost is what the killed one had accepted: no more than there are clients.
    assert result["lost"] <= kills * clients, result
    assert len(result["pids"]) > 4, "successors have served, too"
    assert daemon.stop() == 0


def test_back_off_doubles_up_to_its_limit(house):
    daemon = house.run(toy(["--ready=never", "--exit-after=0", "--exit-code=1"],
                           service='restart_delay = "50ms"; restart_max_delay = "400ms";'))
    daemon.log.wait("toy: .* starts", times=7)
    times = daemon.log.times_of("toy: .* starts")
    waits = [b - a for a, b in zip(times, times[1:7])]
    for wait, wanted in zip(waits, [0.05, 0.1, 0.2, 0.4, 0.4, 0.4]):
        assert wanted * 0.9 < wait < wanted + 1, waits


def test_a_worker_that_was_ready_is_replaced_after_the_first_delay_each_time(house):
    daemon = house.run(toy(["--exit-after=1"], service='restart_delay = "20ms";'))
    daemon.log.wait("toy: .* starts", times=8)
    times = daemon.log.times_of("toy: .* starts")
    waits = [b - a for a, b in zip(times, times[1:8])]
    assert min(waits) > 0.018 and sorted(waits)[3] < 0.5, waits


def test_restart_no_leaves_a_dead_worker_dead(house):
    daemon = house.run(toy(["--exit-after=0", "--exit-code=1"], service='restart = "no";'))
    daemon.log.wait("toy: .* starts")
    wait_answers(daemon.workers, lambda found: found[-1] == [], "it is gone")
    assert daemon.stop() == 0
    assert len(daemon.log.times_of("toy: .* starts")) == 1


@pytest.mark.parametrize(("code", "starts"), [(0, 1), (1, 3)])
def test_restart_on_failure_looks_at_the_status(house, code, starts):
    daemon = house.run(toy(["--exit-after=0", f"--exit-code={code}"],
                           service='restart = "on-failure"; restart_delay = "1ms";'))
    daemon.log.wait("toy: .* starts", times=starts)
    if starts == 1:
        wait_answers(daemon.workers, lambda found: found[-1] == [], "it is gone")
    assert daemon.stop() == 0
    if starts == 1:
        assert len(daemon.log.times_of("toy: .* starts")) == 1


def test_a_worker_that_is_never_ready_is_replaced_at_its_deadline(house):
    daemon = house.run(toy(["--ready=never"], service='timeout_start = "200ms"; restart_delay = "1ms";'))
    daemon.log.wait("toy: .* starts", times=6)
    times = daemon.log.times_of("toy: .* starts")
    # Over five, since the line of one may come late.
    assert times[5] - times[0] > 5 * 0.19


def test_a_worker_that_sleeps_before_ready_is_waited_for(house):
    daemon = house.run(toy(["--ready=300"], service='timeout_start = "10s";'))
    daemon.log.wait("toy: .* ready")
    assert get(8080).status == 200
    assert len(daemon.log.times_of("toy: .* starts")) == 1


@pytest.mark.parametrize("garbage", ["", "READY=0", "MAINPID=1", "BARRIER=1", "x" * 1000, "=\n=\n\n",
                                     "WATCHDOG_USEC=0", "FDSTORE=1\nFDNAME=a:b", "STATUS=\x01\x1b[2J"])
def test_garbage_on_the_notify_socket_is_survived(house, garbage):
    text = garbage.replace("\n", "\\n").replace("\x01", "\\x01").replace("\x1b", "\\x1b")
    daemon = house.run(toy([f"--notify={text}"]))
    daemon.log.wait("toy: .* ready")
    assert get(8080).status == 200
    assert daemon.stop() == 0


def test_workers_die_with_the_daemon(house):
    daemon = house.run(toy(workers=3))
    wait_workers(3)
    workers = [Process(pid) for pid in daemon.workers()]
    daemon.signal(signal.SIGKILL)
    for worker in workers:
        worker.wait_gone()
        worker.close()
    with pytest.raises(ConnectionRefusedError):
        get(8080)


@NEEDS_ROOT
def test_workers_of_another_user_die_with_the_daemon(house):
    daemon = house.run(toy(service='user = "nobody";', workers=2))
    wait_workers(2)
    workers = [Process(pid) for pid in daemon.workers()]
    daemon.signal(signal.SIGKILL)
    for worker in workers:
        worker.wait_gone()
        worker.close()
