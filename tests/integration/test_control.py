"""reuseportctl and the bus: every verb, its JSON, its exit codes."""

import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from house import SOURCES, Process, Request, get, toy, wait_answers

jsonschema = pytest.importorskip("jsonschema", reason="python3-jsonschema is not installed")

NEEDS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="needs root: a client of another user")
SCHEMA = json.loads((Path(__file__).parent / "reuseportctl.schema.json").read_text())
NOBODY = 65534

OK, FAILED, USAGE, NOT_ACTIVE, NO_SUCH_NAME, NOT_REACHABLE, DENIED = range(7)
TIMED_OUT, BAD_CONFIG = 8, 78


def check(what, text):
    """Each line is one object that the schema of that name describes."""
    validator = jsonschema.Draft202012Validator(SCHEMA | {"$ref": f"#/$defs/{what}"})
    lines = text.strip().split("\n")
    for line in lines:
        validator.validate(json.loads(line))
    return json.loads(lines[0])


def verbs(daemon):
    return [verb["name"] for verb in daemon.ask("help")["verbs"]]


def bind(port):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()


def wait_state(daemon, state, name="site"):
    wait_answers(lambda: daemon.ask("status", name)["state"], lambda seen: seen[-1] == state, state)


def wait_ready(daemon, n, name="site"):
    wait_answers(lambda: daemon.ask("status", name)["workers_ready"], lambda seen: seen[-1] == n,
                 f"{n} workers are ready")


# An endpoint without a service beside the toy's, for those who take one.
FREE = 'listen_stream = ":8080"; }; free: { listen_stream = ":8081";'

# What each verb is called with, what schema its JSON has, and what else must hold afterwards.
CALLS = {
    "list": ([], "list"),
    "list-endpoints": ([], "list-endpoints"),
    "status": (["site"], "status"),
    "show": (["site"], "show"),
    "logs": (["site"], None),
    "start": (["site"], "state of one"),
    "stop": (["site"], "state of one"),
    "scale": (["site=2"], "state of one"),
    "kill": (["site", "--signal", "SIGUSR2"], "state of one"),
    "reset-failed": (["site"], "state of one"),
    "deploy": (["site", "--canary", "50", "--step", "10ms"], "deployed"),
    "restart": (["site"], "deployed"),
    "promote": (["site"], "state of one"),
    "abort": (["site"], "state of one"),
    "rollback": (["site"], "deployed"),
    "exec": (["free", "--", "true"], None),
    "store": (["free"], None),
    "reload": ([], "changes"),
    "reexec": ([], None),
    "check": ([], "check"),
    "wait": (["site", "--for=running"], None),
    "is-active": (["site"], "state of one"),
    "is-failed": (["site"], "state of one"),
    "events": ([], "event"),
    "help": ([], "help"),
}


@pytest.fixture
def journalctl(tmp_path):
    """A journal that answers with what it was asked."""
    program = tmp_path / "journalctl"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


def prepare(daemon, verb):
    """A deploy that can be promoted or aborted; none that is in the way."""
    if verb in ("deploy", "restart", "promote", "abort", "rollback"):
        wait_answers(lambda: daemon.ask("status", "site")["deploy"], lambda seen: not seen[-1], "no deploy")
    if verb in ("promote", "abort"):
        assert daemon.ctl("deploy", "site", "--preview").returncode == OK


def test_every_verb_of_the_table_answers_people_and_programs(house, journalctl):
    daemon = house.run(toy(workers=2, service='restart_delay = "1ms";', listen=FREE))
    wait_ready(daemon, 2)
    assert sorted(verbs(daemon)) == sorted(CALLS), "a verb without a test, or a test without a verb"
    for verb, (arguments, schema) in CALLS.items():
        if verb == "kill":
            daemon.ctl("start", "site")
        wanted = FAILED if verb in ("is-failed", "store") else OK  # there is no NOTIFY_SOCKET here
        prepare(daemon, verb)
        for_people = daemon.ctl(verb, *arguments, env=journalctl)
        assert for_people.returncode == wanted, (verb, for_people)
        if verb == "stop":
            daemon.ctl("start", "site")
        if verb == "kill":
            wait_ready(daemon, 2)
        prepare(daemon, verb)
        for_programs = daemon.ctl("--json", verb, *arguments, env=journalctl)
        assert for_programs.returncode == wanted, (verb, for_programs)
        if schema:
            check(schema, for_programs.stdout)
        if verb == "kill":
            wait_ready(daemon, 2)
        prepare(daemon, verb)
        quiet = daemon.ctl("--quiet", verb, *arguments, env=journalctl)
        if verb not in ("help", "logs"):
            assert not quiet.stdout, (verb, quiet)
        if verb == "stop":
            daemon.ctl("start", "site")
    assert daemon.stop() == 0


def test_every_verb_is_in_the_manual_and_has_help(house):
    daemon = house.run(toy())
    page = (house.build / "man/reuseportctl.1").read_text()
    for verb in verbs(daemon):
        assert f".It Cm {verb}" in page
        assert verb in daemon.ctl("help", verb).stdout
        assert verb in daemon.ctl("--help").stdout


def test_the_global_options(house):
    daemon = house.run(toy())
    assert daemon.ctl("--no-legend", "list").stdout.startswith("site ")
    assert daemon.ctl("list", "--no-pager").stdout.startswith("NAME ")
    assert "\x1b" not in daemon.ctl("status", "site").stdout, "coloured, and not on a terminal"
    assert daemon.ctl().stdout == daemon.ctl("list").stdout


def test_logs_asks_the_journal_for_the_right_lines(house, journalctl):
    daemon = house.run(toy())
    asked = daemon.ctl("logs", "site", "-f", env=journalctl).stdout.split()
    assert asked == ["SYSLOG_IDENTIFIER=reuseportd", "SERVICE=site", "+", "SYSLOG_IDENTIFIER=site", "--follow"]
    without = daemon.ctl("logs", "site", env={"PATH": "/nowhere"})
    assert without.returncode == FAILED and "journalctl" in without.stderr


# ---- exit codes ----


def test_usage(house):
    daemon = house.run(toy())
    for words in (["lst"], ["list", "x"], ["stop"], ["list", "--follow"], ["kill", "site", "-s", "SIGX"],
                  ["--timeout", "soon", "list"], ["wait", "site"], ["wait", "site", "--for=lunch"],
                  ["--what"], ["help", "nothing"]):
        result = daemon.ctl(*words)
        assert result.returncode == USAGE, (words, result)
        assert result.stderr, words
    assert "perhaps \"list\"" in daemon.ctl("lst").stderr


def test_no_such_name_names_the_nearest(house):
    daemon = house.run(toy())
    for verb in ("status", "show", "start", "stop", "kill", "reset-failed", "is-active", "is-failed"):
        result = daemon.ctl(verb, "sitr")
        assert result.returncode == NO_SUCH_NAME, (verb, result)
        assert 'perhaps "site"' in result.stderr, verb
    assert daemon.ctl("wait", "sitr", "--for=running").returncode == NO_SUCH_NAME
    assert daemon.ctl("status", "../x%\n").returncode == NO_SUCH_NAME


def test_not_reachable(house):
    daemon = house.run(toy())
    assert daemon.stop() == 0
    assert not daemon.control.exists(), "it leaves no socket behind"
    result = daemon.ctl("list")
    assert result.returncode == NOT_REACHABLE and "start reuseportd" in result.stderr


def test_a_daemon_that_dies_while_somebody_waits(house):
    daemon = house.run(toy())
    waiting = subprocess.Popen([str(house.build / "src/ctl/reuseportctl"), "--control",
                                str(daemon.control), "events", "--follow", "--json"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    waiting.stdout.readline()
    daemon.signal(signal.SIGKILL)
    assert waiting.wait(20) == NOT_REACHABLE
    waiting.stdout.close()
    waiting.stderr.close()


def test_a_dead_socket_is_replaced_and_a_living_one_is_not(house):
    first = house.run(toy())
    second = house.start(toy(listen='listen_stream = ":8081";'),
                         arguments=["--control", str(first.control)])
    assert second.wait() == 1
    second.log.wait("somebody listens there")
    assert first.ctl("list").returncode == OK
    first.signal(signal.SIGKILL)
    first.wait()
    assert first.control.exists()
    third = house.run(toy(listen='listen_stream = ":8081";'),
                      arguments=["--control", str(first.control)])
    assert first.ctl("list").returncode == OK
    assert third.stop() == 0


@NEEDS_ROOT
def test_access_denied(house):
    daemon = house.run(toy())
    for mode in (0o600, 0o666):  # by the kernel at the socket; by us, who look at who it is
        daemon.control.chmod(mode)
        for verb, (arguments, _) in CALLS.items():
            if verb in ("help", "logs", "check", "store"):
                continue
            result = daemon.ctl(verb, *arguments, user=NOBODY, group=NOBODY, extra_groups=[])
            assert result.returncode == DENIED, (oct(mode), verb, result)
            assert "denied" in result.stderr
    assert get(8080).status == 200


def test_timed_out(house):
    daemon = house.run(toy(["--ready=never"]))
    assert daemon.ctl("wait", "site", "--for=running", "--timeout", "100ms").returncode == TIMED_OUT
    daemon.signal(signal.SIGSTOP)
    assert daemon.ctl("list", "--timeout", "100ms").returncode == TIMED_OUT
    daemon.signal(signal.SIGCONT)
    assert daemon.ctl("list").returncode == OK


def test_check_needs_no_daemon(house):
    daemon = house.run(toy())
    bad = house.write("endpoints: { web: { listen_strem = 1; }; };", "bad.conf")
    result = daemon.ctl("check", bad)
    assert result.returncode == BAD_CONFIG and f"{bad}:1: " in result.stderr
    assert daemon.ctl("check").returncode == OK, "without a file, the daemon's"
    daemon.stop()
    assert daemon.ctl("check", bad).returncode == BAD_CONFIG
    assert not check("check", daemon.ctl("--json", "check", bad).stdout)["good"]
    assert daemon.ctl("check", daemon.config).returncode == OK


# ---- what the verbs do ----


def test_stop_refuses_at_once_keeps_the_port_and_start_listens_again(house):
    daemon = house.run(toy(workers=2))
    wait_state(daemon, "running")
    slow = Request(8080, "/sleep/1000")
    slow.wait_sent()
    stopping = subprocess.Popen([str(house.build / "src/ctl/reuseportctl"), "--control",
                                 str(daemon.control), "stop", "site"])
    daemon.log.wait("stopped by request")
    with pytest.raises(ConnectionRefusedError):
        get(8080)
    with pytest.raises(OSError):
        bind(8080)
    assert slow.answer().status == 200, "an established connection is served"
    assert stopping.wait(20) == OK
    assert daemon.ctl("is-active", "site").returncode == NOT_ACTIVE
    assert daemon.ask("list-endpoints")["endpoints"][0]["listening"] is False
    assert daemon.ctl("start", "site").returncode == OK
    assert get(8080).status == 200
    assert daemon.ask("status", "site")["generation"] == 2
    assert daemon.stop() == 0


def test_start_while_it_stops_takes_another_bank(house):
    daemon = house.run(toy())
    wait_state(daemon, "running")
    slow = Request(8080, "/sleep/1500")
    slow.wait_sent()
    assert daemon.ctl("stop", "site", "--timeout", "100ms").returncode == TIMED_OUT
    assert daemon.ctl("start", "site").returncode == OK
    now = daemon.ask("status", "site")
    assert now["color"] == "green" and now["state"] == "running"
    assert {w["color"] for w in now["workers"]} == {"blue", "green"}
    assert get(8080).status == 200
    assert slow.answer().status == 200
    assert daemon.ctl("kill", "site", "--old").returncode in (OK, FAILED)


def test_start_says_when_workers_end_before_they_are_ready(house):
    daemon = house.run(toy(["--ready=never", "--exit-after=0", "--exit-code=1"], service='restart_delay = "1ms";'))
    assert daemon.ctl("stop", "site").returncode == OK
    result = daemon.ctl("start", "site")
    assert result.returncode == FAILED and "before they are ready" in result.stderr
    wait_answers(lambda: daemon.ask("status", "site")["hints"],
                 lambda seen: any("before they are ready" in hint for hint in seen[-1]), "a hint")


def test_failed_is_told_and_forgotten(house):
    daemon = house.run(toy(["--ready=never", "--exit-after=0", "--exit-code=1"], service='restart = "no";'))
    wait_state(daemon, "failed")
    assert daemon.ctl("is-failed", "site").returncode == OK
    assert daemon.ctl("is-active", "site").returncode == NOT_ACTIVE
    assert any("start site" in hint for hint in daemon.ask("status", "site")["hints"])
    assert daemon.ctl("reset-failed", "site").returncode == OK
    assert daemon.ctl("is-failed", "site").stdout == "stopped\n"


def test_kill_reaches_every_worker(house):
    daemon = house.run(toy(workers=3, service='restart = "no";'))
    wait_state(daemon, "running")
    workers = [Process(w["pid"]) for w in daemon.ask("status", "site")["workers"]]
    assert daemon.ctl("kill", "site", "-s", "SIGKILL").returncode == OK
    for worker in workers:
        worker.wait_gone()
        worker.close()
    wait_state(daemon, "failed")
    assert daemon.ctl("kill", "site").returncode == FAILED, "there is nobody"


def test_connections_are_counted(house):
    daemon = house.run(toy())
    wait_state(daemon, "running")
    requests = [Request(8080, "/sleep/2000") for _ in range(3)]
    for request in requests:
        request.wait_sent()
    assert daemon.ask("status", "site")["connections"] == {"blue": 3}
    for request in requests:
        request.answer()


def test_events_have_no_gap(house):
    daemon = house.run(toy(workers=2, service='restart_delay = "1ms";'))
    wait_state(daemon, "running")
    follow = subprocess.Popen([str(house.build / "src/ctl/reuseportctl"), "--control",
                               str(daemon.control), "events", "--follow", "--json"],
                              stdout=subprocess.PIPE, text=True)
    seen = [json.loads(follow.stdout.readline())]
    for i in range(1, 6):
        assert daemon.ctl("kill", "site", "-s", "SIGKILL").returncode == OK
        wait_answers(lambda: daemon.ask("status", "site"),
                     lambda seen, n=2 * i: (seen[-1]["restarts"], seen[-1]["workers_ready"]) == (n, 2),
                     "both are replaced")
    last = daemon.ask("status", "site")["sequence"]
    while seen[-1]["sequence"] < last:
        seen.append(json.loads(follow.stdout.readline()))
    follow.terminate()
    follow.wait()
    follow.stdout.close()
    assert [e["sequence"] for e in seen] == list(range(1, seen[-1]["sequence"] + 1))
    assert {"gone", "starting", "ready"} <= {e["state"] for e in seen if e["type"] == "worker"}


# ---- busctl ----


def busctl(daemon, *words):
    return subprocess.run(["busctl", f"--address=unix:path={daemon.control}", *words],
                          capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.skipif(shutil.which("busctl") is None, reason="busctl is not installed")
def test_busctl_call_introspect_and_tree(house):
    daemon = house.run(toy())
    tree = busctl(daemon, "tree", "--list", "org.reuseportd")
    assert tree.returncode == 0
    assert {"/org/reuseportd/service/site", "/org/reuseportd/endpoint/web"} <= set(tree.stdout.split())
    for path, interface in (("", "Manager"), ("/service/site", "Service"), ("/endpoint/web", "Endpoint")):
        text = busctl(daemon, "introspect", "org.reuseportd", f"/org/reuseportd{path}").stdout
        assert f"org.reuseportd.{interface}" in text
    called = busctl(daemon, "call", "org.reuseportd", "/org/reuseportd", "org.reuseportd.Manager",
                    "ListServices")
    assert called.returncode == 0 and '"site"' in called.stdout
    refused = busctl(daemon, "call", "org.reuseportd", "/org/reuseportd/service/site",
                     "org.reuseportd.Service", "Kill", "ib", "9999", "false")
    assert refused.returncode != 0 and "9999 is no signal" in refused.stderr


def test_errors_are_named_in_one_place():
    """The bus alone speaks of D-Bus error names; and ctl, which reads them, knows no header of ours."""
    for path in (SOURCES / "src/daemon").glob("*.[ch]"):
        if path.name != "bus-error.c":
            assert "org.reuseportd.Error" not in path.read_text(), path
