"""How a program of another dialect learns of its sockets, and what templates become."""

import json
import os
import re
import socket
from pathlib import Path

import pytest
from house import DEADLINE, command_of, wait_answers

# Says what it was given, in one line, and stays.
TELL = '''
import json, os, signal, stat, sys
fds = {}
for name in os.listdir("/proc/self/fd"):
    try:
        status = os.fstat(int(name))
        fds[int(name)] = [stat.S_ISSOCK(status.st_mode), status.st_ino]
    except OSError:
        pass  # the listing itself
print(json.dumps({"argv": sys.argv[1:], "env": dict(os.environ), "fds": fds,
                  "directory": os.getcwd(), "mask": os.umask(0)}), flush=True)
signal.pause()
'''

TWO = ('web: { listen_stream = ["127.0.0.1:8080", "[::1]:8081"]; file_descriptor_name = "http"; }; '
       'more: { listen_stream = ":9090"; };')


def tell(house, endpoints=TWO, names='"web", "more"', arguments="", service=""):
    """What a worker tells that runs TELL; and its daemon."""
    script = house.directory / "tell.py"
    script.write_text(TELL)
    words = f'"/usr/bin/python3", "{script}"' + (f", {arguments}" if arguments else "")
    daemon = house.run(f'''
        endpoints: {{ {endpoints} }};
        services: {{ site: {{ endpoints = [{names}]; exec_start = [{words}];
                              kill_signal = "SIGKILL"; {service} }}; }};
    ''')
    line = daemon.log.wait(r'^\{"argv.*\}$').group(0)
    told = json.loads(line)
    told["fds"] = {int(n): f for n, f in told["fds"].items()}
    return told, daemon


def sockets_of(told):
    return sorted(n for n, (is_socket, _) in told["fds"].items() if is_socket)


ROWS = [
    ("systemd", {"LISTEN_FDS": "3", "LISTEN_FDNAMES": "http:http:more"}),
    ("nginx", {"NGINX": "3;4;5;"}),
    ("server-starter", {"SERVER_STARTER_PORT": "127.0.0.1:8080=3;[::1]:8081=4;[::]:9090=5"}),
    ("fpm", {"FPM_SOCKETS": "127.0.0.1:8080=3,[::1]:8081=4,[::]:9090=5"}),
    ("nghttpx", {"NGHTTPX_ACCEPT_1": "tcp,3", "NGHTTPX_ACCEPT_2": "tcp,4", "NGHTTPX_ACCEPT_3": "tcp,5"}),
    ("args", {}),
]
DIALECTS = ("LISTEN_", "NGINX", "SERVER_STARTER", "FPM_", "NGHTTPX_")


@pytest.mark.parametrize(("protocol", "wanted"), ROWS)
def test_each_protocol_has_its_variables_and_no_others(house, protocol, wanted):
    told, _ = tell(house, service=f'fd_protocol = "{protocol}";')
    spoken = {n: v for n, v in told["env"].items() if n.startswith(DIALECTS)}
    if protocol == "systemd":
        assert int(spoken.pop("LISTEN_PID")) > 1
    assert spoken == wanted
    assert sockets_of(told) == [3, 4, 5]
    assert told["env"]["NOTIFY_SOCKET"]


def test_inetd_has_its_socket_as_0(house):
    told, _ = tell(house, 'web: { listen_stream = "127.0.0.1:8080"; };', '"web"', '"%{fd:web}"',
                   'fd_protocol = "inetd";')
    assert sockets_of(told) == [0]
    assert told["argv"] == ["0"]
    assert not any(n.startswith(DIALECTS) for n in told["env"])


def test_templates_are_expanded_in_arguments_environment_and_directory(house):
    place = house.directory / "site-blue-0"
    place.mkdir()
    told, _ = tell(house, arguments='"%n/%g/%c/%i/%%", "%{fd:web}", "%{fd:web.1}", "--port=%{port:more}"',
                   service=f'working_directory = "{house.directory}/%n-%c-%i"; '
                           'environment = ["A=%{port:web.1}", "B=50%%", "NGINX=mine"]; '
                           'fd_protocol = "args";')
    assert told["argv"] == ["site/1/blue/0/%", "3", "4", "--port=9090"]
    assert told["env"]["A"] == "8081" and told["env"]["B"] == "50%" and told["env"]["NGINX"] == "mine"
    assert told["directory"] == str(place)


def test_what_we_say_of_sockets_wins_over_the_settings(house):
    told, _ = tell(house, service='fd_protocol = "nginx"; environment = "NGINX=9;";')
    assert told["env"]["NGINX"] == "3;4;5;"


def test_a_port_that_was_picked_is_known_by_template(house):
    told, _ = tell(house, 'web: { listen_stream = "127.0.0.1:0"; };', '"web"', '"%{port:web}"')
    port = int(told["argv"][0])
    assert told["env"]["REUSEPORTD_ADDRESS_WEB"] == f"127.0.0.1:{port}"
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE):
        pass


def test_a_per_cent_sign_that_was_passed_is_no_template(house):
    script = house.directory / "tell.py"
    script.write_text(TELL)
    daemon = house.run(f'''
        endpoints: {{ web: {{ listen_stream = ":8080"; }}; }};
        services: {{ site: {{ endpoints = ["web"]; exec_start = ["/usr/bin/python3", "{script}"];
                              kill_signal = "SIGKILL"; pass_environment = "RATE"; }}; }};
    ''', environment={"RATE": "50% of %n"})
    told = json.loads(daemon.log.wait(r'^\{"argv.*\}$').group(0))
    assert told["env"]["RATE"] == "50% of %n"


@pytest.mark.parametrize(("protocol", "is_nonblocking"),
                         [("systemd", False), ("server-starter", False), ("fpm", False),
                          ("nginx", True), ("nghttpx", True)])
def test_sockets_block_or_not_as_the_program_expects(house, protocol, is_nonblocking):
    """nginx takes it for granted that what it inherits does not block; others call accept() and wait."""
    daemon = house.run(f'''
        endpoints: {{ web: {{ listen_stream = "127.0.0.1:8080"; }}; }};
        services: {{ site: {{ endpoints = ["web"]; exec_start = ["/bin/sleep", "1000"];
                              fd_protocol = "{protocol}"; }}; }};
    ''')
    pid = wait_answers(daemon.workers, lambda seen: seen[-1], "it runs")[-1][0]
    wait_answers(lambda: command_of(pid), lambda seen: "sleep" in seen[-1], "it is executed")
    flags = int(re.search(r"flags:\s+(\d+)", Path(f"/proc/{pid}/fdinfo/3").read_text()).group(1), 8)
    assert bool(flags & os.O_NONBLOCK) == is_nonblocking
