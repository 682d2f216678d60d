"""What workers have stored, in systemd's store: it is there while there is no daemon, and gone when they want it gone."""

import json
import signal
import socket
from types import SimpleNamespace

import hostile
import pytest
from booted import UNIT
from house import Process, count, get, wait_answers
from test_faults_hostile import MEASURE, TWO
from test_store import FLOOD, FLOODS, WORKER
from test_store_crash import OBEYS, tell_worker

pytestmark = pytest.mark.box_seconds(900)


class Stored:
    """A daemon, and what its workers say in the journal."""

    def __init__(self, box, config):
        self.box = box
        self.log = box.follow_journal()
        box.start(config)

    def n(self):
        """In systemd's store."""
        return int(self.box.show(UNIT, "NFileDescriptorStore"))

    def wait_n(self, n):
        wait_answers(self.n, lambda seen: seen[-1] == n, f"{n} descriptors in systemd's store")

    def settled(self):
        return wait_answers(self.n, lambda seen: len(seen) > 3 and seen[-1] == seen[-2] == seen[-3],
                            "nothing changes")[-1]

    def replace(self, way):
        """The daemon, by another one that goes on."""
        pid, n = self.box.main_pid(), len(self.log.times_of("services go on"))
        with Process(pid) as process:
            if way == "restart":
                self.box.systemctl("restart", UNIT)
            else:
                process.kill(signal.SIGKILL if way == "kill" else signal.SIGABRT)
            process.wait_gone()
        self.log.wait("services go on", times=n + 1, seconds=60)
        assert self.box.main_pid() not in (0, pid)

    def next_worker(self):
        """What the successor of the worker is given."""
        n = len(self.log.times_of("worker: given"))
        with Process(get(8080).pid) as process:
            process.kill()
            process.wait_gone()
        return self.given(n + 1)

    def given(self, times):
        found = json.loads(self.log.wait(r"worker: given (.*)", times=times).group(1))
        self.log.wait("worker: ready", times=times)
        return found

    def store(self, name):
        return self.box.ask("status", name)["store"]


def script(tmp_path, text, name="worker.py"):
    tmp_path.chmod(0o755)
    return hostile.script(SimpleNamespace(directory=tmp_path), text, name)


def test_it_crosses_restarts_and_kills(box, tmp_path):
    path = script(tmp_path, WORKER + OBEYS)
    k = Stored(box, 'endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; };'
                    f'services: {{ {hostile.service(path, settings="fd_store_max = 8;")} }};')
    k.given(1)
    base = k.settled()
    tell_worker(r'keep[1] = [kept(b"%d" % i) for i in range(5)]; '
                r'[speaker.say("FDSTORE=1\nFDNAME=" + name, [keep[1][i][0]]) for i, name in enumerate("xyxzz")]; '
                r'speaker.barrier()')
    k.wait_n(base + 5)
    for way in ("restart", "kill", "abort", "restart"):
        k.replace(way)
        assert k.store("site") == {"descriptors": 5, "limit": 8, "refused": 0}
        found = k.next_worker()
        assert found["names"] == ["web", "x", "y", "x", "z", "z"]
        assert found["contents"] == ["0", "1", "2", "3", "4"]
        k.wait_n(base + 5)
    times = len(k.log.times_of("worker: given"))
    box.ctl("deploy", "site")
    assert k.given(times + 1)["contents"] == ["0", "1", "2", "3", "4"]
    tell_worker(r'speaker.say("FDSTOREREMOVE=1\nFDNAME=z"); speaker.barrier()')
    k.replace("kill")
    assert k.next_worker()["names"] == ["web", "x", "y", "x"]
    tell_worker(r'[speaker.say("FDSTOREREMOVE=1\nFDNAME=" + name) for name in "xy"]; speaker.barrier()')
    k.wait_n(base)
    k.replace("restart")
    assert k.settled() == base and k.store("site")["descriptors"] == 0


@pytest.mark.parametrize("kind", ["events", "files", "lingering"])
def test_a_flood_with_kills_between_leaves_nothing_behind(box, tmp_path, show, kind):
    limit = 500
    bad, measure = script(tmp_path, FLOOD % FLOODS[kind], "bad.py"), script(tmp_path, MEASURE, "measure.py")
    settings = f'fd_store_max = {limit}; activation = "on-demand";'
    k = Stored(box, TWO + "services: {" + hostile.service(bad, "bad", "web", settings)
               + hostile.service(measure, "good", "other") + "};")
    k.log.wait("worker: measures")
    base = k.settled()
    visitor = socket.create_connection(("127.0.0.1", 8080))
    k.log.wait("worker: hostile")
    most, n = 0, len(k.log.times_of("worker: p99"))
    for i in range(count(4, 40)):
        k.replace(("kill", "restart")[i % 2])
        begun = len(k.log.times_of("worker: p99"))
        while len(k.log.times_of("worker: p99")) <= begun:
            most = max(most, k.n() - base)
    lines = [line.split("worker: ", 1)[1].split() for line in k.log.lines if "worker: p99" in line][n + 1:]
    show(f"{kind}: at most {most} more in systemd's store, p99 {max(int(words[1]) for words in lines) / 1000} ms, "
         f"{k.store('bad')}")
    # And a process with its notify socket.
    assert most <= limit + 2, most
    visitor.close()
    box.ctl("stop", "bad")
    wait_answers(k.n, lambda seen: seen[-1] <= base, f"{base} descriptors in systemd's store")
