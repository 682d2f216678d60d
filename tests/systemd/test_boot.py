"""The box itself: what the other tests stand on."""

import os
from pathlib import Path

from house import get, toy


def test_systemd_is_pid_1_and_our_files_are_thrown_away(box):
    assert Path("/proc/1/comm").read_text().strip() == "systemd"
    assert os.getpid() != 1
    Path("/usr/bin/of-this-test").touch()       # test_nothing_of_another_box_is_here looks for it
    assert box.systemctl("is-active", "basic.target").stdout.strip() == "active"


def test_nothing_of_another_box_is_here(box):
    assert not Path("/usr/bin/of-this-test").exists()
    assert box.systemctl("list-units", "--failed", "--no-legend").stdout == ""


def test_the_unit_starts_serves_reloads_and_stops(box):
    box.start(toy(workers=2))
    assert get(8080).status == 200
    assert box.show("reuseportd.service", "StatusText")

    box.configure(toy(workers=3))
    box.systemctl("reload", "reuseportd.service")
    assert box.ask("list")["services"][0]["pending"]

    box.systemctl("stop", "reuseportd.service")
    assert box.show("reuseportd.service", "Result") == "success"
