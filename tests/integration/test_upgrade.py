"""The daemon's program is replaced by another one, again and again, and back: the same sources by another compiler,
and the sources of the commit before.  Nobody is lost, and what was there is there."""

import os
import shutil
from pathlib import Path

import pytest
import state_file
from crash import resident_of
from house import count, descriptors_of, get, toy, wait_answers
from test_crash import Kept, kept
from test_deploy import QUICK, check_lost_nothing, generations, loads, new_version, settle, wait_deploy
from test_keeper import MEASURED, is_back
from test_reexec import OK, quiet_descriptors, reexec, wait_descriptors, wait_running, workers_of
from test_reload import listeners
from test_store import STORE, stored
from test_store_crash import next_worker, start, wait_kept_files

DAEMON = "src/daemon/reuseportd"


class Twins:
    """The file that the daemon is executed from, which is one of two programs at a time."""

    def __init__(self, place, programs):
        self.place = place
        self.programs = programs                # ours is the last
        self.at = len(programs) - 1

    def swap(self):
        """As a package does it: a new file takes the name."""
        self.at = (self.at + 1) % len(self.programs)
        new = self.place.with_name("new")
        shutil.copy(self.programs[self.at], new)
        new.rename(self.place)

    def check(self, pid):
        """That it is what was put there last, not what was before."""
        assert os.path.samefile(f"/proc/{pid}/exe", self.place)


pytestmark = pytest.mark.once


@pytest.fixture(params=["other compiler", "commit before"])
def twins(request, own_build, build):
    option = "--other-build" if request.param == "other compiler" else "--previous-build"
    other = Path(request.config.getoption(option)) / DAEMON
    if not other.exists():
        pytest.skip(f"there is no {other}: {option} names one, tests/run.sh builds it")
    assert other.read_bytes() != (build / DAEMON).read_bytes(), "they are the same"
    return Twins(own_build / "reuseportd", [other, build / DAEMON])


def is_sanitized(twins):
    return any(b"__asan_init" in program.read_bytes() for program in twins.programs)


def state_of(pid):
    """Memory of the state that crosses, in KiB."""
    return os.stat(state_file.find(pid)).st_blocks // 2


class Measure:
    """What a process has when it has just begun and was asked the same, for each of the programs."""

    def __init__(self, daemon, twins):
        self.daemon = daemon
        self.twins = twins
        self.memory = {}

    def ask(self, pid):
        for _ in range(10):
            self.daemon.ask("status", "site")
            self.daemon.ask("list")
        return resident_of(pid)

    def take(self, pid):
        self.memory[self.twins.at] = self.ask(pid)

    def check(self, pid, show, who):
        before, after = self.memory[self.twins.at], self.ask(pid)
        show(f"{who}: {before[1]} KiB of its own before, {after[1]} KiB afterwards, of {after[0]}")
        # A sanitizer keeps what is freed.
        assert is_sanitized(self.twins) or is_back(before, after), (before, after)


def upgrade(daemon, twins):
    twins.swap()
    reexec(daemon)
    twins.check(daemon.pid)


def test_by_reexec_again_and_again(house, twins, show):
    """Started by the other one; 100 times, and then with deploys in between and across."""
    n = count(6, 100)
    twins.swap()
    daemon = house.run(toy(["--version=0"], workers=2, service=QUICK % "canary = [50];"), environment=MEASURED)
    wait_running(daemon)
    workers, sockets, shown = daemon.workers(), listeners(daemon, 8080), workers_of(daemon)
    measure = Measure(daemon, twins)
    for _ in range(2):
        upgrade(daemon, twins)
        before = quiet_descriptors(daemon)
        measure.take(daemon.pid)
    running = loads(house, 3600)
    for _ in range(n):
        upgrade(daemon, twins)
        assert daemon.popen.poll() is None and daemon.workers() == workers
        assert listeners(daemon, 8080) == sockets and workers_of(daemon) == shown
    results = [load.stop() for load in running]
    show(f"{n} times executed as another program")
    check_lost_nothing(results, show)
    for _ in range(2):
        upgrade(daemon, twins)
        wait_descriptors(daemon, before)
        measure.check(daemon.pid, show, f"program {twins.at}")
    show(f"{before}, and {state_of(daemon.pid)} KiB of state")
    assert state_of(daemon.pid) <= 1024

    running = loads(house, 3600)
    for i in range(count(2, 20)):
        daemon.ctl("deploy", "site", "--no-wait", *new_version(house, i + 1))
        for _ in range(3):
            upgrade(daemon, twins)
        settle(daemon)
        assert daemon.ask("status", "site")["last_deploy"]["result"] == "done"
        assert set(generations(10)) == {str(i + 1)}
    check_lost_nothing([load.stop() for load in running], show)
    assert daemon.stop() == OK


def test_a_deploy_goes_on_from_one_to_the_other_and_back(house, twins, show):
    twins.swap()
    daemon = house.run(toy(["--version=1"], workers=2, service=QUICK % ""))
    wait_running(daemon)
    running = loads(house, 3600)
    daemon.ctl("deploy", "site", "--preview", *new_version(house, 2))
    workers = daemon.workers()
    for _ in range(2):
        upgrade(daemon, twins)
        assert daemon.ask("status", "site")["deploy"]["state"] == "preview" and daemon.workers() == workers
        assert set(generations(10)) == {"1"}
    daemon.ctl("deploy", "site", "--no-wait")
    assert daemon.ctl("promote", "site").returncode == OK
    wait_deploy(daemon, "draining")
    upgrade(daemon, twins)
    settle(daemon)
    assert daemon.ask("status", "site")["last_deploy"]["result"] == "done" and set(generations(10)) == {"2"}
    upgrade(daemon, twins)
    assert daemon.ctl("rollback", "site").returncode == OK, "it knows the build of before"
    assert set(generations(10)) == {"1"}
    check_lost_nothing([load.stop() for load in running], show)
    assert daemon.stop() == OK


def test_by_a_crash_the_successor_is_the_other(house, twins, show):
    """Below a keeper that the other one has started: the file is there when the daemon dies."""
    n = count(4, 50)
    twins.swap()
    k = Kept(house.run(kept(toy(["--version=1"], workers=2, service=QUICK % "")), environment=MEASURED))
    wait_running(k.daemon)
    workers, sockets = k.workers(), k.sockets()
    k.daemon.ctl("deploy", "site", "--preview", *new_version(house, 2))
    assert k.daemon.ctl("abort", "site").returncode == OK
    settle(k.daemon)                            # what is measured has the same past both times
    measure = Measure(k.daemon, twins)

    def crash():
        twins.swap()
        k.kill()
        twins.check(k.pid())

    for _ in range(2):
        crash()
        before = k.descriptors()
        measure.take(k.pid())
    n_kept = len(descriptors_of(k.daemon.pid))
    running = loads(house, 3600)
    for _ in range(n):
        crash()
        assert k.workers() == workers and k.sockets() == sockets
    assert {get(8080).pid for _ in range(20)} <= set(workers)

    k.daemon.ctl("deploy", "site", "--preview", *new_version(house, 2))
    crash()
    assert k.daemon.ask("status", "site")["deploy"]["state"] == "preview"
    crash()
    assert k.daemon.ctl("abort", "site").returncode == OK
    settle(k.daemon)
    results = [load.stop() for load in running]
    show(f"{n + 2} times killed, and the successor was another program")
    check_lost_nothing(results, show)
    assert k.workers() == workers and k.sockets() == sockets
    for _ in range(2):
        crash()
        k.wait_descriptors(before)
        measure.check(k.pid(), show, f"program {twins.at}")
    wait_answers(lambda: len(descriptors_of(k.daemon.pid)), lambda seen: seen[-1] == n_kept, f"{n_kept} kept")
    assert k.daemon.stop() == OK


def test_what_workers_store_goes_from_one_to_the_other_and_back(house, twins):
    """The other one may leave nothing of it in the store above, and know no records of it."""
    twins.swap()
    k = start(house, STORE)
    for _ in range(2):
        twins.swap()
        assert k.daemon.ctl("reexec").returncode == OK
        twins.check(k.pid())
        wait_kept_files(k, 3)
        k.kill()                                # ours, and it is ours that follows
        assert stored(k.daemon)["descriptors"] == 3
        assert next_worker(k)["contents"] == ["first", "second", "third"]
        twins.swap()
        assert k.daemon.ctl("reexec").returncode == OK
        twins.check(k.pid())
        assert stored(k.daemon)["descriptors"] == 3
        assert next_worker(k)["contents"] == ["first", "second", "third"]
    assert k.daemon.stop() == OK
