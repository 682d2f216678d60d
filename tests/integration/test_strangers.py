"""Sockets of others at our addresses are seen, told with their pid, and keep us from growing."""

import os
import socket

import pytest
from house import get, toy, wait_answers

OK, FAILED = 0, 1


def join(port, kind=socket.SOCK_STREAM, host="127.0.0.1"):
    """A socket in the group of that port, as any process of our uid may have."""
    stranger = socket.socket(socket.AF_INET, kind)
    if kind == socket.SOCK_STREAM:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    stranger.bind((host, port))
    if kind == socket.SOCK_STREAM:
        stranger.listen()
    return stranger


def wait_strangers(daemon, n):
    wait_answers(lambda: daemon.ask("list-endpoints")["endpoints"][0]["strangers"],
                 lambda seen: seen[-1] == n, f"{n} strangers")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_stranger_is_seen_and_named(house, kind):
    what = "stream" if kind == socket.SOCK_STREAM else "datagram"
    daemon = house.run(toy(listen=f'listen_{what} = "127.0.0.1:8080";'))
    daemon.ctl("wait", "site", "--for=running")
    wait_strangers(daemon, 0)
    with join(8080, kind):
        wait_strangers(daemon, 1)
        daemon.log.wait(rf"Endpoint web: pid {os.getpid()} \(.*\) of uid {os.getuid()} has a socket at "
                        r"127.0.0.1:8080 that is not ours")
        assert any("not ours" in hint for hint in daemon.ask("status", "site")["hints"])
    wait_strangers(daemon, 0)
    daemon.log.wait("the socket that is not ours is gone")
    assert len(daemon.log.times_of("has a socket at")) == 1, "told once"
    assert daemon.stop() == 0


def test_nobody_looks_and_it_is_seen_all_the_same(house):
    daemon = house.run(toy(listen='listen_stream = "127.0.0.1:8080";'))
    daemon.ctl("wait", "site", "--for=running")
    with join(8080):
        daemon.log.wait("has a socket at 127.0.0.1:8080 that is not ours", seconds=15)


def test_growth_is_refused_while_a_stranger_is_there(house):
    daemon = house.run(toy(listen='listen_stream = "127.0.0.1:8080";'))
    daemon.ctl("wait", "site", "--for=running")
    with join(8080):
        result = daemon.ctl("scale", "site=4")
        assert result.returncode == FAILED and "in use" in result.stderr, result
        assert daemon.ask("status", "site")["workers_wanted"] == 1
    assert daemon.ctl("scale", "site=4").returncode == OK
    assert get(8080).status == 200
    assert daemon.stop() == 0


def test_workers_and_other_endpoints_are_no_strangers(house):
    daemon = house.run('''
        endpoints: { one: { listen_stream = "127.0.0.1:8080"; }; two: { listen_stream = "127.0.0.2:8080"; };
                     d: { listen_datagram = "127.0.0.1:8080"; }; };
        services: { a: { endpoints = ["one", "two", "d"]; exec_start = ["@TOY@"]; type = "notify";
                         workers = 3; }; };''')
    daemon.ctl("wait", "a", "--for=running")
    assert daemon.ctl("scale", "a=5").returncode == OK
    assert daemon.ctl("restart", "a").returncode == OK
    assert [e["strangers"] for e in daemon.ask("list-endpoints")["endpoints"]] == [0, 0, 0]
    assert not daemon.log.has("not ours")
