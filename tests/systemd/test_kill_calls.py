"""kill -9 of the daemon at system calls spread over a whole deploy, under load: systemd starts it again, nobody is lost,
and it is told how the deploy ended."""

import pytest
from booted import Booted, Visitors
from crash import Tracer, spread_over_a_deploy
from house import count

pytestmark = pytest.mark.box_seconds(3600)


class Quick(Visitors):
    """Else each deploy would wait two seconds for the slow ones."""

    KINDS = Visitors.KINDS | {"slow": ["--clients=4", "--path=/sleep/300"]}


def test_at_system_calls_spread_over_a_deploy(box, show):
    k = Booted(box)
    sockets, n_stored = k.sockets(), k.n_stored()
    visitors = Quick(box)

    def check(where):
        assert k.sockets() == sockets, where

    n_killed, sentence = spread_over_a_deploy(k, lambda n: Tracer(box.programs, k.pid(), n), count(12, 300), check)
    show(sentence)
    visitors.check(show, f"killed at {n_killed} places")
    k.check_no_zombies()
    assert k.n_stored() == n_stored
    assert n_killed >= count(5, 200)
