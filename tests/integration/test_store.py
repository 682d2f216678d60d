"""What workers store for their successors: FDSTORE, FDNAME, FDPOLL, FDSTOREREMOVE, and FAULTS H2."""

import json
import os
import signal

import hostile
import pytest
from house import IS_LONG, Process, count, descriptors_of, get, wait_answers
from test_faults_hostile import beside

# Says what it was given, and stores what its first argument says if it was given nothing.
WORKER = '''
import json, tempfile
speaker = Speaker()
names = os.environ["LISTEN_FDNAMES"].split(":")
n = int(os.environ["LISTEN_FDS"])
def kept(text):
    file = tempfile.TemporaryFile()
    file.write(text)
    file.flush()
    return file.fileno(), file
def content(fd):
    try:
        return os.pread(fd, 100, 0).decode()
    except OSError:
        return "-"
tell("given", json.dumps({"names": names, "n": n, "limit": os.environ.get("FDSTORE"),
                          "inodes": [os.fstat(3 + i).st_ino for i in range(n)],
                          "contents": [content(3 + i) for i in range(1, n)],
                          "others": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],
                          "worker": os.environ["REUSEPORTD_WORKER"]}))
'''

STORE = '''
if n == 1:
    a, file_a = kept(b"first")
    b, file_b = kept(b"second")
    speaker.say("FDSTORE=1\\nFDNAME=state", [a, b])
    speaker.say("FDSTORE=1", [b])        # it is there already
    c, file_c = kept(b"third")
    speaker.say("FDSTORE=1", [c])        # "stored"
    speaker.barrier()
serve()
'''


def house_of(house, text, settings="fd_store_max = 8;", workers=1, more=""):
    path = hostile.script(house, WORKER + text)
    return house.run(f'''
        endpoints: {{ web: {{ listen_stream = "127.0.0.1:8080"; file_descriptor_name = "the web"; }}; }};
        services: {{ {hostile.service(path, settings=f'restart_delay = "1ms"; {settings}', workers=workers)} }};
        {more}
    ''')


def given(daemon, times):
    return json.loads(daemon.log.wait(r"worker: given (.*)", times=times).group(1))


def kill_one(pid=None):
    with Process(pid or get(8080).pid) as process:
        process.kill(signal.SIGKILL)
        process.wait_gone()


def stored(daemon):
    return daemon.ask("status", "site")["store"]


def files_of(daemon):
    """Those that workers have made and removed."""
    return [target for target in descriptors_of(daemon.pid).values() if target.endswith("(deleted)")
            and not target.startswith("/memfd:")]


def test_what_was_stored_comes_behind_the_sockets_of_each_successor(house):
    daemon = house_of(house, STORE)
    daemon.log.wait("worker: ready")
    assert given(daemon, 1)["names"] == ["the web"]
    assert given(daemon, 1)["limit"] == "8"
    for times in (2, 3):
        kill_one()
        daemon.log.wait("worker: ready", times=times)
        found = given(daemon, times)
        assert found["names"] == ["the web", "state", "state", "stored"] and found["n"] == 4
        assert found["contents"] == ["first", "second", "third"]
        assert found["others"] == list(range(8))  # and the socket that it speaks by
    assert given(daemon, 2)["inodes"] == given(daemon, 3)["inodes"]
    assert stored(daemon) == {"descriptors": 3, "limit": 8, "refused": 0}
    assert "3 of 8 descriptors kept" in daemon.ctl("status", "site").stdout
    assert '"Store"' in daemon.ctl("--json", "show", "site").stdout
    assert daemon.stop() == 0


def test_a_generation_gives_it_to_the_next(house):
    daemon = house_of(house, STORE)
    daemon.log.wait("worker: ready")
    assert daemon.ctl("deploy", "site").returncode == 0
    assert given(daemon, 2)["contents"] == ["first", "second", "third"]
    assert stored(daemon)["descriptors"] == 3
    assert daemon.stop() == 0


def test_a_service_has_one_store_for_all_its_workers(house):
    daemon = house_of(house, '''
if n == 1:
    fd, file = kept(b"of " + os.environ["REUSEPORTD_WORKER"].encode())
    speaker.say("FDSTORE=1\\nFDNAME=w" + os.environ["REUSEPORTD_WORKER"], [fd])
    speaker.barrier()
serve()
''', workers=2)
    daemon.log.wait("worker: ready", times=2)
    wait_answers(lambda: stored(daemon)["descriptors"], lambda found: found[-1] == 2, "both have stored")
    kill_one()
    found = given(daemon, 3)
    assert sorted(found["contents"]) == ["of 0", "of 1"]
    assert sorted(found["names"][1:]) == ["w0", "w1"]
    assert daemon.stop() == 0


def test_what_hangs_up_or_is_removed_is_not_kept(house):
    daemon = house_of(house, '''
if n == 1:
    a, b = socket.socketpair()
    c, d = socket.socketpair()
    e, f = os.pipe()
    file = kept(b"x")
    speaker.say("FDSTORE=1\\nFDNAME=hung", [a.fileno()])
    speaker.say("FDSTORE=1\\nFDNAME=left\\nFDPOLL=0", [c.fileno()])
    speaker.say("FDSTORE=1\\nFDNAME=gone", [e, file[0]])
    speaker.say("FDSTOREREMOVE=1\\nFDNAME=nothing")
    speaker.say("FDSTOREREMOVE=1\\nFDNAME=gone")
    b.close(); d.close()
    speaker.barrier()
serve()
''')
    daemon.log.wait("worker: ready")
    wait_answers(lambda: stored(daemon)["descriptors"], lambda found: found[-1] == 1, "one is left")
    kill_one()
    assert given(daemon, 2)["names"] == ["the web", "left"]
    assert daemon.stop() == 0


def test_no_more_than_the_limit_is_kept_and_the_rest_is_closed_and_counted(house):
    daemon = house_of(house, '''
if n == 1:
    files = [kept(b"%d" % i) for i in range(10)]
    speaker.say("FDSTORE=1\\nFDNAME=x", [fd for fd, file in files])
    speaker.say("FDSTORE=1\\nFDNAME=x:y", [files[0][0]])
    speaker.barrier()
serve()
''', settings="fd_store_max = 4;")
    daemon.log.wait("worker: ready")
    daemon.log.wait("site: a worker stores more than is kept: No space left on device; fd_store_max says how many")
    assert stored(daemon) == {"descriptors": 4, "limit": 4, "refused": 7}
    kill_one()
    assert given(daemon, 2)["contents"] == ["0", "1", "2", "3"]
    assert daemon.stop() == 0


def test_a_socket_of_ours_is_not_kept(house):
    """In the store nobody would read it, and it would hold the port when the endpoint is long gone."""
    daemon = house_of(house, '''
if n == 1:
    file = kept(b"x")
    theirs = socket.create_server(("127.0.0.1", 0), reuse_port=True)
    speaker.say("FDSTORE=1\\nFDNAME=all", [3, file[0], os.dup(3), theirs.fileno()])
    speaker.barrier()
serve()
''')
    daemon.log.wait("worker: ready")
    daemon.log.wait("It is a socket that each worker is given anyway")
    assert stored(daemon) == {"descriptors": 2, "limit": 8, "refused": 2}
    kill_one()
    assert given(daemon, 2)["contents"] == ["x", "-"]
    assert daemon.stop() == 0


def test_without_a_store_nothing_is_kept(house):
    daemon = house_of(house, STORE, settings="")
    daemon.log.wait("worker: ready")
    kill_one()
    daemon.log.wait("worker: ready", times=2)
    assert given(daemon, 2)["n"] == 1 and given(daemon, 2)["limit"] is None
    assert stored(daemon) == {"descriptors": 0, "limit": 0, "refused": 0}
    assert "Store:" not in daemon.ctl("status", "site").stdout
    assert daemon.stop() == 0


def test_a_stop_empties_the_store_and_sleep_does_not(house):
    daemon = house_of(house, STORE + "", settings='''
        fd_store_max = 8; activation = "on-demand"; idle_timeout = "200ms";''')
    assert get(8080).status == 200
    daemon.log.wait("Generation 1 is gone")
    assert stored(daemon)["descriptors"] == len(files_of(daemon)) == 3
    assert get(8080).status == 200
    assert given(daemon, 2)["contents"] == ["first", "second", "third"]

    assert daemon.ctl("stop", "site").returncode == 0
    daemon.log.wait("Generation 2 is gone")
    assert stored(daemon)["descriptors"] == 0
    assert files_of(daemon) == []
    assert daemon.ctl("start", "site").returncode == 0
    assert given(daemon, 3)["n"] == 1
    assert daemon.stop() == 0


def test_a_reload_brings_or_takes_the_store_with_the_next_workers(house):
    path = hostile.script(house, WORKER + STORE)
    text = '''
        endpoints: {{ web: {{ listen_stream = "127.0.0.1:8080"; }}; }};
        services: {{ {0} }};
    '''

    def write(settings):
        return house.write(text.format(hostile.service(path, settings=settings)))

    daemon = house.run(write("fd_store_max = 8;"))
    daemon.log.wait("worker: ready")
    assert stored(daemon)["descriptors"] == 3
    write("")
    assert daemon.ctl("reload").returncode == 0
    assert daemon.ask("status", "site")["pending"] is True
    assert stored(daemon)["descriptors"] == 3
    assert daemon.ctl("restart", "site").returncode == 0
    assert given(daemon, 2)["n"] == 1
    daemon.log.wait("Generation 1 is gone")
    assert stored(daemon)["descriptors"] == 0
    assert daemon.stop() == 0


def test_a_daemon_that_is_executed_anew_has_what_its_workers_have_stored(house):
    daemon = house_of(house, STORE)
    daemon.log.wait("worker: ready")
    for _ in range(3):
        assert daemon.ctl("reexec").returncode == 0
        assert stored(daemon)["descriptors"] == 3
    kill_one()
    daemon.log.wait("worker: ready", times=2)
    found = given(daemon, 2)
    assert found["contents"] == ["first", "second", "third"] and found["names"][1:] == ["state", "state", "stored"]
    assert daemon.stop() == 0


# ---- H2 ----

FLOODS = {
    "files": 'fds = [os.memfd_create("x") for _ in range(253)]',
    "one file": 'fds = [os.open("/dev/null", os.O_RDONLY)] * 253',
    "events": 'fds = [os.eventfd(0) for _ in range(253)]',
    "closed peers": '''
def ends():
    a, b = socket.socketpair()
    b.close()
    return a.detach()
fds = [ends() for _ in range(253)]''',
    "lingering": '''
server = socket.create_server(("127.0.0.1", 0))
def lingering():
    import struct
    a = socket.create_connection(server.getsockname())
    a.setblocking(False)
    a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
    try:
        while True:
            a.send(b"x" * 65536)
    except BlockingIOError:
        return a.detach()
fds = [lingering() for _ in range(20)]''',
}

FLOOD = '''
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
speaker = Speaker()
%s
names = ("x" * 3000, "a:b", "\\x01", "", "%%d", "x" * 255)
tell("hostile")
for i in range(10**9):
    name = names[i %% 6]
    speaker.say("FDSTORE=1\\nFDNAME=" + (name %% i if name == "%%d" else name), fds)
    if i %% 3 == 0:
        speaker.say("FDSTOREREMOVE=1\\nFDNAME=")
    if "lingering" in globals():
        for fd in fds:
            os.close(fd)
        fds = [lingering() for _ in range(20)]
'''


@pytest.mark.alone
@pytest.mark.parametrize("limit", [0, 50, 4096] if IS_LONG else [50])
@pytest.mark.parametrize("kind", FLOODS)
def test_h2_a_flood_of_descriptors_holds_nobody_and_fills_nothing(house, kind, limit, show):
    worst, daemon = beside(house, FLOOD % FLOODS[kind], settings=f"fd_store_max = {limit};", hundreds=count(2, 20))
    base = 40 + 32 + 33  # two services, what is watched, the control socket; the reserve; the pad for spawning
    most = max(len(descriptors_of(daemon.pid)) for _ in range(100))
    assert most <= base + limit + 253, most
    bad = daemon.ask("status", "bad")
    assert bad["store"]["descriptors"] <= limit
    assert bad["workers_ready"] == 0  # it has never said that it is
    assert daemon.ask("status", "good")["state"] == "running"
    show(f"p99 {worst} ms, {most} descriptors, {bad['store']}")
    assert worst < 50, worst  # of 20 ms, and of what two processors and other tests cost
    assert daemon.stop() == 0


def test_a_worker_that_floods_and_dies_leaves_a_store_that_can_be_given(house):
    """Names are long, and together they must fit into one variable."""
    daemon = house_of(house, '''
if n == 1:
    fds = [os.memfd_create("x") for _ in range(1000)]
    for i in range(1000):
        speaker.say("FDSTORE=1\\nFDNAME=%0255d" % i, [fds[i]])
    speaker.barrier()
serve()
''', settings="fd_store_max = 4000;")
    daemon.log.wait("worker: ready")
    n = stored(daemon)["descriptors"]
    assert n == 65536 // 256
    daemon.log.wait("their names are too long together")
    kill_one()
    assert given(daemon, 2)["n"] == n + 1
    assert os.path.exists(f"/proc/{daemon.pid}")
    assert daemon.stop() == 0
