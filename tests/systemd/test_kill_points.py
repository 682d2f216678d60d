"""kill -9 of the daemon at every named step of a deploy and of a reload, under load: systemd starts it again, nobody is
lost, and each says how it ended."""

import pytest
from booted import UNIT, Booted, Visitors
from crash import POINTS, at_each_time
from house import IS_LONG, count, toy

# One of each kind, where not all are tried: of the store, a record, a process, the rule, the deploy.
FEW = ["stored", "record-torn", "spawned", "rule-replaced", "deploy-decided"]

pytestmark = [pytest.mark.crash_points, pytest.mark.box_seconds(1800)]


def start(box, at):
    """Anew: a daemon that goes on where another was killed comes to no crash point."""
    if "crash points" not in box.run("reuseportd", "--version").stdout:
        pytest.skip("built without -Dcrash_points=true")
    box.systemctl("stop", UNIT)
    box.write_unit(f"{UNIT}.d/crash.conf", f"[Service]\nEnvironment=REUSEPORTD_CRASH_AT={at}\n")
    return Booted(box)


@pytest.mark.parametrize("point", POINTS if IS_LONG else FEW)
def test_at_each_step_of_a_deploy(box, show, point):
    def run(at):
        k = start(box, at)
        sockets, kinds, n_stored = k.sockets(), k.kinds(), k.n_stored()
        visitors = Visitors(box)
        last = k.deploy(2, "--canary", "50", "--step", "100ms")[1]
        visitors.check(lambda text: None, at)
        k.check_whole()
        k.check_no_zombies()
        assert k.sockets() == sockets
        k.wait_kinds(kinds)
        assert k.n_stored() == n_stored
        is_killed = k.n_restarts() == 1
        assert is_killed or k.n_restarts() == 0
        if not is_killed:                       # nor shall it be in its stop: its successor comes to no point
            box.systemctl("restart", UNIT)
            k.check_whole()
        return is_killed, last

    lines = at_each_time(point, count(1, 20), run)
    show("; ".join(lines))


def test_at_a_reload(box, show):
    for i in range(count(1, 20)):
        k = start(box, "reloaded:1")
        workers, sockets, kinds = k.workers(), k.sockets(), k.kinds()
        visitors, pid = Visitors(box), k.pid()
        box.configure(toy(["--version=2"], workers=2))
        k.ctl("reload")
        k.wait_successor(pid)
        assert k.n_restarts() == 1
        # The file has changed since the settings that the next one finds, so it reads it again.
        box.wait_until(lambda k=k: k.ask("list")["services"][0]["pending"], "the reload is done")
        visitors.check(lambda text: None, "a reload")
        assert k.workers() == workers and k.sockets() == sockets
        k.check_whole()
        k.wait_kinds(kinds)
        show(f"reloaded:1 killed, run {i + 1}: reloaded by the next")
