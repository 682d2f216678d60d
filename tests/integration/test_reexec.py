"""A daemon that becomes another program: same pid, same sockets, same workers, nobody is lost."""

import os
import shutil
import subprocess

import pytest
from house import DEADLINE, Process, Request, count, descriptors_of, get, toy, wait_answers, wait_workers
from test_deploy import (QUICK, check_lost_nothing, deploy, from_source, generations, loads,
                         new_version, settle, wait_deploy)
from test_reload import listeners

OK, FAILED, ROLLED_BACK = 0, 1, 7


def n_adoptions(daemon):
    return len(daemon.log.times_of("services go on"))


def reexec(daemon):
    n = n_adoptions(daemon)
    result = daemon.ctl("reexec")
    assert result.returncode == OK, (result, daemon.log.text())
    daemon.log.wait("services go on", times=n + 1)


def wait_running(daemon, name="site"):
    assert daemon.ctl("wait", name, "--for=running", "--timeout", "20s").returncode == OK


def descriptors(daemon):
    """How many there are of which kind."""
    kinds = {}
    for target in descriptors_of(daemon.pid).values():
        kind = target.split(":")[0]
        kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


def wait_descriptors(daemon, before):
    """A client's connection is there until the daemon has seen its end."""
    wait_answers(lambda: descriptors(daemon), lambda seen: seen[-1] == before, f"they are {before} again")


def quiet_descriptors(daemon):
    """When the last client's connection is gone, too."""
    return wait_answers(lambda: descriptors(daemon),
                        lambda seen: len(seen) > 200 and all(each == seen[-1] for each in seen[-200:]),
                        "nothing changes")[-1]


def workers_of(daemon):
    """All but the time since when, which is told as a time of day."""
    return [w | {"since": round(w["since"], 1)} for w in daemon.ask("status", "site")["workers"]]


# ---- quiet ----


@pytest.mark.parametrize("listen", [
    'listen_stream = ":8080";',
    'listen_stream = ["127.0.0.1:8080", "[::1]:8081"];',
    'listen_stream = "127.0.0.1:8080"; shared = true;',
], ids=["dual", "two", "shared"])
def test_everything_is_the_same_afterwards(house, listen):
    daemon = house.run(toy(workers=2, listen=listen))
    wait_running(daemon)
    workers, sockets, before = daemon.workers(), listeners(daemon, 8080), quiet_descriptors(daemon)
    status, list_before = workers_of(daemon), daemon.ask("list")
    for _ in range(3):
        reexec(daemon)
        assert daemon.popen.poll() is None, "the pid is still ours"
        assert daemon.workers() == workers and listeners(daemon, 8080) == sockets
        assert set(wait_workers(2).values()) == set(workers)
        assert workers_of(daemon) == status and daemon.ask("list") == list_before
        wait_descriptors(daemon, before)
    assert daemon.stop() == 0


def test_datagrams_go_on(house):
    import socket
    daemon = house.run(toy(listen='listen_datagram = "127.0.0.1:5300";', workers=2))
    wait_running(daemon)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(DEADLINE)
        client.connect(("127.0.0.1", 5300))
        client.send(b"a")
        first = client.recv(100).split()[0]
        reexec(daemon)
        client.send(b"b")
        assert client.recv(100).split()[0] == first, "the flow stays where it was"


def test_what_happens_to_workers_afterwards_is_seen(house):
    daemon = house.run(toy(workers=2))
    wait_running(daemon)
    reexec(daemon)
    victim = daemon.workers()[0]
    os.kill(victim, 9)
    daemon.log.wait(rf"pid {victim}\) was ended by SIGKILL")
    wait_workers(2, but=[victim])
    assert daemon.ask("list")["services"][0]["restarts"] == 1


def test_who_dies_meanwhile_is_reaped_and_replaced(house):
    daemon = house.run(toy(workers=2))
    wait_running(daemon)
    victim = daemon.workers()[0]
    with Process(victim) as process:
        command = subprocess.Popen([str(daemon.reuseportctl), "--control", str(daemon.control), "reexec"])
        daemon.log.wait("Executing ")
        process.kill()
        assert command.wait(DEADLINE) == OK
    daemon.log.wait(rf"pid {victim}\) was ended by SIGKILL")
    wait_workers(2, but=[victim])


def test_connections_and_slow_requests_go_on(house):
    daemon = house.run(toy())
    wait_running(daemon)
    slow = Request(8080, "/sleep/500")
    slow.wait_sent()
    reexec(daemon)
    assert slow.answer().status == 200


# ---- every state of a service ----


def state(daemon):
    return daemon.ask("status", "site")["state"]


def test_a_sleeper_sleeps_on_and_wakes(house):
    daemon = house.run(toy(service='activation = "on-demand";'))
    reexec(daemon)
    assert state(daemon) == "listening" and daemon.workers() == []
    assert get(8080).status == 200


def test_a_stopped_service_stays_stopped(house):
    daemon = house.run(toy())
    wait_running(daemon)
    assert daemon.ctl("stop", "site").returncode == OK
    reexec(daemon)
    assert state(daemon) == "stopped"
    with pytest.raises(ConnectionRefusedError):
        get(8080)
    assert daemon.ctl("start", "site").returncode == OK
    assert get(8080).status == 200


def test_a_failed_service_stays_failed(house):
    daemon = house.run(toy(["--ready=never", "--exit-after=0", "--exit-code=3"],
                           service='restart = "no";'))
    wait_answers(lambda: state(daemon), lambda seen: seen[-1] == "failed", "it fails")
    reexec(daemon)
    assert state(daemon) == "failed"


def test_a_back_off_goes_on(house):
    daemon = house.run(toy(["--ready=never", "--exit-after=0", "--exit-code=3"],
                           service='restart_delay = "1s"; restart_max_delay = "1s";'))
    daemon.log.wait("will be replaced in 1s", times=1)
    reexec(daemon)
    daemon.log.wait("will be replaced in 1s", times=3)


def test_a_scaled_service_stays_scaled(house):
    daemon = house.run(toy(workers=1))
    wait_running(daemon)
    assert daemon.ctl("scale", "site=3").returncode == OK
    workers = daemon.workers()
    reexec(daemon)
    assert daemon.workers() == workers and len(workers) == 3
    assert set(wait_workers(3).values()) == set(workers)
    assert daemon.ctl("scale", "site=2").returncode == OK
    assert len(daemon.workers()) == 2


def test_a_service_that_leaves_is_let_go(house):
    both = toy() .replace("services: {", '''services: {
            other: { endpoints = ["more"]; exec_start = ["@TOY@"]; type = "notify"; };''')
    both = both.replace("endpoints: {", 'endpoints: { more: { listen_stream = ":8081"; };', 1)
    daemon = house.run(both)
    wait_running(daemon, "other")
    slow = Request(8081, "/sleep/1000")
    slow.wait_sent()
    house.write(toy(), daemon.config.name)
    assert daemon.ctl("reload").returncode == OK
    reexec(daemon)
    assert slow.answer().status == 200
    wait_answers(lambda: len(daemon.workers()), lambda seen: seen[-1] == 1, "it has left")
    assert daemon.stop() == 0


# ---- every state of a deploy ----


def test_a_preview_keeps_its_door(house):
    daemon = house.run(toy(["--version=1"], workers=2))
    wait_running(daemon)
    assert deploy(daemon, "--preview", *new_version(house, 2))["result"] == "preview"
    reexec(daemon)
    assert daemon.ask("status", "site")["deploy"]["state"] == "preview"
    assert set(generations()) == {"1"}
    assert {from_source("127.83.0.1") for _ in range(20)} == {"2"}
    assert daemon.ctl("promote", "site").returncode == OK
    settle(daemon)
    assert set(generations()) == {"2"}


def test_a_canary_keeps_its_share_and_ends_by_itself(house):
    daemon = house.run(toy(["--version=1"], service=QUICK % ""))
    wait_running(daemon)
    daemon.ctl("deploy", "site", "--no-wait", "--canary", "50,90", "--step", "1s", *new_version(house, 2))
    wait_deploy(daemon, "canary")
    reexec(daemon)
    d = daemon.ask("status", "site")["deploy"]
    assert d["state"] == "canary" and d["share"] >= 50, d
    settle(daemon)
    last = daemon.ask("status", "site")["last_deploy"]
    assert last["result"] == "done" and set(generations()) == {"2"}, last


STATES = [
    ("starting", ["--ready=4000"], "", "done"),
    ("checking", ["--accept=0"], 'health_check: { http = "/"; interval = "300ms"; unhealthy = 5; };',
     "rolled_back"),
    ("draining", [], 'min_healthy_time = "4s";', "done"),
]


@pytest.mark.parametrize("name,switches,keys,result", STATES, ids=[s[0] for s in STATES])
def test_a_deploy_goes_on_from_there(house, name, switches, keys, result):
    daemon = house.run(toy(["--version=1"], service=QUICK % keys))
    wait_running(daemon)
    daemon.ctl("deploy", "site", "--no-wait", *new_version(house, 2, *switches))
    wait_deploy(daemon, name)
    reexec(daemon)
    daemon.log.wait("goes on, " + name)
    settle(daemon)
    last = daemon.ask("status", "site")["last_deploy"]
    assert last["result"] == result, last
    assert set(generations()) == {"2" if result == "done" else "1"}


def test_an_old_generation_finishes_its_connections(house):
    daemon = house.run(toy(["--version=1"], service=QUICK % ""))
    wait_running(daemon)
    slow = Request(8080, "/sleep/4000")
    slow.wait_sent()
    assert deploy(daemon, *new_version(house, 2))["result"] == "done"
    reexec(daemon)
    assert daemon.ask("status", "site")["deploy"]["state"] == "draining"
    assert slow.answer().status == 200
    settle(daemon)
    assert len(daemon.workers()) == 1 and set(generations()) == {"2"}


def test_a_client_who_waits_for_a_deploy_sees_its_end(house):
    daemon = house.run(toy(["--version=1"], service=QUICK % ""))
    wait_running(daemon)
    command = subprocess.Popen(
        [str(daemon.reuseportctl), "--control", str(daemon.control), "--json", "deploy", "site",
         "--canary", "50", "--step", "2s", *map(str, new_version(house, 2))],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_deploy(daemon, "canary")
    reexec(daemon)
    out, error = command.communicate(timeout=DEADLINE)
    assert command.returncode == OK and '"result": "done"' in out.replace('":"', '": "'), (out, error)


def test_what_was_deployed_is_remembered(house):
    daemon = house.run(toy(["--version=1"]))
    wait_running(daemon)
    first = deploy(daemon, "--id", "one", *new_version(house, 2))
    settle(daemon)
    reexec(daemon)
    again = deploy(daemon, "--id", "one", *new_version(house, 3))
    assert again["generation"] == first["generation"], "the same id is the same deploy"
    assert daemon.ctl("rollback", "site").returncode == OK
    assert set(generations()) == {"1"}


def test_a_hook_is_waited_for(house):
    daemon = house.run(toy(["--version=1"], service='deploy: { hook_pre = ["/bin/sleep", "1"]; };'))
    wait_running(daemon)
    daemon.ctl("deploy", "site", "--no-wait", *new_version(house, 2))
    wait_deploy(daemon, "starting")
    reexec(daemon)
    settle(daemon)
    assert daemon.ask("status", "site")["last_deploy"]["result"] == "done"


# ---- refused ----


def other_program(house, daemon, build, text):
    """The daemon's own file is now another one."""
    own = build / "reuseportd"
    own.unlink()
    own.write_text(text)
    own.chmod(0o755)


@pytest.mark.parametrize("text,word", [
    ("#!/bin/sh\nexit 2\n", "exited with status 2"),
    ("no program\n", "Exec format error"),
    ("#!/bin/sh\nkill -SEGV $$\n", "was ended by SIGSEGV"),
], ids=["does not understand", "no program", "crashes"])
def test_a_program_that_cannot_go_on_is_refused(house, own_build, text, word):
    daemon = house.run(toy(workers=2))
    wait_running(daemon)
    workers = daemon.workers()
    other_program(house, daemon, own_build, text)
    result = daemon.ctl("reexec")
    assert result.returncode == FAILED and word in result.stderr, result
    wait_answers(daemon.workers, lambda seen: seen[-1] == workers, "nobody but the workers")
    assert set(wait_workers(2).values()) == set(workers)
    assert daemon.stop() == 0


def test_a_program_that_is_gone_is_refused(house, own_build):
    daemon = house.run(toy())
    (own_build / "reuseportd").unlink()
    result = daemon.ctl("reexec")
    assert result.returncode == FAILED and "No such file" in result.stderr, result
    assert get(8080).status == 200


def test_a_program_that_was_replaced_is_executed(house, own_build):
    daemon = house.run(toy())
    wait_running(daemon)
    new = own_build / "new"
    shutil.copy(own_build / "reuseportd", new)
    new.rename(own_build / "reuseportd")
    reexec(daemon)
    assert os.readlink(f"/proc/{daemon.pid}/exe") == str(own_build / "reuseportd")
    reexec(daemon)
    assert get(8080).status == 200


# ---- the configuration ----


def test_a_file_that_has_changed_meanwhile_is_reloaded(house):
    daemon = house.run(toy(workers=1))
    wait_running(daemon)
    workers = daemon.workers()
    house.write(toy(workers=1, service="").replace(
        "services: {", 'services: { other: { endpoints = ["more"]; exec_start = ["@TOY@"]; type = "notify"; };')
        .replace("endpoints: {", 'endpoints: { more: { listen_stream = ":8081"; };', 1), daemon.config.name)
    reexec(daemon)
    daemon.log.wait("The configuration has changed meanwhile")
    wait_running(daemon, "other")
    assert workers[0] in daemon.workers() and len(daemon.workers()) == 2
    assert get(8081).status == 200


def test_a_file_that_is_bad_changes_nothing(house):
    daemon = house.run(toy())
    wait_running(daemon)
    workers = daemon.workers()
    house.write("endpoints: { web: {", daemon.config.name)
    reexec(daemon)
    daemon.log.wait("the settings of before stay in force")
    assert daemon.workers() == workers and get(8080).status == 200


def test_settings_of_before_a_reload_go_on_for_who_was_started_by_them(house):
    """A running generation never mixes: its build crosses with the texts that it was made of."""
    daemon = house.run(toy(["--version=1"]))
    wait_running(daemon)
    house.write(toy(["--version=2"]), daemon.config.name)
    assert daemon.ctl("reload").returncode == OK
    reexec(daemon)
    assert daemon.ask("list")["services"][0]["pending"] is True
    victim = daemon.workers()[0]
    os.kill(victim, 9)
    wait_workers(1, but=[victim])
    assert set(generations(10)) == {"1"}
    assert daemon.ctl("restart", "site").returncode == OK
    assert set(generations(10)) == {"2"}


# ---- load ----


@pytest.mark.once
def test_many_under_load_lose_nothing(house, show):
    n = count(5, 100)
    daemon = house.run(toy(workers=2))
    wait_running(daemon)
    workers, sockets = daemon.workers(), listeners(daemon, 8080)
    running = loads(house, 3600)
    before = None
    for i in range(n):
        reexec(daemon)
        assert daemon.workers() == workers and listeners(daemon, 8080) == sockets
        before = before or quiet_descriptors(daemon)
    wait_descriptors(daemon, before)
    results = [load.stop() for load in running]
    show(f"{n} times executed anew")
    check_lost_nothing(results, show)
    assert daemon.stop() == OK


@pytest.mark.once
def test_between_deploys_under_load(house, show):
    n = count(3, 30)
    daemon = house.run(toy(["--version=0"], workers=2, service=QUICK % 'canary = [50];'))
    wait_running(daemon)
    running = loads(house, 3600)
    for i in range(n):
        daemon.ctl("deploy", "site", "--no-wait", *new_version(house, i + 1))
        for _ in range(3):
            reexec(daemon)
        settle(daemon)
        assert daemon.ask("status", "site")["last_deploy"]["result"] == "done"
    results = [load.stop() for load in running]
    check_lost_nothing(results, show)
    assert daemon.stop() == OK
