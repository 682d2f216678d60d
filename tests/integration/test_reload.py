"""Other settings for a daemon that runs: what stays is the very same, what is new is there, nothing is lost."""

import os
import random
import re
import signal
import socket
import subprocess

import pytest
from house import DEADLINE, Request, count, get, toy, wait_answers

OK, FAILED, USAGE, BAD_CONFIG = 0, 1, 2, 78


def listeners(daemon, port):
    """Inodes of the sockets at a port, those of the daemon's descriptors."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{daemon.pid}/net/{table}", encoding="ascii") as file:
            next(file)
            for line in file:
                words = line.split()
                if int(words[1].rsplit(":", 1)[1], 16) == port and words[3] in ("0A", "07"):
                    inodes.add(words[9])
    return inodes


def held(daemon):
    """Inodes of all network sockets that the daemon holds."""
    found = set()
    with open(f"/proc/{daemon.pid}/net/unix", encoding="utf-8") as file:
        local = {line.split()[6] for line in file if not line.startswith("Num")}
    for entry in os.scandir(f"/proc/{daemon.pid}/fd"):
        try:
            match = re.match(r"socket:\[(\d+)\]", os.readlink(entry.path))
        except OSError:
            continue
        if match:
            found.add(match[1])
    return found - local


def config(services):
    """{service: {port: (options, ...), workers: n, keys: text}} as a file."""
    endpoints, parts = [], []
    for name, s in services.items():
        endpoints.append(f'{name}_e: {{ listen_stream = "127.0.0.1:{s["port"]}"; {s.get("options", "")} }};')
        parts.append(f'''{name}: {{ endpoints = ["{name}_e"]; exec_start = ["@TOY@", "--version={name}"];
                         type = "notify"; workers = {s.get("workers", 1)}; {s.get("keys", "")} }};''')
    return f'endpoints: {{ {" ".join(endpoints)} }}; services: {{ {" ".join(parts)} }};'


def reload(house, daemon, text):
    house.write(text, daemon.config.name)
    result = daemon.ctl("reload", "--json")
    assert result.returncode == OK, result
    return result


def wait_running(daemon, name):
    assert daemon.ctl("wait", name, "--for=running", "--timeout", "20s").returncode == OK


def wait_version(port, version):
    def ask():
        try:
            return get(port).headers["X-Version"]
        except OSError as error:
            return str(error)
    wait_answers(ask, lambda seen: seen[-1] == version, f"{version} answers at {port}")


def wait_refused(port):
    def ask():
        try:
            get(port)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False
    wait_answers(ask, lambda seen: seen[-1], f"{port} refuses")


A = {"port": 8080, "workers": 2}
B = {"port": 8081}


def test_nothing_changes(house):
    daemon = house.run(config({"a": A}))
    wait_running(daemon, "a")
    before, workers = held(daemon), daemon.workers()
    assert '"changes":[]' in daemon.ctl("reload", "--json").stdout.replace(" ", "")
    daemon.signal(signal.SIGHUP)
    daemon.log.wait("Reloaded", times=2)
    assert held(daemon) - before == set() and daemon.workers() == workers


def test_services_come_and_go(house):
    daemon = house.run(config({"a": A}))
    wait_running(daemon, "a")
    mine = listeners(daemon, 8080)
    reload(house, daemon, config({"a": A, "b": B}))
    wait_version(8081, "b")
    slow = Request(8081, "/sleep/500")
    slow.wait_sent()
    reload(house, daemon, config({"a": A}))
    wait_refused(8081)
    assert slow.answer().status == 200, "who was there is served"
    assert daemon.ctl("status", "b").returncode == 4
    assert listeners(daemon, 8080) == mine
    reload(house, daemon, config({"a": A, "b": B}))
    wait_version(8081, "b")
    assert daemon.stop() == 0


def test_a_bad_file_changes_nothing_and_says_why(house):
    daemon = house.run(config({"a": A}))
    wait_running(daemon, "a")
    before = held(daemon)
    house.write(config({"a": A}) + "\nsurprise = 1;", daemon.config.name)
    for _ in range(count(3, 100)):
        result = daemon.ctl("reload")
        assert result.returncode == BAD_CONFIG
        assert re.search(rf"{daemon.config}:\d+: surprise: ", result.stderr), result
    daemon.log.wait(rf"{daemon.config}:\d+: surprise: ")
    daemon.signal(signal.SIGHUP)
    daemon.log.wait("not reloaded, nothing was changed")
    assert held(daemon) == before and get(8080).status == 200
    reload(house, daemon, config({"a": A, "b": B}))
    wait_version(8081, "b")


def test_an_address_that_is_taken_changes_nothing(house):
    with socket.create_server(("127.0.0.1", 8081)):
        daemon = house.run(config({"a": A}))
        wait_running(daemon, "a")
        before = held(daemon)
        house.write(config({"a": A | {"keys": 'restart = "no";'}, "b": B}), daemon.config.name)
        result = daemon.ctl("reload")
        assert result.returncode == FAILED and "b_e" in result.stderr, result
        assert held(daemon) == before and get(8080).status == 200
        assert len(daemon.ask("list")["services"]) == 1
    assert daemon.ctl("reload").returncode == OK
    wait_version(8081, "b")


def test_what_applies_now_is_applied(house):
    daemon = house.run(config({"a": A | {"keys": 'restart_delay = "29s";'}}))
    wait_running(daemon, "a")
    before, workers = listeners(daemon, 8080), daemon.workers()
    text = reload(house, daemon, config({"a": A | {
        "keys": 'restart_delay = "1ms";', "options": 'keep_alive = true; backlog = 17;'}})).stdout
    assert '"applies":"now"' in text.replace(" ", "")
    assert listeners(daemon, 8080) == before and daemon.workers() == workers
    assert daemon.ask("list-endpoints")["endpoints"][0]["queue_limit"] == 17
    assert not daemon.ask("status", "a")["pending"]
    with socket.create_connection(("127.0.0.1", 8080)) as client:
        ours = client.getsockname()[1]
        shown = subprocess.run(["ss", "-tnoe", f"sport = :8080 and dport = :{ours}"], check=True,
                               capture_output=True, text=True, timeout=DEADLINE).stdout
    assert "keepalive" in shown, shown
    daemon.ctl("kill", "a", "-s", "KILL")
    wait_answers(lambda: daemon.ask("status", "a")["workers_ready"], lambda seen: seen[-1] == 2,
                 "they are replaced at once now")


def test_what_needs_new_workers_is_pending(house):
    daemon = house.run(config({"a": A}))
    wait_running(daemon, "a")
    workers = daemon.workers()
    text = reload(house, daemon, config({"a": A | {"workers": 3, "keys": 'environment = "X=1";'}})).stdout
    assert '"applies":"pending"' in text.replace(" ", "")
    assert daemon.workers() == workers
    status = daemon.ask("status", "a")
    assert status["pending"] and status["workers_wanted"] == 2
    assert daemon.ctl("restart", "a").returncode == OK
    wait_answers(lambda: daemon.ask("status", "a"), lambda seen: seen[-1]["workers_wanted"] == 3 and
                 not seen[-1]["pending"], "the new generation has what the settings say")


def test_another_address_gets_a_new_generation(house):
    daemon = house.run(config({"a": A, "b": B}))
    for name in ("a", "b"):
        wait_running(daemon, name)
    mine = listeners(daemon, 8080)
    load = house.load("--address=127.0.0.1:8080", "--clients=4", "--seconds=600").wait_running()
    reload(house, daemon, config({"a": A, "b": B | {"port": 8082}}))
    wait_version(8082, "b")
    wait_refused(8081)
    assert not listeners(daemon, 8081), "what is no longer named is closed"
    wait_answers(lambda: daemon.ask("status", "b")["state"], lambda seen: seen[-1] == "running", "running")
    assert daemon.ask("status", "b")["generation"] == 2
    reload(house, daemon, config({"a": A, "b": B}))
    wait_version(8081, "b")
    wait_refused(8082)
    assert listeners(daemon, 8080) == mine
    assert load.stop()["lost"] == 0
    assert daemon.stop() == 0


def test_a_second_endpoint_is_added_and_taken_away_under_load(house):
    one = '''endpoints: { x: { listen_stream = "127.0.0.1:8080"; }; %s };
             services: { a: { endpoints = ["x"%s]; exec_start = ["@TOY@"]; type = "notify"; workers = 2; }; };'''
    both = one % ('y: { listen_stream = "127.0.0.1:8081"; };', ', "y"')
    alone = one % ("", "")
    daemon = house.run(alone)
    wait_running(daemon, "a")
    mine = listeners(daemon, 8080)
    load = house.load("--address=127.0.0.1:8080", "--clients=8", "--seconds=600").wait_running()
    for _ in range(count(2, 20)):
        reload(house, daemon, both)
        wait_version(8081, "1")
        reload(house, daemon, alone)
        wait_refused(8081)
        assert mine <= listeners(daemon, 8080), "kept sockets are the very same"
    result = load.stop()
    assert result["lost"] == 0, result
    assert daemon.stop() == 0


def test_a_new_generation_that_fails_leaves_the_old_one_serving(house):
    good = config({"a": A})
    daemon = house.run(good)
    wait_running(daemon, "a")
    reload(house, daemon, config({"a": A | {"port": 8085, "keys": ""}}).replace(
        '"--version=a"', '"--version=a", "--ready=never", "--exit-after=0", "--exit-code=1"'))
    daemon.log.wait("rolled back")
    assert get(8080).status == 200
    wait_refused(8085)
    reload(house, daemon, good)
    wait_refused(8085)
    assert get(8080).status == 200
    assert daemon.stop() == 0


def test_a_renamed_endpoint_keeps_its_sockets(house):
    daemon = house.run(config({"a": A}))
    wait_running(daemon, "a")
    mine, workers = listeners(daemon, 8080), daemon.workers()
    reload(house, daemon, config({"a": A}).replace("a_e", "front"))
    assert listeners(daemon, 8080) == mine and daemon.workers() == workers
    assert daemon.ask("list-endpoints")["endpoints"][0]["name"] == "front"
    assert daemon.ask("status", "a")["pending"], "its workers were told the old name"


def sockets_of(daemon, port):
    """{inode: pid of whoever listens} as ss shows it, with the socket options of each line."""
    shown = subprocess.run(["ss", "-tlnpeH", f"sport = :{port}"], check=True, capture_output=True,
                           text=True, timeout=DEADLINE).stdout
    return {re.search(r"ino:(\d+)", line)[1]: line for line in shown.splitlines()}


def wait_generation(daemon, name, number):
    wait_answers(lambda: daemon.ask("status", name), lambda seen: seen[-1]["generation"] == number and
                 seen[-1]["state"] == "running" and not seen[-1]["pending"] and
                 len({w["generation"] for w in seen[-1]["workers"]}) == 1, f"generation {number} alone")


def test_an_endpoint_moves_to_another_service(house):
    text = config({"a": A})
    daemon = house.run(text)
    wait_running(daemon, "a")
    mine = listeners(daemon, 8080)
    load = house.load("--address=127.0.0.1:8080", "--clients=8", "--seconds=600").wait_running()
    slow = Request(8080, "/sleep/300")
    slow.wait_sent()
    for n in range(count(2, 20)):
        name = "zy"[n % 2]
        reload(house, daemon, text.replace(" a: {", f" {name}: {{").replace("--version=a", f"--version={name}"))
        wait_version(8080, name)
        wait_generation(daemon, name, n + 2)
        assert [s["name"] for s in daemon.ask("list")["services"]] == [name]
    assert slow.answer().status == 200
    assert listeners(daemon, 8080) == mine, "the very same sockets"
    result = load.stop()
    assert result["lost"] == 0, result
    assert daemon.stop() == 0


def test_a_sleeper_moves_to_another_service_and_sleeps_on(house):
    text = config({"a": A | {"keys": 'activation = "on-demand";'}})
    daemon = house.run(text)
    reload(house, daemon, text.replace(" a: {", " z: {").replace("--version=a", "--version=z"))
    assert daemon.ask("status", "z")["state"] == "listening" and not daemon.workers()
    assert get(8080).headers["X-Version"] == "z"


def test_an_endpoint_of_several_moves_to_a_service_that_stays(house):
    """That is the one that cannot be done beside: its old service is stopped first, and says so."""
    text = '''endpoints: {{ x: {{ listen_stream = "127.0.0.1:8080"; }}; y: {{ listen_stream = "127.0.0.1:8081"; }};
                             w: {{ listen_stream = "127.0.0.1:8082"; }}; }};
              services: {{ a: {{ endpoints = [{}]; exec_start = ["@TOY@", "--version=a"]; type = "notify"; }};
                           b: {{ endpoints = [{}]; exec_start = ["@TOY@", "--version=b"]; type = "notify"; }}; }};'''
    daemon = house.run(text.format('"x", "y"', '"w"'))
    for name in ("a", "b"):
        wait_running(daemon, name)
    mine = listeners(daemon, 8081)
    house.write(text.format('"x"', '"w", "y"'), daemon.config.name)
    assert '"waits_for":"a"' in daemon.ctl("reload", "--json").stdout.replace(" ", "")
    wait_version(8081, "b")
    wait_version(8080, "a")
    assert listeners(daemon, 8081) == mine


OTHER_SOCKETS = [
    'shared = true;',
    'free_bind = true;',
    'shared = true; free_bind = true; backlog = 77;',
    'listen_stream = ["127.0.0.1:8080", "127.0.0.1:8090"];',
    'listen_stream = ["127.0.0.1:8091", "127.0.0.1:8080"]; shared = true;',
    'transparent = true;',
    '',
]


def other_sockets(options, **more):
    """The configuration of one service at 8080 with these options, which may name other addresses."""
    text = config({"a": A | {"options": options} | more})
    if "listen_stream" in options:
        text = text.replace('listen_stream = "127.0.0.1:8080"; ', "", 1)
    return text


def check_other_sockets(daemon, options, workers):
    """The kernel's word: how many sockets the workers hold, of which addresses."""
    ports = [int(port) for port in re.findall(r'127\.0\.0\.1:(\d+)', options)] or [8080]
    for port in (8080, 8090, 8091):
        if port not in ports:
            wait_answers(lambda port=port: listeners(daemon, port), lambda seen: not seen[-1], f"{port} is closed")
            continue
        wait_version(port, "a")
        held_by_workers = {inode for pid in daemon.workers() for inode in sockets_held(pid)}
        used = set(sockets_of(daemon, port)) & held_by_workers
        assert len(used) == (1 if "shared" in options else workers), (options, port, used)


def sockets_held(pid):
    found = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            match = re.match(r"socket:\[(\d+)\]", os.readlink(entry.path))
        except OSError:
            continue
        if match:
            found.add(match[1])
    return found


def test_other_sockets_at_an_address_that_stays_open_lose_nobody(house):
    daemon = house.run(other_sockets(""))
    wait_running(daemon, "a")
    load = house.load("--address=127.0.0.1:8080", "--clients=8", "--seconds=600").wait_running()
    number, n_held = 1, []
    for _ in range(count(2, 15)):
        for options in OTHER_SOCKETS:
            before = listeners(daemon, 8080)
            text = reload(house, daemon, other_sockets(options)).stdout
            number += 1
            assert '"new sockets"' in text, text
            wait_generation(daemon, "a", number)
            check_other_sockets(daemon, options, 2)
            if "transparent" in options:
                assert not before & listeners(daemon, 8080), "they were bound anew"
        n_held.append(len(held(daemon)))
    assert len(set(n_held)) == 1, f"no descriptor is left behind: {n_held}"
    result = load.stop()
    assert result["lost"] == 0, result
    assert daemon.stop() == 0


def test_a_sleeper_gets_other_sockets(house):
    keys = {"keys": 'activation = "on-demand";'}
    daemon = house.run(other_sockets("", **keys))
    reload(house, daemon, other_sockets('shared = true; transparent = true;', **keys))
    wait_generation(daemon, "a", 2)
    assert get(8080).status == 200


def test_a_stopped_service_gets_other_sockets(house):
    daemon = house.run(other_sockets(""))
    wait_running(daemon, "a")
    assert daemon.ctl("stop", "a").returncode == OK
    wait_answers(lambda: daemon.workers(), lambda seen: not seen[-1], "nobody runs")
    for options in OTHER_SOCKETS:
        reload(house, daemon, other_sockets(options))
        wait_refused(8080)
    reload(house, daemon, other_sockets(OTHER_SOCKETS[4]))
    assert daemon.ctl("start", "a").returncode == OK
    check_other_sockets(daemon, OTHER_SOCKETS[4], 2)


def test_other_sockets_of_datagrams(house):
    text = '''endpoints: { d: { listen_datagram = "127.0.0.1:8080"; %s }; };
              services: { a: { endpoints = ["d"]; exec_start = ["@TOY@"]; type = "notify"; workers = 2; }; };'''
    daemon = house.run(text % "")
    wait_running(daemon, "a")
    for n, options in enumerate(("free_bind = true;", "free_bind = true; shared = true;", "transparent = true;", "")):
        reload(house, daemon, text % options)
        wait_generation(daemon, "a", n + 2)
        assert daemon.ask("list-endpoints")["endpoints"][0]["strangers"] == 0
    assert daemon.stop() == 0


def test_new_sockets_that_nobody_gets_ready_on_leave_the_old_ones_serving(house):
    daemon = house.run(other_sockets(""))
    wait_running(daemon, "a")
    bad = '"--version=a", "--ready=never", "--exit-after=0", "--exit-code=1"'
    for n, options in enumerate(OTHER_SOCKETS[:5]):
        reload(house, daemon, other_sockets(options).replace('"--version=a"', bad))
        daemon.log.wait("rolled back", times=n + 1)
        assert get(8080).status == 200 and daemon.ask("status", "a")["pending"]
    reload(house, daemon, other_sockets(""))
    wait_answers(lambda: daemon.ask("status", "a"), lambda seen: seen[-1]["state"] == "running" and
                 not seen[-1]["pending"], "as it was")
    check_other_sockets(daemon, "", 2)


def test_exclusive_is_looked_at_and_needs_no_sockets(house):
    open_to_all = config({"a": A | {"options": "exclusive = false;"}})
    daemon = house.run(open_to_all)
    wait_running(daemon, "a")
    mine, workers = listeners(daemon, 8080), daemon.workers()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("0.0.0.0", 8080))
        other.listen()
        house.write(config({"a": A}), daemon.config.name)
        result = daemon.ctl("reload")
        assert result.returncode == FAILED and "exclusive" in result.stderr, result
    assert reload(house, daemon, config({"a": A}))
    assert listeners(daemon, 8080) == mine and daemon.workers() == workers


@pytest.mark.parametrize("before, after", [
    ('listen_stream = ":8080";', 'listen_stream = ":8080"; bind_ipv6_only = "ipv6-only";'),
    ('listen_stream = "127.0.0.1:8080";', 'listen_stream = "127.0.0.1:8080"; bind_to_device = "lo";'),
])
def test_another_group_of_the_kernel_at_the_same_address_is_refused(house, before, after):
    text = config({"a": A}).replace('listen_stream = "127.0.0.1:8080";', before)
    daemon = house.run(text)
    wait_running(daemon, "a")
    house.write(text.replace(before, after), daemon.config.name)
    result = daemon.ctl("reload")
    assert result.returncode == FAILED and "restart reuseportd" in result.stderr
    assert get(8080).status == 200


def test_endpoints_change_places(house):
    """Two endpoints swap their addresses: the sockets stay, the services get new generations on them."""
    daemon = house.run(config({"a": A, "b": B}))
    for name in ("a", "b"):
        wait_running(daemon, name)
    mine = listeners(daemon, 8080) | listeners(daemon, 8081)
    house.write(config({"a": A | {"port": 8081}, "b": B | {"port": 8080}}), daemon.config.name)
    assert daemon.ctl("reload").returncode == OK
    wait_version(8080, "b")
    wait_version(8081, "a")
    assert mine <= listeners(daemon, 8080) | listeners(daemon, 8081)


def test_a_reload_waits_for_a_deploy(house):
    daemon = house.run(config({"a": A | {"keys": 'deploy: { canary = [50]; step = "2s"; };'}}))
    wait_running(daemon, "a")
    deploy = subprocess.Popen([str(house.build / "src/ctl/reuseportctl"), "--control",
                               str(daemon.control), "deploy", "a"], stdout=subprocess.DEVNULL)
    wait_answers(lambda: daemon.ask("list")["services"][0]["deploy"],
                 lambda seen: seen[-1] and seen[-1]["state"] == "canary", "a canary")
    assert '"waits_for":"a"' in reload(house, daemon, config({"a": A, "b": B})).stdout.replace(" ", "")
    assert len(daemon.ask("list")["services"]) == 1
    assert deploy.wait(DEADLINE) == OK
    wait_version(8081, "b")


def test_check_diff_says_what_a_reload_would_do_and_does_not(house):
    daemon = house.run(config({"a": A}))
    wait_running(daemon, "a")
    before = held(daemon)
    other = house.write(config({"a": A | {"workers": 4, "keys": 'restart = "no";'}, "b": B}), "other.conf")
    lines = daemon.ctl("check", other, "--diff").stdout.splitlines()
    assert {"open endpoints.b_e", "start services.b", "pending services.a.workers: 4, was 2",
            'now services.a.restart: "no", was "always"'} == set(lines), lines
    assert held(daemon) == before
    assert daemon.ctl("check", "--diff").stdout == "nothing changes\n"
    assert daemon.ctl("check", house.write("x", "bad.conf"), "--diff").returncode == BAD_CONFIG


class Mix:
    """A configuration that changes at random, one thing at a time; what is at 8080 is always there."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.services = {"a": dict(A), "b": dict(B)}
        self.front = "a"  # who is at 8080 now
        self.spare = 9000
        self.done = []
        self.n_gone = 0

    def next_port(self):
        self.spare += 1
        return self.spare

    def option(self):
        self.services[self.front]["now"] = (f"backlog = {self.dice.randint(64, 4096)}; "
                                            f"no_delay = {self.dice.choice(['true', 'false'])};")

    def workers(self):
        self.services[self.dice.choice([self.front, "b"])]["workers"] = self.dice.choice([1, 2, 3, 4])

    def address(self):
        self.services["b"]["port"] = self.next_port()

    def service(self):
        if "c" in self.services:
            del self.services["c"]
        else:
            self.services["c"] = {"port": self.next_port()}

    def sockets(self):
        """Other ones at the address that stays."""
        self.services[self.front]["sockets"] = self.dice.choice(
            [o for o in ("", "shared = true;", "free_bind = true;", "shared = true; transparent = true;")
             if o != self.services[self.front].get("sockets", "")])

    def more_addresses(self):
        s = self.services[self.front]
        s["more"] = None if s.get("more") else self.next_port()

    def name(self):
        """The service goes, and one of another name takes its endpoint."""
        other = "z" if self.front == "a" else "a"
        self.services[other] = self.services.pop(self.front)
        self.front = other

    CHANGES = (option, workers, address, service, sockets, more_addresses, name)

    def change(self):
        """One of them; returns what was there and is no longer."""
        before = self.ports()
        how = self.dice.choice(self.CHANGES)
        how(self)
        self.done.append(how.__name__)
        return before - self.ports()

    def ports(self):
        return {s["port"] for s in self.services.values()} | {s["more"] for s in self.services.values() if s.get("more")}

    def text(self):
        endpoints, parts = [], []
        for name, s in self.services.items():
            addresses = [f'"127.0.0.1:{port}"' for port in (s["port"], s.get("more")) if port]
            endpoint = "front_e" if name == self.front else f"{name}_e"
            endpoints.append(f'{endpoint}: {{ listen_stream = [{", ".join(addresses)}]; {s.get("now", "")} {s.get("sockets", "")} }};')
            parts.append(f'''{name}: {{ endpoints = ["{endpoint}"]; exec_start = ["@TOY@", "--version={name}"];
                             type = "notify"; workers = {s.get("workers", 1)}; }};''')
        return f'endpoints: {{ {" ".join(endpoints)} }}; services: {{ {" ".join(parts)} }};'

    def is_seen(self, daemon):
        """What the kernel and the daemon say of it."""
        endpoints = {e["name"]: e for e in daemon.ask("list-endpoints")["endpoints"]}
        services = {s["name"]: s for s in daemon.ask("list")["services"]}
        front = endpoints.get("front_e")
        limit = re.search(r"backlog = (\d+)", self.services[self.front].get("now", ""))
        return (set(services) == set(self.services) and len(endpoints) == len(self.services) and
                front is not None and len(front["addresses"]) == 1 + bool(self.services[self.front].get("more")) and
                (not limit or front["queue_limit"] == int(limit[1])) and front["strangers"] == 0 and
                all(s["state"] == "running" for s in services.values()))

    def check(self, daemon, gone):
        for name, s in self.services.items():
            wait_version(s["port"], name)
            if s.get("more"):
                wait_version(s["more"], name)
        wait_answers(lambda: self.is_seen(daemon), lambda seen: seen[-1], f"it is as the file says: {self.done}")
        for port in gone:
            wait_answers(lambda port=port: listeners(daemon, port), lambda seen: not seen[-1], f"{port} is closed")
        front, pids = self.services[self.front], daemon.workers()
        mine = [w for w in daemon.ask("status", self.front)["workers"] if w["pid"] in pids]
        used = {inode for w in mine for inode in sockets_held(w["pid"])} & set(sockets_of(daemon, 8080))
        if self.done[-1] == "sockets":
            assert len(used) == (1 if "shared" in front["sockets"] else len(mine)), (self.done, used)


@pytest.mark.once
def test_random_reloads_under_load_lose_nothing(house):
    """Each changes one thing at least; what is there before and after loses nobody."""
    seed = int(os.environ.get("REUSEPORT_TEST_SEED", "5"))
    mix = Mix(seed)
    daemon = house.run(mix.text())
    for name in mix.services:
        wait_running(daemon, name)
    mine = listeners(daemon, 8080)
    load = house.load("--address=127.0.0.1:8080", "--clients=8", "--seconds=3600").wait_running()
    n = count(30, 200)
    for _ in range(n):
        gone = mix.change()
        reload(house, daemon, mix.text())
        mix.check(daemon, gone)
        if mix.dice.random() < 0.2:
            assert daemon.ctl("restart", mix.front).returncode == OK
        if mix.done[-1] == "sockets":
            mine = listeners(daemon, 8080)
        assert mine <= listeners(daemon, 8080), "kept sockets are the very same"
    result = load.stop()
    print(f"{n} random reloads: {result['answered']} requests, {result['lost']} lost")
    assert result["lost"] == 0, (seed, mix.done, result)
    assert daemon.stop() == 0


def test_one_to_many_workers_and_back_by_reload_loses_nothing(house):
    """F18: an endpoint goes and comes, moves, gets another option, and workers go 1 → 32 → 1."""
    daemon = house.run(config({"a": A, "b": B}))
    for name in ("a", "b"):
        wait_running(daemon, name)
    mine = listeners(daemon, 8080)
    load = house.load("--address=127.0.0.1:8080", "--clients=8", "--seconds=3600").wait_running()
    steps = [
        {"a": A | {"workers": 32}, "b": B},
        {"a": A | {"workers": 1}},
        {"a": A | {"workers": 1}, "b": B | {"port": 8083}},
        {"a": A | {"workers": 1, "options": "backlog = 99;"}, "b": B},
        {"a": A | {"workers": 2, "options": "keep_alive = true;"}, "b": B},
    ]
    n = count(5, 500)
    for i in range(n):
        step = steps[i % len(steps)]
        reload(house, daemon, config(step))
        assert daemon.ctl("scale", f"a={step['a']['workers']}").returncode == OK
        for name, s in step.items():
            wait_version(s["port"], name)
        if "b" not in step:
            wait_refused(8081)
        assert mine <= listeners(daemon, 8080)
    result = load.stop()
    print(f"{n} reloads and scalings: {result['answered']} requests, {result['lost']} lost")
    assert result["lost"] == 0, result
    assert daemon.stop() == 0


def test_an_endpoint_without_a_service_has_one_bank_until_it_gets_one(house):
    text = '''endpoints: { x: { listen_stream = "127.0.0.1:8080"; }; y: { listen_stream = "127.0.0.1:8081"; }; };
              services: { a: { endpoints = ["x"%s]; exec_start = ["@TOY@"]; type = "notify"; workers = 3; }; %s };'''
    other = 'b: { endpoints = ["y"]; exec_start = ["@TOY@", "--version=b"]; type = "notify"; workers = 3; };'

    def n_sockets(daemon):
        return {e["name"]: e["sockets"] for e in daemon.ask("list-endpoints")["endpoints"]}

    daemon = house.run(text % ("", ""))
    wait_running(daemon, "a")
    assert n_sockets(daemon) == {"x": 6, "y": 1}
    mine = held(daemon)
    reload(house, daemon, text % ("", other))
    wait_version(8081, "b")
    assert n_sockets(daemon) == {"x": 6, "y": 6} and mine <= held(daemon)
    assert daemon.ctl("restart", "b").returncode == OK
    reload(house, daemon, text % ("", ""))
    wait_refused(8081)
    reload(house, daemon, text % (', "y"', ""))
    wait_version(8081, "1")
    assert daemon.stop() == 0
