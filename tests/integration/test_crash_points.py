"""kill -9 at every named step of a deploy and of a reload, under load: lost 0, and each says how it ended."""


import json

import pytest
from house import IS_LONG, children_of, command_of, get, toy, wait_answers
from test_crash import KEEPER, Kept
from test_deploy import QUICK, check_lost_nothing, loads, new_version

POINTS = ["store", "stored", "unstore", "record-torn", "record-written", "spawn", "spawned", "spawn-recorded",
          "rule", "rule-replaced", "ask", "deploy-born", "deploy-begun", "deploy-decided", "deploy-recorded",
          "deploy-acted"]
OK, ROLLED_BACK = 0, 7


pytestmark = pytest.mark.crash_points


@pytest.fixture(autouse=True)
def needs_crash_points(house):
    if "crash points" not in house.command("--version").stdout:
        pytest.skip("built without -Dcrash_points=true")


def wait_running(daemon):
    """Some points are reached before the first deploy."""
    wait_answers(lambda: daemon.ctl("wait", "site", "--for=running", "--timeout", "20s").returncode,
                 lambda seen: seen[-1] == OK, "it is running")


def start(house, point, n):
    config = KEEPER % "" + toy(["--version=1"], workers=2, service=QUICK % "")
    daemon = house.run(config, environment={"REUSEPORTD_CRASH_AT": f"{point}:{n}"})
    wait_running(daemon)
    return Kept(daemon)


def servers(house, k):
    """Pids of all toys below the keeper, in whatever generation of processes."""
    found, left = set(), [k.daemon.pid]
    while left:
        for pid in children_of(left.pop()):
            left.append(pid)
            if command_of(pid).startswith(str(house.toy)):
                found.add(pid)
    return found


def check_whole(house, k):
    """Nobody is there twice or unknown, and what is there is what is said."""
    wait_running(k.daemon)
    wait_answers(lambda: (servers(house, k), set(k.workers())),
                 lambda seen: seen[-1][0] == seen[-1][1] and len(seen[-1][1]) == 2, "the two workers are all")
    assert get(8080).status == 200


@pytest.mark.parametrize("point", POINTS)
def test_at_each_step_of_a_deploy(house, show, point):
    n_hit = 0
    for n in (range(1, 21) if IS_LONG else (1,)):
        k = start(house, point, n)
        running = loads(house, 3600)
        result = k.daemon.ctl("deploy", "site", "--id", f"at-{n}", "--canary", "50", "--step", "100ms",
                              *new_version(house, 2), timeout=60)
        wait_answers(lambda: k.daemon.ctl("--json", "status", "site"),
                     lambda seen: seen[-1].returncode == OK and json.loads(seen[-1].stdout)["deploy"] is None,
                     "no deploy goes on")
        results = [load.stop() for load in running]
        is_hit = k.log.has(f"crash point {point}")
        n_hit += is_hit
        last = k.daemon.ask("status", "site")["last_deploy"]
        show(f"{point}:{n}: {'killed' if is_hit else 'not reached'}, deploy {last['result']} {last['reason'] or ''}")
        assert result.returncode in (OK, ROLLED_BACK), result
        assert (last["result"] == "done") == (result.returncode == OK), (last, result)
        check_lost_nothing(results, lambda text: None)
        check_whole(house, k)
        status = k.daemon.stop()
        if not is_hit:
            break
        assert status == OK
    assert n_hit > 0, f"{point} was never reached"


def test_at_a_reload(house, show):
    k = start(house, "reloaded", 1)
    running = loads(house, 3600)
    text = KEEPER % "" + toy(["--version=1"], workers=3, service=QUICK % "")
    house.write(text, k.daemon.config.name)
    k.daemon.ctl("reload")
    k.log.wait("crash point reloaded")
    k.log.wait("services go on")
    wait_answers(lambda: len(k.workers()), lambda seen: seen[-1] >= 2, "they are there")
    check_lost_nothing([load.stop() for load in running], show)
    assert k.daemon.stop() == OK
