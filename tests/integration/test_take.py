"""exec: a program under any supervisor takes sockets, and somebody always reads them or nobody gets in."""

import json
import os
import signal
import socket
import subprocess

import pytest
from house import Lines, Process, descriptors_of, get, toy, wait_answers
from test_crash import Kept, kept
from test_reexec import reexec

OK, FAILED, USAGE, NOT_ACTIVE, NO_SUCH_NAME, NOT_REACHABLE, DENIED = range(7)
NOBODY = 65534
NEEDS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="needs root: a client of another user")

FREE = '''endpoints: {
    web: { listen_stream = ["127.0.0.1:8080", "127.0.0.1:8081"]; };
    api-v2: { listen_stream = "127.0.0.1:8082"; file_descriptor_name = "the api"; %s };
};'''

PRINT = ["/usr/bin/python3", "-c", "import json, os; print(json.dumps([dict(os.environ), os.getpid(), "
         "sorted(int(fd) for fd in os.listdir('/proc/self/fd'))]))"]


def is_refused(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def wait_refused(port):
    wait_answers(lambda: is_refused(port), lambda seen: seen[-1], f"port {port} refuses")


@pytest.fixture
def serve(house):
    """A toy that took its sockets by exec, as a supervisor would run it."""
    started = []

    def run(daemon, *endpoints, arguments=(), **options):
        popen = subprocess.Popen(
            [str(daemon.reuseportctl), "--control", str(daemon.control), "exec", *endpoints, "--",
             str(house.toy), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
        started.append(popen)
        Lines(popen.stdout).wait(f"{popen.pid} ready")
        return popen

    yield run
    for popen in started:
        popen.kill()
        popen.wait()


def test_a_program_is_given_what_a_worker_would_be(house):
    daemon = house.run(FREE % "")
    result = daemon.ctl("exec", "web", "api-v2", "--", *PRINT, env={"A": "b", "LISTEN_FDS": "77"})
    variables, pid, fds = json.loads(result.stdout)
    assert variables["A"] == "b"
    assert variables["LISTEN_FDS"] == "3" and int(variables["LISTEN_PID"]) == pid
    assert variables["LISTEN_FDNAMES"] == "web:web:the api"
    assert variables["REUSEPORTD_ADDRESS_WEB"] == "127.0.0.1:8080 127.0.0.1:8081"
    assert variables["REUSEPORTD_ADDRESS_API_V2"] == "127.0.0.1:8082"
    assert fds[:6] == [0, 1, 2, 3, 4, 5] and len(fds) == 7, "and the one that lists them"


def test_sockets_block_unless_they_shall_not(house):
    daemon = house.run(FREE % "")
    flags = ["/usr/bin/python3", "-c", "import fcntl, os; print(fcntl.fcntl(3, fcntl.F_GETFL) & os.O_NONBLOCK != 0)"]
    for option, said in (([], "False"), (["--nonblock"], "True"), ([], "False")):
        assert daemon.ctl("exec", *option, "web", "--", *flags).stdout.strip() == said
        daemon.log.wait("Endpoint web: pid .* is gone", times=len(daemon.log.times_of("Endpoint web: taken")))


def test_an_endpoint_listens_while_somebody_has_taken_it(house, serve):
    daemon = house.run(FREE % "")
    assert is_refused(8082)
    first = serve(daemon, "api-v2")
    assert get(8082).pid == first.pid
    assert is_refused(8080), "that one was not taken"

    second = serve(daemon, "api-v2")            # beside the first: no gap when that one ends
    first.send_signal(signal.SIGKILL)
    daemon.log.wait(f"Endpoint api-v2: pid {first.pid} is gone")
    assert get(8082).pid == second.pid

    second.send_signal(signal.SIGKILL)
    daemon.log.wait("it refuses until somebody takes it")
    wait_refused(8082)
    third = serve(daemon, "api-v2")
    assert get(8082).pid == third.pid
    assert daemon.stop() == 0
    assert get(8082).pid == third.pid, "what it was given is its own"


def test_a_program_that_cannot_run_leaves_the_port_refusing(house):
    daemon = house.run(FREE % "")
    result = daemon.ctl("exec", "api-v2", "--", "/nowhere/server")
    assert result.returncode == FAILED and "/nowhere/server: No such file" in result.stderr
    daemon.log.wait("Endpoint api-v2: pid .* is gone")
    assert is_refused(8082)


def test_what_cannot_be_taken(house):
    daemon = house.run(toy())
    for words, code, message in (
            (["exec", "web", "--", "true"], FAILED, "belongs to service site"),
            (["exec", "wbe", "--", "true"], NO_SUCH_NAME, 'no endpoint "wbe"'),
            (["exec", "web"], USAGE, "usage"),
            (["exec", "web", "true"], USAGE, "usage"),
            (["exec", "--", "true", "x"], USAGE, "usage"),
            (["store", "web"], FAILED, "NotifyAccess=exec")):
        result = daemon.ctl(*words)
        assert result.returncode == code and message in result.stderr, (words, result)
    assert get(8080).status == 200


@NEEDS_ROOT
def test_only_whom_allow_users_names_may_take(house, serve):
    daemon = house.run(FREE % f'allow_users = ["{NOBODY}"];')
    someone = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    popen = serve(daemon, "api-v2", **someone)
    assert get(8082).pid == popen.pid
    result = daemon.ctl("exec", "web", "--", "true", **someone)
    assert result.returncode == DENIED and "endpoints.web.allow_users" in result.stderr
    daemon.log.wait(f"Refused: uid {NOBODY}")
    assert is_refused(8080)

    for verb in (["list"], ["stop", "x"], ["reload"]):
        assert daemon.ctl(*verb, **someone).returncode == DENIED
        beside = daemon.ctl("--control", f"{daemon.control}-take", *verb, **someone)
        assert beside.returncode != OK and "Unknown method" in beside.stderr


@NEEDS_ROOT
def test_where_nobody_is_named_nobody_else_is_let_in(house):
    daemon = house.run(FREE % "")
    assert not os.path.exists(f"{daemon.control}-take")
    result = daemon.ctl("exec", "web", "--", "true", user=NOBODY, group=NOBODY, extra_groups=[])
    assert result.returncode == DENIED and "denied" in result.stderr

    house.write(FREE % f'allow_users = ["{NOBODY}"];')
    assert daemon.ctl("reload").returncode == OK
    result = daemon.ctl("exec", "api-v2", "--", "true", user=NOBODY, group=NOBODY, extra_groups=[])
    assert result.returncode == OK

    house.write(FREE % "")
    assert daemon.ctl("reload").returncode == OK
    assert not os.path.exists(f"{daemon.control}-take")


@NEEDS_ROOT
def test_strangers_at_the_open_socket_cannot_keep_others_out(house, serve):
    """Connections that say nothing, of one user and of many: root comes in, and so do those who manage."""
    daemon = house.run(FREE % f'allow_users = ["{NOBODY}"];')
    held = []
    for _ in range(40):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.connect(f"{daemon.control}-take")
        held.append(client)
    assert daemon.ctl("list").returncode == OK
    popen = serve(daemon, "api-v2")
    assert get(8082).pid == popen.pid
    for client in held:
        client.close()


def test_a_taken_endpoint_is_not_given_to_a_service_by_a_reload(house, serve):
    daemon = house.run(FREE % "")
    popen = serve(daemon, "api-v2")
    house.write((FREE % "") + f'''services: {{ site: {{ endpoints = ["api-v2"];
        exec_start = ["{house.toy}"]; type = "notify"; }}; }};''')
    result = daemon.ctl("reload")
    assert result.returncode == FAILED and f"pid {popen.pid}" in result.stderr, result
    assert get(8082).pid == popen.pid

    with Process(popen.pid) as process:
        popen.kill()
        process.wait_gone()
    daemon.log.wait(f"pid {popen.pid} is gone")
    assert daemon.ctl("reload").returncode == OK
    assert get(8082).status == 200


def test_an_endpoint_that_leaves_the_settings_refuses(house, serve):
    daemon = house.run(FREE % "")
    serve(daemon, "api-v2")
    house.write("endpoints: { web: { listen_stream = [\"127.0.0.1:8080\", \"127.0.0.1:8081\"]; }; };")
    assert daemon.ctl("reload").returncode == OK
    assert is_refused(8082)


# ---- while the daemon is replaced ----


class Replaced:
    """A daemon with endpoints to be taken, below a keeper, that goes on as another process or program."""

    def __init__(self, house, way):
        self.daemon, self.way = house.run(kept(FREE % "")), way
        self.below = Kept(self.daemon)

    def replace(self):
        if self.way == "killed":
            self.below.kill()
        else:
            reexec(self.daemon)

    def n_kept(self):
        """So many descriptors the keeper has."""
        return len(descriptors_of(self.daemon.pid))


@pytest.fixture(params=["executed anew", "killed"])
def replaced(house, request):
    return Replaced(house, request.param)


def test_who_has_taken_an_endpoint_has_it_while_the_daemon_is_replaced(replaced, serve):
    daemon, n_kept = replaced.daemon, replaced.n_kept()
    first = serve(daemon, "api-v2")
    replaced.replace()
    assert get(8082).pid == first.pid and is_refused(8080), "that one nobody has taken"
    second = serve(daemon, "api-v2")
    replaced.replace()
    first.send_signal(signal.SIGKILL)
    daemon.log.wait(f"Endpoint api-v2: pid {first.pid} is gone")
    assert get(8082).pid == second.pid

    replaced.replace()
    second.send_signal(signal.SIGKILL)
    daemon.log.wait("it refuses until somebody takes it")
    wait_refused(8082)
    replaced.replace()
    assert is_refused(8082)
    wait_answers(replaced.n_kept, lambda seen: seen[-1] == n_kept, f"{n_kept} descriptors, as before")
    third = serve(daemon, "api-v2")
    replaced.replace()
    assert get(8082).pid == third.pid
    assert daemon.stop() == OK


def test_who_ends_meanwhile_has_it_no_more(house, serve):
    replaced = Replaced(house, "killed")
    daemon, n_kept = replaced.daemon, replaced.n_kept()
    for _ in range(3):
        gone = serve(daemon, "api-v2")
        below = replaced.below.pid()
        os.kill(below, signal.SIGSTOP)
        with Process(gone.pid) as process:
            gone.kill()
            process.wait_gone()
        n = replaced.below.adoptions()
        os.kill(below, signal.SIGKILL)
        daemon.log.wait("services go on", times=n + 1)
        wait_refused(8082)
        wait_answers(replaced.n_kept, lambda seen: seen[-1] == n_kept, f"{n_kept} descriptors, as before")

        after = serve(daemon, "api-v2")     # whose descriptor has the number of the one that is gone
        replaced.replace()
        assert get(8082).pid == after.pid
        after.kill()
        wait_refused(8082)
    assert daemon.stop() == OK
