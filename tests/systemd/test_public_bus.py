"""The system bus: the same objects as at the control socket, by leave of polkit."""

import shutil
from pathlib import Path

import pytest
from house import get, toy

OK, FAILED, USAGE, NOT_ACTIVE, NO_SUCH_NAME, NOT_REACHABLE, DENIED = range(7)
SHARE = Path("/usr/local/share")
NAME = "org.reuseportd"
PATH = "/org/reuseportd"
CONTROL = "unix:path=/run/reuseportd/control"
RULE = '''polkit.addRule(function(action, subject) {
    if (action.id == "%s" && subject.user == "nobody") return polkit.Result.YES;
});'''


@pytest.fixture
def public(box):
    """The daemon, on a bus whose policy lets it be there; as the packages of a distribution have it."""
    shutil.copy(SHARE / "dbus-1/system.d/org.reuseportd.conf", "/usr/share/dbus-1/system.d/")
    if Path("/usr/share/polkit-1/actions").is_dir():
        shutil.copy(SHARE / "polkit-1/actions/org.reuseportd.policy", "/usr/share/polkit-1/actions/")
    box.systemctl("reload-or-restart", "dbus.service")
    box.start(toy())
    box.wait_until(lambda: box.run("busctl", "status", NAME, check=False).returncode == 0, f"{NAME} is there")
    return box


def needs_polkit(test):
    return pytest.mark.skipif(not Path("/usr/lib/polkit-1/polkitd").exists(),
                              reason="polkitd is not installed")(test)


def as_nobody(box, *command):
    return box.run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command, check=False)


def allow(box, action):
    Path("/etc/polkit-1/rules.d").mkdir(parents=True, exist_ok=True)
    Path("/etc/polkit-1/rules.d/10-test.rules").write_text(RULE % action)
    box.systemctl("restart", "polkit.service")


def call(box, where, *words):
    return box.run("busctl", *where, "call", NAME, PATH, *words)


def test_busctl_sees_the_same_on_both_buses(public):
    for verb in (["ListServices"], ["ListEndpoints"], ["ListEvents", "t", "0"]):
        answers = {call(public, where, "org.reuseportd.Manager", *verb).stdout
                   for where in ([], [f"--address={CONTROL}"])}
        assert len(answers) == 1, answers
    for where in ([], [f"--address={CONTROL}"]):
        tree = public.run("busctl", *where, "tree", "--list", NAME).stdout.split()
        assert f"{PATH}/service/site" in tree and f"{PATH}/endpoint/web" in tree
        state = public.run("busctl", *where, "get-property", NAME, f"{PATH}/service/site",
                           "org.reuseportd.Service", "State").stdout
        assert state in ('s "running"\n', 's "starting"\n')


def test_root_changes_things_over_the_system_bus(public):
    before = get(8080).pid
    public.run("busctl", "call", NAME, f"{PATH}/service/site", "org.reuseportd.Service", "Restart")
    public.wait_until(lambda: get(8080).pid != before, "another process")
    refused = public.run("busctl", "call", NAME, PATH, "org.reuseportd.Manager", "Take", "asb", "1", "web", "false",
                         check=False)
    assert refused.returncode != OK, "sockets are for those whom the kernel names"


@needs_polkit
def test_a_plain_user_is_refused_and_told_why(public):
    before = get(8080).pid
    for verb in (["list"], ["status", "site"], ["stop", "site"], ["deploy", "site"], ["reload"],
                 ["kill", "site"], ["events"]):
        result = as_nobody(public, "reuseportctl", *verb)
        assert result.returncode == DENIED, (verb, result)
        assert "access denied" in result.stderr and "polkit" in result.stderr, (verb, result)
    result = as_nobody(public, "busctl", "call", NAME, f"{PATH}/service/site", "org.reuseportd.Service", "Stop")
    assert result.returncode != OK
    assert get(8080).pid == before
    told = [entry["MESSAGE"] for entry in public.journal("SYSLOG_IDENTIFIER=reuseportd")]
    assert any(line.startswith("Refused: Stop of /service/site by uid 65534") for line in told), told


@needs_polkit
def test_a_user_does_what_polkit_allows_and_no_more(public):
    allow(public, "org.reuseportd.read")
    assert "site" in as_nobody(public, "reuseportctl", "list").stdout
    assert as_nobody(public, "reuseportctl", "status", "site").returncode == OK
    assert as_nobody(public, "reuseportctl", "stop", "site").returncode == DENIED

    allow(public, "org.reuseportd.manage")
    before = get(8080).pid
    result = as_nobody(public, "reuseportctl", "deploy", "site")
    assert result.returncode == OK, result
    assert get(8080).pid != before
    told = [entry["MESSAGE"] for entry in public.journal("SYSLOG_IDENTIFIER=reuseportd")]
    assert any(line.startswith("Allowed: Deploy of /service/site by uid 65534") for line in told), told


@needs_polkit
def test_without_polkit_only_root_is_heard(public):
    public.systemctl("mask", "--now", "polkit.service")
    result = as_nobody(public, "reuseportctl", "stop", "site")
    assert result.returncode == DENIED, result
    call(public, [], "org.reuseportd.Manager", "ListServices")


def test_a_setting_keeps_us_from_the_bus(public):
    public.configure("daemon: { dbus = \"no\"; };" + toy())
    public.ctl("reload")
    public.wait_until(lambda: public.run("busctl", "status", NAME, check=False).returncode != 0, "it is not there")
    public.configure(toy())
    public.ctl("reload")
    public.wait_until(lambda: public.run("busctl", "status", NAME, check=False).returncode == 0, "it is there")
