"""Workers that stop, that cannot be started, that crash for ever, that die all at once: F4, F10, F11, F12."""

import errno
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time

import hostile
import pytest
from house import DEADLINE, IS_LONG, Process, Request, count, descriptors_of, get, toy, wait_answers, wait_workers

NEEDS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="needs root: workers of another user")


def processor_time(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.alone
def test_f4_a_stopped_worker_is_replaced_and_its_queue_is_read(house):
    watchdog = 0.5
    path = hostile.script(house, f"serve(watchdog={watchdog / 4})")
    daemon = house.run('endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; }; services: {'
                       + hostile.service(path, settings=f'watchdog = "{int(watchdog * 1000)}ms";', workers=2) + "};")
    killed = []
    for i in range(count(3, 50)):
        workers = wait_workers(2, but=killed)
        with Process(workers["0"]) as victim:
            victim.kill(signal.SIGSTOP)
            begun = time.monotonic()
            requests = [Request(8080, "/") for _ in range(20)]  # half of them in its queue
            assert all(r.answer().status == 200 for r in requests)
            victim.wait_gone()
        daemon.log.wait("worker 0 .* has not said WATCHDOG=1 within 500ms, killing it", times=i + 1)
        assert daemon.log.times_of("has not said WATCHDOG=1")[i] - begun < watchdog + 1
        killed.append(workers["0"])
    assert daemon.stop() == 0


def busy_program(house):
    """A program file that somebody is writing to: ETXTBSY."""
    path = house.directory / "busy"
    path.write_bytes(open("/bin/true", "rb").read())
    path.chmod(0o755)
    return path, open(path, "r+b")


@pytest.mark.parametrize(("program", "words"), [
    ("/nowhere/server", "No such file or directory"), ("/etc/passwd", "Permission denied"),
    ("BUSY", "Text file busy"), ("/", "Permission denied"),
])
def test_f10_a_program_that_cannot_be_executed_is_told_with_its_errno(house, program, words):
    path, held = busy_program(house)
    program = str(path) if program == "BUSY" else program
    with held:
        daemon = house.run(f'''
            endpoints: {{ web: {{ listen_stream = ":8080"; }}; other: {{ listen_stream = ":9090"; }}; }};
            services: {{
                site: {{ endpoints = ["web"]; exec_start = ["{program}"]; restart_delay = "50ms"; }};
                good: {{ endpoints = ["other"]; exec_start = ["@TOY@"]; type = "notify"; }};
            }};
        ''')
        daemon.log.wait(f"cannot execute {re.escape(program)}: {words}", times=4)
        times = daemon.log.times_of("cannot execute")
        assert times[3] - times[0] > 0.34, "the back-off holds"
        assert get(9090).status == 200, "others are not touched"
    if program == str(path):
        daemon.log.wait("exited with status 0")  # once nobody writes to it any more
    assert daemon.stop() == 0


@NEEDS_ROOT
def test_f10_a_user_with_too_many_processes_is_told_with_its_errno(house):
    daemon = house.run('''
        endpoints: { web: { listen_stream = ":8080"; }; };
        services: { site: { endpoints = ["web"]; exec_start = ["/bin/sleep", "600"]; type = "notify"; workers = 3;
                            user = "nobody"; limit_nproc = 1; restart_delay = "50ms"; }; };
    ''')
    daemon.log.wait("cannot execute .*: Resource temporarily unavailable", times=2)
    assert daemon.stop() == 0


NOBODY_ELSE = 54321  # a uid that has no process but ours


def limit_processes(daemon, n):
    """As the daemon's user, who may; root without CAP_SYS_RESOURCE may not."""
    subprocess.run(["prlimit", f"--pid={daemon.pid}", f"--nproc={'unlimited' if n < 0 else n}:"], user=NOBODY_ELSE,
                   group=NOBODY_ELSE, extra_groups=[], check=True)


@NEEDS_ROOT
def test_f10_a_daemon_with_too_many_processes_recovers_when_it_may_have_more(house):
    daemon = house.run(toy(service='restart_delay = "20ms"; restart_max_delay = "200ms";'), uid=NOBODY_ELSE)
    assert get(8080).status == 200
    limit_processes(daemon, 1)
    with Process(get(8080).pid) as worker:
        worker.kill()
    daemon.log.wait("cannot start .*toy-worker: Resource temporarily unavailable", times=5)
    times = daemon.log.times_of("cannot start")
    assert times[4] - times[0] > 0.02 + 0.04 + 0.08 + 0.16 - 0.01, "the back-off holds"
    assert daemon.ask("list")["services"][0]["state"] == "running"  # and tries
    visitor = Request(8080, "/")
    limit_processes(daemon, resource.getrlimit(resource.RLIMIT_NPROC)[1])
    assert visitor.answer().status == 200, "who came meanwhile has waited"
    assert daemon.stop() == 0


def test_f10_no_process_at_all_is_told_and_limited(house):
    daemon = house.run(toy(service='restart_delay = "20ms"; start_limit_burst = 5; start_limit_interval = "1min";'),
                       through=[house.refuse, f"spawn={errno.EAGAIN}"])
    daemon.log.wait("cannot start .*toy-worker: Resource temporarily unavailable", times=5)
    times = daemon.log.times_of("cannot start")
    assert times[4] - times[0] > 0.02 + 0.04 + 0.08 + 0.16 - 0.01, "the back-off holds"
    daemon.log.wait("worker 0 was started 5 times .*; the service fails")
    assert daemon.ask("list")["services"][0]["state"] == "failed"
    with pytest.raises(ConnectionRefusedError):
        get(8080)
    assert daemon.stop() == 0


@pytest.mark.parametrize("calls", [["clone3"], ["close_range"], ["clone3", "close_range", "membarrier"]])
@pytest.mark.parametrize("workers", [2, 80])  # many: the child is launched in another way
def test_f10_calls_that_the_kernel_lacks_are_done_without(house, calls, workers):
    daemon = house.run(toy(["--version=1"], workers=workers),
                       through=[house.refuse, *(f"{call}={errno.ENOSYS}" for call in calls)])
    daemon.log.wait("worker .* is ready", times=workers)
    held = get(8080, "/fds").json()
    assert held, held
    assert daemon.ctl("deploy", "site").returncode == 0
    daemon.log.wait("worker .* is ready", times=2 * workers)
    answer = get(8080)
    assert answer.status == 200
    assert sorted(descriptors_of(answer.pid))[:4] == [0, 1, 2, 3]
    ours = [target for target in descriptors_of(answer.pid).values() if target.startswith("socket:")]
    daemons = descriptors_of(daemon.pid)
    shared = [target for target in ours if target in daemons.values()]
    assert len(shared) == 1, "it holds its one listening socket of ours and nothing else"
    assert daemon.stop() == 0


def test_f10_a_start_limit_ends_it(house):
    daemon = house.run('''
        endpoints: { web: { listen_stream = ":8080"; }; };
        services: { site: { endpoints = ["web"]; exec_start = ["/nowhere/server"]; restart_delay = "1ms";
                            start_limit_burst = 4; start_limit_interval = "1min"; }; };
    ''')
    daemon.log.wait("worker 0 was started 4 times .*; the service fails")
    daemon.log.wait("Generation 1 is gone: its workers ended badly")
    assert len(daemon.log.times_of("cannot execute")) == 4
    with pytest.raises(ConnectionRefusedError):
        get(8080)
    assert daemon.stop() == 0


@pytest.mark.once
def test_f11_a_crash_loop_costs_nothing_and_keeps_the_sockets(house):
    seconds = count(10, 600)
    daemon = house.run(toy(["--ready=never", "--exit-after=0", "--exit-code=1"]))
    daemon.log.wait("will be replaced", times=3)
    before, begun = processor_time(daemon.pid), time.monotonic()
    with socket.create_connection(("127.0.0.1", 8080)) as visitor:
        threading.Event().wait(seconds)  # the loop is what is looked at
        visitor.sendall(b"still there")
    used = (processor_time(daemon.pid) - before) / (time.monotonic() - begun)
    assert used < 0.02, used
    starts = daemon.log.times_of("toy: .* starts")
    # 0.1, 0.2, … up to restart_max_delay, 30 s
    assert len(starts) <= 10 + seconds / 30, len(starts)
    assert daemon.stop() == 0


@pytest.mark.alone
def test_f12_many_deaths_at_once_are_all_seen_and_seen_right(house):
    """Half of them killed, half by another signal: within a second every end is known as what it was."""
    n_services, n_workers, rounds = (10, 500, 2) if IS_LONG else (2, 200, 2)
    names = [f"s{i}" for i in range(n_services)]
    endpoints = "".join(f'{n}: {{ listen_stream = "127.0.0.1:{8000 + i}"; shared = true; }}; '
                        for i, n in enumerate(names))
    services = "".join(f'{n}: {{ endpoints = ["{n}"]; exec_start = ["/bin/sleep", "infinity"]; type = "notify"; '
                       f'workers = {n_workers}; restart = "no"; }}; ' for n in names)
    total = n_services * n_workers
    for _ in range(rounds):
        daemon = house.start(f"endpoints: {{ {endpoints} }}; services: {{ {services} }};").wait_ready(seconds=120)
        daemon.log.wait(r"worker \d+ \(pid \d+\) started", times=total, seconds=120)
        pids = daemon.workers()
        assert len(pids) == total
        for i, pid in enumerate(pids):
            os.kill(pid, signal.SIGKILL if i % 2 else signal.SIGUSR1)
        killed = time.monotonic()
        wait_answers(daemon.workers, lambda found: found[-1] == [], "all are reaped")
        seen = time.monotonic() - killed
        print(f"{total} ends seen within {seen:.3f} s")
        daemon.log.wait("was ended by SIG", times=total, seconds=30)
        assert len(daemon.log.times_of("was ended by SIGKILL before it was ready")) == total // 2
        assert len(daemon.log.times_of("was ended by SIGUSR1 before it was ready")) == total // 2
        assert seen < 1, seen
        assert daemon.stop() == 0


# ---- F6: an old generation that does not let go ----

LEFT_BEHIND = '''
import signal
if os.environ["REUSEPORTD_GENERATION"] == "1" and os.fork() == 0:
    os.setsid()  # no signal of ours finds it
    tell("left behind", os.getpid())
    while True:
        signal.pause()
serve()
'''


def test_f6_who_keeps_a_socket_of_a_generation_that_is_gone_is_named(house):
    path = hostile.script(house, LEFT_BEHIND)
    daemon = house.run('endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; }; services: {'
                       + hostile.service(path) + "};", arguments=["--log-level=debug"])
    daemon.log.wait("worker: ready")
    pid = int(daemon.log.wait(r"worker: left behind (\d+)").group(1))
    try:
        assert daemon.ctl("deploy", "site").returncode == 0
        daemon.log.wait(rf"site: pid {pid} \(python3[.\d]*\) still holds a socket of generation 1, which is gone")
        assert get(8080).status == 200
        n = len(daemon.log.times_of("still holds a socket"))
        assert n == 1
        # Nobody is left behind by the next one, and nobody is named.
        assert daemon.ctl("deploy", "site").returncode == 0
        daemon.log.wait("looked for holders of the sockets of generation 2")
        assert daemon.stop() == 0
    finally:
        os.kill(pid, signal.SIGKILL)
    assert not daemon.log.has("holds a socket of generation 2")


FORKS = '''
if os.fork() == 0:
    while True:
        signal.pause()
serve()
'''


def test_f6_children_of_the_next_in_the_same_bank_are_nobody_who_was_left_behind(house):
    """Generation 3 is where 1 was, soon after; what is asked of 2 is looked for all the same."""
    path = hostile.script(house, "import signal\n" + FORKS)
    daemon = house.run('endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; }; services: {'
                       + hostile.service(path) + "};", arguments=["--log-level=debug"])
    for _ in range(3):
        assert daemon.ctl("deploy", "site").returncode == 0
    daemon.log.wait("looked for holders of the sockets of generation 3")
    assert not daemon.log.has("still holds a socket"), daemon.log.text()
    assert daemon.stop() == 0


def test_f6_a_generation_that_ignores_its_signal_is_cut_and_its_successor_serves(house):
    daemon = house.run(toy(["--deaf", "--version=1"], service='timeout_stop = "300ms"; deploy: { drain_timeout = "300ms"; };'))
    old = get(8080).pid
    for i in range(count(1, 20)):
        with Process(old) as process:
            assert daemon.ctl("deploy", "site").returncode == 0
            process.wait_gone()
        daemon.log.wait(rf"pid {old}\) did not end within 300ms, sending SIGKILL")
        old = get(8080).pid
    assert daemon.stop(DEADLINE) in (0, 1)


DEAF_AND_LEAVES_ONE = '''
import ctypes
import signal
generation = os.environ["REUSEPORTD_GENERATION"]
signal.signal(signal.SIGTERM, lambda *_: tell("was asked", os.getpid()))
if os.fork() == 0:
    os.setsid()  # no signal of ours finds it
    ctypes.CDLL(None).prctl(15, b"keeper-of-" + generation.encode(), 0, 0, 0)
    tell("left behind", generation, os.getpid())
    while True:
        signal.pause()
serve()
'''


def test_f6_each_old_generation_is_killed_in_time_and_whom_it_leaves_is_named(house, show):
    """It ignores its kill_signal, and a grandchild keeps its socket, every time."""
    path = hostile.script(house, DEAF_AND_LEAVES_ONE)
    daemon = house.run(f'''
        endpoints: {{ web: {{ listen_stream = "127.0.0.1:8080"; }}; }};
        services: {{ site: {{ endpoints = ["web"]; exec_start = ["/usr/bin/python3", "{path}"]; type = "notify";
                              timeout_stop = "300ms"; deploy: {{ drain_timeout = "300ms"; }}; }}; }};''')
    rounds, times = count(2, 20), []
    holders = []
    try:
        for i in range(1, rounds + 1):
            holders.append(int(daemon.log.wait(rf"worker: left behind {i} (\d+)").group(1)))
            old = wait_workers(1, but=())["0"]
            with Process(old) as process:
                assert daemon.ctl("deploy", "site").returncode == 0
                process.wait_gone()
            daemon.log.wait(rf"pid {old}\) did not end within 300ms, sending SIGKILL")
            times.append(daemon.log.times_of(rf"pid {old}\) did not end")[0]
                         - daemon.log.times_of(f"worker: was asked {old}$")[0])
            # Those whom earlier ones left in that bank are named again: they have its sockets, too.
            daemon.log.wait(rf"site: pid {holders[-1]} \(keeper-of-{i}\) still holds a socket of generation {i}, which is gone")
            assert get(8080).status == 200
        assert not daemon.log.has(rf"holds a socket of generation {rounds + 1}")
        assert daemon.stop() in (0, 1)
    finally:
        holders += [int(line.split()[-1]) for line in daemon.log.lines if line.startswith("worker: left behind")]
        for pid in set(holders):
            os.kill(pid, signal.SIGKILL)
    show(f"{rounds} generations were killed {min(times):.3f} to {max(times):.3f} s after they were asked, "
         f"{rounds} holders were named")
    assert 0.25 < min(times) and max(times) < 0.3 + 2, times
