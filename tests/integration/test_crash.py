"""A daemon that is killed, crashes or leaves, under the keeper: the next one goes on, and nobody is lost."""

import os
import signal
import subprocess

import pytest
from crash import Survivor, below
from house import DEADLINE, Process, children_of, count, get, toy, wait_answers, wait_workers
from test_deploy import QUICK, check_lost_nothing, generations, loads, new_version, settle, wait_deploy
from test_reload import listeners

KEEPER = 'daemon: { fd_store = "keeper"; %s };'
OK, FAILED, BAD_CONFIG = 0, 1, 78


def kept(config, more=""):
    return KEEPER % more + config


def program_of(pid):
    """Its path, also when another file has taken it meanwhile."""
    return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")


class Kept(Survivor):
    """A daemon below a keeper."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.log = daemon.log
        self.toy = daemon.build / "tests/integration/toy-worker"

    def ctl(self, *arguments, **options):
        return self.daemon.ctl(*arguments, **options)

    def pid(self):
        """Of the daemon that runs now."""
        def ask():
            answer = self.daemon.ctl("--json", "status")
            return answer.returncode == OK and self.daemon_child()
        return wait_answers(ask, lambda seen: seen[-1], "a daemon answers")[-1]

    def daemon_child(self):
        for pid in children_of(self.daemon.pid):
            try:
                if program_of(pid) == program_of(self.daemon.pid):
                    return pid
            except OSError:
                pass
        return None

    def adoptions(self):
        return len(self.log.times_of("services go on"))

    def kill(self, number=signal.SIGKILL):
        """Ends the daemon in that way, and waits until the next one goes on."""
        n, pid = self.adoptions(), self.pid()
        os.kill(pid, number)
        self.log.wait("services go on", times=n + 1)
        assert self.pid() != pid

    def servers(self):
        return below(self.daemon.pid, self.toy)

    def sockets(self):
        pid = self.pid()
        return listeners(type("It", (), {"pid": pid}), 8080)

    def descriptors(self):
        place = f"/proc/{self.pid()}/fd"
        return wait_answers(lambda: len(os.listdir(place)),
                            lambda seen: len(seen) > 200 and len(set(seen[-200:])) == 1,
                            "nothing changes")[-1]

    def wait_descriptors(self, n):
        """Whoever has just begun still looks around."""
        wait_answers(self.descriptors, lambda seen: seen[-1] == n, f"{n} descriptors")


def start(house, config, more=""):
    daemon = house.run(kept(config, more))
    assert daemon.ctl("wait", "site", "--for=running", "--timeout", "20s").returncode == OK
    return Kept(daemon)


def alive(pids):
    return all(os.path.exists(f"/proc/{pid}") for pid in pids)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGUSR2],
                         ids=["killed", "crashed", "left"])
def test_the_next_one_goes_on(house, number):
    k = start(house, toy(workers=2))
    workers, sockets, before = k.workers(), k.sockets(), k.descriptors()
    for _ in range(3):
        k.kill(number)
        assert k.workers() == workers and k.sockets() == sockets and alive(workers)
        assert set(wait_workers(2).values()) == set(workers)
        k.wait_descriptors(before)
    assert k.daemon.stop() == OK


def test_who_dies_meanwhile_has_ended_as_he_did(house):
    k = start(house, toy(workers=2))
    victim = k.workers()[0]
    daemon = k.pid()
    os.kill(daemon, signal.SIGSTOP)
    with Process(victim) as process:
        process.kill(signal.SIGABRT)
        os.kill(daemon, signal.SIGKILL)
    k.log.wait("services go on")
    k.log.wait(rf"pid {victim}\) was ended by SIGABRT")
    wait_workers(2, but=[victim])


def test_who_dies_afterwards_is_replaced(house):
    k = start(house, toy(workers=2))
    k.kill()
    victim = k.workers()[0]
    os.kill(victim, signal.SIGKILL)
    k.log.wait(rf"pid {victim}\) was ended by SIGKILL")
    wait_workers(2, but=[victim])
    k.kill()
    assert len(k.workers()) == 2


@pytest.mark.once
def test_killed_again_and_again_under_load(house, show):
    n = count(10, 200)
    k = start(house, toy(workers=2))
    workers, sockets, before = k.workers(), k.sockets(), k.descriptors()
    running = loads(house, 3600)
    for _ in range(n):
        k.kill()
        assert k.workers() == workers and k.sockets() == sockets
    results = [load.stop() for load in running]
    show(f"{n} times killed")
    check_lost_nothing(results, show)
    k.wait_descriptors(before)
    assert k.daemon.stop() == OK


STATES = [
    ("starting", ["--ready=1500"], "", "done"),
    ("draining", [], 'min_healthy_time = "1500ms";', "done"),
    ("canary", [], 'canary = [50]; step = "2s";', "done"),
]


@pytest.mark.parametrize("name,switches,keys,result", STATES, ids=[s[0] for s in STATES])
def test_a_deploy_goes_on_from_there(house, show, name, switches, keys, result):
    k = start(house, toy(["--version=1"], workers=2, service=QUICK.replace('step = "200ms";', "") % keys))
    running = loads(house, 3600)
    k.daemon.ctl("deploy", "site", "--no-wait", *new_version(house, 2, *switches))
    wait_deploy(k.daemon, name)
    k.kill()
    settle(k.daemon)
    last = k.daemon.ask("status", "site")["last_deploy"]
    assert last["result"] == result, last
    assert set(generations()) == {"2"}
    check_lost_nothing([load.stop() for load in running], show)
    assert k.daemon.stop() == OK


def test_a_client_who_waits_for_a_deploy_sees_its_end(house):
    k = start(house, toy(["--version=1"], service=QUICK % ""))
    command = subprocess.Popen(
        [str(k.daemon.reuseportctl), "--control", str(k.daemon.control), "--json", "deploy", "site",
         "--canary", "50", "--step", "2s", *map(str, new_version(house, 2))],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_deploy(k.daemon, "canary")
    k.kill()
    out, error = command.communicate(timeout=DEADLINE)
    assert command.returncode == OK and "done" in out, (out, error)


def test_a_hook_dies_with_the_daemon_and_leads_back(house):
    k = start(house, toy(["--version=1"], service='deploy: { hook_pre = ["/bin/sleep", "20"]; };'))
    k.daemon.ctl("deploy", "site", "--no-wait", *new_version(house, 2))
    wait_deploy(k.daemon, "starting")
    k.kill()
    settle(k.daemon)
    last = k.daemon.ask("status", "site")["last_deploy"]
    assert last["result"] == "rolled_back" and "hook_pre" in last["reason"], last
    assert set(generations()) == {"1"}


def test_a_sleeper_and_a_stopped_service(house):
    daemon = house.run(kept(toy(service='activation = "on-demand";')))
    k = Kept(daemon)
    k.kill()
    assert get(8080).status == 200
    assert daemon.ctl("stop", "site").returncode == OK
    k.kill()
    with pytest.raises(ConnectionRefusedError):
        get(8080)
    assert daemon.ctl("start", "site").returncode == OK
    assert get(8080).status == 200
    assert daemon.stop() == OK


def test_reexec_and_kill_together(house):
    k = start(house, toy(workers=2))
    workers, sockets = k.workers(), k.sockets()
    for _ in range(3):
        pid = k.pid()
        assert k.daemon.ctl("reexec").returncode == OK
        assert k.pid() == pid
        k.kill()
        assert k.workers() == workers and k.sockets() == sockets
    assert k.daemon.stop() == OK


def test_without_a_store_nobody_leaves(house):
    daemon = house.run(toy())
    daemon.signal(signal.SIGUSR2)
    daemon.log.wait("there is no store to leave")
    assert get(8080).status == 200


def test_a_configuration_that_needs_more_is_refused(house):
    path = house.write(kept(toy(workers=20), "store_max = 50;"))
    result = house.command("-t", "-c", path)
    assert result.returncode == BAD_CONFIG and "store_max" in result.stderr, result
