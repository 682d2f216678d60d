"""What the journal knows of an event: its fields, its MESSAGE_ID, and what `journalctl -x` says of that."""

import os
import re
import signal
import time

from house import SOURCES, get, toy, wait_workers

MESSAGES = dict(re.findall(r'^#define MESSAGE_(\w+)\s+"([0-9a-f]{32})"$',
                           (SOURCES / "src/daemon/messages.h").read_text(), re.MULTILINE))


def update_catalog(box):
    box.run("journalctl", "--update-catalog")


def entries_of(box, name):
    return box.journal(f"MESSAGE_ID={MESSAGES[name]}")


def explained(box, name, *matches):
    """The text of `journalctl -x` on the events of a name."""
    return box.run("journalctl", "--boot", "--catalog", f"MESSAGE_ID={MESSAGES[name]}", *matches).stdout


def test_every_message_id_has_an_entry_in_the_catalog(box):
    update_catalog(box)
    dumped = box.run("journalctl", "--dump-catalog", *MESSAGES.values()).stdout
    entries = {text[:32]: text for text in re.split(r"^-- ", dumped, flags=re.MULTILINE)[1:]}
    assert set(entries) == set(MESSAGES.values())
    for text in entries.values():
        assert re.search(r"^Subject: .", text, re.MULTILINE) and "Defined-By: reuseportd" in text
        assert len(text.split("\n\n", 1)[1].strip()) > 60
        assert not re.search(r"^#", text, re.MULTILINE), text


def test_a_dead_worker_is_explained_with_the_names_of_the_day(box):
    update_catalog(box)
    box.start(toy())
    lines = box.follow_journal("--unit=reuseportd")
    pid = get(8080).pid
    os.kill(pid, signal.SIGKILL)
    lines.wait(rf"worker 0 \(pid {pid}\).*SIGKILL")
    wait_workers(1, but=[pid])

    entry, = entries_of(box, "WORKER_DIED")
    assert entry["SERVICE"] == "site" and entry["GENERATION"] == "1" and entry["COLOR"] == "blue"
    assert entry["WORKER_PID"] == str(pid) and entry["PRIORITY"] == "4"
    assert entry["SYSLOG_IDENTIFIER"] == "reuseportd" and entry["_SYSTEMD_UNIT"] == "reuseportd.service"

    text = explained(box, "WORKER_DIED")
    assert "Subject: A worker of site has died" in text
    assert f"coredumpctl info {pid}" in text and "reuseportctl logs site" in text


def test_a_deploy_that_fails_tells_its_story(box):
    update_catalog(box)
    box.start(toy())
    wait_workers(1)
    result = box.ctl("deploy", "site", "--id", "release-7", "--", box.toy, "--ready", "never",
                     "--exit-after", "1", "--exit-code", "3", check=False)
    assert result.returncode == 7, result

    story = [entry for entry in box.journal("DEPLOY_ID=release-7") if "MESSAGE_ID" in entry]
    names = {number: name for name, number in MESSAGES.items()}
    assert [names[entry["MESSAGE_ID"]] for entry in story] == ["DEPLOY_BEGAN", "DEPLOY_REVERTS", "DEPLOY_ROLLED_BACK"]
    assert {entry["GENERATION"] for entry in story} == {"2"} and {entry["SERVICE"] for entry in story} == {"site"}
    text = explained(box, "DEPLOY_ROLLED_BACK")
    assert "The deploy of site was rolled back" in text and "journalctl SERVICE=site GENERATION=2" in text


def test_a_deploy_that_succeeds_tells_its_steps(box):
    box.start(toy())
    wait_workers(1)
    box.ctl("deploy", "site", "--canary", "50", "--step", "100ms", "--id", "release-8", "--wait=drained")
    names = {number: name for name, number in MESSAGES.items()}
    story = [names[entry["MESSAGE_ID"]] for entry in box.journal("DEPLOY_ID=release-8") if "MESSAGE_ID" in entry]
    assert story == ["DEPLOY_BEGAN", "DEPLOY_SHARE", "DEPLOY_SWITCHED", "DEPLOY_DONE"]


def test_what_an_operator_must_mend_is_marked(box):
    """Each of these is one command away: journalctl MESSAGE_ID=…"""
    update_catalog(box)
    box.start(toy(service='restart = "no";'))
    pid = get(8080).pid
    box.configure("services: nonsense")
    box.systemctl("reload", "reuseportd.service", check=False)
    assert entries_of(box, "RELOAD_REFUSED")

    os.kill(pid, signal.SIGKILL)
    box.ctl("wait", "site", "--for=stopped", check=False)
    failed, = box.wait_until(lambda: entries_of(box, "SERVICE_FAILED"), "the service has failed")
    assert failed["PRIORITY"] == "3" and failed["SERVICE"] == "site"
    assert "reuseportctl reset-failed site" in explained(box, "SERVICE_FAILED")


def test_the_output_of_workers_is_in_the_journal_by_the_name_of_the_service(box):
    box.start(toy())
    wait_workers(1)
    box.run("journalctl", "--sync")
    result = box.ctl("logs", "site")
    assert "toy:" in result.stdout and "ready" in result.stdout


def test_a_journal_that_hangs_holds_up_nobody(box, show):
    """The socket of a journald that is stopped is full after some 512 lines; what does not fit is counted."""
    box.start('daemon: { log_level = "debug"; };' + toy())
    wait_workers(1)
    journald = box.main_pid("systemd-journald.service")
    os.kill(journald, signal.SIGSTOP)
    try:
        slowest = 0.0
        for number in range(40):
            box.ctl("deploy", "site", "--id", f"unheard-{number}")
            began = time.monotonic()
            assert get(8080).status == 200
            box.ctl("status", "site")
            slowest = max(slowest, time.monotonic() - began)
    finally:
        os.kill(journald, signal.SIGCONT)
    show(f"40 deploys while journald was stopped, a request and reuseportctl status in {slowest:.3f} s at most")

    lines = box.follow_journal("--unit=reuseportd")
    box.ctl("restart", "site")
    dropped = lines.wait(r"(\d+) lines of this log were dropped")
    assert int(dropped.group(1)) > 0
