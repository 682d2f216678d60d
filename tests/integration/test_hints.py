"""What `reuseportctl status` says of a service that somebody should look at."""

import socket
from pathlib import Path

from house import get, toy, wait_answers


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
