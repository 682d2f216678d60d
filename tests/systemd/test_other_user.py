"""User= of the unit changes between two lives of the daemon: what one user has left is not another's to go on from."""

from pathlib import Path

from booted import UNIT, Booted, Visitors
from house import get

DROP_IN = f"{UNIT}.d/user.conf"
NOBODY = 65534


def run_as(box, user):
    box.write_unit(DROP_IN, f"[Service]\nUser={user}\n")
    box.systemctl("restart", "--no-block", UNIT)


def test_what_root_has_left_is_refused_by_another_and_gone_on_from_by_root(box, show):
    k = Booted(box)
    workers, sockets, visitors = k.workers(), k.sockets(), Visitors(box)
    log = box.follow_journal("--unit", UNIT)
    run_as(box, "nobody")
    log.wait(f"Cannot go on .*: it is of uid 0, and we run as uid {NOBODY}\\. .*; start it as that user again, or stop")
    assert k.servers() == set(workers) and get(8080).pid in workers

    run_as(box, "root")
    log.wait("services go on")
    k.check_whole()
    assert k.workers() == workers and k.sockets() == sockets
    visitors.check(show, "what root has left, refused by nobody")


def test_what_another_has_left_is_not_done_by_root(box):
    """Else whoever gets descriptors into the store of a unit would have root run what he likes."""
    for place in ("/run/reuseportd", "/usr/local/etc/reuseportd"):
        Path(place).mkdir(parents=True, exist_ok=True)
    box.write_unit(DROP_IN, "[Service]\nUser=nobody\n")
    k = Booted(box)
    workers = k.workers()
    log = box.follow_journal("--unit", UNIT)
    run_as(box, "root")
    log.wait(f"Cannot go on .*: it is of uid {NOBODY}, and we run as uid 0\\.")
    assert k.servers() == set(workers) and get(8080).pid in workers
    box.systemctl("stop", UNIT)
    assert k.servers() == set() and k.sockets() == []
    box.systemctl("start", UNIT)
    k.check_whole()
    assert not set(k.workers()) & set(workers)
