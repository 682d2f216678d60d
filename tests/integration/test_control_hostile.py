"""Clients of the control socket who mean harm: others are answered in time, all the same."""

import json
import os
import pwd
import resource
import socket
import statistics
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest
from house import DEADLINE, count, get, toy, wait_answers

NEEDS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="needs root: clients of another user")
NOBODY = 65534
LIMIT = 0.1  # seconds that others may wait


@pytest.fixture(autouse=True)
def slower_where_everything_is(build, monkeypatch):
    """Figures are those of a program as it is shipped: sanitizers copy what is reallocated, and more."""
    if b"__asan_init" in (build / "src/daemon/reuseportd").read_bytes():
        monkeypatch.setitem(globals(), "LIMIT", 1)


def connect(daemon):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(DEADLINE)
    client.connect(str(daemon.control))
    return client


def authenticate(client):
    uid = str(os.geteuid()).encode().hex()
    client.sendall(f"\0AUTH EXTERNAL {uid}\r\n".encode())
    assert client.recv(256).startswith(b"OK ")
    client.sendall(b"BEGIN\r\n")
    return client


def padded(data, to):
    return data + b"\0" * (-len(data) % to)


def field(code, signature, text):
    data = text.encode()
    if signature == "g":
        value = bytes([len(data)]) + data + b"\0"
    else:
        value = struct.pack("<I", len(data)) + data + b"\0"
    return struct.pack("<BB", code, 1) + signature.encode() + b"\0" + value


def call(member, path="/org/reuseportd", interface="org.reuseportd.Manager", serial=1, body_size=None):
    """A method call without arguments, as it is on the wire."""
    fields = b""
    for part in (field(1, "o", path), field(2, "s", interface), field(3, "s", member)):
        fields = padded(fields, 8) + part
    size = 0 if body_size is None else body_size
    head = struct.pack("<cBBBII", b"l", 1, 0, 1, size, serial) + struct.pack("<I", len(fields)) + fields
    return padded(head, 8)


def is_closed(client):
    """Whether the other side hangs up, now or soon."""
    try:
        while client.recv(65536):
            pass
    except (ConnectionResetError, BrokenPipeError):
        return True
    except TimeoutError:
        return False
    return True


def ask_latency(daemon, times=20):
    waits = []
    for _ in range(times):
        begin = time.monotonic()
        with authenticate(connect(daemon)) as client:
            client.sendall(call("ListServices"))
            assert client.recv(65536)
        waits.append(time.monotonic() - begin)
    return max(waits)


def clients(daemon):
    return daemon.ask("status")["daemon"]["control_clients"]


def test_the_wire_is_spoken_right(house):
    daemon = house.run(toy())
    with authenticate(connect(daemon)) as client:
        client.sendall(call("ListServices"))
        assert b"site" in client.recv(65536)


def test_half_a_handshake_has_five_seconds(house):
    daemon = house.run(toy())
    begin = time.monotonic()
    silent, half = connect(daemon), connect(daemon)
    half.sendall(b"\0AUTH EXTERNAL ")
    done = authenticate(connect(daemon))  # and then says nothing
    assert ask_latency(daemon) < LIMIT
    for client in (silent, half, done):
        assert is_closed(client)
        client.close()
    assert 4.5 < time.monotonic() - begin < 7


def test_slow_writers_are_dropped(house):
    """One byte at a time: neither a handshake nor a message may take for ever."""
    daemon = house.run(toy())
    message = call("ListServices")
    for first in (b"", None):
        client = connect(daemon) if first is not None else authenticate(connect(daemon))
        data = b"\0AUTH EXTERNAL 30\r\n" * 50 if first is not None else message
        with client, pytest.raises(OSError):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            for byte in data * 100:
                client.sendall(bytes([byte]))
                time.sleep(0)  # let the daemon read them one by one
                ask_latency(daemon, 1)
    assert ask_latency(daemon) < LIMIT


def test_a_huge_message_is_refused_by_its_head(house):
    daemon = house.run(toy())
    before = rss(daemon)
    for size in (1 << 20, 100 << 20, 0xffffffff):
        for _ in range(count(5, 50)):
            with authenticate(connect(daemon)) as client:
                client.sendall(call("ListServices", body_size=size))
                assert is_closed(client)
            assert ask_latency(daemon, 1) < LIMIT
    with authenticate(connect(daemon)) as client, pytest.raises(OSError):
        client.sendall(call("ListServices", body_size=100 << 20) + b"\0" * (100 << 20))
    assert rss(daemon) < before + (8 << 20)


def rss(daemon):
    return int(Path(f"/proc/{daemon.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def fds(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def test_descriptors_that_nobody_asked_for_are_closed(house):
    daemon = house.run(toy())
    ask_latency(daemon, 1)
    wait_answers(lambda: clients(daemon), lambda seen: seen[-1] == 1, "others are gone")
    before = fds(daemon)
    with open("/dev/null", "rb") as null:
        for _ in range(20):
            with authenticate(connect(daemon)) as client:
                socket.send_fds(client, [call("ListServices")], [null.fileno()] * 100)
                assert b"site" in client.recv(65536)
    wait_answers(lambda: fds(daemon), lambda seen: seen[-1] <= before, "no descriptor is left")
    assert get(8080).status == 200


def test_a_client_that_leaves_in_the_middle_of_a_call(house):
    daemon = house.run(toy())
    for _ in range(count(100, 2000)):
        with authenticate(connect(daemon)) as client:
            client.sendall(call("ListServices") * 50)
    assert ask_latency(daemon) < LIMIT
    wait_answers(lambda: clients(daemon), lambda seen: seen[-1] == 1, "all are gone")


def test_one_that_does_not_read_is_read_no_further(house):
    daemon = house.run(toy())
    before = rss(daemon)
    with authenticate(connect(daemon)) as client:
        client.setblocking(False)
        data = call("ListEvents") + call("ListServices") * 1000
        with pytest.raises(BlockingIOError):
            for _ in range(10000):
                client.send(data)
        assert ask_latency(daemon) < LIMIT
        assert rss(daemon) < before + (16 << 20)


@pytest.mark.once
def test_a_subscriber_that_does_not_read_is_dropped(house):
    daemon = house.run(toy(service='restart_delay = "1ms"; restart_max_delay = "1ms";', workers=48))
    daemon.ctl("wait", "site", "--for=running")
    with authenticate(connect(daemon)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        client.sendall(call("Subscribe"))
        for _ in range(400):
            daemon.ctl("kill", "site", "-s", "KILL", "--quiet")
            if clients(daemon) == 1:
                break
        assert clients(daemon) == 1, "it is dropped"
        assert is_closed(client)


def test_there_are_at_most_64_clients_and_they_leave_again(house):
    daemon = house.run(toy())
    crowd = [connect(daemon) for _ in range(64)]
    refused = connect(daemon)
    assert b"ERROR" in refused.recv(256) and is_closed(refused)
    assert daemon.ctl("list").returncode == 5
    for client in [*crowd, refused]:
        client.close()
    wait_answers(lambda: daemon.ctl("list").returncode, lambda seen: seen[-1] == 0, "there is room again")
    assert ask_latency(daemon) < LIMIT


@NEEDS_ROOT
def test_16_of_one_user_and_a_place_for_root(house):
    """As somebody of control_group, who may connect and is not root."""
    daemon = house.run(f'''
        daemon: {{ control_group = "{NOBODY}"; }};
        {toy()}''')
    script = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
held = []
for _ in range(20):
    c = socket.socket(socket.AF_UNIX); c.settimeout(10); c.connect(sys.argv[1])
    uid = str(os.geteuid()).encode().hex()
    try:
        c.sendall(f"\\0AUTH EXTERNAL {uid}\\r\\n".encode())
        held.append((c, c.recv(100)[:2]))
    except OSError:
        held.append((c, b"ER"))
print(sum(word == b"OK" for _, word in held), flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(["/usr/bin/python3", "-c", script, str(daemon.control)], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as crowd:
        assert int(crowd.stdout.readline()) == 16
        assert ask_latency(daemon) < LIMIT
        crowd.stdin.close()


@NEEDS_ROOT
def test_who_may_connect_is_a_setting(house):
    def config(keys):
        return f'daemon: {{ {keys} }}; {toy()}'

    def as_nobody(control=None):
        return subprocess.run([str(daemon.reuseportctl), "--control", str(control or daemon.control), "list"],
                              user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True,
                              check=False, timeout=DEADLINE).returncode

    daemon = house.run(config(""))
    assert daemon.control.stat().st_mode & 0o777 == 0o600 and as_nobody() == 6
    for keys, mode, code in ((f'control_group = "{NOBODY}";', 0o660, 0),
                             (f'control_group = "{NOBODY}"; control_mode = "0600";', 0o600, 6),
                             ('control_mode = "0666";', 0o666, 6), ("", 0o600, 6)):
        house.write(config(keys), daemon.config.name)
        assert daemon.ctl("reload").returncode == 0
        assert daemon.control.stat().st_mode & 0o777 == mode and as_nobody() == code, keys
    other = daemon.directory / "other"
    house.write(config(f'control_socket = "{other}";'), daemon.config.name)
    assert daemon.ctl("reload").returncode == 0
    assert not daemon.control.exists() and other.is_socket()
    house.write(config('control_group = "nobody-has-this";'), "bad.conf")
    assert "there is no group" in house.command("-t", "-c", house.directory / "bad.conf").stderr
    assert daemon.stop() == 0


@pytest.mark.alone
@NEEDS_ROOT
def test_ten_thousand_connections_of_others(house):
    daemon = house.run(toy())
    daemon.control.chmod(0o666)
    script = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
n = int(sys.argv[2])
for _ in range(n):
    c = socket.socket(socket.AF_UNIX); c.settimeout(10)
    c.connect(sys.argv[1])
    try:
        c.sendall(b"\\0AUTH EXTERNAL 3635353334\\r\\n")
        assert not c.recv(100).startswith(b"OK")
    except OSError:
        pass
    c.close()
"""
    with subprocess.Popen(["/usr/bin/python3", "-c", script, str(daemon.control),
                           str(count(2000, 10000))]) as crowd:
        worst = 0
        while crowd.poll() is None:
            worst = max(worst, ask_latency(daemon, 1))
        assert crowd.returncode == 0
    assert worst < LIMIT
    assert get(8080).status == 200


# ---- figures ----


def hammer(daemon, stop, message):
    with authenticate(connect(daemon)) as client:
        while not stop.is_set():
            client.sendall(message)
            client.recv(65536)


@pytest.mark.alone
def test_status_while_16_clients_hammer(house):
    daemon = house.run(toy(workers=2))
    daemon.ctl("wait", "site", "--for=running")
    stop = threading.Event()
    crowd = [subprocess.Popen([str(house.build / "src/ctl/reuseportctl"), "--control", str(daemon.control),
                               "--json", "events", "--follow"], stdout=subprocess.DEVNULL)
             for _ in range(4)]
    threads = [threading.Thread(target=hammer, args=(daemon, stop, call("ListServices")))
               for _ in range(12)]
    for thread in threads:
        thread.start()
    waits = []
    try:
        for _ in range(count(100, 1000)):
            begin = time.monotonic()
            assert daemon.ctl("--json", "status", "site").returncode == 0
            waits.append(time.monotonic() - begin)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for process in crowd:
            process.terminate()
            process.wait()
    p99 = statistics.quantiles(waits, n=100)[98]
    print(f"status, 16 clients: p50 {statistics.median(waits) * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms")
    assert p99 < LIMIT, sorted(waits)[-5:]


def processor_seconds(pid):
    """What a daemon and the commands that have ended have used of the processor."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        words = file.read().rsplit(")", 1)[1].split()
    ours = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK") + ours.ru_utime + ours.ru_stime


@pytest.mark.alone
def test_list_with_ten_thousand_endpoints(house):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    n = 10000  # one socket each but for the one that is served
    if n + 200 > limit:
        pytest.skip(f"no more than {limit} descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    endpoints = " ".join(f'e{i}: {{ listen_stream = "127.0.{i // 250}.{i % 250 + 1}:8000"; }};' for i in range(n))
    daemon = house.run(f'''endpoints: {{ {endpoints} }};
        services: {{ site: {{ endpoints = ["e0"]; exec_start = ["@TOY@"]; type = "notify"; }}; }};''')
    for verb in ("list", "list-endpoints"):
        waits, costs = [], []
        for _ in range(5):
            begin, spent = time.monotonic(), processor_seconds(daemon.pid)
            result = daemon.ctl("--json", verb)
            waits.append(time.monotonic() - begin)
            costs.append(processor_seconds(daemon.pid) - spent)
            assert result.returncode == 0
        if verb == "list-endpoints":
            assert len(json.loads(result.stdout)["endpoints"]) == n
        print(f"{verb}, {n} endpoints: {min(waits) * 1e3:.0f} ms, of which processor {min(costs) * 1e3:.0f} ms")
        assert min(waits) < 2 * LIMIT, (verb, waits, costs)
    assert daemon.stop() == 0


def test_nobody_exists_here():
    """What these tests call another user is one, and has no rights."""
    assert pwd.getpwuid(NOBODY).pw_name
