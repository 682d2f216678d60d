"""kill -9 at every named step of a deploy and of a reload, under load: lost 0, and each says how it ended."""

import pytest
from crash import OK, POINTS, at_each_time
from house import count, toy, wait_answers
from test_crash import KEEPER, Kept
from test_deploy import QUICK, check_lost_nothing, loads

pytestmark = pytest.mark.crash_points


@pytest.fixture(autouse=True)
def needs_crash_points(house):
    if "crash points" not in house.command("--version").stdout:
        pytest.skip("built without -Dcrash_points=true")


def start(house, point):
    config = KEEPER % "" + toy(["--version=1"], workers=2, service=QUICK % "")
    k = Kept(house.run(config, environment={"REUSEPORTD_CRASH_AT": point}))
    k.wait_running()  # some points are reached before the first deploy
    return k


@pytest.mark.parametrize("point", POINTS)
def test_at_each_step_of_a_deploy(house, show, point):
    def run(at):
        k = start(house, at)
        sockets, kinds = k.sockets(), k.kinds()
        running = loads(house, 3600)
        last = k.deploy(2, "--canary", "50", "--step", "100ms")[1]
        results = [load.stop() for load in running]
        check_lost_nothing(results, lambda text: None)
        k.check_whole()
        assert k.sockets() == sockets
        k.wait_kinds(kinds)
        is_hit = k.log.has(f"crash point {point}$")
        assert k.daemon.stop() == OK
        return is_hit, last

    for line in at_each_time(point, count(1, 20), run):
        show(line)


def test_at_a_reload(house, show):
    k = start(house, "reloaded:1")
    running = loads(house, 3600)
    text = KEEPER % "" + toy(["--version=1"], workers=3, service=QUICK % "")
    house.write(text, k.daemon.config.name)
    k.daemon.ctl("reload")
    k.log.wait("crash point reloaded")
    k.log.wait("services go on")
    wait_answers(lambda: len(k.workers()), lambda seen: seen[-1] >= 2, "they are there")
    check_lost_nothing([load.stop() for load in running], show)
    assert k.daemon.stop() == OK
