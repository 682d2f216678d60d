"""A generation is a scope of systemd: shown, limited, and ended as a whole."""

import contextlib
import os
import re
import signal
from pathlib import Path

import pytest
from house import Process, get, toy

SLICE = Path("/sys/fs/cgroup/reuseportd.slice")

# Forks twice, out of its session, keeps what it inherited and ignores what it can.
ESCAPE = """
import os, signal, socket, sys
ready, go = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(1, signal.NSIG):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        os.write(go, str(os.getpid()).encode())
        while True:
            signal.pause()
    os._exit(0)
child = os.read(ready, 20)
open("/run/escaped", "ab").write(child + b"\\n")
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
listener = socket.socket(fileno=3)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
while True:
    connection = listener.accept()[0]
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nX-Server-Pid: %d\\r\\n"
                       b"Connection: close\\r\\n\\r\\n" % os.getpid())
    connection.close()
"""


def processes_of(scope):
    return {int(pid) for pid in (SLICE / scope / "cgroup.procs").read_text().split()}


def wait_scope(box, scope):
    box.wait_until(lambda: box.show(scope, "ActiveState") == "active", f"{scope} is a unit")


def scopes():
    return sorted(path.name for path in SLICE.glob("*.scope")) if SLICE.exists() else []


def wait_running(box, n):
    box.wait_until(lambda: box.ask("status", "site")["workers_ready"] == n, f"{n} workers are ready")


def test_each_generation_is_a_scope_of_its_own(box):
    box.start(toy(workers=3))
    wait_running(box, 3)
    first = "reuseportd-site-1.scope"
    wait_scope(box, first)
    assert processes_of(first) == {worker["pid"] for worker in box.ask("status", "site")["workers"]}
    assert box.show(first, "Slice") == "reuseportd.slice"
    assert "Generation 1 of site" in box.systemctl("status", first).stdout
    assert first in box.run("systemd-cgls", "--no-pager", "/reuseportd.slice").stdout
    assert box.main_pid() not in processes_of(first)

    box.ctl("deploy", "site", "--wait=drained")
    second = "reuseportd-site-2.scope"
    wait_scope(box, second)
    box.wait_until(lambda: scopes() == [second], "the first is gone")
    assert len(processes_of(second)) == 3

    box.systemctl("stop", "reuseportd.service")
    box.wait_until(lambda: scopes() == [], "the second is gone")
    box.wait_until(lambda: not box.systemctl("list-units", "--no-legend", "--all", "reuseportd-site-*").stdout,
                   "systemd has forgotten them")


def scope_of(pid):
    """Its name; one that systemd is about to forget is not used again."""
    path = re.search(r"^0::(.*)$", Path(f"/proc/{pid}/cgroup").read_text(), re.MULTILINE).group(1)
    assert re.fullmatch(r"/reuseportd\.slice/reuseportd-site-1(-\d+)?\.scope", path), path
    return path.rsplit("/", 1)[1]


def test_a_worker_that_is_replaced_is_in_a_scope_too(box):
    box.start(toy())
    wait_running(box, 1)
    wait_scope(box, "reuseportd-site-1.scope")
    for _ in range(3):
        before = get(8080).pid
        with Process(before) as process:
            process.kill()
            process.wait_gone()
        box.wait_until(lambda: get(8080).pid != before, "a successor")
        box.wait_until(lambda: box.show(scope_of(get(8080).pid), "ActiveState") == "active", "its scope is a unit")
        assert processes_of(scope_of(get(8080).pid)) == {get(8080).pid}
    box.wait_until(lambda: scopes() == [scope_of(get(8080).pid)], "no other is left")


def test_workers_that_die_at_once_leave_a_scope_to_the_one_that_stays(box):
    """systemd is told of a process that is gone when it looks, and of the same name before it has forgotten it."""
    box.start("daemon: { log_level = \"debug\"; };"
              + toy(service='restart_delay = "1ms"; restart_max_delay = "1ms";'))
    wait_running(box, 1)
    for _ in range(30):
        (worker,) = box.ask("status", "site")["workers"] or [None]
        with contextlib.suppress(ProcessLookupError):
            if worker:
                os.kill(worker["pid"], signal.SIGKILL)
    wait_running(box, 1)
    box.wait_until(lambda: box.show(scope_of(get(8080).pid), "ActiveState") == "active", "its scope is a unit")
    box.wait_until(lambda: scopes() == [scope_of(get(8080).pid)], "no other is left")


def test_limits_hold_for_a_generation(box):
    box.write_unit("reuseportd.slice.d/limits.conf", "[Slice]\nTasksMax=77\n")
    box.start(toy())
    wait_running(box, 1)
    wait_scope(box, "reuseportd-site-1.scope")
    assert box.show("reuseportd.slice", "TasksMax") == "77"
    box.systemctl("set-property", "--runtime", "reuseportd-site-1.scope", "MemoryMax=64M")
    if not (SLICE / "pids.max").exists():
        pytest.skip("this machine has no controllers for its boxes")
    assert (SLICE / "pids.max").read_text().strip() == "77"
    assert (SLICE / "reuseportd-site-1.scope/memory.max").read_text().strip() == str(64 << 20)


def escaped():
    return [int(pid) for pid in Path("/run/escaped").read_text().split()]


def test_who_escapes_by_forking_ends_with_its_generation(box):
    """FAULTS H12."""
    Path("/usr/local/bin/escape.py").write_text(ESCAPE)
    box.start('''endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; };
        services: { site: { endpoints = ["web"]; type = "notify";
            exec_start = ["/usr/bin/python3", "/usr/local/bin/escape.py"]; }; };''')
    wait_running(box, 1)
    (first,) = escaped()
    assert os.getsid(first) not in (first, get(8080).pid)
    with Process(first) as process:
        assert not process.is_gone()
        box.ctl("deploy", "site", "--wait=drained")
        process.wait_gone()
    assert get(8080).status == 200

    second = escaped()[-1]
    with Process(second) as process:
        box.systemctl("stop", "reuseportd.service")
        process.wait_gone()
    box.wait_until(lambda: scopes() == [], "its scope is gone")


def test_kill_mode_process_leaves_the_others_alone(box):
    Path("/usr/local/bin/escape.py").write_text(ESCAPE)
    box.start('''endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; };
        services: { site: { endpoints = ["web"]; type = "notify"; kill_mode = "process";
            exec_start = ["/usr/bin/python3", "/usr/local/bin/escape.py"]; }; };''')
    wait_running(box, 1)
    (first,) = escaped()
    with Process(first) as process:
        box.ctl("deploy", "site", "--wait=drained")
        assert not process.is_gone(0.5)
        process.kill()


def test_where_control_groups_are_read_only_workers_stay_with_us(box):
    box.write_unit("reuseportd.service.d/hard.conf", "[Service]\nProtectControlGroups=yes\n")
    box.start(toy())
    wait_running(box, 1)
    assert get(8080).status == 200
    own = re.search(r"^0::(.*)$", Path(f"/proc/{get(8080).pid}/cgroup").read_text(), re.MULTILINE).group(1)
    assert own.endswith("reuseportd.service")


def test_the_scope_of_an_adopted_generation_is_found_again(box):
    """After a re-exec: a worker that is replaced joins it, and who escaped from it still ends with it."""
    Path("/usr/local/bin/escape.py").write_text(ESCAPE)
    box.start('''endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; };
        services: { site: { endpoints = ["web"]; type = "notify"; workers = 2;
            exec_start = ["/usr/bin/python3", "/usr/local/bin/escape.py"]; }; };''')
    wait_running(box, 2)
    first = scopes()
    box.ctl("reexec")
    wait_running(box, 2)
    (old, other) = (worker["pid"] for worker in box.ask("status", "site")["workers"])
    with Process(old) as process:
        process.kill()
        process.wait_gone()
    box.wait_until(lambda: len({w["pid"] for w in box.ask("status", "site")["workers"]} - {old, other}) == 1
                   and box.ask("status", "site")["workers_ready"] == 2, "a successor")
    assert scopes() == first, "no other was made"
    watched = [Process(pid) for pid in escaped()]
    box.ctl("deploy", "site", "--wait=drained")
    for process in watched:
        process.wait_gone()
        process.close()
