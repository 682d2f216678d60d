"""Blue/green: what DESIGN calls the deploy machine, driven for real, under load."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import time

import pytest
from house import IS_LONG, Process, Request, count, get, toy, wait_answers

OK, FAILED, ROLLED_BACK = 0, 1, 7
ADDRESS = "--address=127.0.0.1:8080"
QUICK = 'deploy: { progress_deadline = "5s"; step = "200ms"; %s };'


def deploy(daemon, *arguments):
    """Deploys and returns what it says of the end, with the exit code."""
    result = daemon.ctl("--json", "deploy", "site", *arguments)
    assert result.stdout, result
    return json.loads(result.stdout) | {"code": result.returncode}


def deploy_when_a_bank_is_free(daemon, *arguments):
    """Requests of 2 s keep old generations: with four of them a deploy is refused, for a while."""
    return wait_answers(lambda: deploy(daemon, *arguments),
                        lambda seen: "every bank is taken" not in (seen[-1]["reason"] or ""),
                        "a bank is free")[-1]


def settle(daemon):
    """Until no deploy goes on, not even the leaving of an old generation."""
    wait_answers(lambda: daemon.ask("status", "site")["deploy"], lambda seen: seen[-1] is None,
                 "no deploy goes on")


def wait_deploy(daemon, state):
    wait_answers(lambda: daemon.ask("status", "site")["deploy"],
                 lambda seen: seen[-1] and seen[-1]["state"] == state, f"the deploy is {state}")


def generations(n=40):
    """Who answers n new connections: {version: how many}."""
    seen = {}
    for _ in range(n):
        version = get(8080).headers["X-Version"]
        seen[version] = seen.get(version, 0) + 1
    return seen


def new_version(house, number, *switches):
    """Arguments of a deploy of another version."""
    return ["--", house.toy, f"--version={number}", *switches]


def loads(house, seconds):
    """Who uses a server: new connections, keep-alive, and requests that take 2 s."""
    running = [house.load(ADDRESS, "--clients=16", f"--seconds={seconds}"),
               house.load(ADDRESS, "--clients=6", "--keep-alive", f"--seconds={seconds}"),
               house.load(ADDRESS, "--clients=4", "--path=/sleep/2000", f"--seconds={seconds}")]
    return [load.wait_running() for load in running]


def check_lost_nothing(results, show):
    for kind, result in zip(("new connections", "keep-alive", "2 s requests"), results):
        show(f"{kind}: {result['requests']} requests, {result['lost']} lost, "
             f"{result['closed_idle']} closed while idle, {len(result['pids'])} servers")
        assert result["lost"] == 0, (kind, result)
        assert result["requests"] > 0, kind


# ---- under load ----


BUSY = ["--busy=300", "--accept=1", "--hasty"]


@pytest.mark.parametrize("switches", [[], BUSY], ids=["idle", "busy"])
def test_deploys_under_load_lose_nothing(house, show, switches):
    n = count(10, 100)
    daemon = house.run(toy(switches, workers=2))
    running = loads(house, 3600)
    for i in range(n):
        result = deploy_when_a_bank_is_free(daemon, "-E", f"ROUND={i}")
        assert result["result"] == "done" and result["code"] == OK, result
        assert result["cut_connections"] == 0, result
    results = [load.stop() for load in running]
    show(f"{n} deploys")
    check_lost_nothing(results, show)
    # a deploy that did not happen cannot pass: each brought two new processes
    assert len(results[0]["pids"]) == 2 * (n + 1)
    settle(daemon)
    assert daemon.stop() == OK


@pytest.mark.once
def test_plain_overlap_loses_what_a_deploy_does_not(house, show):
    """Old and new with SO_REUSEPORT sockets of their own, as many do it: what is lost by that."""
    n = count(3, 20)
    load_seconds = n + 3
    servers = [overlap_server(house)]
    load = house.load("--address=127.0.0.1:8090", "--clients=16", f"--seconds={load_seconds}").wait_running()
    for _ in range(n):
        new = overlap_server(house)
        wait_answers(pid_there, lambda seen: seen[-1] == new.pid, "the new one answers")
        servers.pop().kill(signal.SIGTERM)
        servers.append(new)
    result = load.result()
    show(f"plain overlap, {n} times: {result['requests']} requests, {result['lost']} lost, "
         f"{result['lost'] / n:.1f} each")
    servers.pop().kill(signal.SIGKILL)
    assert result["requests"] > 0


def pid_there():
    try:
        return get(8090).pid
    except OSError:  # one of those that are lost
        return None


def overlap_server(house):
    """The toy on a SO_REUSEPORT socket of its own; LISTEN_FDS by hand."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", 8090))
    listener.listen(1024)
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.dup2(listener.fileno(), 3, inheritable=True)
            environment = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
            os.execve(house.toy, [str(house.toy), *BUSY], environment)
        os._exit(127)
    listener.close()
    return Process(pid)


def test_more_and_fewer_workers_and_a_shared_queue(house, show):
    config = toy(["--busy=100"], workers=2,
                 listen='listen_stream = ["127.0.0.1:8080", "[::1]:8080"]; shared = true;')
    daemon = house.run(config)
    running = loads(house, 3600)
    for _ in range(count(4, 20)):
        assert deploy_when_a_bank_is_free(daemon)["result"] == "done"
    check_lost_nothing([load.stop() for load in running], show)


# ---- canary ----


def test_a_canary_gets_its_share_and_then_all(house):
    daemon = house.run(toy(["--version=1"], workers=2))
    running = house.load(ADDRESS, "--clients=8", "--seconds=3600").wait_running()
    process = daemon.ctl("deploy", "site", "--no-wait", "--canary", "20", "--step", "1h",
                         *new_version(house, 2))
    assert process.returncode == OK, process
    wait_deploy(daemon, "canary")
    seen = generations(400)
    assert 40 <= seen["2"] <= 130, seen  # 80 and five sigma
    assert daemon.ctl("promote", "site").returncode == OK
    settle(daemon)
    assert set(generations()) == {"2"}
    assert running.stop()["lost"] == 0


def test_by_source_a_client_meets_one_version(house):
    daemon = house.run(toy(["--version=1"], workers=2))
    daemon.ctl("deploy", "site", "--no-wait", "--canary", "50", "--canary-by", "source", "--step", "1h",
               *new_version(house, 2))
    wait_deploy(daemon, "canary")
    seen = {}
    for last in range(1, 61):
        source = f"127.0.1.{last}"
        versions = {from_source(source) for _ in range(4)}
        assert len(versions) == 1, (source, versions)
        seen[source] = versions.pop()
    assert {"1", "2"} == set(seen.values())
    assert daemon.ctl("abort", "site").returncode == OK
    settle(daemon)


def from_source(source):
    with socket.create_connection(("127.0.0.1", 8080), source_address=(source, 0), timeout=5) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: s.recv(4096), b"")).decode()
    return text.split("X-Version: ")[1].split("\r\n")[0]


def test_a_preview_is_seen_through_the_door_only(house):
    daemon = house.run(toy(["--version=1"], workers=2))
    result = deploy(daemon, "--preview", *new_version(house, 2))
    assert result["result"] == "preview" and result["code"] == OK
    assert set(generations()) == {"1"}
    assert {from_source("127.83.0.1") for _ in range(20)} == {"2"}
    assert daemon.ctl("promote", "site").returncode == OK
    settle(daemon)
    assert set(generations()) == {"2"}


# ---- what goes wrong ----

BAD_VERSIONS = {
    "missing": (["--", "/nonexistent/server"], "could not be started: No such file"),
    "exits before ready": (["--ready=never", "--exit-after=100"], "exited with status"),
    "exits at once": (["--exit-after=0", "--exit-code=3"], "exited with status 3"),
    "never ready": (["--ready=never"], "progress_deadline"),
    "forks away": (["--fork-away"], "exited with status 0"),
}


@pytest.mark.parametrize("name", BAD_VERSIONS)
@pytest.mark.once
def test_a_bad_version_is_rolled_back_and_nobody_notices(house, show, name):
    arguments, reason = BAD_VERSIONS[name]
    if arguments[0] != "--":
        arguments = ["--", house.toy, "--version=2", *arguments]
    daemon = house.run(toy(["--version=1"], workers=2, service=QUICK % ""))
    running = loads(house, 3600)
    begun = time.monotonic()
    result = deploy(daemon, *arguments)
    took = time.monotonic() - begun
    assert result["code"] == ROLLED_BACK and result["result"] == "rolled_back", result
    assert reason in result["reason"], result
    assert took < 5 + 1 + 1, took
    settle(daemon)
    results = [load.stop() for load in running]
    check_lost_nothing(results, show)
    assert set(results[0]["versions"]) == {"1"}
    assert len(results[0]["pids"]) == 2
    assert daemon.stop() == OK


@pytest.mark.parametrize("check, switches, reason", [
    ('http = "/status/500";', [], "answered 500"),
    ("tcp = true;", ["--accept=0"], "accepted in time"),
    ('exec = ["/bin/false"];', [], "/bin/false exited with status 1"),
    ('http = "/exit/1";', [], "exited with status 1|closed the connection|reset"),
])
def test_a_version_that_fails_its_check_never_meets_a_visitor(house, show, check, switches, reason):
    health = 'health_check: { %s interval = "100ms"; timeout = "300ms"; };' % check
    daemon = house.run(toy(["--version=1"], workers=2, service=QUICK % health))
    running = loads(house, 3600)
    result = deploy(daemon, *new_version(house, 2, *switches))
    assert result["code"] == ROLLED_BACK, result
    assert any(part in result["reason"] for part in reason.split("|")), result
    settle(daemon)
    results = [load.stop() for load in running]
    check_lost_nothing(results, show)
    assert set(results[0]["versions"]) == {"1"}


def test_a_good_version_passes_every_kind_of_check(house):
    for check in ('http = "/";', "tcp = true;", 'exec = ["/bin/sh", "-c", "test $REUSEPORTD_DOOR = 127.83.0.2"];'):
        health = 'health_check: { %s interval = "50ms"; healthy = 2; };' % check
        daemon = house.run(toy(["--version=1"], workers=3, service=QUICK % health))
        result = deploy(daemon, *new_version(house, 2))
        assert result["result"] == "done", (check, result)
        assert daemon.stop() == OK


def test_a_canary_that_dies_is_rolled_back(house, show):
    daemon = house.run(toy(["--version=1"], workers=2, service=QUICK % ""))
    running = loads(house, 3600)
    daemon.ctl("deploy", "site", "--no-wait", "--canary", "50", "--step", "1h", "--id", "x",
               *new_version(house, 2))
    wait_deploy(daemon, "canary")
    victim = next(w["pid"] for w in daemon.ask("status", "site")["workers"] if w["generation"] == 2)
    with Process(victim) as process:
        process.kill()
    settle(daemon)
    last = daemon.ask("status", "site")["last_deploy"]
    assert last["result"] == "rolled_back" and "SIGKILL" in last["reason"], last
    results = [load.stop() for load in running]
    for result in results:  # but what the dead process had accepted
        show(f"{result['requests']} requests, {result['reset']} reset, {result['lost']} lost")
        assert result["refused"] == result["timed_out"] == 0, result
        assert result["lost"] <= 8, result
    assert set(generations()) == {"1"}


def test_a_hook_that_hangs_or_fails_leads_back(house):
    daemon = house.run(toy(["--version=1"], service=QUICK % 'hook_pre = ["/bin/false"];'))
    result = deploy(daemon, *new_version(house, 2))
    assert result["code"] == ROLLED_BACK and "hook_pre exited with status 1" in result["reason"]
    assert set(generations(10)) == {"1"}


def test_hooks_are_told_what_it_is_about(house):
    out = house.directory / "hooks"
    script = house.directory / "hook"
    script.write_text(f"#!/bin/sh\necho $REUSEPORTD_SERVICE $REUSEPORTD_GENERATION $REUSEPORTD_RESULT"
                      f" >>{out}\n")
    script.chmod(stat.S_IRWXU)
    hooks = " ".join(f'{hook} = ["{script}"];' for hook in ("hook_pre", "hook_post", "hook_failed"))
    daemon = house.run(toy(service=QUICK % hooks))
    assert deploy(daemon)["result"] == "done"
    settle(daemon)
    assert deploy(daemon, "--", "/bin/false")["result"] == "rolled_back"
    settle(daemon)
    wait_answers(lambda: out.read_text().split("\n"), lambda seen: len(seen[-1]) == 5, "four hooks ran")
    assert out.read_text().split("\n")[:4] == ["site 2", "site 2 done", "site 3", "site 3 rolled_back"]


def test_an_old_version_that_ignores_its_signal_is_killed(house):
    daemon = house.run(toy(["--deaf"], service=QUICK % 'drain_timeout = "500ms";'))
    old = get(8080).pid
    stays = Request(8080, "/sleep/60000")
    stays.wait_sent()
    with Process(old) as process:
        assert deploy(daemon)["result"] == "done"
        process.wait_gone()
    settle(daemon)
    assert daemon.ask("status", "site")["last_deploy"]["cut_connections"] == 1
    stays.socket.close()
    daemon.signal(signal.SIGTERM)
    daemon.log.wait("Stopping")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == FAILED


def test_the_old_one_killed_in_each_state_is_replaced(house, show):
    daemon = house.run(toy(["--version=1"], workers=2, service=QUICK % 'min_healthy_time = "2s";'))
    running = house.load(ADDRESS, "--clients=8", "--seconds=3600").wait_running()
    for state, arguments in (("starting", ["--", house.toy, "--version=2", "--ready=500"]),
                             ("preview", ["--preview", *new_version(house, 2)]),
                             ("canary", ["--canary", "50", "--step", "1h", *new_version(house, 2)])):
        assert daemon.ctl("deploy", "site", "--no-wait", *arguments).returncode == OK
        wait_deploy(daemon, state)
        victim = next(w for w in daemon.ask("status", "site")["workers"] if w["color"] == "blue")
        with Process(victim["pid"]) as process:
            process.kill()
        wait_answers(lambda: [w for w in daemon.ask("status", "site")["workers"] if w["color"] == "blue"],
                     lambda seen: len(seen[-1]) == 2 and victim["pid"] not in [w["pid"] for w in seen[-1]],
                     "it is replaced")
        daemon.ctl("abort", "site")
        settle(daemon)
    assert set(generations()) == {"1"}

    daemon.ctl("deploy", "site", "--no-wait", *new_version(house, 2))
    wait_deploy(daemon, "draining")
    victim = next(w for w in daemon.ask("status", "site")["workers"] if w["color"] == "blue")
    with Process(victim["pid"]) as process:
        process.kill()
    settle(daemon)
    assert daemon.ask("status", "site")["last_deploy"]["result"] == "done"
    result = running.stop()
    show(f"{result['requests']} requests, {result['reset']} reset")
    assert result["refused"] == result["timed_out"] == 0 and result["lost"] <= 4, result
    assert set(generations()) == {"2"}


def test_a_version_that_dies_while_it_is_checked_is_rolled_back(house, show):
    health = 'health_check: { http = "/"; interval = "50ms"; healthy = 100; };'
    daemon = house.run(toy(["--version=1"], workers=2, service=QUICK % health))
    running = loads(house, 3600)
    result = deploy(daemon, *new_version(house, 2, "--exit-after=500", "--exit-code=4"))
    assert result["code"] == ROLLED_BACK and "exited with status 4" in result["reason"], result
    settle(daemon)
    results = [load.stop() for load in running]
    check_lost_nothing(results, show)
    assert set(results[0]["versions"]) == {"1"}


@pytest.mark.skipif(not IS_LONG, reason="waits for the 30 s of a hook: with --long")
def test_a_hook_that_hangs_for_30_s_leads_back(house, show):
    service = 'deploy: { hook_pre = ["/bin/sleep", "1000"]; };'
    daemon = house.run(toy(["--version=1"], service=service))
    begun = time.monotonic()
    result = daemon.ctl("--json", "deploy", "site", timeout=60)
    show(f"rolled back after {time.monotonic() - begun:.1f} s")
    assert result.returncode == ROLLED_BACK and "hook_pre took too long" in result.stderr, result
    assert 29 < time.monotonic() - begun < 32


# ---- datagrams ----


def ask_datagram(sock):
    sock.send(b"x")
    return sock.recv(100).split()[0].decode()


def datagram_clients(n):
    clients = []
    for _ in range(n):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(5)
        client.connect(("127.0.0.1", 5300))
        clients.append(client)
    return clients


def test_datagrams_lose_nothing_and_a_share_goes_by_flow(house, show):
    daemon = house.run(toy(["--version=1"], workers=2, listen='listen_datagram = "127.0.0.1:5300";'))
    clients = datagram_clients(100)
    assert {ask_datagram(client) for client in clients} == {"1"}
    daemon.ctl("deploy", "site", "--no-wait", "--canary", "50", "--step", "1h", *new_version(house, 2))
    wait_deploy(daemon, "canary")
    seen = [{ask_datagram(client) for _ in range(5)} for client in clients]
    assert all(len(versions) == 1 for versions in seen), "a flow met both versions"
    n_new = sum(versions == {"2"} for versions in seen)
    assert 20 <= n_new <= 80, n_new
    assert daemon.ctl("promote", "site").returncode == OK
    settle(daemon)
    assert {ask_datagram(client) for client in clients} == {"2"}
    n = 0
    for number in range(3, 3 + count(5, 50)):
        process = subprocess.Popen([str(house.build / "src/ctl/reuseportctl"), "--control", str(daemon.control),
                                    "deploy", "site", *map(str, new_version(house, number))],
                                   stdout=subprocess.DEVNULL)
        while process.poll() is None:
            assert all(ask_datagram(client) for client in clients)  # each is answered, in 5 s
            n += len(clients)
        assert process.returncode == OK
        settle(daemon)
    show(f"{n} datagrams during deploys, 0 lost, {n_new} of 100 flows at 50 %")
    for client in clients:
        client.close()


# ---- verbs in states ----


def test_promote_abort_and_rollback_in_every_state(house):
    daemon = house.run(toy(["--version=1"], service=QUICK % 'min_healthy_time = "2s";'))

    def refused(verb, word):
        result = daemon.ctl(verb, "site")
        assert result.returncode == FAILED and word in result.stderr, (verb, result)

    refused("promote", "no deploy goes on")
    refused("abort", "no deploy goes on")
    refused("rollback", "nothing was deployed")

    daemon.ctl("deploy", "site", "--no-wait", "--", house.toy, "--version=2", "--ready=1000")
    wait_deploy(daemon, "starting")
    refused("promote", "not while it is starting")
    assert daemon.ctl("deploy", "site").returncode == FAILED
    assert daemon.ctl("abort", "site").returncode == OK
    settle(daemon)

    deploy(daemon, "--preview", *new_version(house, 2))
    assert daemon.ctl("rollback", "site").returncode == OK
    settle(daemon)
    assert set(generations(10)) == {"1"}

    daemon.ctl("deploy", "site", "--no-wait", "--canary", "1", "--step", "1h", *new_version(house, 3))
    wait_deploy(daemon, "canary")
    assert daemon.ctl("promote", "site").returncode == OK
    wait_deploy(daemon, "draining")
    assert set(generations(10)) == {"3"}
    refused("promote", "not while it is draining")
    assert daemon.ctl("abort", "site").returncode == OK
    settle(daemon)
    assert set(generations(10)) == {"1"}
    assert daemon.ask("status", "site")["last_deploy"]["reason"] == "aborted by hand"


def test_rollback_afterwards_is_a_deploy_of_the_previous_build(house):
    daemon = house.run(toy(["--version=1"], service='environment = ["WHO=first"];'))
    assert deploy(daemon, *new_version(house, 2))["result"] == "done"
    settle(daemon)
    assert set(generations(10)) == {"2"}
    assert daemon.ctl("rollback", "site").returncode == OK
    settle(daemon)
    assert set(generations(10)) == {"1"}
    assert get(8080, "/env").json()["WHO"] == "first"


def test_rollback_refuses_a_program_that_was_overwritten(house):
    daemon = house.run(toy(["--version=1"]))
    text = house.toy.read_bytes()
    assert deploy(daemon, *new_version(house, 2))["result"] == "done"
    settle(daemon)
    house.toy.unlink()
    house.toy.write_bytes(text)
    house.toy.chmod(0o755)
    result = daemon.ctl("rollback", "site")
    assert result.returncode == FAILED, result
    assert result.stderr.count(time.strftime("%Y-")) == 2, result.stderr
    assert set(generations(10)) == {"2"}


def test_the_same_id_twice_is_one_deploy(house):
    daemon = house.run(toy())
    for _ in range(3):
        result = deploy(daemon, "--id", "release-7")
        assert result["id"] == "release-7" and result["generation"] == 2, result
    settle(daemon)
    assert daemon.ask("status", "site")["generation"] == 2


def test_a_link_that_moves_is_seen_by_the_next_deploy_only(house):
    link = house.directory / "current"
    releases = [house.directory / name for name in ("one", "two")]
    for release in releases:
        release.write_bytes(house.toy.read_bytes())
        release.chmod(0o755)
    link.symlink_to(releases[0])
    daemon = house.run(toy().replace("@TOY@", str(link)))
    link.unlink()
    link.symlink_to(releases[1])
    with Process(get(8080).pid) as process:
        process.kill()
        process.wait_gone()
    assert os.readlink(f"/proc/{get(8080).pid}/exe") == str(releases[0])
    assert deploy(daemon)["result"] == "done"
    assert os.readlink(f"/proc/{get(8080).pid}/exe") == str(releases[1])


def test_who_drains_keeps_its_bank_and_four_are_the_end(house):
    daemon = house.run(toy(service=QUICK % 'drain_timeout = "30s";'))
    requests = []
    for _ in range(3):
        requests.append(Request(8080, "/sleep/4000"))
        requests[-1].wait_sent()
        assert deploy(daemon)["result"] == "done"
    requests.append(Request(8080, "/sleep/4000"))
    requests[-1].wait_sent()
    result = deploy(daemon)
    assert result["code"] == FAILED and result["result"] == "refused", result
    assert "every bank is taken" in result["reason"] and "violet" in result["reason"], result
    assert [r.answer().status for r in requests] == [200] * 4
    settle(daemon)
    assert deploy(daemon)["result"] == "done"


def test_a_deploy_of_a_stopped_or_sleeping_service_is_a_start(house):
    daemon = house.run(toy(["--version=1"], service='activation = "on-demand";'))
    assert daemon.ask("status", "site")["state"] == "listening"
    assert deploy(daemon, *new_version(house, 2))["result"] == "done"
    assert set(generations(5)) == {"2"}
    assert daemon.ctl("stop", "site").returncode == OK
    assert deploy(daemon, *new_version(house, 3))["result"] == "done"
    assert set(generations(5)) == {"3"}


def test_a_stop_of_the_daemon_reverts_first(house):
    daemon = house.run(toy(["--version=1"], workers=2))
    daemon.ctl("deploy", "site", "--no-wait", "--canary", "50", "--step", "1h", *new_version(house, 2))
    wait_deploy(daemon, "canary")
    request = Request(8080, "/sleep/1000")
    request.wait_sent()
    assert daemon.stop() == OK
    assert request.answer().status == 200


def test_when_every_old_worker_is_lost_the_new_one_is_promoted(house):
    daemon = house.run(toy(["--version=1"], workers=2, service='restart = "no";' + QUICK % ""))
    daemon.ctl("deploy", "site", "--no-wait", "--preview", *new_version(house, 2))
    wait_deploy(daemon, "preview")
    for worker in daemon.ask("status", "site")["workers"]:
        if worker["generation"] == 1:
            with Process(worker["pid"]) as process:
                process.kill()
    settle(daemon)
    assert set(generations(10)) == {"2"}


def test_when_the_old_one_is_gone_before_the_new_one_is_ready_visitors_wait_for_it(house):
    daemon = house.run(toy(["--version=1"], service='restart = "no";' + QUICK % ""))
    daemon.ctl("deploy", "site", "--no-wait", "--", house.toy, "--version=2", "--ready=700")
    wait_deploy(daemon, "starting")
    old = next(w["pid"] for w in daemon.ask("status", "site")["workers"] if w["generation"] == 1)
    with Process(old) as process:
        process.kill()
    assert get(8080).headers["X-Version"] == "2"
    settle(daemon)
    assert daemon.ask("status", "site")["last_deploy"]["result"] == "done"
    assert daemon.stop() == OK
