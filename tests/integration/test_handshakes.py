"""A deploy while handshakes are under way: their third segment comes seconds after the switch."""

import contextlib
import json
import time
from pathlib import Path

import pytest
from house import toy, wait_answers
from neighbour import DEAD, HERE, NEEDS_CABLE, Neighbour
from test_deploy import deploy, new_version, settle

pytestmark = [pytest.mark.once, NEEDS_CABLE]

PORT = 8080
CLIENTS, DEAD_CLIENTS = 200, 300
HOLD = 3.0
SCRIPT = Path(__file__).with_name("slow_clients.py")


@pytest.fixture
def cable(house):
    neighbour = Neighbour()
    yield neighbour
    neighbour.destroy()


def run(house, options="", service=""):
    return house.run(toy(["--version=1"], workers=2, service=service,
                         listen=f'listen_stream = "{HERE}:{PORT}"; {options}'))


def n_half_open():
    """Requests at our port that wait for the third segment."""
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    words = [line.split() for line in lines]
    return sum(w[3] == "03" and w[1].endswith(f":{PORT:04X}") for w in words)


@contextlib.contextmanager
def clients(cable, count, *options):
    """Clients whose SYNs are out; yields a function that gives their result."""
    process = cable.start(SCRIPT, f"{HERE}:{PORT}", str(count), *options)
    with process:
        try:
            assert process.stdout.readline() == "begun\n"
            yield lambda: json.loads(process.stdout.readline())
        finally:
            process.kill()


def wait_half_open(count):
    wait_answers(n_half_open, lambda seen: seen[-1] >= count, f"{count} handshakes are under way")


def told(seen):
    return (f"{seen['answered']} answered, {seen['reset']} reset, {seen['refused'] + seen['closed']} refused, "
            f"{seen['hung']} hanging, the last after {seen['worst']:.1f} s")


def timed_deploy(daemon, house):
    begun = time.monotonic()
    result = deploy(daemon, *new_version(house, 2))
    assert result["result"] == "done", result
    return result, time.monotonic() - begun


def test_handshakes_begun_before_the_switch_are_answered(house, cable, show):
    daemon = run(house)
    cable.hold(HOLD)
    with clients(cable, CLIENTS) as result_of:
        wait_half_open(CLIENTS)
        result, seconds = timed_deploy(daemon, house)
        seen = result_of()
    show(f"third segments held {HOLD} s: deploy {seconds:.1f} s; {told(seen)}")
    assert seen["answered"] == CLIENTS and seen["worst"] >= HOLD, seen
    assert seen["versions"] == {"1": CLIENTS}, seen
    assert result["cut_connections"] == 0
    settle(daemon)


def test_dead_requests_beside_do_not_hold_up_a_deploy(house, cable, show):
    daemon = run(house)
    cable.hold(HOLD)
    with clients(cable, DEAD_CLIENTS, f"--source={DEAD}", "--seconds=60"), clients(cable, CLIENTS) as result_of:
        wait_half_open(CLIENTS + DEAD_CLIENTS)
        result, seconds = timed_deploy(daemon, house)
        seen = result_of()
        left = n_half_open()
    show(f"with {DEAD_CLIENTS} dead ones beside: deploy {seconds:.1f} s; {told(seen)}; {left} still half-open")
    assert seen["answered"] == CLIENTS and seen["versions"] == {"1": CLIENTS}, seen
    assert seconds < 10 and result["cut_connections"] == 0
    assert left > 0, "the dead ones were gone: nothing was proved"
    settle(daemon)


def test_who_comes_after_drain_delay_is_reset_and_counted(house, cable, show):
    daemon = run(house, service='deploy: { drain_delay = "1s"; };')
    cable.hold(HOLD)
    with clients(cable, CLIENTS) as result_of:
        wait_half_open(CLIENTS)
        _, seconds = timed_deploy(daemon, house)
        settle(daemon)  # the old generation is gone long before the first of them comes
        seen = result_of()
    show(f"drain_delay 1 s: deploy {seconds:.1f} s; {told(seen)}")
    assert seen["reset"] == CLIENTS and seen["hung"] == 0, seen
    assert 1 <= seconds < HOLD
    assert daemon.ask("status", "site")["last_deploy"]["cut_connections"] == CLIENTS


def test_syn_cookies_need_no_drain(house, cable, show):
    """Nothing remembers such a handshake; the rule is asked again by its third segment."""
    Path("/proc/sys/net/ipv4/tcp_syncookies").write_text("2", encoding="ascii")
    daemon = run(house)
    cable.hold(HOLD)
    with clients(cable, CLIENTS) as result_of:
        result, seconds = timed_deploy(daemon, house)
        assert n_half_open() == 0
        seen = result_of()
    show(f"SYN cookies: deploy {seconds:.1f} s; {told(seen)}")
    assert seen["answered"] == CLIENTS and seen["versions"] == {"2": CLIENTS}, seen
    assert seconds < HOLD and result["cut_connections"] == 0
    settle(daemon)


def test_deferred_accepts_are_waited_for(house, cable, show):
    """Connected for the client, but for the server's side a handshake until the first byte."""
    daemon = run(house, 'defer_accept = "5s";')
    with clients(cable, CLIENTS, f"--talk-after={HOLD}") as result_of:
        wait_half_open(CLIENTS)
        result, seconds = timed_deploy(daemon, house)
        seen = result_of()
    show(f"defer_accept, first byte after {HOLD} s: deploy {seconds:.1f} s; {told(seen)}")
    assert seen["answered"] == CLIENTS and seen["versions"] == {"1": CLIENTS}, seen
    assert result["cut_connections"] == 0
    settle(daemon)


def n_fast_opened():
    names, values = [line.split() for line in Path("/proc/net/netstat").read_text(encoding="ascii").splitlines()[:2]]
    return int(values[names.index("TCPFastOpenPassive")])


def test_fast_open_is_answered_before_its_handshake_ends(house, cable, show):
    Path("/proc/sys/net/ipv4/tcp_fastopen").write_text("3", encoding="ascii")
    daemon = run(house, f"fast_open = {CLIENTS + 100};")
    with clients(cable, 1, "--fast-open") as result_of:
        assert result_of()["answered"] == 1  # the cookie is there before anything is held
    before = n_fast_opened()
    cable.hold(HOLD)
    with clients(cable, CLIENTS, "--fast-open") as result_of:
        result, seconds = timed_deploy(daemon, house)
        seen = result_of()
    show(f"fast open: deploy {seconds:.1f} s; {told(seen)}; {n_fast_opened() - before} of them with data in the SYN")
    assert seen["answered"] == CLIENTS, seen
    assert n_fast_opened() - before >= CLIENTS
    assert result["cut_connections"] == 0
    settle(daemon)
