"""When something is used up: descriptors (F7), memory (F8), room (F9).  An operation fails; the daemon stays."""

import contextlib
import errno
import http.client
import json
import mmap
import os
import resource
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import hostile
import namespaces
import pytest
from house import (DEADLINE, IS_LONG, SANITIZER_OPTIONS, Deadline, Process, count, descriptors_of, get, toy,
                   wait_answers)
from test_deploy import check_lost_nothing, deploy_when_a_bank_is_free, loads
from test_faults_workers import processor_time

RESERVE = 32


def limited(n):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))


def is_quiet(daemon, seconds=0.4):
    """Whether it uses less than 5 % of a processor; a tick may be booked late."""
    before, begun = processor_time(daemon.pid), time.monotonic()
    daemon.process.is_gone(seconds)
    used, passed = processor_time(daemon.pid) - before, time.monotonic() - begun
    return used <= 0.05 * passed + 0.02


# ---- F7: descriptors ----

TWO = '''
    endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; dns: { listen_datagram = "127.0.0.1:5300"; }; };
    services: { site: { endpoints = ["web", "dns"]; exec_start = ["@TOY@"]; type = "notify"; workers = 3;
                        restart_delay = "50ms"; restart_max_delay = "50ms"; }; };
'''


def need(house):
    """So many descriptors has a daemon that is complete."""
    daemon = house.run(TWO)
    daemon.log.wait("worker . .* is ready", times=3)
    numbers = max(descriptors_of(daemon.pid)) + 1
    assert daemon.stop() == 0
    return numbers


def check_answers(daemon):
    """It is asked by root, who must get an answer, or be told why not."""
    result = daemon.ctl("--json", "status", "site")
    assert result.returncode in (0, 1, 5), result
    return result.returncode


def test_f7_with_any_number_of_descriptors_it_runs_or_says_why_not(house, show):
    most = need(house)
    step = count(7, 1)
    runs = refusals = answers = 0
    for n in [*range(5, most + 8, step), most + 8]:
        daemon = house.start(TWO, prepare=limited(n))
        deadline = Deadline()
        while not deadline.is_over() and daemon.popen.poll() is None and not daemon.log.has("Ready: "):
            daemon.process.is_gone(0.01)
        if daemon.popen.poll() is not None:
            status = daemon.wait()
            daemon.log.join()
            assert status == 1, (n, status, daemon.log.text())
            assert daemon.log.has("Too many open files"), (n, daemon.log.text())
            refusals += 1
            continue
        runs += 1
        assert is_quiet(daemon), (n, daemon.log.text())
        assert get(8080).status == 200 if daemon.workers() else True
        answers += check_answers(daemon) == 0
        assert daemon.stop() == 0, (n, daemon.log.text())
    show(f"{most} are needed; {refusals} limits were refused, with {runs} it ran, {answers} times it answered")
    assert refusals > 0 and answers == runs > 0


@contextlib.contextmanager
def crowd(daemon, n, beside=""):
    """Control clients that say nothing and stay."""
    clients = []
    try:
        for _ in range(n):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(DEADLINE)
            client.connect(str(daemon.control) + beside)
            clients.append(client)
        yield clients
    finally:
        for client in clients:
            client.close()


def test_f7_clients_cannot_take_what_workers_need(house):
    most = need(house)
    daemon = house.run(TWO, prepare=limited(most + 12))
    daemon.log.wait("worker . .* is ready", times=3)
    before = wait_answers(lambda: get(8080), lambda found: found[-1].status == 200, "it answers")[-1].pid
    with crowd(daemon, 30) as clients:
        # Some are let in, all others are refused at once, in words.
        refused = [c.recv(100) for c in clients[8:]]
        assert b"ERROR no descriptors are left\r\n" in refused, refused
        assert is_quiet(daemon)
        with Process(before) as worker:
            worker.kill(signal.SIGKILL)
        daemon.log.wait("worker . .* is ready", times=4)
        assert len(daemon.workers()) == 3
        assert is_quiet(daemon)
    wait_answers(lambda: daemon.ctl("status", "site"), lambda found: found[-1].returncode == 0, "it lets us in")
    wait_answers(lambda: descriptors_of(daemon.pid), lambda found: sum(
        target == "/dev/null" for target in found[-1].values()) > RESERVE, "the reserve is filled again")
    assert daemon.stop() == 0


def test_f7_who_takes_sockets_cannot_keep_us_busy_when_there_are_no_descriptors(house):
    """The socket for other users: who cannot be let in stays in its queue.  A client needs four descriptors, so
    that with one of four limits none is left for the next."""
    most = need(house)
    text = TWO.replace("127.0.0.1:8080\";", "127.0.0.1:8080\"; allow_users = [\"root\", \"4711\"];")
    for more in range(12, 16):
        daemon = house.run(text, prepare=limited(most + more))
        daemon.log.wait("worker . .* is ready", times=3)
        with crowd(daemon, 30), crowd(daemon, 12, beside="-take"):
            assert is_quiet(daemon), more
            assert get(8080).status == 200
        wait_answers(lambda: daemon.ctl("status", "site"), lambda found: found[-1].returncode == 0, "it lets us in")
        assert daemon.stop() == 0


STORES = '''
speaker = Speaker()
for n in (80, 5, 80, 5):
    fds = [os.eventfd(0) for _ in range(n)]
    speaker.say("FDSTORE=1\\nFDNAME=many", fds)
    for fd in fds:
        os.close(fd)
    speaker.barrier()
    tell("sent", n)
serve()
'''


def test_f7_a_message_whose_descriptors_do_not_fit_is_refused_whole(house):
    """k18: some of them arrive, and the kernel says that others were lost."""
    path = hostile.script(house, STORES)
    text = ('endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; }; services: {'
            + hostile.service(path, settings="fd_store_max = 300;") + "};")

    def stored(daemon):
        daemon.log.wait("worker: ready")
        return daemon.ask("status", "site")["store"]["descriptors"]

    daemon = house.run(text)
    assert stored(daemon) == 170
    most = max(descriptors_of(daemon.pid)) + 1 - 170
    assert daemon.stop() == 0
    daemon = house.run(text, prepare=limited(most + 50))
    assert stored(daemon) == 10
    assert len(descriptors_of(daemon.pid)) <= most + 10, "nothing of the others is left"
    assert get(8080).status == 200
    assert is_quiet(daemon)
    assert daemon.stop() == 0


def test_f7_a_reload_that_needs_too_many_changes_nothing(house):
    most = need(house)
    daemon = house.run(TWO, prepare=limited(most + 20))
    daemon.log.wait("worker . .* is ready", times=3)
    more = " ".join(f'e{i}: {{ listen_stream = "127.0.0.1:{9000 + i}"; }};' for i in range(50))
    house.write(TWO.replace("endpoints: {", f"endpoints: {{ {more}", 1))
    result = daemon.ctl("reload")
    assert result.returncode == 1 and "oo many open files" in result.stderr, result
    assert get(8080).status == 200
    for i in range(50):
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", 9000 + i)) != 0
    result = daemon.ctl("scale", "site=40")
    assert result.returncode == 1, result
    assert daemon.ctl("deploy", "site").returncode in (0, 1, 7)
    assert get(8080).status == 200
    house.write(TWO)
    assert daemon.ctl("reload").returncode == 0
    assert daemon.stop() == 0


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: a limit of the system")
def test_f7_workers_get_the_limit_that_we_were_given(house):
    daemon = house.run(toy(), prepare=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 3000)))
    daemon.log.wait("toy: .* ready")

    def limits(pid):
        return resource.prlimit(pid, resource.RLIMIT_NOFILE)

    assert limits(daemon.pid) == (3000, 3000)
    assert limits(daemon.workers()[0]) == (200, 3000)
    assert daemon.stop() == 0


# ---- F8: memory ----

@pytest.fixture
def memory(request, house):
    """An allocator that fails when it is told to; counters[0]: at which, counters[1]: how many there were."""
    library = Path(request.config.getoption("--build")).resolve() / "tests/integration/failing-malloc.so"
    path = house.directory / "counters"
    path.write_bytes(bytes(16))
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 16) as room:
        yield Memory(library, path, room)


class Memory:
    def __init__(self, library, path, room):
        # A sanitizer's own allocator stands behind ours and watches what is granted.
        self.environment = {"LD_PRELOAD": str(library), "FAILING_MALLOC": str(path),
                            "ASAN_OPTIONS": SANITIZER_OPTIONS["ASAN_OPTIONS"] + ":verify_asan_link_order=0"}
        self.room = room

    def fail_at(self, k):
        """The k-th allocation from now on; 0: none."""
        struct.pack_into("QQ", self.room, 0, k, 0)

    def asked(self):
        return struct.unpack_from("QQ", self.room, 0)[1]

    def has_failed(self):
        return struct.unpack_from("QQ", self.room, 0)[0] == 0


def sweep(memory, attempt, normal):
    """Calls attempt() with the first, the second, … allocation failing, until it asks for no more of them."""
    memory.fail_at(0)
    attempt(0)
    n = memory.asked()
    ks = range(1, n + 1) if IS_LONG else sorted({*range(1, min(n, 4) + 1), *range(5, n + 1, max(1, n // normal))})
    for k in ks:
        memory.fail_at(k)
        attempt(k)
        memory.fail_at(0)
    return n, len(ks)


# With a name that somebody has to look up.
ONE = '''
    endpoints: { web: { listen_stream = "127.0.0.1:8080"; allow_users = ["root"]; }; };
    services: { site: { endpoints = ["web"]; exec_start = ["@TOY@"@SWITCH@]; type = "notify"; workers = 2;
                        restart_delay = "10ms"; restart_max_delay = "50ms"; timeout_start = "5s"; }; };
'''


def config(house, switch=""):
    return house.write(ONE.replace("@SWITCH@", switch))


def test_f8_a_start_without_memory_fails_whole_or_succeeds(house, memory, show):
    config(house)
    results = {}

    def attempt(k):
        daemon = house.start(house.directory / "endpoints.conf", environment=memory.environment)
        deadline = Deadline()
        while not deadline.is_over() and daemon.popen.poll() is None and not daemon.log.has("Ready: "):
            daemon.process.is_gone(0.005)
        if daemon.popen.poll() is None:
            wait_answers(lambda: len(daemon.workers()), lambda found: found[-1] == 2, f"{k}: its workers are there\n{daemon.log.text()}")
            assert get(8080).status == 200, (k, daemon.log.text())
            status = daemon.stop()
            assert status == 0, (k, status, daemon.log.text())
            results["ran"] = results.get("ran", 0) + 1
            return
        status = daemon.wait()
        daemon.log.join()
        assert status in (1, 78), (k, status, daemon.log.text())
        assert daemon.log.text(), k
        results[status] = results.get(status, 0) + 1

    n, tried = sweep(memory, attempt, normal=25)
    show(f"{n} allocations, {tried} of them failed: {results}")
    assert results["ran"] > 1 and results[1] > 0


def is_whole(daemon, k):
    """It is the same process, answers visitors, and says so."""
    os.kill(daemon.pid, 0)
    assert daemon.popen.poll() is None, (k, daemon.log.text())
    wait_answers(lambda: try_get(), lambda found: found[-1] == 200, f"{k}: it serves")
    wait_answers(lambda: daemon.ctl("--json", "status", "site"),
                 lambda found: found[-1].returncode == 0
                 and json.loads(found[-1].stdout)["state"] == "running"
                 and json.loads(found[-1].stdout)["workers_ready"] == 2, f"{k}: all is well again\n{daemon.log.text()}")


def try_get():
    with contextlib.suppress(OSError, http.client.HTTPException):
        return get(8080).status


@pytest.mark.parametrize("arguments", [
    ("--json", "status", "site"), ("list-endpoints",), ("reload",), ("deploy", "site"), ("restart", "site"),
    ("scale", "site=2"), ("show", "site"),
], ids=" ".join)
def test_f8_what_fails_for_want_of_memory_fails_whole(house, memory, arguments, show):
    config(house)
    daemon = house.run(house.directory / "endpoints.conf", environment=memory.environment)
    daemon.log.wait("worker . .* is ready", times=2)
    results = {}

    def attempt(k):
        config(house, f', "--version={k}"' if arguments[0] == "reload" else "")
        result = daemon.ctl(*arguments, "--timeout", "30s", timeout=60)
        results[result.returncode] = results.get(result.returncode, 0) + 1
        assert result.returncode in (0, 1, 5, 7, 78), (k, result, daemon.log.text()[-2000:])
        if k:
            memory.fail_at(0)
            is_whole(daemon, k)

    n, tried = sweep(memory, attempt, normal=15)
    config(house)
    assert daemon.ctl("reload").returncode == 0
    assert daemon.ctl(*arguments).returncode == 0
    before = len(descriptors_of(daemon.pid))
    show(f"{n} allocations, {tried} of them failed, exit codes {results}, {before} descriptors")
    assert daemon.stop() == 0


def test_f8_a_worker_is_replaced_although_memory_was_short_when_it_died(house, memory, show):
    config(house)
    daemon = house.run(house.directory / "endpoints.conf", environment=memory.environment)
    daemon.log.wait("worker . .* is ready", times=2)

    def attempt(k):
        victim = daemon.workers()[0]
        with Process(victim) as process:
            process.kill(signal.SIGKILL)
            process.wait_gone()
        wait_answers(lambda: daemon.workers(), lambda found: victim not in found[-1] and len(found[-1]) == 2,
                     f"{k}: it is replaced\n{daemon.log.text()}")
        wait_answers(lambda: try_get(), lambda found: found[-1] == 200, f"{k}: it serves")

    n, tried = sweep(memory, attempt, normal=25)
    show(f"{n} allocations, {tried} of them failed")
    is_whole(daemon, 0)
    assert daemon.stop() == 0


# ---- F9: room ----

@pytest.fixture
def small(house):
    """A place with room for a daemon's sockets and little more, which can be filled and made read-only."""
    path = house.directory / "small"
    path.mkdir()
    namespaces.mount("tmpfs", str(path), "tmpfs", 0, "size=64k,nr_inodes=40,mode=755")
    yield path
    namespaces.unmount(str(path))


def fill(path):
    """Takes all room, for bytes and for names."""
    names = []
    with contextlib.suppress(OSError), open(path / "filler", "wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()
    with contextlib.suppress(OSError):
        for i in range(1000):
            (path / f"filler{i}").touch()
            names.append(path / f"filler{i}")
    return [path / "filler", *names]


def empty(names):
    for name in names:
        name.unlink()


def small_daemon(house, small):
    (small / "run").mkdir()
    return house.run(config(house), environment={"RUNTIME_DIRECTORY": str(small / "run")},
                     arguments=["--control", str(house.directory / "control")])


def ctl(house, *arguments):
    return subprocess.run([str(house.build / "src/ctl/reuseportctl"), "--control", str(house.directory / "control"),
                           *arguments], capture_output=True, text=True, timeout=60, check=False)


def scarce(kind, small):
    """Makes it so, and returns what ends it."""
    if kind == "full":
        names = fill(small)
        return lambda: empty(names)
    namespaces.mount(None, str(small), None, namespaces.MS_REMOUNT | namespaces.MS_RDONLY)
    return lambda: namespaces.mount(None, str(small), None, namespaces.MS_REMOUNT)


def test_f9_without_room_for_its_sockets_nobody_new_comes_and_nobody_goes(house, small):
    daemon = small_daemon(house, small)
    daemon.log.wait("worker . .* is ready", times=2)
    before = sorted(daemon.workers())
    end = scarce("full", small)

    # A deploy is refused or rolled back; the old generation does not notice.
    result = ctl(house, "deploy", "site")
    assert result.returncode in (1, 7), result
    assert sorted(daemon.workers()) == before
    assert get(8080).status == 200
    assert ctl(house, "reload").returncode == 0

    # A worker that dies cannot be replaced now, and is as soon as there is room.
    with Process(before[0]) as victim:
        victim.kill(signal.SIGKILL)
    daemon.log.wait("No space left on device", times=2)
    assert is_quiet(daemon)
    assert get(8080).status == 200
    end()
    wait_answers(lambda: len(daemon.workers()), lambda found: found[-1] == 2, "it is replaced")
    assert ctl(house, "deploy", "site").returncode == 0
    assert daemon.stop() == 0


@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_f9_a_daemon_that_has_no_room_for_its_directory_says_so_and_starts_nothing(house, small, kind):
    end = scarce(kind, small)
    daemon = house.start(config(house), environment={"RUNTIME_DIRECTORY": str(small / "run")})
    assert daemon.wait() == 1
    daemon.log.wait(f"{small}.*(No space left on device|Read-only file system)")
    end()


@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_f9_a_control_socket_that_cannot_be_moved_stays_where_it_is(house, small, kind):
    daemon = house.run(config(house))
    daemon.log.wait("worker . .* is ready", times=2)
    end = scarce(kind, small)
    config(house)
    text = (house.directory / "endpoints.conf").read_text()
    house.write(text + f'daemon: {{ control_socket = "{small}/control"; }};')
    assert daemon.ctl("reload").returncode in (0, 1)
    daemon.log.wait(f"{small}/control: (No space left on device|Read-only file system)")
    assert daemon.ctl("status", "site").returncode == 0
    end()
    assert daemon.ctl("reload").returncode == 0
    assert daemon.stop() == 0


def test_f9_a_worker_whose_log_is_full_serves(house, small):
    daemon = house.run(toy(service=f'standard_error = "append:{small}/log"; standard_output = "append:{small}/log"; '
                                   'restart_delay = "10ms"; restart_max_delay = "50ms";'))
    wait_answers(try_get, lambda found: found[-1] == 200, "it serves")
    end = scarce("full", small)
    assert daemon.ctl("deploy", "site").returncode == 0  # its file is there, and what is written is lost
    assert get(8080).status == 200
    end()
    assert daemon.stop() == 0


# ---- F20: a kernel, or a cage, that does not offer everything ----

CAGES = {
    "pidfd_open": "no pidfd_open", "memfd_create": "no memfd_create", "close_range": "no close_range",
    "membarrier": "no membarrier", "ipv6": "no IPv6", "clone3": "", "bpf": "",
    "kcmp dupfd-query": "no kcmp", "pidfd_send_signal": "no pidfd_send_signal", "pidfd-info": "no PIDFD_GET_INFO",
    "peer-pidfd": "no SO_PEERPIDFD",
    "pidfd_open memfd_create close_range membarrier ipv6 kcmp dupfd-query clone3 bpf peer-pidfd": "no pidfd_open",
}
ERRORS = {"ipv6": errno.EAFNOSUPPORT, "dupfd-query": errno.EINVAL, "pidfd-info": errno.ENOTTY,
          "peer-pidfd": errno.ENOPROTOOPT}


def ways(house, through=()):
    """What --version says is done in another way."""
    lines = subprocess.run([*map(str, through), str(house.build / "src/daemon/reuseportd"), "--version"],
                           capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.strip() for line in lines[3:] if "that we stand on" not in line]


def check_said(house, daemon, through, sentence):
    """The same by --version, status and its JSON: what is so here anyway, and this."""
    said = ways(house, through)
    assert [line for line in said if line not in ways(house)] or not sentence
    assert not sentence or any(line.startswith(sentence) for line in said), said
    assert daemon.ask("status")["daemon"]["fallbacks"] == said
    assert [line.strip() for line in daemon.ctl("status").stdout.splitlines() if line.startswith("  ")] == said
    assert sentence or said == ways(house)


@pytest.mark.parametrize("kind", ["notify", "exec"])
@pytest.mark.parametrize("calls", CAGES)
@pytest.mark.once
def test_f20_what_the_kernel_refuses_has_another_way_which_is_said(house, calls, kind):
    text = ONE.replace("@SWITCH@", "").replace('type = "notify"', f'type = "{kind}"')
    through = [house.refuse, *(f"{call}={ERRORS.get(call, errno.ENOSYS)}" for call in calls.split())]
    daemon = house.run(text, through=through)
    daemon.log.wait("worker . .* is ready", times=2)
    assert get(8080).status == 200
    with Process(daemon.workers()[0]) as victim:
        victim.kill(signal.SIGKILL)
    daemon.log.wait("worker . .* is ready", times=3)
    assert daemon.ctl("--json", "list-endpoints").returncode == 0
    assert daemon.ctl("deploy", "site").returncode == 0
    assert get(8080).status == 200

    assert daemon.ctl("reexec").returncode == 0
    assert get(8080).status == 200
    check_said(house, daemon, through, CAGES[calls])
    result = daemon.ctl("status", "site")
    assert result.returncode == 0, result
    assert daemon.stop() == 0


def test_f20_without_sock_diag_nothing_is_counted_and_all_else_goes_on(house):
    daemon = house.run(ONE.replace("@SWITCH@", ""), through=[house.refuse, f"sock-diag={errno.EPROTONOSUPPORT}"])
    daemon.log.wait("worker . .* is ready", times=2)
    assert "no sock_diag" in daemon.ctl("status").stdout
    assert daemon.ask("status", "site")["connections"] == {}
    before = daemon.workers()
    assert daemon.ctl("deploy", "site").returncode == 0
    wait_answers(daemon.workers, lambda found: len(found[-1]) == 2 and not set(found[-1]) & set(before), "others work")
    assert get(8080).status == 200
    assert daemon.stop() == 0


def test_f20_without_a_rule_nothing_is_opened_and_it_is_said(house):
    """There is no other way: half of the visitors would come to where nobody is."""
    through = [house.refuse, f"attach-cbpf={errno.ENOPROTOOPT}"]
    daemon = house.start(ONE.replace("@SWITCH@", ""), through=through)
    assert daemon.wait() == 1
    daemon.log.wait("Endpoint web cannot listen: Protocol not available; the kernel takes no program for its group")
    version = subprocess.run([*map(str, through), str(house.build / "src/daemon/reuseportd"), "--version"],
                             capture_output=True, text=True, check=True).stdout
    assert "could not be tried: a rule replaced through any socket moves all new connections" in version


def test_f20_who_takes_an_endpoint_is_known_by_one_of_two_ways(house):
    text = '''endpoints: { web: { listen_stream = "127.0.0.1:8080"; };
                           mine: { listen_stream = "127.0.0.1:9090"; }; };
              services: { site: { endpoints = ["web"]; exec_start = ["@TOY@"]; type = "notify"; }; };'''
    take = ("exec", "mine", "--", "/bin/sh", "-c", "echo has $LISTEN_FDS")
    daemon = house.run(text, through=[house.refuse, f"peer-pidfd={errno.ENOPROTOOPT}"])
    assert daemon.ctl(*take).stdout == "has 1\n"
    assert daemon.stop() == 0
    daemon = house.run(text, through=[house.refuse, f"peer-pidfd={errno.ENOPROTOOPT}", f"pidfd_open={errno.ENOSYS}"])
    result = daemon.ctl(*take)
    assert result.returncode == 1 and "cannot be known: Function not implemented" in result.stderr, result
    assert get(8080).status == 200
    assert daemon.stop() == 0


def sysctl(name, text):
    try:
        Path("/proc/sys", name).write_text(text, encoding="ascii")
    except OSError as error:
        pytest.skip(f"cannot set {name}: {error}")


def test_f20_with_ipv6_switched_off_a_port_serves_ipv4(house):
    sysctl("net/ipv6/conf/all/disable_ipv6", "1")
    daemon = house.run(toy(listen='listen_stream = ":8080";'))
    assert get(8080).status == 200
    assert daemon.ctl("deploy", "site").returncode == 0
    assert get(8080).status == 200
    said = ways(house)
    assert any(line.startswith("IPv6 is switched off") for line in said), said
    assert daemon.ask("status")["daemon"]["fallbacks"] == said
    house.write(toy(listen='listen_stream = [":8080", "[::1]:8081"];'))
    result = daemon.ctl("reload")
    assert result.returncode == 1 and "Cannot assign requested address" in result.stderr, result
    assert get(8080).status == 200
    assert daemon.stop() == 0
    daemon = house.start(toy(listen='listen_stream = "[::1]:8081";'))
    assert daemon.wait() == 1
    daemon.log.wait(r"cannot open \[::1\]:8081: .*Cannot assign requested address")


@pytest.mark.parametrize("value", ["0", "1"])
@pytest.mark.once
def test_f20_whether_requests_migrate_or_not_nobody_is_lost(house, value, show):
    sysctl("net/ipv4/tcp_migrate_req", value)
    daemon = house.run(toy(["--version=1"], workers=2))
    running = loads(house, 3600)
    for i in range(count(3, 20)):
        assert deploy_when_a_bank_is_free(daemon, "-E", f"ROUND={i}")["result"] == "done"
    check_lost_nothing([load.stop() for load in running], show)
    said = [line for line in ways(house) if "tcp_migrate_req" in line]
    assert len(said) == int(value)
    assert [line for line in daemon.ask("status")["daemon"]["fallbacks"] if "tcp_migrate_req" in line] == said
    assert daemon.stop() == 0


# What a container has to whom nobody has given more: podman(1).
CONTAINER = ("+chown,+dac_override,+fowner,+fsetid,+kill,+net_bind_service,+setfcap,+setgid,+setpcap,+setuid,"
             "+sys_chroot")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: capabilities to be without")
def test_f20_in_a_container_without_net_admin(house):
    through = ["setpriv", f"--bounding-set=-all,{CONTAINER}"]
    daemon = house.run(toy(workers=2, listen='listen_stream = "127.0.0.1:8080"; receive_buffer = "64M";'), through=through)
    daemon.log.wait("worker . .* is ready", times=2)
    assert daemon.log.has("receive_buffer"), "a smaller effective value is reported"
    assert daemon.ctl("deploy", "site").returncode == 0
    assert daemon.ctl("reexec").returncode == 0
    assert get(8080).status == 200
    check_said(house, daemon, through, "no CAP_NET_ADMIN")
    house.write(toy(workers=2, listen='listen_stream = "127.0.0.1:8080"; receive_buffer = "64M"; transparent = true;'))
    assert daemon.ctl("reload").returncode in (0, 1)
    daemon.log.wait("Endpoint web: .*transparent: Operation not permitted")
    assert get(8080).status == 200
    assert daemon.stop() == 0
