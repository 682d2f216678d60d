"""Socket options and steering of endpoints: what is asked for is what the sockets have."""

import os
import socket
from pathlib import Path

import pytest
from house import get, toy, wait_answers

TELL = '''
import json, signal, socket
s = socket.socket(fileno=3)
print("told:", json.dumps([
    s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2, s.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    s.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY)]), flush=True)
signal.pause()
'''


def test_options_are_set_on_every_socket(house):
    script = house.directory / "tell.py"
    script.write_text(TELL)
    daemon = house.run(f'''
        endpoints: {{ web: {{ listen_stream = "127.0.0.1:8080"; no_delay = true; keep_alive = true;
                              receive_buffer = "64K"; keep_alive_time = "90s"; priority = 3; }}; }};
        services: {{ site: {{ endpoints = ["web"]; exec_start = ["/usr/bin/python3", "{script}"]; workers = 2;
                              kill_signal = "SIGKILL"; }}; }};
    ''')
    daemon.log.wait(r"told: \[1, 1, 65536, 90, 3\]", times=2)


def test_a_smaller_effective_value_is_said(house):
    limit = int(Path("/proc/sys/net/core/somaxconn").read_text())
    daemon = house.run(toy(listen=f'listen_stream = ":8080"; backlog = {limit + 1};'))
    daemon.log.wait(f"Endpoint web: backlog = {limit + 1} becomes {limit}, which is net.core.somaxconn")
    assert get(8080).status == 200


def test_a_smaller_buffer_is_said(house):
    # CAP_NET_ADMIN, if we have it, goes beyond the limit.
    daemon = house.run(toy(listen='listen_stream = ":8080"; receive_buffer = "512M";'))
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, 33, 1 << 29)  # SO_RCVBUFFORCE
            forced = probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2 >= 1 << 29
        except PermissionError:
            forced = False
    if forced:
        assert get(8080).status == 200
        assert not daemon.log.has("receive_buffer")
    else:
        daemon.log.wait("Endpoint web: receive_buffer = 536870912 becomes .*net.core.rmem_max allows no more")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: to be somebody without rights")
def test_a_missing_privilege_is_named(house):
    directory = house.directory / "nobody"
    directory.mkdir()
    directory.chmod(0o777)
    config = house.write(toy(listen='listen_stream = "127.0.0.1:8080"; mark = 7;'))
    result = house.command("-c", config, user="nobody", group="nogroup", extra_groups=[],
                           env={"RUNTIME_DIRECTORY": str(directory), "PATH": os.environ["PATH"]})
    assert result.returncode == 1
    assert "Endpoint web: cannot set mark on 127.0.0.1:8080: that needs CAP_NET_ADMIN" in result.stderr


@pytest.mark.parametrize("steering", ["hash", "random", "cpu"])
def test_steering_reaches_the_workers(house, steering):
    house.run(toy(listen=f'listen_stream = "127.0.0.1:8080"; steering = "{steering}";', workers=2))
    wanted = 1 if len(os.sched_getaffinity(0)) == 1 and steering == "cpu" else 2

    def ask(cpus=sorted(os.sched_getaffinity(0)), turn=[0]):
        # The processor of a loopback connection is its client's.
        turn[0] += 1
        os.sched_setaffinity(0, {cpus[turn[0] % len(cpus)]})
        try:
            return get(8080)
        finally:
            os.sched_setaffinity(0, cpus)

    wait_answers(ask, lambda found: len({a.worker for a in found}) == wanted, "both answer")


def test_by_cpu_a_processor_has_one_worker(house):
    daemon = house.run(toy(listen='listen_stream = "127.0.0.1:8080"; steering = "cpu";', workers=2))
    cpus = sorted(os.sched_getaffinity(0))
    assert daemon.ctl("wait", "site", "--for=running").returncode == 0  # before, one has all
    for cpu in cpus:
        os.sched_setaffinity(0, {cpu})
        try:
            assert len({get(8080).worker for _ in range(20)}) == 1
        finally:
            os.sched_setaffinity(0, cpus)


@pytest.mark.parametrize(("only", "answers"), [("both", True), ("ipv6-only", False)])
def test_bind_ipv6_only_says_who_may_come(house, only, answers):
    house.run(toy(listen=f'listen_stream = "[::]:8080"; bind_ipv6_only = "{only}";'))
    assert get(8080, host="::1").status == 200
    if answers:
        assert get(8080).status == 200
    else:
        with pytest.raises(ConnectionRefusedError):
            get(8080)
