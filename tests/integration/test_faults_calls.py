"""System calls that fail while something goes on: a full table of files (F7), a disk that does not work (F9).

Each call of a kind is failed once, and all from one on: the operation goes on or is refused whole, the daemon
stays, visitors are answered, and whoever comes after a daemon that is killed then finds a state that is true."""

import contextlib
import errno
import json
import mmap
import os
import signal
import struct

import namespaces
import pytest
from house import IS_LONG, Deadline, Process, count, descriptors_of, get, wait_answers
from test_keeper import daemon_of
from test_scarcity import is_quiet, try_get

NEVER, FOR_EVER = 0, 2**64 - 1

# Every call of ours that makes a descriptor, and every one that has to do with a file.
MAKING = ["socket", "socketpair", "accept4", "openat", "open", "memfd_create", "pidfd_open", "epoll_create1", "eventfd2",
          "timerfd_create", "signalfd4", "pipe2", "dup", "pidfd"]
FILES = ["openat", "open", "@read", "@pread64", "@write", "@pwrite64", "@pwritev", "@ftruncate", "@fallocate", "mkdir",
         "mkdirat", "bind", "unlink", "rename", "chmod", "@fchmod", "fchmodat", "chown", "@fchown", "fchownat", "@flock",
         "@fstat", "newfstatat", "readlink"]

KINDS = {
    "ENFILE": (errno.ENFILE, MAKING),
    "EIO": (errno.EIO, FILES),
    "ENOSPC": (errno.ENOSPC, ["openat", "open", "@write", "@pwrite64", "@pwritev", "@ftruncate", "@fallocate", "mkdir",
                              "mkdirat", "bind", "rename"]),
    "EROFS": (errno.EROFS, ["openat", "open", "mkdir", "mkdirat", "bind", "unlink", "rename", "chmod", "@fchmod", "fchmodat",
                            "chown", "@fchown", "fchownat"]),
}

ONE = '''
    daemon: { fd_store = "@STORE@"; };
    endpoints: { web: { listen_stream = "127.0.0.1:8080"; allow_users = ["root"]; }; };
    services: { site: { endpoints = ["web"]; exec_start = ["@TOY@"@SWITCH@]; type = "notify"; workers = 2;
                        restart_delay = "10ms"; restart_max_delay = "50ms"; timeout_start = "5s";
                        deploy: { drain_delay = "1s"; drain_timeout = "5s"; }; }; };
'''


class Calls:
    """What fail-calls is told and tells."""

    def __init__(self, house, kind):
        self.error, self.names = KINDS[kind]
        path = house.directory / "calls"
        path.write_bytes(bytes(64))
        with open(path, "r+b") as file:
            self.room = mmap.mmap(file.fileno(), 64)
        self.through = [house.fail_calls, path, *(f"{name}={self.error}" for name in self.names)]
        struct.pack_into("Q", self.room, 32, 2**len(self.names) - 1)

    def close(self):
        self.room.close()

    def _put(self, place, number):
        struct.pack_into("Q", self.room, 8 * place, number)

    def _get(self, place):
        return struct.unpack_from("Q", self.room, 8 * place)[0]

    def choose(self, *names):
        """Only these are counted from now on."""
        self._put(4, sum(1 << self.names.index(name) for name in names))

    def only(self, pid):
        self._put(5, pid)

    def fail(self, first, last=None):
        """From now on the first-th to the last-th, by default only that; NEVER: none."""
        self._put(0, NEVER)
        self._put(1, first if last is None else last)
        self._put(2, 0)
        self._put(3, 0)
        self._put(0, first)

    def asked(self):
        return self._get(2)

    def failed(self):
        """How many did, and the name of the last."""
        return self._get(3), self.names[self._get(6)]


@pytest.fixture
def calls(house, request):
    found = Calls(house, request.param)
    found.fail(NEVER)
    yield found
    found.close()


EACH = pytest.mark.parametrize("calls", KINDS, indirect=True)


def config(house, switch="", store="none"):
    return house.write(ONE.replace("@SWITCH@", switch).replace("@STORE@", store))


def spread(n, many):
    """So many of n calls, or a few more."""
    return range(1, n + 1, max(1, n // many))


def sample(n, normal):
    """Which of n calls fail: all with --long."""
    return spread(n, count(normal, n)) if n else ()


def is_whole(daemon, what):
    """The same process, which serves and says so; nothing of what failed is left."""
    assert daemon.popen.poll() is None, (what, daemon.log.text())
    wait_answers(try_get, lambda found: found[-1] == 200, f"{what}: it serves")
    wait_answers(lambda: daemon.ctl("--json", "status", "site"),
                 lambda found: found[-1].returncode == 0 and is_well(json.loads(found[-1].stdout)),
                 f"{what}: all is well again\n{daemon.log.text()}")


def is_well(status):
    return status["state"] == "running" and status["workers_ready"] == 2 and status["deploy"] is None


@EACH
def test_f7_f9_a_start_with_calls_that_fail_fails_whole_or_succeeds(house, calls, show):
    if b"__asan_init" in (house.build / "src/daemon/reuseportd").read_bytes():
        pytest.skip("a sanitizer opens files itself when its program begins and ends")
    path = config(house)
    results = {}

    def attempt(first, last=None):
        calls.fail(first, last)
        daemon = house.start(path, through=calls.through)
        deadline = Deadline()
        while not deadline.is_over() and daemon.popen.poll() is None and not daemon.log.has("Ready: "):
            daemon.process.is_gone(0.005)
        n = calls.asked()
        if daemon.popen.poll() is None:
            calls.fail(NEVER)
            wait_answers(try_get, lambda found: found[-1] == 200, f"{first}: it serves\n{daemon.log.text()}")
            assert daemon.stop() == 0, (first, daemon.log.text())
        status = daemon.wait()
        daemon.log.join()
        # 127: the dynamic linker, before anything is ours
        is_linker = daemon.log.has("error while loading shared libraries") or not daemon.log.text()
        assert status in (0, 1, 78) or (status == 127 and is_linker), (first, calls.failed(), status, daemon.log.text())
        assert daemon.log.text() or calls.failed()[1] in ("write", "writev"), (first, calls.failed())
        results[status] = results.get(status, 0) + 1
        return n

    n = attempt(NEVER)
    for k in sample(n, normal=10):
        attempt(k)
    for k in spread(n, count(2, 10)):
        attempt(k, FOR_EVER)
    show(f"{n} calls, each failed: exit codes {results}")
    assert results[0] > 1 and results[1] > 0, results


STATUS, RELOAD, DEPLOY, SCALE, REEXEC = ("status", "site"), ("reload",), ("deploy", "site"), ("scale", "site=2"), ("reexec",)

# status and scale make no file.
MEETINGS = [
    *(("ENFILE", verb) for verb in (STATUS, ("list-endpoints",), RELOAD, DEPLOY, SCALE, REEXEC)),
    *(("EIO", verb) for verb in (STATUS, RELOAD, DEPLOY, SCALE, REEXEC)),
    *((kind, verb) for kind in ("ENOSPC", "EROFS") for verb in (RELOAD, DEPLOY, *([REEXEC] if IS_LONG else []))),
]


@pytest.mark.parametrize(("calls", "arguments"), MEETINGS, indirect=["calls"],
                         ids=[f"{kind} {verb[0]}" for kind, verb in MEETINGS])
def test_f7_f9_what_meets_calls_that_fail_goes_on_or_is_refused_whole(house, calls, arguments, show):
    """A re-exec below a keeper: once the other program runs it goes on, or the keeper's next one does."""
    store = "keeper" if arguments[0] == "reexec" else "none"
    daemon = house.run(config(house, store=store), through=calls.through)
    daemon.log.wait("worker . .* is ready", times=2)
    workers = sorted(w["pid"] for w in daemon.ask("status", "site")["workers"])
    results = {}
    before = len(descriptors_of(daemon.pid))

    def attempt(first, last=None):
        config(house, f', "--version={first}"' if arguments[0] == "reload" else "", store)
        calls.fail(first, last)
        # Where none is let in for want of descriptors he waits as long as he likes.
        result = daemon.ctl(*arguments, *(["--timeout", "1s"] if last else []), timeout=60)
        n = calls.asked()
        results[result.returncode] = results.get(result.returncode, 0) + 1
        assert result.returncode in (0, 1, 5, 7, 78) or (result.returncode == 8 and last), (
            first, calls.failed(), result, daemon.log.text())
        assert try_get() == 200, (first, calls.failed(), result, daemon.log.text())
        calls.fail(NEVER)
        if first:
            is_whole(daemon, (first, calls.failed()))
        now = sorted(w["pid"] for w in daemon.ask("status", "site")["workers"])
        assert arguments[0] in ("deploy", "reload") or now == workers, "nobody is started anew"
        return n

    n = attempt(NEVER)
    # After a start that failed the next one is ten seconds later, so that not every k of hundreds is tried.
    for k in spread(n, count(5, 40)) if store == "keeper" else sample(n, normal=5):
        attempt(k)
    for k in spread(n, count(1, 5)):
        attempt(k, FOR_EVER)
    config(house, store=store)
    assert daemon.ctl("reload").returncode == 0
    assert daemon.ctl(*arguments).returncode == 0
    wait_answers(lambda: len(descriptors_of(daemon.pid)), lambda found: found[-1] <= before, "nothing is left open")
    show(f"{n} calls, each failed: exit codes {results}")
    assert daemon.stop() == 0


@pytest.mark.parametrize("calls", ["ENFILE"], indirect=True)
def test_f7_with_a_full_table_of_files_nobody_spins_and_workers_serve(house, calls):
    daemon = house.run(config(house), through=calls.through)
    daemon.log.wait("worker . .* is ready", times=2)
    before = wait_answers(lambda: get(8080), lambda found: found[-1].status == 200, "it answers")[-1].pid
    calls.only(daemon.pid)
    calls.fail(1, FOR_EVER)
    result = daemon.ctl("status", "site", "--timeout", "1s")
    assert result.returncode in (5, 8), result
    assert get(8080).status == 200
    with Process(before) as worker:
        worker.kill(signal.SIGKILL)
    daemon.log.wait("Too many open files in system", times=2)
    assert is_quiet(daemon), daemon.log.text()
    assert try_get() == 200, "the other one"
    calls.fail(NEVER)
    is_whole(daemon, "afterwards")
    assert daemon.stop() == 0


@pytest.mark.parametrize("calls", ["EIO", "ENFILE", "ENOSPC"], indirect=True)
def test_f9_what_is_left_above_is_true_after_each_call_that_failed(house, calls, show):
    """A deploy with a call that fails, and then the daemon is killed: the next one has whatever it had come to."""
    kept = house.run(config(house, store="keeper"), through=calls.through)
    wait_answers(lambda: kept.ctl("wait", "site", "--for=running"), lambda found: found[-1].returncode == 0, "it runs")
    results = {}

    def attempt(k):
        pid = daemon_of(kept)
        calls.only(pid)
        calls.fail(k)
        result = kept.ctl("deploy", "site", timeout=60)
        n = calls.asked()
        results[result.returncode] = results.get(result.returncode, 0) + 1
        assert result.returncode in (0, 1, 5, 7), (k, calls.failed(), result, kept.log.text())
        calls.fail(NEVER)
        is_whole(kept, (k, calls.failed()))
        workers = sorted(kept.ask("status", "site")["workers"], key=lambda w: w["pid"])
        with Process(pid) as process:
            process.kill(signal.SIGKILL)
            process.wait_gone()
        assert daemon_of(kept) != pid
        is_whole(kept, (k, calls.failed(), "the next one"))
        now = sorted(kept.ask("status", "site")["workers"], key=lambda w: w["pid"])
        assert [(w["pid"], w["generation"]) for w in now] == [(w["pid"], w["generation"]) for w in workers], (
            k, calls.failed(), kept.log.text())
        return n

    n = attempt(NEVER)
    for k in sample(n, normal=4):
        attempt(k)
    show(f"{n} calls of a deploy, each failed, and the daemon killed: exit codes {results}")
    assert kept.stop() == 0


@pytest.mark.parametrize("calls", ["EIO"], indirect=True)
def test_f9_what_could_not_be_left_above_is_left_as_soon_as_it_can_be(house, calls):
    """Nobody is started whom a successor would not know."""
    kept = house.run(config(house, store="keeper"), through=calls.through)
    wait_answers(lambda: kept.ctl("wait", "site", "--for=running"), lambda found: found[-1].returncode == 0, "it runs")
    pid = daemon_of(kept)
    calls.choose("@pwritev")
    calls.only(pid)
    with Process(kept.ask("status", "site")["workers"][0]["pid"]) as victim:
        calls.fail(1, FOR_EVER)
        victim.kill(signal.SIGKILL)
        victim.wait_gone()
    kept.log.wait("What a successor would need cannot be written now: Input/output error")
    assert get(8080).status == 200
    assert kept.ask("status", "site")["workers_ready"] == 1
    calls.fail(NEVER)
    kept.log.wait("What a successor would need is written again")
    wait_answers(lambda: kept.ask("status", "site"), lambda found: is_well(found[-1]), "it is replaced")
    workers = sorted(w["pid"] for w in kept.ask("status", "site")["workers"])
    with Process(pid) as process:
        process.kill(signal.SIGKILL)
        process.wait_gone()
    assert daemon_of(kept) != pid
    assert sorted(w["pid"] for w in kept.ask("status", "site")["workers"]) == workers
    assert len(kept.log.times_of("toy: .* starts")) == 3, "nobody was started twice"
    assert kept.stop() == 0


def test_f9_a_state_in_a_full_file_system_is_not_half_a_state(house):
    """Where there is no memfd the state is in /dev/shm, which is full when a re-exec has to write it."""
    namespaces.mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=64k,mode=1777")
    try:
        text = ONE.replace("@SWITCH@", "").replace("@STORE@", "none")
        daemon = house.run(text, through=[house.refuse, f"memfd_create={errno.ENOSYS}"])
        daemon.log.wait("worker . .* is ready", times=2)
        with contextlib.suppress(OSError), open("/dev/shm/filler", "wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        result = daemon.ctl("reexec")
        assert result.returncode == 1 and "No space left on device" in result.stderr, result
        assert daemon.ctl("deploy", "site").returncode == 0
        assert get(8080).status == 200
        os.unlink("/dev/shm/filler")
        assert daemon.ctl("reexec").returncode == 0
        assert get(8080).status == 200
        assert daemon.stop() == 0
    finally:
        namespaces.unmount("/dev/shm")


def test_f9_a_daemon_whose_log_is_full_goes_on(house):
    """Its standard error is a file in a file system without room."""
    place = house.directory / "full"
    place.mkdir()
    namespaces.mount("tmpfs", str(place), "tmpfs", 0, "size=8k,mode=755")
    try:
        with open(place / "log", "wb", buffering=0) as log, contextlib.suppress(OSError):
            while True:
                log.write(bytes(4096))

        def to_full_log():
            os.dup2(os.open(place / "log", os.O_WRONLY | os.O_APPEND), 2)

        daemon = house.run(config(house), prepare=to_full_log)
        wait_answers(lambda: daemon.ctl("--json", "status", "site"),
                     lambda found: found[-1].returncode == 0 and is_well(json.loads(found[-1].stdout)), "it runs")
        for arguments in (("deploy", "site"), ("reload",), ("reexec",)):
            assert daemon.ctl(*arguments).returncode == 0, arguments
            assert get(8080).status == 200
        assert daemon.ask("status")["daemon"]["log_lines_dropped"] > 0
        assert daemon.stop() == 0
    finally:
        namespaces.unmount(str(place))
