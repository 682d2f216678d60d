"""kill -9 at system calls spread over a whole deploy, under load and the keeper: nobody is lost, and it is told how
the deploy ended."""

import os

import pytest
from crash import OK, Tracer, spread_over_a_deploy
from house import count, toy
from test_crash import start
from test_deploy import ADDRESS, QUICK

VISITORS = {"new connections": ["--clients=8"], "keep-alive": ["--clients=4", "--keep-alive"],
            "slow requests": ["--clients=4", "--path=/sleep/300"]}


@pytest.mark.once
def test_at_system_calls_spread_over_a_deploy(house, show):
    k = start(house, toy(["--version=1"], workers=2, service=QUICK % ""))
    sockets = k.sockets()
    running = {kind: house.load(ADDRESS, "--seconds=3600", *options).wait_running()
               for kind, options in VISITORS.items()}

    def check_sockets(where):
        assert k.sockets() == sockets, where

    n_killed, sentence = spread_over_a_deploy(k, lambda n: Tracer(house.build, k.pid(), n), count(20, 300),
                                              check_sockets)
    show(sentence)
    for kind, load in running.items():
        result = load.stop()
        show(f"{kind}: {result['requests']} requests, {result['lost']} lost")
        assert result["lost"] == 0 and result["requests"] > 0, (kind, result)
    assert n_killed >= count(5, 200)
    assert os.path.exists(f"/proc/{k.daemon.pid}") and k.daemon.stop() == OK
