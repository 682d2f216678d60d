"""The configurations that we ship, run as they are, with the servers that they are for."""

import os
import re
import shutil
import signal
import socket

import pytest
from house import NEEDS_ROOT, SOURCES, Process, Request, children_of, get, wait_answers

EXAMPLES = SOURCES / "config/examples"

def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None and not os.path.exists(program),
                              reason=f"{program} is not installed")


def server_of(answer):
    """The process that answered, as it says itself, or the number of our worker."""
    match = re.search(r"process (\d+)", answer.body)
    return match.group(1) if match else answer.worker


def wait_serving(n):
    """Until n processes have answered.

    A server that forks is complete then: gunicorn's children do not hear SIGTERM while they start.
    """
    answers = wait_answers(lambda: get(8080), lambda found: len({server_of(a) for a in found}) == n,
                           f"{n} processes answer")
    assert all(a.status == 200 for a in answers)
    assert {a.worker for a in answers} == {"0", "1"}


SERVERS = [
    pytest.param("gunicorn", 4, ["127.0.0.1", "::1"], "/slow", marks=needs("/usr/bin/gunicorn")),
    pytest.param("node", 2, ["127.0.0.1", "::1"], "/slow", marks=needs("/usr/bin/node")),
    pytest.param("lighttpd", 2, ["127.0.0.1"], "/slow.sh", marks=needs("/usr/sbin/lighttpd")),
]


@NEEDS_ROOT
@pytest.mark.parametrize(("name", "processes", "hosts", "slow"), SERVERS)
def test_a_server_answers_with_every_worker_and_keeps_what_is_in_flight(house, name, processes, hosts, slow):
    daemon = house.run(EXAMPLES / f"{name}.conf")
    wait_serving(processes)
    for host in hosts:
        assert get(8080, host=host).status == 200

    request = Request(8080, slow)
    request.wait_sent()
    daemon.signal(signal.SIGTERM)
    answer = request.answer()
    assert answer.status == 200 and "Hello" in answer.body
    assert daemon.wait(60) == 0


@NEEDS_ROOT
@pytest.mark.parametrize(("name", "processes", "hosts", "slow"), SERVERS)
def test_a_killed_server_is_replaced(house, name, processes, hosts, slow):
    daemon = house.run(EXAMPLES / f"{name}.conf")
    wait_serving(processes)
    before = daemon.workers()
    with Process(before[0]) as victim:
        victim.kill()
        victim.wait_gone()
    wait_answers(daemon.workers, lambda found: len(set(found[-1]) - {before[0]}) == 2, "it is replaced")
    wait_serving(processes)


@NEEDS_ROOT
@pytest.mark.parametrize(("name", "processes", "hosts", "slow"), SERVERS)
def test_a_server_with_children_of_its_own_ends_with_the_daemon(house, name, processes, hosts, slow):
    daemon = house.run(EXAMPLES / f"{name}.conf")
    wait_serving(processes)
    tree = [Process(pid) for worker in daemon.workers() for pid in (worker, *children_of(worker))]
    daemon.signal(signal.SIGKILL)
    for process in tree:
        process.wait_gone()
        process.close()


@NEEDS_ROOT
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_datagram_service_echoes_with_every_worker(house, host):
    daemon = house.run(EXAMPLES / "udp-echo.conf")

    def ask():
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(20)
            s.connect((host, 5300))
            s.send(b"hello")
            return s.recv(100)

    wait_answers(ask, lambda found: {b"worker 0: hello", b"worker 1: hello"} == set(found), "both answer")
    assert daemon.stop() == 0


def test_every_example_is_good(house):
    found = sorted(EXAMPLES.glob("*.conf"))
    assert len(found) >= 4
    for path in found:
        result = house.command("-t", "-c", path)
        assert result.returncode == 0, result.stdout + result.stderr


def test_the_demo_of_the_quick_start(house):
    """The shipped file, in a directory that looks like the sources after the build."""
    place = house.directory / "build/quickstart/config/demo"
    place.mkdir(parents=True)
    shutil.copy(house.demo, place)
    daemon = house.run(SOURCES / "config/quickstart.conf", cwd=house.directory)
    answers = wait_answers(lambda: get(8080).body,
                           lambda found: len({b.split("worker ")[1].split()[0] for b in found}) == 2,
                           "both workers answer")
    assert all(a.startswith("Hello from version 1: worker ") for a in answers)
    assert get(8080, host="::1").status == 200
    assert get(8080, "/healthz").body == "ok\n"
    assert get(8080, "/nothing").status == 404

    request = Request(8080, "/slow")
    request.wait_sent()
    daemon.signal(signal.SIGTERM)
    assert request.answer().status == 200
    assert daemon.wait() == 0


def uncommented(text):
    return "".join(line.replace("//", "", 1) if line.lstrip().startswith("//") else line
                   for line in text.splitlines(keepends=True))


def test_the_commented_configuration_is_good_as_it_is_and_with_every_key(house):
    shipped = SOURCES / "config/endpoints.conf"
    directory = house.directory / "conf.d"
    directory.mkdir()
    text = uncommented(shipped.read_text()).replace("/etc/reuseportd/conf.d", str(directory))
    # A program that is not installed here is a problem of its own.
    text = re.sub(r'"/usr/s?bin/[^"]+"', '"/bin/true"', text)
    for path in (shipped, house.write(text, "all.conf")):
        result = house.command("-t", "-c", path)
        assert result.returncode == 0, result.stdout + result.stderr
