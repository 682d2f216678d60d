"""Addresses: who answers there, who else is there, and how visitors are spread."""

import contextlib
import os
import socket

import pytest
from house import count, get, toy, wait_answers


def ask_datagram(port, text=b"hello", host="127.0.0.1"):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.connect((host, port))
        s.send(text)
        return s.recv(65536)


def test_a_port_alone_answers_ipv6_and_ipv4(house):
    house.run(toy())
    assert get(8080, host="127.0.0.1").status == 200
    assert get(8080, host="::1").status == 200


@pytest.mark.parametrize(("address", "host"), [("8080", "::1"), ("127.0.0.1:8080", "127.0.0.1"),
                                               ("[::1]:8080", "::1"), ("0.0.0.0:8080", "127.0.0.1")])
def test_every_form_of_an_address(house, address, host):
    house.run(toy(listen=f'listen_stream = "{address}";'))
    assert get(8080, host=host).status == 200


def test_a_number_is_a_port(house):
    house.run(toy(listen="listen_stream = 8080;"))
    assert get(8080).status == 200


def test_port_0_is_one_port_for_all_sockets_of_the_endpoint(house):
    daemon = house.run(toy(listen='listen_stream = "127.0.0.1:0";', workers=3))
    daemon.log.wait("toy: .* ready", times=3)
    ports = {port for _, port, _ in listening()}
    assert len(ports) == 1
    port = ports.pop()
    wait_answers(lambda: get(port), lambda found: len({a.pid for a in found}) == 3, "3 workers answer")


def listening():
    """(address in hexadecimal, port, inode) of each listening TCP socket of this network."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as file:
            for line in list(file)[1:]:
                word = line.split()
                if word[3] == "0A":
                    address, port = word[1].rsplit(":", 1)
                    found.append((address, int(port, 16), int(word[9])))
    return found


def test_visitors_reach_every_worker_and_none_is_lost(house):
    daemon = house.run(toy(workers=4))
    daemon.log.wait("toy: .* ready", times=4)  # an answer may come from before the rule names only some
    requests = count(20000, 400000)
    result = house.load("--address=127.0.0.1:8080", f"--count={requests}", "--seconds=300").result(330)
    assert result["answered"] == requests and result["lost"] == 0, result
    assert len(result["pids"]) == 4


def test_visitors_who_stay_are_served_as_well(house):
    daemon = house.run(toy(workers=2))
    daemon.log.wait("worker . .* is ready", times=2)
    requests = count(20000, 1000000)
    result = house.load("--address=[::1]:8080", "--keep-alive", f"--count={requests}", "--clients=32",
                        "--seconds=300").result(330)
    assert result["answered"] == requests and result["lost"] == 0, result
    assert result["connections"] == 32 and result["retried"] == 0
    assert len(result["pids"]) == 2


def test_datagrams_reach_every_worker_and_a_flow_stays(house):
    daemon = house.run(toy(listen='listen_datagram = ["127.0.0.1:5300", "[::1]:5300"];', workers=3))
    daemon.log.wait("toy: .* ready", times=3)
    for host in ("127.0.0.1", "::1"):
        wait_answers(lambda h=host: ask_datagram(5300, host=h).split()[1],
                     lambda found: len(set(found)) == 3, "3 workers answer datagrams")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.connect(("127.0.0.1", 5300))
        seen = set()
        for i in range(200):
            s.send(b"%d" % i)
            version, pid, number = s.recv(65536).split()
            assert int(number) == i
            seen.add(pid)
    assert len(seen) == 1


@contextlib.contextmanager
def squatter(family, kind, address, shares=False):
    with socket.socket(family, kind) as s:
        if shares:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind(address)
        if kind == socket.SOCK_STREAM:
            s.listen()
        yield s


@pytest.mark.parametrize(("family", "address", "listen"), [
    (socket.AF_INET, ("127.0.0.1", 8080), "127.0.0.1:8080"),
    (socket.AF_INET, ("0.0.0.0", 8080), "127.0.0.1:8080"),
    (socket.AF_INET, ("127.0.0.1", 8080), ":8080"),
    (socket.AF_INET6, ("::1", 8080), "[::1]:8080"),
])
def test_a_taken_address_is_named_with_its_holder(house, family, address, listen):
    with squatter(family, socket.SOCK_STREAM, address):
        daemon = house.start(toy(listen=f'listen_stream = "{listen}";'))
        assert daemon.wait() == 1
    daemon.log.join()
    text = daemon.log.text()
    assert str(os.getpid()) in text and "8080" in text, text
    assert "toy:" not in text, "no worker was started"


def test_a_taken_datagram_address_is_named_with_its_holder(house):
    with squatter(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 5300)):
        daemon = house.start(toy(listen='listen_datagram = "127.0.0.1:5300";'))
        assert daemon.wait() == 1
    daemon.log.join()
    assert str(os.getpid()) in daemon.log.text()


def test_every_taken_address_is_named(house):
    taken = [("127.0.0.1", 8080), ("127.0.0.1", 8082)]
    with squatter(socket.AF_INET, socket.SOCK_STREAM, taken[0]), \
            squatter(socket.AF_INET, socket.SOCK_STREAM, taken[1]):
        listen = ", ".join(f'"127.0.0.1:{port}"' for port in (8080, 8081, 8082))
        daemon = house.start(toy(listen=f"listen_stream = [{listen}];"))
        assert daemon.wait() == 1
    daemon.log.join()
    text = daemon.log.text()
    assert "127.0.0.1:8080" in text and "127.0.0.1:8082" in text
    assert "127.0.0.1:8081" not in text
    assert listening() == []


def test_an_exclusive_endpoint_does_not_share_with_one_who_would(house):
    with squatter(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 8080), shares=True):
        daemon = house.start(toy(listen='listen_stream = "127.0.0.1:8080";'))
        assert daemon.wait() == 1
    daemon.log.join()
    assert str(os.getpid()) in daemon.log.text()


def test_two_daemons_do_not_share_an_address(house):
    first = house.run(toy())
    second = house.start(toy())
    assert second.wait() == 1
    second.log.join()
    pids = [str(pid) for pid in (first.pid, *first.workers())]
    assert any(pid in second.log.text() for pid in pids)
    assert get(8080).status == 200


def test_an_endpoint_without_a_service_refuses(house):
    house.run('''
        endpoints: { web: { listen_stream = ":8080"; }; spare: { listen_stream = ":8081"; }; };
        services: { site: { endpoints = ["web"]; exec_start = ["@TOY@"]; type = "notify"; }; };
    ''')
    assert get(8080).status == 200
    with pytest.raises(ConnectionRefusedError):
        get(8081)
    with pytest.raises(OSError, match="in use"), \
            squatter(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 8081)):
        pass


def test_the_port_can_be_had_again_at_once(house):
    for _ in range(3):
        daemon = house.run(toy(workers=2))
        assert get(8080).status == 200
        assert daemon.stop() == 0
