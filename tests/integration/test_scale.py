"""More and fewer workers, under load."""

import pytest
from house import Request, count, get, toy, wait_answers

OK, FAILED, USAGE, NO_SUCH_NAME = 0, 1, 2, 4


def sockets(daemon):
    return daemon.ask("list-endpoints")["endpoints"][0]["sockets"]


def wait_workers(n, port=8080):
    """Until n workers answer, and only they."""
    wait_answers(lambda: get(port).worker, lambda seen: set(seen[-8 * n - 20:]) == {str(i) for i in range(n)},
                 f"exactly {n} workers answer")


@pytest.mark.parametrize("kind", ["connect", "keep-alive"])
@pytest.mark.parametrize("listen", ['listen_stream = ":8080";', 'listen_stream = ":8080"; shared = true;'])
def test_scaling_under_load_loses_nothing(house, listen, kind):
    daemon = house.run(toy(listen=listen))
    address = "--address=127.0.0.1:8080"
    load = house.load(address, "--clients=16", "--seconds=600",
                      *(["--keep-alive"] if kind == "keep-alive" else [])).wait_running()
    for _ in range(count(1, 20)):
        for n in (8, 1, 32, 1):
            result = daemon.ctl("scale", f"site={n}")
            assert result.returncode == OK, result
            now = daemon.ask("status", "site")
            assert (now["workers_ready"], now["workers_wanted"], len(now["workers"])) == (n, n, n)
            assert now["state"] == "running" and now["generation"] == 1
            assert daemon.workers() == sorted(w["pid"] for w in now["workers"])
    result = load.stop()
    print(f"1, 8, 1, 32, 1 workers, {kind}: {result['answered']} requests, {result['lost']} lost")
    assert result["lost"] == 0, result
    assert daemon.stop() == 0


def test_new_workers_serve_and_old_ones_no_longer(house):
    daemon = house.run(toy())
    daemon.ctl("wait", "site", "--for=running")
    for n in (4, 2, 3):
        assert daemon.ctl("scale", f"site={n}").returncode == OK
        wait_workers(n)
    assert sockets(daemon) == 4 + 1, "one bank has grown, once; no socket has left it"


def test_a_worker_that_is_given_up_finishes_what_it_has_begun(house):
    daemon = house.run(toy(workers=2))
    daemon.ctl("wait", "site", "--for=running")
    slow = [Request(8080, "/sleep/2000") for _ in range(12)]
    for request in slow:
        request.wait_sent()
    assert daemon.ctl("scale", "site=1").returncode == OK
    answers = [request.answer() for request in slow]
    assert {a.status for a in answers} == {200} and {a.worker for a in answers} == {"0", "1"}
    assert daemon.stop() == 0


def test_growing_again_while_workers_leave(house):
    daemon = house.run(toy(workers=4))
    daemon.ctl("wait", "site", "--for=running")
    slow = [Request(8080, "/sleep/4000") for _ in range(16)]
    for request in slow:
        request.wait_sent()
    assert daemon.ctl("scale", "site=1", "--timeout", "200ms").returncode == 8, "they have work to do"
    assert daemon.ctl("scale", "site=4").returncode == OK
    wait_workers(4)
    assert {request.answer().status for request in slow} == {200}
    assert daemon.stop() == 0


def test_the_number_is_kept_over_stop_and_start(house):
    daemon = house.run(toy())
    assert daemon.ctl("scale", "site=3").returncode == OK
    assert daemon.ctl("stop", "site").returncode == OK
    assert daemon.ctl("scale", "site=2").returncode == OK
    assert daemon.ctl("start", "site").returncode == OK
    wait_workers(2)
    assert daemon.ctl("scale", "site=5").returncode == OK
    wait_workers(5)


def test_a_sleeper_wakes_with_as_many_as_were_asked_for(house):
    daemon = house.run(toy(service='activation = "on-demand";'))
    assert daemon.ask("status", "site")["state"] == "listening"
    assert daemon.ctl("scale", "site=3").returncode == OK
    assert daemon.ask("status", "site")["state"] == "listening"
    get(8080)
    wait_workers(3)


def test_what_makes_no_sense_is_refused(house):
    daemon = house.run(toy())
    for words, code in (("site=0", USAGE), ("site=513", USAGE), ("site", USAGE), ("site=x", USAGE),
                        ("sitr=2", NO_SUCH_NAME)):
        result = daemon.ctl("scale", words)
        assert result.returncode == code and result.stderr, (words, result)
    assert daemon.ask("status", "site")["workers_wanted"] == 1
