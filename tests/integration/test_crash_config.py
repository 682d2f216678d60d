"""The configuration is bad or gone when a daemon goes on where another was killed: the settings of before count."""

import os
import shutil
import signal

import pytest
from crash_config import MISHAPS, SAID
from house import toy, wait_answers, wait_workers
from test_crash import OK, start


@pytest.mark.parametrize("happen", MISHAPS, ids=lambda happen: happen.__name__)
def test_the_settings_of_before_stay_in_force(house, happen):
    k = start(house, toy(workers=2))
    workers, sockets = k.workers(), k.sockets()
    path = k.daemon.config
    text = path.read_text()
    happen(path)
    for n in (1, 2):
        k.kill()
        k.log.wait(SAID, times=n)
        assert k.workers() == workers and k.sockets() == sockets
    # One who dies now is replaced by the same.
    victim = workers[0]
    os.kill(victim, signal.SIGKILL)
    k.log.wait(rf"pid {victim}\) was ended by SIGKILL")
    wait_workers(2, but=[victim])

    if path.is_dir():
        shutil.rmtree(path)
    path.write_text(text.replace("workers = 2", "workers = 3"))
    assert k.daemon.ctl("reload").returncode == OK
    assert k.daemon.ctl("restart", "site").returncode == OK
    wait_answers(lambda: len(k.workers()), lambda seen: seen[-1] == 3, "three workers, and none of before")
    assert k.daemon.stop() == OK
