"""The units, as PID 1 takes them: what they start, forbid and survive."""

import os
import pwd
import re
import socket
from pathlib import Path

import pytest
from house import get, toy, wait_workers

UNITS = ["reuseportd.service", "reuseportd@one.service", "reuseportd-dynamic.service"]
PREFIX = Path("/usr/local")
HARDENED = PREFIX / "share/reuseportd/hardened.conf"
DROP_IN = Path("/etc/systemd/system/reuseportd.service.d/hardened.conf")


def harden(box):
    DROP_IN.parent.mkdir(parents=True)
    DROP_IN.symlink_to(HARDENED)
    box.systemctl("daemon-reload")


def verify(box, *arguments):
    result = box.run("systemd-analyze", "verify", "--man=no", *arguments, check=False)
    # It speaks of what is wrong in other units too; that modprobe is missing is not ours.
    return [line for line in (result.stdout + result.stderr).splitlines() if "reuseportd" in line]


def owner_of_listener(port):
    """The uid that /proc knows of the listening sockets of a port."""
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    return {int(row[7]) for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"}


def status_of(pid):
    return dict(re.findall(r"^(\w+):\s+(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_nothing_wrong_with_a_unit(box, unit):
    assert verify(box, unit) == []


def test_systemd_finds_nothing_wrong_with_the_user_unit_and_the_drop_in(box):
    assert verify(box, "--user", "reuseportd.service") == []
    harden(box)
    assert verify(box, "reuseportd.service") == []


def test_a_wrong_line_would_be_found(box):
    box.write_unit("reuseportd.service.d/wrong.conf", "[Service]\nRestrtKillSignal=SIGUSR2\n")
    assert len(verify(box, "reuseportd.service")) == 1


def exposure(box, unit):
    result = box.run("systemd-analyze", "security", "--no-pager", unit)
    return float(re.search(r"Overall exposure level for .*: ([\d.]+)", result.stdout).group(1))


def test_the_hardened_unit_is_at_most_2_7_exposed(box, show):
    plain, dynamic = exposure(box, "reuseportd.service"), exposure(box, "reuseportd-dynamic.service")
    harden(box)
    hardened = exposure(box, "reuseportd.service")
    show(f"systemd-analyze security: reuseportd.service {plain}, hardened {hardened}, "
         f"reuseportd-dynamic.service {dynamic}")
    assert hardened <= 2.7 and dynamic <= 2.7


def test_the_units_agree_on_how_the_daemon_lives_and_dies(box):
    """A stop is SIGTERM, a restart SIGUSR2, and neither ends a worker behind the daemon's back."""
    names = ["Type", "NotifyAccess", "Restart", "RestartKillSignal", "KillSignal", "KillMode", "TimeoutStopUSec",
             "TimeoutAbortUSec", "FileDescriptorStoreMax", "StartLimitIntervalUSec", "OOMPolicy",
             "ExecStop", "ExecStopPost", "RestartPreventExitStatus", "RuntimeDirectoryPreserve"]
    seen = {unit: {name: box.show(unit, name) for name in names} for unit in UNITS}
    first = seen[UNITS[0]]
    assert all(values == first for values in seen.values()), seen
    assert first == {
        "Type": "notify", "NotifyAccess": "main", "Restart": "always", "RestartKillSignal": "12", "KillSignal": "15",
        "KillMode": "process", "TimeoutStopUSec": "infinity", "TimeoutAbortUSec": "10s",
        "FileDescriptorStoreMax": "1000", "StartLimitIntervalUSec": "0", "OOMPolicy": "continue", "ExecStop": "",
        "ExecStopPost": "", "RestartPreventExitStatus": "78", "RuntimeDirectoryPreserve": "restart"}
    text = (PREFIX / "lib/systemd/user/reuseportd.service").read_text()
    for line in ("WatchdogSec=30s", "Restart=always", "RestartKillSignal=SIGUSR2", "KillMode=process", "TimeoutStopSec=infinity",
                 "TimeoutAbortSec=10s", "FileDescriptorStoreMax=1000", "StartLimitIntervalSec=0"):
        assert f"\n{line}\n" in text


def test_what_is_shipped_starts_as_the_preset_says(box):
    box.systemctl("preset", *[unit.replace("one", "") for unit in UNITS])
    assert box.systemctl("is-enabled", "reuseportd.service").stdout.strip() == "enabled"
    assert box.systemctl("is-enabled", "reuseportd-dynamic.service", check=False).stdout.strip() == "disabled"
    box.start()
    assert box.ask("list")["services"] == []
    assert Path("/usr/local/etc/reuseportd/conf.d").is_dir()


def test_sockets_belong_to_a_user_without_processes(box):
    box.start(toy())
    uid = pwd.getpwnam("reuseportd-sockets").pw_uid
    assert uid != 0 and owner_of_listener(8080) == {uid}
    assert not [pid for pid in Path("/proc").glob("[0-9]*") if pid.stat().st_uid == uid]


def test_a_bad_configuration_is_not_tried_again(box):
    box.configure("endpoints: { web: { listen_strem = \"80\"; }; };")
    assert box.systemctl("start", "reuseportd.service", check=False).returncode != 0
    assert box.show("reuseportd.service", "ExecMainStatus") == "78"
    assert box.show("reuseportd.service", "ActiveState") == "failed"
    assert "listen_strem" in "\n".join(entry["MESSAGE"] for entry in box.journal("--unit=reuseportd"))


def test_reload_is_refused_with_a_status_when_the_file_is_bad(box):
    box.start(toy())
    box.configure("services: nonsense")
    assert box.systemctl("reload", "reuseportd.service", check=False).returncode != 0
    assert box.show("reuseportd.service", "ActiveState") == "active"
    assert get(8080).status == 200


def test_the_hardened_unit_serves_with_workers_of_other_users(box):
    harden(box)
    box.start(toy(listen='listen_stream = ":80";', service='user = "www-data";', workers=2))
    workers = wait_workers(2, port=80)
    for pid in workers.values():
        status = status_of(pid)
        assert status["Uid"].split()[0] == str(pwd.getpwnam("www-data").pw_uid)
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        assert int(status["CapBnd"], 16) & (1 << 21) == 0  # CAP_SYS_ADMIN

    box.ctl("wait", "site", "--for=running")
    assert box.ask("status", "site")["workers_ready"] == 2
    assert box.ctl("restart", "site").returncode == 0
    assert not set(wait_workers(2, but=workers.values(), port=80).values()) & set(workers.values())
    box.systemctl("stop", "reuseportd.service")
    assert box.show("reuseportd.service", "Result") == "success"


def test_the_hardened_unit_names_who_has_an_address(box):
    harden(box)
    with socket.create_server(("0.0.0.0", 8080)) as taken:
        box.configure(toy())
        box.systemctl("start", "--no-block", "reuseportd.service")
        box.follow_journal("--unit=reuseportd").wait(rf"held by pid {os.getpid()} ")
        assert taken.fileno() >= 0
    box.wait_until(lambda: box.show("reuseportd.service", "ActiveState") == "active", "it starts when it is free")


def test_an_instance_has_a_configuration_and_a_control_socket_of_its_own(box):
    box.start(toy())
    box.configure(toy(listen='listen_stream = ":8081";'), path=Path("/usr/local/etc/reuseportd/two.conf"))
    box.systemctl("start", "reuseportd@two.service")
    assert get(8080).pid != get(8081).pid
    result = box.ctl("--control", "/run/reuseportd-two/control", "list-endpoints")
    assert "8081" in result.stdout and "8080" not in result.stdout
    box.systemctl("reload", "reuseportd@two.service")
    box.systemctl("stop", "reuseportd@two.service")
    assert get(8080).status == 200


def test_the_dynamic_unit_serves_a_low_port_without_rights(box):
    box.start(toy(listen='listen_stream = ":80";', workers=2), unit="reuseportd-dynamic.service")
    daemon = box.main_pid("reuseportd-dynamic.service")
    workers = wait_workers(2, port=80)
    uids = {status_of(pid)["Uid"].split()[0] for pid in (daemon, *workers.values())}
    assert len(uids) == 1 and uids != {"0"}
    assert int(status_of(daemon)["CapBnd"], 16) == 1 << 10  # CAP_NET_BIND_SERVICE
    assert box.ctl("scale", "site=3").returncode == 0
    box.systemctl("reload", "reuseportd-dynamic.service")
    box.systemctl("stop", "reuseportd-dynamic.service")
    assert box.show("reuseportd-dynamic.service", "Result") == "success"


def test_a_user_has_a_daemon_of_their_own(box):
    box.run("useradd", "--create-home", "visitor")
    user = pwd.getpwnam("visitor")
    config = Path("/home/visitor/.config/reuseportd/endpoints.conf")
    box.configure(toy(listen='listen_stream = ":8080";'), path=config)
    box.systemctl("start", f"user@{user.pw_uid}.service")
    run = Path(f"/run/user/{user.pw_uid}")
    as_user = ["setpriv", "--reuid=visitor", "--regid=visitor", "--init-groups", "env",
               f"XDG_RUNTIME_DIR={run}", "HOME=/home/visitor"]
    box.run(*as_user, "systemctl", "--user", "start", "reuseportd.service")
    answer = get(8080)
    assert status_of(answer.pid)["Uid"].split()[0] == str(user.pw_uid)
    assert "running" in box.run(*as_user, "reuseportctl", "list").stdout
    box.run(*as_user, "systemctl", "--user", "reload", "reuseportd.service")
    box.run(*as_user, "systemctl", "--user", "stop", "reuseportd.service")
