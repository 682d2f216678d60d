"""What workers have stored is in the store above the daemon, too: it is still there when the daemon was killed, crashed
or left."""

import os
import signal
import socket
from urllib.parse import quote

import hostile
import pytest
from house import IS_LONG, count, descriptors_of, get, wait_answers
from test_crash import BAD_CONFIG, KEEPER, OK, Kept
from test_faults_hostile import MEASURE, TWO
from test_store import FLOOD, FLOODS, STORE, WORKER, given, kill_one, stored

WAYS = pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGUSR2],
                               ids=["killed", "crashed", "left"])

# Does what each visitor says: the path of his request is a line of Python.
OBEYS = '''
import socketserver, http.server, urllib.parse
keep = {}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        exec(urllib.parse.unquote(self.path[1:]), globals())
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.send_header("X-Server-Pid", str(os.getpid()))
        self.end_headers()
    def log_message(self, *arguments):
        pass
server = http.server.HTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3)
speaker.say("READY=1")
tell("ready", os.getpid())
server.serve_forever()
'''


def config(house, text, settings="fd_store_max = 8;", workers=1, more=""):
    path = hostile.script(house, WORKER + text)
    return KEEPER % more + f'''
        endpoints: {{ web: {{ listen_stream = "127.0.0.1:8080"; file_descriptor_name = "the web"; }}; }};
        services: {{ {hostile.service(path, settings=f'restart_delay = "1ms"; {settings}', workers=workers)} }};
    '''


def start(house, text, **options):
    environment = options.pop("environment", {})
    k = Kept(house.run(config(house, text, **options), environment=environment))
    k.log.wait("worker: ready")
    wait_answers(lambda: k.daemon.ctl("wait", "site", "--for=running", "--timeout", "20s").returncode,
                 lambda seen: seen[-1] == OK, "it is running")
    return k


def tell_worker(line):
    """One that obeys does it; returns when it has."""
    assert get(8080, "/" + quote(line, safe="")).status == 200


def kept_files(k):
    """How many of the files that workers have made are in the keeper's store."""
    return sum(target.endswith("(deleted)") and not target.startswith("/memfd:")
               for target in descriptors_of(k.daemon.pid).values())


def n_kept(k):
    """Descriptors of the keeper, once they do not change any more: of a start it learns a little later."""
    return wait_answers(lambda: len(descriptors_of(k.daemon.pid)),
                        lambda seen: len(seen) > 4 and len(set(seen[-5:])) == 1, "the keeper's store rests")[-1]


def wait_kept(k, n):
    """What was sent is there when the keeper has read it."""
    wait_answers(lambda: len(descriptors_of(k.daemon.pid)), lambda seen: seen[-1] == n, f"{n} descriptors above")


def wait_kept_files(k, n):
    wait_answers(lambda: kept_files(k), lambda seen: seen[-1] == n, f"{n} files in the store above")


def next_worker(k):
    """What the successor of the worker is given."""
    n = len(k.log.times_of("worker: given"))
    kill_one()
    found = given(k.daemon, n + 1)
    k.log.wait("worker: ready", times=n + 1)
    return found


@WAYS
def test_a_successor_of_the_worker_has_it_after_the_daemon_has_ended(house, number):
    k = start(house, STORE)
    before = k.descriptors()
    wait_kept_files(k, 3)
    for _ in range(3):
        k.kill(number)
        assert stored(k.daemon) == {"descriptors": 3, "limit": 8, "refused": 0}
        found = next_worker(k)
        assert found["names"] == ["the web", "state", "state", "stored"] and found["n"] == 4
        assert found["contents"] == ["first", "second", "third"]
        wait_kept_files(k, 3)
    k.wait_descriptors(before)
    assert k.daemon.stop() == OK


@WAYS
def test_the_next_generation_has_it_after_the_daemon_has_ended(house, number):
    k = start(house, STORE)
    first = given(k.daemon, 1)
    for times in (2, 3):
        k.kill(number)
        assert k.daemon.ctl("deploy", "site").returncode == OK
        found = given(k.daemon, times)
        assert found["names"] == ["the web", "state", "state", "stored"]
        assert found["contents"] == ["first", "second", "third"]
    assert first["n"] == 1
    assert k.daemon.stop() == OK


def test_what_was_removed_does_not_come_back(house):
    k = start(house, OBEYS)
    tell_worker(r'keep[1] = [kept(b"a"), kept(b"b"), kept(b"c")]; '
                r'[speaker.say("FDSTORE=1\nFDNAME=" + name, [keep[1][i][0]]) for i, name in enumerate("xyx")]; '
                r'speaker.barrier()')
    wait_kept_files(k, 3)
    tell_worker(r'speaker.say("FDSTOREREMOVE=1\nFDNAME=x"); speaker.barrier()')
    k.kill()
    assert stored(k.daemon)["descriptors"] == 1
    wait_kept_files(k, 1)
    tell_worker(r'speaker.say("FDSTORE=1\nFDNAME=z", [keep[1][0][0]]); speaker.barrier()')
    k.kill()
    found = next_worker(k)
    assert found["names"] == ["the web", "y", "z"] and found["contents"] == ["b", "a"]
    assert k.daemon.stop() == OK


def test_what_hangs_up_while_the_daemon_is_away_is_dropped(house):
    k = start(house, OBEYS)
    before = n_kept(k)
    tell_worker(r'keep[1] = [socket.socketpair() for _ in range(3)]; '
                r'[speaker.say("FDSTORE=1\nFDNAME=" + name, [keep[1][i][0].fileno()]) '
                r'for i, name in enumerate(("hung", "left\nFDPOLL=0", "stays"))]; speaker.barrier()')
    wait_kept(k, before + 3)
    pid, n = k.pid(), k.adoptions()
    os.kill(pid, signal.SIGSTOP)
    tell_worker('[keep[1][i][1].close() or keep[1][i][0].close() for i in range(2)]')
    os.kill(pid, signal.SIGKILL)
    k.log.wait("services go on", times=n + 1)
    assert stored(k.daemon)["descriptors"] == 2
    wait_kept(k, before + 2)
    k.kill()
    # What is not looked at stays; the worker that had the other end takes that with it.
    assert next_worker(k)["names"] == ["the web", "left"]
    assert k.daemon.stop() == OK


def test_a_stop_takes_all_of_it_out(house):
    k = start(house, STORE)
    wait_kept_files(k, 3)
    assert k.daemon.ctl("stop", "site").returncode == OK
    k.log.wait("Generation 1 is gone")
    wait_kept_files(k, 0)
    k.kill()
    assert k.daemon.ctl("start", "site").returncode == OK
    assert given(k.daemon, 2)["n"] == 1
    assert k.daemon.stop() == OK


def test_a_service_that_leaves_takes_it_out(house):
    k = start(house, STORE)
    wait_kept_files(k, 3)
    house.write(KEEPER % "" + 'endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; };', k.daemon.config.name)
    assert k.daemon.ctl("reload").returncode == OK
    wait_kept_files(k, 0)
    k.kill()
    assert kept_files(k) == 0
    assert k.daemon.stop() == OK


def test_a_re_exec_a_kill_and_sleep_lose_nothing(house):
    k = Kept(house.run(config(house, STORE, '''
        fd_store_max = 8; activation = "on-demand"; idle_timeout = "300ms";''')))
    assert get(8080).status == 200
    for times in (2, 3, 4):
        k.log.wait(f"Generation {times - 1} is gone")
        assert k.daemon.ctl("reexec").returncode == OK
        k.kill()
        assert stored(k.daemon)["descriptors"] == 3
        assert get(8080).status == 200
        assert given(k.daemon, times)["contents"] == ["first", "second", "third"]
    assert k.daemon.stop() == OK


def test_two_services_may_store_the_same_open_file(house):
    """It is above us once, and for both."""
    path = hostile.script(house, WORKER + r'''
if n == 1:
    speaker.say("FDSTORE=1\nFDNAME=null of " + os.environ["REUSEPORTD_SERVICE"], [0])
    speaker.barrier()
serve()
''')
    settings = 'restart_delay = "1ms"; fd_store_max = 2;'
    k = Kept(house.run(KEEPER % "" + f'''
        endpoints: {{ web: {{ listen_stream = "127.0.0.1:8080"; }}; other: {{ listen_stream = "127.0.0.1:9090"; }}; }};
        services: {{ {hostile.service(path, settings=settings)}
                     {hostile.service(path, "more", "other", settings=settings)} }};
    '''))

    def both():
        return [k.daemon.ask("status", name)["store"]["descriptors"] for name in ("site", "more")]

    k.log.wait("worker: ready", times=2)
    before = n_kept(k)
    for way in ("kill", "reexec", "kill"):
        if way == "kill":
            k.kill()
        else:
            assert k.daemon.ctl("reexec").returncode == OK
        assert both() == [1, 1]
    assert k.daemon.ctl("stop", "site").returncode == OK
    k.log.wait("Generation 1 is gone")
    k.kill()
    assert both() == [0, 1]
    kill_one(get(9090).pid)
    k.log.wait(r'worker: given .*"null of more"')
    wait_answers(lambda: len(descriptors_of(k.daemon.pid)), lambda seen: seen[-1] <= before, f"{before} above")
    assert k.daemon.stop() == OK


def test_what_is_kept_twice_is_above_us_once_and_goes_with_the_last(house):
    """Events share one inode, and not all of them are compared."""
    k = start(house, OBEYS, settings="fd_store_max = 700;")
    before = n_kept(k)
    tell_worker(r'keep[1] = [os.eventfd(i) for i in range(300)]; '
                r'[speaker.say("FDSTORE=1\nFDNAME=" + name, keep[1][i:i + 150]) for name in "ab" for i in (0, 150)]; '
                r'speaker.barrier()')
    n = stored(k.daemon)["descriptors"]
    assert 300 < n <= 600
    wait_kept(k, before + 300)
    k.kill()
    assert stored(k.daemon)["descriptors"] == n
    tell_worker(r'speaker.say("FDSTOREREMOVE=1\nFDNAME=a"); speaker.barrier()')
    for _ in range(2):
        k.kill()
        assert stored(k.daemon)["descriptors"] == n - 300
        wait_kept(k, before + n - 300)
    assert next_worker(k)["names"][1:] == ["b"] * (n - 300)
    assert k.daemon.stop() == OK


def test_what_was_about_to_go_goes_over_a_re_exec(house):
    """Each costs a message, so that hundreds take a while."""
    k = start(house, OBEYS, settings="fd_store_max = 600;")
    before = n_kept(k)
    for _ in range(3):
        tell_worker(r'keep[1] = [os.memfd_create("x") for _ in range(600)]; '
                    r'[speaker.say("FDSTORE=1\nFDNAME=a", keep[1][i:i + 100]) for i in range(0, 600, 100)]; '
                    r'speaker.barrier()')
        wait_kept(k, before + 600)
        tell_worker(r'[speaker.say("FDSTOREREMOVE=1\nFDNAME=a") for _ in range(2)]; speaker.barrier(); '
                    r'[os.close(fd) for fd in keep.pop(1)]')
        assert k.daemon.ctl("reexec").returncode == OK
        wait_kept(k, before)
        assert stored(k.daemon)["descriptors"] == 0
    assert k.daemon.stop() == OK


def test_names_above_are_ours_whatever_a_worker_calls_it(house):
    """Long ones would fill what systemd can give back: 128 KiB."""
    k = start(house, r'''
if n == 1:
    fds = [os.memfd_create("x") for _ in range(200)]
    for i, fd in enumerate(fds):
        speaker.say("FDSTORE=1\nFDNAME=%0250d" % i, [fd])
    speaker.barrier()
serve()
''', settings="fd_store_max = 200;")
    k.kill()
    with open(f"/proc/{k.pid()}/environ", encoding="utf-8") as file:
        variable = next(one for one in file.read().split("\0") if one.startswith("LISTEN_FDNAMES="))
    names = variable.split("=", 1)[1].split(":")
    assert len(names) > 200 and max(len(name) for name in names) <= 8 and len(set(names)) == len(names)
    assert next_worker(k)["names"][1:] == [f"{i:0250d}" for i in range(200)]
    assert k.daemon.stop() == OK


def test_what_a_service_may_store_is_counted_in_store_max(house):
    """Beside 1 state, 2 sockets, and 2 processes with a notify socket each."""
    def check(n):
        return house.command("-t", "-c", house.write(config(house, STORE, f"fd_store_max = {n};",
                                                            more="store_max = 100;")))

    assert check(93).returncode == OK
    result = check(94)
    assert result.returncode == BAD_CONFIG, result
    assert ("100 descriptors do not do for this configuration, which needs 101 while everything is deployed at once, "
            "94 of them for what workers may store by fd_store_max") in result.stderr, result


# ---- at every moment of it ----

POINTS = ["worker-store", "worker-stored", "record-torn", "record-written", "worker-recorded", "worker-obeyed",
          "worker-released", "worker-unstored"]


@pytest.fixture
def crash_points(house):
    if "crash points" not in house.command("--version").stdout:
        pytest.skip("built without -Dcrash_points=true")


@pytest.mark.crash_points
@pytest.mark.parametrize("point", POINTS)
def test_a_barrier_promises_what_no_kill_undoes(house, crash_points, point, show):
    n_hit = 0
    first = 4 if point.startswith("record") else 1  # others have their records, too
    for n in range(first, first + count(4, 12)):
        k = start(house, OBEYS, environment={"REUSEPORTD_CRASH_AT": f"{point}:{n}"})
        base = kept_files(k)
        # In one message, one by one, and again what is there already.
        tell_worker(r'keep[1] = [kept(b"%d" % i) for i in range(6)]; fds = [fd for fd, file in keep[1]]; '
                    r'speaker.say("FDSTORE=1\nFDNAME=many", fds[:3]); '
                    r'[speaker.say("FDSTORE=1\nFDNAME=%d" % i, [fds[i]]) for i in range(3, 6)]; '
                    r'speaker.say("FDSTORE=1\nFDNAME=again", fds); speaker.barrier()')
        wait_kept_files(k, base + 6)
        tell_worker(r'speaker.say("FDSTOREREMOVE=1\nFDNAME=many"); speaker.barrier()')
        wait_kept_files(k, base + 3)
        tell_worker(r'speaker.say("FDSTORE=1\nFDNAME=back", [fds[0]]); speaker.barrier()')
        k.kill()
        assert stored(k.daemon)["descriptors"] == 4
        wait_kept_files(k, base + 4)
        found = next_worker(k)
        assert found["names"] == ["the web", "3", "4", "5", "back"], found
        assert found["contents"] == ["3", "4", "5", "0"], found
        is_hit = k.log.has(f"crash point {point}")
        n_hit += is_hit
        assert k.daemon.stop() == OK
        if not is_hit:
            break
    show(f"{point}: killed there {n_hit} times")
    assert n_hit > 0, f"{point} was never reached"


# ---- H2 ----

def flooded(house, kind, limit):
    """A daemon below a keeper with a worker that floods it and one that measures; and how many the keeper had before."""
    bad = hostile.script(house, FLOOD % FLOODS[kind], "bad.py")
    measure = hostile.script(house, MEASURE, "measure.py")
    settings = f'fd_store_max = {limit}; activation = "on-demand";'
    k = Kept(house.run(KEEPER % f"store_max = {limit + 100};" + TWO + "services: {"
                       + hostile.service(bad, "bad", "web", settings) + hostile.service(measure, "good", "other")
                       + "};"))
    k.log.wait("worker: measures")
    assert k.daemon.ctl("wait", "good", "--for=running", "--timeout", "20s").returncode == OK
    base = n_kept(k)
    visitor = socket.create_connection(("127.0.0.1", 8080))
    k.log.wait("worker: hostile")
    return k, base, visitor


def stop_flood(k, base, visitor):
    """Nothing of it is left."""
    visitor.close()
    assert k.daemon.ctl("stop", "bad", "--timeout", "60s").returncode == OK
    k.log.wait("Generation 1 is gone")
    # Its bank may have been made anew, with a notify socket put by.
    wait_answers(lambda: len(descriptors_of(k.daemon.pid)), lambda seen: seen[-1] <= base, f"{base} descriptors above")
    assert k.daemon.stop() == OK


@pytest.mark.alone
@pytest.mark.parametrize("limit", [50, 4096] if IS_LONG else [4096])
@pytest.mark.parametrize("kind", FLOODS)
def test_h2_a_flood_of_descriptors_holds_nobody_and_fills_nothing_above(house, kind, limit, show):
    k, base, visitor = flooded(house, kind, limit)
    hundreds, most = count(2, 20), 0
    n = len(k.log.times_of("worker: p99"))
    while len(k.log.times_of("worker: p99")) <= n + hundreds:
        # with a process and a notify socket of its own, and a message on its way
        most = max(most, len(descriptors_of(k.daemon.pid)) - base)
    found = [line.split() for line in k.log.lines if line.startswith("worker: p99")][n + 1:]
    p99, worst = max(int(words[2]) for words in found) / 1000, max(int(words[4]) for words in found) / 1000
    refused = k.daemon.ask("status", "bad")["store"]
    show(f"p99 {p99} ms, longest {worst} ms, at most {most} more above, {refused}")
    assert most <= limit + 2 + 1, most
    assert p99 < 50, p99  # of 20 ms, and of what two processors and other tests cost
    stop_flood(k, base, visitor)


@pytest.mark.parametrize("kind", FLOODS)
@pytest.mark.once
def test_h2_a_flood_with_kills_between_leaves_nothing_behind(house, kind, show):
    limit = 400
    k, base, visitor = flooded(house, kind, limit)
    most = 0
    for i in range(count(4, 30)):
        if i % 2 == 0:
            k.kill()
        else:
            assert k.daemon.ctl("reexec").returncode == OK
        most = max(most, len(descriptors_of(k.daemon.pid)) - base)
        assert k.daemon.ask("status", "bad")["store"]["descriptors"] <= limit
        n = len(k.log.times_of("worker: p99"))
        k.log.wait("worker: p99", times=n + 1, seconds=60)
        most = max(most, len(descriptors_of(k.daemon.pid)) - base)
    show(f"at most {most} more above")
    assert most <= limit + 2 + 1, most
    assert k.daemon.ctl("deploy", "good").returncode == OK  # there is room for ours, whatever they store
    stop_flood(k, base, visitor)


def test_no_more_may_be_left_than_have_room_in_the_environment(house):
    """14,000 names of nine bytes in 128 KiB; else the next start would fail, and all be lost."""
    def check(n):
        return house.command("-t", "-c", house.write(config(house, STORE, more=f"store_max = {n};")))

    assert check(14000).returncode == OK
    result = check(14001)
    assert result.returncode == BAD_CONFIG and "daemon.store_max" in result.stderr, result
