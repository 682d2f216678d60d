"""What `reuseportctl status` says of a service that somebody should look at."""

import socket
from pathlib import Path

import hostile
from house import DEADLINE, get, toy, wait_answers


def hints(daemon, name="site"):
    return daemon.ask("status", name)["hints"]


def wait_hint(daemon, words):
    found = wait_answers(lambda: hints(daemon), lambda found: any(words in h for h in found[-1]), words)[-1]
    assert len(found) == 1, found
    return found[0]


def test_a_service_without_faults_has_no_hints(house):
    daemon = house.run(toy())
    assert get(8080).status == 200
    assert hints(daemon) == []


CONNECT = """
import struct
listener = socket.socket(fileno=3)
Speaker().say("READY=1")
if os.environ["REUSEPORTD_WORKER"] == "1" and os.environ["REUSEPORTD_GENERATION"] == "1" and os.path.exists("FLAG"):
    os.unlink("FLAG")
    listener.connect(("127.0.0.1", 9))
    tell("hostile")
while True:
    data, peer = listener.recvfrom(100)
    listener.sendto(os.environ["REUSEPORTD_WORKER"].encode(), peer)
"""


def test_a_datagram_socket_that_a_worker_has_connected_is_told_and_can_be_put_right(house):
    """The kernel takes it out of the group, and nothing says so."""
    flag = house.directory / "flag"
    flag.touch()
    path = hostile.script(house, CONNECT.replace("FLAG", str(flag)))
    endpoint = 'dns: { listen_datagram = "127.0.0.1:5300"; };'
    service = f'services: {{ {hostile.service(path, endpoint="dns", workers=2)} }};'
    daemon = house.run(f"endpoints: {{ {endpoint} }}; {service}")
    daemon.log.wait("worker: hostile")
    assert "take dns out of the settings" in wait_hint(daemon, "were connected by a worker")
    daemon.log.wait("Endpoint dns: a worker has connected a datagram socket that it shares with us")

    house.write("")
    assert daemon.ctl("reload").returncode == 0
    wait_answers(daemon.workers, lambda found: found[-1] == [], "its workers are gone")
    house.write(f"endpoints: {{ {endpoint} }}; {service}")
    assert daemon.ctl("reload").returncode == 0
    assert daemon.ctl("wait", "site", "--for=running").returncode == 0
    assert hints(daemon) == []

    def ask():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(DEADLINE)
            client.sendto(b"who", ("127.0.0.1", 5300))
            return client.recv(10)

    wait_answers(ask, lambda found: set(found) == {b"0", b"1"} and len(found) > 20, "both answer, and nobody is lost")
    assert len(daemon.log.times_of("has connected a datagram socket")) == 1
    assert daemon.stop() == 0


def shell(house, script):
    return house.run(f'''
        endpoints: {{ web: {{ listen_stream = ":8080"; }}; }};
        services: {{ site: {{ endpoints = ["web"]; exec_start = ["/bin/sh", "-c", "{script}"]; type = "notify"; }}; }};
    ''')


def test_a_shell_around_the_program_is_told(house):
    daemon = shell(house, f"{house.toy}; true")
    assert "exec PROGRAM" in wait_hint(daemon, "LISTEN_PID")
    assert daemon.stop() == 0  # a shell does not pass on the end of the daemon


def test_a_shell_that_becomes_the_program_is_fine(house):
    daemon = shell(house, f"exec {house.toy}")
    assert get(8080).status == 200
    assert hints(daemon) == []


def test_a_program_that_runs_and_accepts_nobody_is_told_with_what_its_preset_needs(house):
    daemon = house.run('''
        endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; };
        services: { site: { endpoints = ["web"]; exec_start = ["/bin/sleep", "600"]; preset = "nginx"; }; };
    ''')
    text = wait_hint(daemon, "has accepted nobody")
    assert "127.0.0.1:8080" in text and "daemon off" in text


def test_a_worker_that_is_ready_and_accepts_nobody_is_told(house):
    daemon = house.run(toy(["--accept=0"]))
    daemon.log.wait("toy: .* ready")
    with socket.create_connection(("127.0.0.1", 8080)):
        assert "1 connections wait" in wait_hint(daemon, "none is accepted")


def test_a_backlog_that_is_cut_is_told(house):
    limit = int(Path("/proc/sys/net/core/somaxconn").read_text())
    daemon = house.run(toy(listen=f'listen_stream = ":8080"; backlog = {limit + 1};'))
    assert get(8080).status == 200
    assert str(limit) in wait_hint(daemon, "backlog")


def test_a_signal_that_cuts_requests_is_told(house):
    daemon = house.run(toy(service='preset = "nginx"; kill_signal = "SIGTERM"; fd_protocol = "systemd";'))
    assert get(8080).status == 200
    assert "SIGQUIT" in wait_hint(daemon, "cuts the requests")
