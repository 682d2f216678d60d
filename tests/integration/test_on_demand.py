"""A service that sleeps until somebody comes, and goes back to sleep; the first visitor loses nothing."""

import http.client
import os
import shutil
import signal
import socket
import threading
import time

import pytest
from house import DEADLINE, Deadline, Process, Request, count, get, toy, wait_answers

ON_DEMAND = 'activation = "on-demand";'


def asleep(daemon):
    return daemon.workers() == []


def wait_asleep(daemon, times=1):
    daemon.log.wait("nobody was connected for .*; asleep", times=times)
    wait_answers(daemon.workers, lambda found: found[-1] == [], "nobody is left")


def test_nothing_runs_until_somebody_comes(house):
    daemon = house.run(toy(service=ON_DEMAND))
    assert asleep(daemon)
    assert get(8080).status == 200
    assert len(daemon.workers()) == 1
    assert daemon.stop() == 0


def test_who_comes_first_together_is_served_together(house):
    daemon = house.run(toy(["--ready=200"], service=ON_DEMAND, workers=2))
    requests = [Request(8080, "/") for _ in range(40)]
    assert all(r.answer().status == 200 for r in requests)
    assert len(daemon.workers()) == 2
    daemon.log.wait("toy: .* starts", times=2)
    assert len(daemon.log.times_of("toy: .* starts")) == 2


@pytest.mark.parametrize("shared", ["false", "true"])
def test_the_first_datagrams_are_answered(house, shared):
    daemon = house.run(toy(["--ready=200"], listen=f'listen_datagram = "127.0.0.1:5300"; shared = {shared};',
                           service=ON_DEMAND))
    assert asleep(daemon)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(DEADLINE)
        client.connect(("127.0.0.1", 5300))
        for i in range(20):
            client.send(b"%d" % i)
        answers = [client.recv(100).decode().split()[2] for _ in range(20)]
    assert answers == [str(i) for i in range(20)]
    assert len(daemon.workers()) == 1


def test_each_endpoint_wakes_it(house):
    for port in (8080, 8081, 9090):
        daemon = house.run(toy(listen='listen_stream = ["127.0.0.1:8080", "[::1]:8081"]; }; '
                                      'more: { listen_stream = ":9090";', service=ON_DEMAND)
                           .replace('endpoints = ["web"]', 'endpoints = ["web", "more"]'))
        assert asleep(daemon)
        assert get(port, host="::1" if port == 8081 else "127.0.0.1").status == 200
        assert daemon.stop() == 0


def test_what_was_prepared_while_it_slept_is_not_what_has_changed_since(house):
    """A link that moves, a program that is replaced, other settings."""
    link, program = house.directory / "current", house.directory / "toy"
    link.symlink_to("/nowhere/server")
    text = toy(["--exit-after=300", "--version=1"], service=ON_DEMAND + 'restart_delay = "1ms";').replace("@TOY@", str(link))
    daemon = house.run(text)

    def wake(expected, where):
        n = len(daemon.log.times_of("Asleep"))
        answer = get(8080)
        assert answer.status == 200 and expected in answer.body
        assert os.path.realpath(f"/proc/{answer.pid}/exe") == str(where)
        daemon.log.wait("Asleep", times=n + 1)
        wait_answers(daemon.workers, lambda found: found[-1] == [], "it is reaped")

    link.unlink()
    link.symlink_to(house.toy)
    wake("version 1", house.toy)
    shutil.copy(house.toy, program)
    link.unlink()
    link.symlink_to(program)
    wake("version 1", program)
    program.rename(house.directory / "moved")  # the same file, at another place
    link.unlink()
    link.symlink_to(house.directory / "moved")
    wake("version 1", house.directory / "moved")
    house.write(text.replace("--version=1", "--version=2"))
    assert daemon.ctl("reload").returncode == 0
    wake("version 2", house.directory / "moved")
    assert daemon.stop() == 0


def test_a_worker_that_ends_well_by_itself_is_asleep_and_not_lost(house):
    daemon = house.run(toy(["--exit-after=300"], service=ON_DEMAND + 'restart_delay = "1ms";'))
    for i in range(3):
        assert get(8080).status == 200
        daemon.log.wait("exited with status 0", times=i + 1)
        daemon.log.wait("Asleep", times=i + 1)
        wait_answers(daemon.workers, lambda found: found[-1] == [], "it is reaped")
    assert len(daemon.log.times_of("toy: .* starts")) == 3


def test_a_worker_that_dies_is_replaced_although_nobody_waits(house):
    daemon = house.run(toy(service=ON_DEMAND + 'restart_delay = "1ms";'))
    with Process(get(8080).pid) as worker:
        worker.kill()
    daemon.log.wait("toy: .* ready", times=2)


def test_a_program_that_cannot_run_is_not_a_loop(house):
    """The visitor waits, and the back-off holds."""
    daemon = house.run('''
        endpoints: { web: { listen_stream = ":8080"; }; };
        services: { site: { endpoints = ["web"]; exec_start = ["/nowhere/server"]; activation = "on-demand";
                            restart_delay = "100ms"; }; };
    ''')
    with Request(8080, "/").socket:
        daemon.log.wait("cannot execute /nowhere/server", times=3)
        times = daemon.log.times_of("cannot execute")
        assert times[2] - times[0] > 0.29
    assert daemon.stop() == 0


# ---- back to sleep ----

def idle(timeout="300ms", switches=(), more="", workers=1):
    return toy(switches, service=f'{ON_DEMAND} idle_timeout = "{timeout}"; {more}', workers=workers)


def test_it_goes_to_sleep_and_wakes_again_and_again(house):
    daemon = house.run(idle())
    for i in range(4):
        assert get(8080).status == 200
        begun = time.monotonic()
        wait_asleep(daemon, times=i + 1)
        assert daemon.log.times_of("; asleep")[i] - begun > 0.28
    assert daemon.stop() == 0


def test_a_connection_that_stays_keeps_it_awake(house):
    daemon = house.run(idle())
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=DEADLINE)
    connection.request("GET", "/")
    assert connection.getresponse().read()
    with pytest.raises(AssertionError):
        daemon.log.wait("; asleep", seconds=1.5)
    connection.request("GET", "/")
    assert connection.getresponse().read()
    connection.close()
    wait_asleep(daemon)


def test_nobody_is_lost_at_any_moment_of_falling_asleep(house):
    """Visitors come at every instant around the time-out, until it fell asleep so often."""
    wanted = count(25, 1000)
    daemon = house.run(idle("40ms", more='restart_delay = "1ms";', workers=2))
    lost, n, pause = [], 0, 0.0
    deadline = Deadline(60 if wanted == 25 else 1800)
    while len(daemon.log.times_of("; asleep")) < wanted and not deadline.is_over():
        try:
            assert get(8080, seconds=5).status == 200
        except OSError as error:
            lost.append(error)
        n += 1
        pause = (pause + 0.0037) % 0.110  # over and over the moments in which it happens
        threading.Event().wait(pause)
    assert len(daemon.log.times_of("; asleep")) >= wanted, n
    assert lost == [], f"{len(lost)} of {n}: {lost[:3]}"
    assert daemon.stop() == 0
    assert not daemon.log.has("were reset")


def test_nobody_is_lost_of_many_that_come_while_it_falls_asleep(house):
    wanted = count(5, 200)
    daemon = house.run(idle("30ms", more='restart_delay = "1ms";', workers=2))
    for i in range(wanted):
        result = house.load("--address=127.0.0.1:8080", "--clients=8", "--count=200").result()
        assert result["lost"] == 0 and result["answered"] >= 200, result
        daemon.log.wait("; asleep", times=i + 1)
    assert daemon.stop() == 0


def test_a_stop_while_it_falls_asleep_is_a_stop(house):
    daemon = house.run(idle())
    connection = socket.create_connection(("127.0.0.1", 8080))
    connection.close()
    daemon.log.wait("; asleep")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0


@pytest.mark.alone
def test_asleep_it_uses_no_processor(house):
    daemon = house.run(idle() + 'daemon: { dbus = "no"; };')  # else a bus that is not there is looked for at times
    get(8080)
    wait_asleep(daemon)

    def used():
        with open(f"/proc/{daemon.pid}/stat", encoding="ascii") as file:
            words = file.read().rsplit(")", 1)[1].split()
        return int(words[11]) + int(words[12]), switches()

    def switches():
        with open(f"/proc/{daemon.pid}/status", encoding="ascii") as file:
            return sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)

    def used_in_two_seconds():
        before = used()
        threading.Event().wait(2)
        return [b - a for a, b in zip(before, used())]

    # Every 10 s it looks for strangers, which cannot fall into both.
    found = [used_in_two_seconds() for _ in range(2)]
    # A tick that began before we looked may be booked afterwards.
    assert all(ticks <= 1 for ticks, _ in found) and min(switches for _, switches in found) <= 1, found

