"""kill -9 of the daemon at random moments, also of deploys and of a stop, and with a configuration that has become bad:
systemd starts it again, and nobody is lost."""

import random
import shutil

import pytest
from booted import UNIT, Booted, Visitors, listening_inodes
from crash import OK, Tracer
from crash_config import MISHAPS, SAID
from house import Process, Request, count, get

pytestmark = pytest.mark.box_seconds(1800)

EVERY = 8                                       # so many kills until there is a deploy


def test_at_random_moments_under_load(box, show):
    dice, kills = random.Random(252), count(10, 200)
    k = Booted(box)
    visitors = Visitors(box)
    k.deploy(2)
    pid = k.kill()
    costs, sockets, workers, version = k.costs(), k.sockets(), k.workers(), 2
    ends = []
    for i in range(kills):
        has_deploy = i % EVERY == EVERY - 1
        if has_deploy:
            version += 1
            k.ctl("deploy", "site", "--no-wait", "--id", f"d{version}", "--", k.toy, f"--version={version}")
        with Process(pid) as process:
            process.is_gone(dice.uniform(0, 0.5))  # at a moment that nobody knows
            process.kill()
            pid = k.wait_successor(pid)
        if has_deploy:
            k.wait_no_deploy()
            last = k.ask("status", "site")["last_deploy"]
            assert last["id"] == f"d{version}", last
            ends.append(last["result"])
            workers = k.workers() if last["result"] == "done" else workers
        assert k.workers() == workers and k.sockets() == sockets, i
    k.check_whole()
    k.check_no_zombies()
    assert k.n_restarts() == kills + 1
    visitors.check(show, f"killed {kills} times, in {len(ends)} deploys, of which {ends.count('done')} are done")
    k.check_costs(costs, show)


# ---- while it stops ----

def busy(box):
    """A daemon, and visitors whose answers take a while."""
    k = Booted(box, service='timeout_stop = "60s";')
    requests = [Request(8080, "/sleep/3000") for _ in range(4)]
    for request in requests:
        request.wait_sent()
    return k, requests, box.follow_journal("--unit", UNIT)


def check_answers(requests, old):
    for request in requests:
        assert request.answer().status == 200
    for process in old:
        process.wait_gone()
        process.close()


def test_killed_in_a_stop_it_leaves_nobody_behind(box):
    """systemd starts nothing while it stops; the workers were asked already."""
    k, requests, log = busy(box)
    old = [Process(pid) for pid in k.workers()]
    box.systemctl("stop", "--no-block", UNIT)
    log.wait("Stopping$")
    box.systemctl("kill", "--signal=KILL", "--kill-whom=main", UNIT)
    check_answers(requests, old)
    box.wait_until(lambda: box.show(UNIT, "ActiveState") == "failed", "it has failed")
    assert box.show(UNIT, "Result") == "signal" and box.show(UNIT, "NFileDescriptorStore") == "0"
    assert listening_inodes() == [] and k.servers() == set()

    box.systemctl("start", UNIT)
    k.check_whole()


def test_killed_before_it_could_read_that_it_shall_stop(box):
    """Nobody has asked the workers, and systemd starts nobody who would: they are named, and their slice ends them."""
    k = Booted(box)
    workers = k.workers()
    tracer = Tracer(box.programs, k.pid(), 2)   # it waits, and then would read
    box.systemctl("stop", UNIT, check=False)
    assert tracer.stop().startswith("killed") and box.show(UNIT, "Result") == "signal"
    assert get(8080).pid in workers
    log = box.follow_journal("--unit", UNIT)
    assert box.systemctl("start", UNIT, check=False).returncode != 0
    for pid in workers:
        log.wait(rf"held by pid {pid} \(toy-worker\).*end it with: kill {pid}")
    box.systemctl("stop", "reuseportd.slice")
    box.systemctl("restart", UNIT)
    k.check_whole()
    assert not set(k.workers()) & set(workers)


@pytest.mark.parametrize("kills", [0, 2])
def test_told_to_stop_by_somebody_else_it_stops_and_begins_anew(box, kills):
    """Restart=always: systemd has no word that it shall not run."""
    k, requests, log = busy(box)
    workers = k.workers()
    old = [Process(pid) for pid in workers]
    pid = box.main_pid()
    box.systemctl("kill", "--signal=TERM", "--kill-whom=main", UNIT)
    for n in range(kills + 1):
        log.wait("[^a-z]Stopping$|^Stopping$", times=n + 1)
        if n < kills:
            box.systemctl("kill", "--signal=KILL", "--kill-whom=main", UNIT)
            log.wait("services go on", times=n + 1)
    check_answers(requests, old)
    k.wait_successor(pid)
    k.check_whole()
    assert not set(k.workers()) & set(workers)
    assert k.n_restarts() == kills + 1, "it is told once, so it stops once"
    assert not log.has("cut off|Told to stop again|could not be taken back")
    k.kill()
    k.check_whole()


# ---- the configuration ----

@pytest.mark.parametrize("happen", MISHAPS, ids=lambda happen: happen.__name__)
def test_the_settings_of_before_stay_in_force(box, happen):
    k = Booted(box)
    log = box.follow_journal("--unit", UNIT)
    workers, sockets = k.workers(), k.sockets()
    text = box.config.read_text()
    happen(box.config)
    for n in (1, 2):
        k.kill()
        log.wait(SAID, times=n)
        assert k.workers() == workers and k.sockets() == sockets
    assert get(8080).status == 200

    if box.config.is_dir():
        shutil.rmtree(box.config)
    box.config.write_text(text)
    box.systemctl("reload", UNIT)
    assert k.ctl("restart", "site").returncode == OK
    k.check_whole()
