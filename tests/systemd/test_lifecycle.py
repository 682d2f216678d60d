"""The daemon is restarted, killed and upgraded by systemd, again and again under load: nobody is lost, and no worker
notices."""

import gzip
import os
import signal
import time
from pathlib import Path

import pytest
from booted import UNIT, Booted, Visitors, listening_inodes
from house import SOURCES, Process, count, get, toy, wait_workers

PACKAGES = sorted(path for path in (SOURCES / "build/package").glob("*.deb") if "dbgsym" not in path.name)

pytestmark = pytest.mark.box_seconds(1200)


def cgroup_of(pid):
    return Path(f"/proc/{pid}/cgroup").read_text()


class House:
    """A daemon with two workers, and what must stay the same of it."""

    def __init__(self, box):
        self.box = box
        self.daemon = Booted(box, service="", switches=())
        self.workers = wait_workers(2)
        self.inodes = listening_inodes()

    def needs_store(self):
        if self.box.show(UNIT, "NFileDescriptorStore") == "0":
            pytest.skip("this build leaves nothing in systemd's store: SIGUSR2 is refused")
        return self

    def wait_successor(self, pid):
        """Until another daemon than pid has the service, with the workers of before; its pid."""
        self.box.wait_until(lambda: self.box.main_pid() not in (0, pid)
                            and self.box.show(UNIT, "ActiveState") == "active", "a successor is active")
        self.box.ctl("wait", "site", "--for=running")
        self.check()
        return self.box.main_pid()

    def check(self):
        assert wait_workers(2) == self.workers
        assert listening_inodes() == self.inodes
        shown = {str(row["worker"]): row["pid"] for row in self.box.ask("status", "site")["workers"]}
        assert shown == self.workers


def test_restarts_lose_nobody(box, show):
    house, times = House(box).needs_store(), count(3, 50)
    visitors, pid = Visitors(box), box.main_pid()
    costs = None
    for _ in range(times):
        box.systemctl("restart", UNIT)
        pid = house.wait_successor(pid)
        costs = costs or house.daemon.costs()
    visitors.check(show, f"{times} times systemctl restart")
    house.daemon.check_costs(costs, show)


def test_kills_lose_nobody(box, show):
    house, times = House(box).needs_store(), count(3, 50)
    visitors, pid = Visitors(box), box.main_pid()
    # Only workers that are in scopes of their own are spared when all of a unit is killed.
    in_unit = any(cgroup_of(worker) == cgroup_of(pid) for worker in house.workers.values())
    for _ in range(times):
        box.systemctl("kill", "--signal=KILL", *(["--kill-whom=main"] if in_unit else []), UNIT)
        pid = house.wait_successor(pid)
    visitors.check(show, f"{times} times systemctl kill -s KILL{' --kill-whom=main' if in_unit else ''}")


def test_a_daemon_that_hangs_has_a_successor(box, show):
    box.write_unit(f"{UNIT}.d/watchdog.conf", "[Service]\nWatchdogSec=1s\nTimeoutAbortSec=1s\n")
    house = House(box).needs_store()
    visitors, pid = Visitors(box), box.main_pid()
    os.kill(pid, signal.SIGSTOP)
    house.wait_successor(pid)
    visitors.check(show, "a daemon that is stopped by SIGSTOP")


def test_a_stop_ends_all_and_a_start_begins_anew(box):
    house = House(box).needs_store()
    box.systemctl("restart", UNIT)
    gone = [Process(pid) for pid in house.workers.values()]
    box.systemctl("stop", UNIT)
    for process in gone:
        process.wait_gone()
        process.close()
    assert box.show(UNIT, "Result") == "success" and box.show(UNIT, "NFileDescriptorStore") == "0"
    assert listening_inodes() == []
    box.start()
    assert not set(wait_workers(2).values()) & set(house.workers.values())


def test_deploys_go_on_after_a_restart(box, show):
    house = House(box).needs_store()
    visitors, pid = Visitors(box), box.main_pid()
    box.ctl("deploy", "site", "--canary", "50", "--step", "1h", "--no-wait")
    box.wait_until(lambda: (box.ask("status", "site")["deploy"] or {}).get("state") == "canary", "a canary")
    box.systemctl("restart", UNIT)
    assert box.main_pid() != pid
    # It is finished or taken back, and which is told; either way one generation has all visitors.
    box.ctl("promote", "site", check=False)
    box.wait_until(lambda: box.ask("status", "site")["state"] == "running", "it is running")
    house.workers = wait_workers(2)
    visitors.check(show, "a restart in the middle of a deploy")


def test_one_reexec_after_the_other_keeps_the_watchdog_quiet(box):
    """Each is sooner than the time after which a program that has just begun would say WATCHDOG=1."""
    box.write_unit(f"{UNIT}.d/watchdog.conf", "[Service]\nWatchdogSec=2s\n")
    house, pid = House(box), box.main_pid()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        box.ctl("reexec")
    house.check()
    assert box.main_pid() == pid and box.show(UNIT, "NRestarts") == "0"


def repack(box, package, number, directory):
    """The same package as a newer version, with an entry in its changelog."""
    place = directory / f"{package.stem}-{number}"
    box.run("dpkg-deb", "--raw-extract", package, place)
    control = place / "DEBIAN/control"
    version = f"0.1.0+{number}"
    control.write_text(control.read_text().replace("Version: 0.1.0\n", f"Version: {version}\n")
                       .replace("(= 0.1.0)", f"(= {version})"))
    for path in place.glob("usr/share/doc/*/changelog.gz"):
        entry = (f"reuseportd ({version}) unstable; urgency=medium\n\n  * Rebuilt.\n\n"
                 " -- reuseportd maintainers <maintainers@reuseportd.example>  Mon, 23 Nov 2026 12:00:00 +0000\n\n")
        path.write_bytes(gzip.compress(entry.encode() + gzip.decompress(path.read_bytes())))
    target = directory / f"{package.stem}-{number}.deb"
    box.run("dpkg-deb", "--root-owner-group", "--build", place, target)
    return target


@pytest.mark.packaged
@pytest.mark.skipif(not PACKAGES, reason="no packages in build/package: sh tests/package.sh makes them")
def test_upgrades_of_the_package_lose_nobody(box, show, tmp_path):
    Path("/usr/sbin/policy-rc.d").unlink(missing_ok=True)
    box.run("dpkg", "--install", *PACKAGES)
    box.configure(toy(workers=2))
    box.systemctl("reload", UNIT)
    house, times = House(box), count(1, 5)
    visitors, pid = Visitors(box), box.main_pid()
    for number in range(1, times + 1):
        box.run("dpkg", "--install", *(repack(box, package, number, tmp_path) for package in PACKAGES))
        assert box.run("dpkg-query", "-W", "-f", "${Version}", "reuseportd").stdout == f"0.1.0+{number}"
        house.check()
        assert box.main_pid() == pid, "it was restarted, not re-executed"
        assert os.readlink(f"/proc/{pid}/exe") == "/usr/sbin/reuseportd", "it runs the file of before"
    assert get(8080).status == 200
    visitors.check(show, f"{times} upgrades of the package")
