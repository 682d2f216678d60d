"""A state that nobody can go on from: older, newer, damaged, of another user.  It is refused in a sentence that says
what and where, nothing is changed by that, and who can read it goes on as if nothing had been."""

import os
import random
import signal
import subprocess

import pytest
import state_file
from house import NEEDS_ROOT, count, toy, wait_answers, wait_workers
from state_file import StateFile
from test_crash import Kept, kept
from test_deploy import QUICK, check_lost_nothing, deploy, generations, loads, new_version, settle, wait_deploy
from test_reexec import FAILED, OK, reexec, wait_running

NOBODY = 65534
REFUSED = "Cannot go on from the state of the reuseportd before: "


# ---- by who comes after a crash ----


class Spoiled(Kept):
    """Below a keeper, whose copy of the state is changed between a daemon and its successor."""

    def __init__(self, house):
        super().__init__(house.run(kept(toy(["--version=1"], workers=2, service=QUICK % ""))))
        wait_running(self.daemon)
        self.path = state_file.find(self.daemon.pid)
        self.notify = self.daemon.directory / "run/notify"

    def refused(self):
        return len(self.log.times_of(REFUSED))

    def spoil(self, change):
        """Ends the daemon and leaves the next one something else; returns what it left."""
        pid = self.pid()
        os.kill(pid, signal.SIGSTOP)
        before = StateFile.read(self.path)
        change(self.path, before.copy())
        os.kill(pid, signal.SIGKILL)
        return before


def damage(path, state):
    (at, *_), *_ = list(state.walk())[3:]
    state.flip(at + state_file.RECORD.size + 20).write(path)


def cut(path, state):
    state.data = state.data[:-9]
    state.write(path)


def another_version(number):
    def change(path, state):
        state.put("daemon", state.get("daemon") | {"version": number}).write(path)
    return change


def another_format(path, state):
    state.flip(state_file.VERSION_AT, 3).write(path)


def nonsense(path, state):
    state.put("service/99", {"name": "nobody's"}).write(path)


def another_user(path, state):
    os.chown(path, NOBODY, -1)


SPOILERS = {
    "damaged": (damage, r"it is damaged at byte \d+: there was more, and it cannot be read\. Nothing was changed"),
    "cut": (cut, r"it is damaged at byte \d+: "),
    "newer": (another_version(2), r"it is of reuseportd [0-9.]+ and has version 2, and this one understands 1\. "
                                  r".* put back the reuseportd that wrote it"),
    "older": (another_version(0), ".*has version 0, and this one understands 1"),
    "another format": (another_format, "it is written in format 2, and this reuseportd reads format 1"),
    "nonsense": (nonsense, "its record service/99 is damaged"),
    "another user's": (another_user, f"it is of uid {NOBODY}, and we run as uid 0.*start it as that user again"),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=NEEDS_ROOT) if "user" in name else name
                                  for name in SPOILERS])
def test_what_cannot_be_read_is_refused_and_nothing_is_changed(house, show, name):
    change, words = SPOILERS[name]
    k = Spoiled(house)
    workers, sockets, notify = k.workers(), k.sockets(), sorted(os.listdir(k.notify))
    running = loads(house, 3600)
    n = k.adoptions()
    before = k.spoil(change)
    k.log.wait(REFUSED + words, times=2)          # by each that tries
    assert set(wait_workers(2).values()) == set(workers) and sorted(os.listdir(k.notify)) == notify
    assert k.adoptions() == n

    os.chown(k.path, os.getuid(), -1)
    before.write(k.path)                          # or: whoever can read it is back
    k.log.wait("services go on", times=n + 1)
    assert k.workers() == workers and k.sockets() == sockets and sorted(os.listdir(k.notify)) == notify
    result = deploy(k.daemon, *new_version(house, 2))
    assert result["result"] == "done", result
    check_lost_nothing([load.stop() for load in running], show)
    assert k.daemon.stop() == OK


def test_a_byte_that_is_wrong_is_refused_or_means_nothing(house, show):
    """Any of them, at the moment of the adoption, in the middle of a deploy."""
    dice = random.Random(8)
    k = Spoiled(house)
    assert deploy(k.daemon, "--preview", *new_version(house, 2))["result"] == "preview"
    workers, sockets, n_refused = k.workers(), k.sockets(), 0
    assert len(workers) == 4
    for _ in range(count(8, 200)):
        n, refused = k.adoptions(), k.refused()
        before = k.spoil(lambda path, state: state.flip(dice.randrange(len(state.data)),
                                                        1 << dice.randrange(8)).write(path))
        wait_answers(lambda n=n, refused=refused: k.adoptions() > n or k.refused() > refused,
                     lambda seen: seen[-1], "it goes on or is refused")
        if k.adoptions() == n:
            n_refused += 1
            before.write(k.path)
            k.log.wait("services go on", times=n + 1)
        assert k.workers() == workers and k.sockets() == sockets
        assert k.daemon.ask("status", "site")["deploy"]["state"] == "preview"
    show(f"{n_refused} refused")
    assert k.daemon.ctl("promote", "site").returncode == OK
    settle(k.daemon)
    assert set(generations(10)) == {"2"}
    assert k.daemon.stop() == OK


# ---- by the program that a re-exec would become ----


def can_adopt(house, data):
    """What it says against a state, and with which exit code."""
    fd = os.memfd_create("reuseportd-state")
    try:
        os.write(fd, data)
        result = subprocess.run([house.build / "src/daemon/reuseportd", "--can-adopt", str(fd)], pass_fds=[fd],
                                capture_output=True, text=True, check=False)
    finally:
        os.close(fd)
    assert result.returncode in (OK, FAILED), result
    assert (result.returncode == FAILED) == result.stdout.startswith("it"), result
    assert not result.stderr, result
    return result.returncode, result.stdout


@pytest.fixture
def busy(house):
    """The state of a daemon in the middle of a deploy, with settings of before and an endpoint that is nobody's."""
    text = toy(["--version=1"], workers=2, service='deploy: { canary = [50]; step = "1h"; };')
    text = text.replace("endpoints: {", 'endpoints: { free: { listen_stream = ":8081"; };', 1)
    daemon = house.run(kept(text))
    wait_running(daemon)
    house.write(kept(text.replace("workers = 2", "workers = 3")), daemon.config.name)
    assert daemon.ctl("reload").returncode == OK
    daemon.ctl("deploy", "site", "--no-wait", *new_version(house, 2))
    wait_deploy(daemon, "canary")
    state = StateFile.read(state_file.find(daemon.pid))
    assert can_adopt(house, state.data)[0] == OK
    yield state
    assert daemon.stop() == OK


def test_each_byte_of_a_state_counts(house, busy, show):
    used = [at for at in range(len(busy.data)) if at < state_file.HEAD.size or at >= state_file.FIRST]
    n = {OK: 0, FAILED: 0}
    for at in used[::count(293, 3)]:
        code, _ = can_adopt(house, busy.copy().flip(at).data)
        same = busy.copy().flip(at).records() == busy.records()
        assert code == FAILED or same, at
        n[code] += 1
    for at in used[::count(293, 3)]:
        if at != state_file.N_WHOLE_AT:
            code, words = can_adopt(house, busy.data[:at])
            assert code == FAILED and "damaged" in words, at
    show(f"{n[FAILED]} bytes refused, {n[OK]} that mean nothing")


def values_of(value, path=()):
    """The path of each value inside of another."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from values_of(inner, (*path, key))


def changed(value, path, new):
    """A copy; new is None: without it."""
    copy = dict(value) if isinstance(value, dict) else list(value)
    key, *rest = path
    if rest:
        copy[key] = changed(value[key], rest, new)
    elif new is None:
        del copy[key]
    else:
        copy[key] = new
    return copy


STRANGE = [None, -1, 0, 1, 2**31, 2**63 - 1, "", "x" * 5000, "s1", [], {}, True, [[]], 0.5]


def test_records_that_say_what_cannot_be_are_refused_or_understood(house, busy, show):
    """Whole records with right checksums, each value of them replaced by strange ones: no crash, one sentence."""
    dice = random.Random(8)
    tries = [(key, path, new) for key in sorted(busy.records()) for path in values_of(busy.get(key))
             for new in STRANGE]
    n = {OK: 0, FAILED: 0}
    for key, path, new in dice.sample(tries, min(count(300, 10000), len(tries))):
        state = busy.copy().put(key, changed(busy.get(key), path, new))
        code, words = can_adopt(house, state.data)
        assert code == OK or "its record " in words or "has version" in words, (key, path, new, words)
        n[code] += 1
    show(f"{n[FAILED]} refused, {n[OK]} understood, of {len(tries)} possible")


OTHER_PROGRAM = '''#!/usr/bin/python3 -B
"""Another version: in what it reads the version of the state is one more or less than its own."""
import os, sys
sys.path.insert(0, "{tests}")
from state_file import StateFile
if sys.argv[1] == "--can-adopt":
    state = StateFile.read("/proc/self/fd/" + sys.argv[2])
    fd = os.memfd_create("reuseportd-state")
    os.write(fd, state.put("daemon", state.get("daemon") | {{"version": {version}}}).data)
    os.set_inheritable(fd, True)
    os.execv("{program}", ["reuseportd", "--can-adopt", str(fd)])
os.abort()
'''


@pytest.mark.parametrize("version", [0, 2], ids=["older", "newer"])
@pytest.mark.once
def test_a_program_of_another_version_does_not_come(house, own_build, show, version):
    daemon = house.run(toy(workers=2))
    wait_running(daemon)
    workers, pid = daemon.workers(), daemon.pid
    running = loads(house, 3600)
    own = own_build / "reuseportd"
    real = own.rename(own_build / "real")
    own.write_text(OTHER_PROGRAM.format(tests=os.path.dirname(__file__), program=real, version=version))
    own.chmod(0o755)
    for _ in range(2):
        result = daemon.ctl("reexec")
        said = f"has version {version}, and this one understands 1"
        assert result.returncode == FAILED and said in result.stderr, result
        daemon.log.wait(f"Not executed anew, all goes on: .*{said}")
    wait_answers(daemon.workers, lambda seen: seen[-1] == workers, "the program that was asked has left")
    assert daemon.popen.poll() is None and daemon.pid == pid
    real.rename(own)
    reexec(daemon)
    assert daemon.workers() == workers
    check_lost_nothing([load.stop() for load in running], show)
    assert daemon.stop() == OK
