"""The house of a private daemon: starts it, watches it, asks its workers.

Everything waits for an event (a log line, a message, an exit, an answer) up to a deadline, and fails
with what was seen until then.  Nothing sleeps.
"""

import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[2]
DEADLINE = float(os.environ.get("REUSEPORT_TEST_DEADLINE", "20"))
IS_LONG = bool(os.environ.get("REUSEPORT_TEST_LONG"))

# Before the tests enter a namespace, where everybody is root.
NEEDS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="needs root: workers of another user")

SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "abort_on_error=0:exitcode=99:detect_leaks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
}
SANITIZER_WORDS = re.compile(
    r"AddressSanitizer|LeakSanitizer|runtime error:|UndefinedBehaviorSanitizer")


def toy(switches=(), listen='listen_stream = ":8080";', service="", workers=1):
    """A configuration of one service, whose worker is the toy."""
    words = ", ".join(f'"{word}"' for word in ("@TOY@", *switches))
    return f'''
        endpoints: {{ web: {{ {listen} }}; }};
        services: {{
            site: {{
                endpoints = ["web"];
                exec_start = [{words}];
                type = "notify";
                workers = {workers};
                {service}
            }};
        }};
    '''


def count(normal, long):
    """How often something is done: a small count in each run, the full one with --long."""
    return long if IS_LONG else normal


class Deadline:
    def __init__(self, seconds=DEADLINE):
        self.end = time.monotonic() + seconds

    def left(self):
        return max(0.0, self.end - time.monotonic())

    def is_over(self):
        return time.monotonic() >= self.end


def children_of(pid):
    """Pids of the processes that pid has started or inherited, zombies included."""
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(word) for word in (task / "children").read_text().split()]
    return sorted(found)


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return "(gone)"


def descriptors_of(pid):
    """{number: target} as /proc shows them."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found[int(entry.name)] = os.readlink(entry)
    return found


class Process:
    """A process by its pidfd: can be waited for, also if it is not our child."""

    def __init__(self, pid):
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)

    def close(self):
        os.close(self.pidfd)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def is_gone(self, seconds=0):
        return bool(select.select([self.pidfd], [], [], seconds)[0])

    def wait_gone(self, seconds=DEADLINE):
        assert self.is_gone(seconds), (
            f"process {self.pid} ({command_of(self.pid)}) is still there after {seconds} s")

    def kill(self, number=signal.SIGKILL):
        signal.pidfd_send_signal(self.pidfd, number)


class Lines:
    """The lines a process writes, as they come."""

    def __init__(self, file):
        self.lines = []
        self.times = []  # when each came, in seconds
        self._changed = threading.Condition()
        self._is_ended = False
        self._thread = threading.Thread(target=self._pump, args=(file,), daemon=True)
        self._thread.start()

    def _pump(self, file):
        with file:
            for line in file:
                with self._changed:
                    self.times.append(time.monotonic())
                    self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()

    def wait(self, pattern, times=1, seconds=DEADLINE):
        """The match of the line that is the times-th to contain pattern."""
        deadline, expression = Deadline(seconds), re.compile(pattern)
        with self._changed:
            while True:
                found = [m for m in map(expression.search, self.lines) if m]
                if len(found) >= times:
                    return found[times - 1]
                if self._is_ended or deadline.is_over():
                    break
                self._changed.wait(deadline.left())
        raise AssertionError(f"no {times} lines like {pattern!r}, but:\n{self.text()}")

    def times_of(self, pattern):
        with self._changed:
            return [t for t, line in zip(self.times, self.lines) if re.search(pattern, line)]

    def has(self, pattern):
        with self._changed:
            return any(re.search(pattern, line) for line in self.lines)

    def join(self, seconds=DEADLINE):
        self._thread.join(seconds)

    def text(self):
        return "\n".join(self.lines)


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def pid(self):
        return int(self.headers["X-Server-Pid"])

    @property
    def worker(self):
        return self.headers["X-Worker"]

    def json(self):
        return json.loads(self.body)


def get(port, path="/", host="127.0.0.1", seconds=DEADLINE):
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read().decode())


class Request:
    """A request that is sent now and whose answer is taken later."""

    def __init__(self, port, path, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout=DEADLINE)
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())

    def wait_sent(self):
        """Until its server has taken it: it was accepted and the bytes were read, if not answered already."""
        ours = self.socket.getsockname()[1]
        deadline = Deadline()
        while not deadline.is_over():
            if is_read_by_server(ours) or select.select([self.socket], [], [], 0.01)[0]:
                return
        raise AssertionError("nobody has read the request")

    def answer(self):
        with self.socket:
            response = http.client.HTTPResponse(self.socket, method="GET")
            response.begin()
            return Answer(response.status, response.headers, response.read().decode())


def is_read_by_server(client_port):
    """Whether the other end of a loopback connection is accepted and has read all it was sent.

    Nothing of the client's is unacknowledged, so it has arrived, and nothing is queued there.
    """
    has_arrived = is_read = False
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as file:
            for line in list(file)[1:]:
                word = line.split()
                local, remote = (int(word[i].rsplit(":", 1)[1], 16) for i in (1, 2))
                unacknowledged, unread = (int(number, 16) for number in word[4].split(":"))
                if local == client_port:
                    has_arrived = unacknowledged == 0
                elif remote == client_port:
                    is_read = unread == 0 and word[9] != "0"
    return has_arrived and is_read


def wait_answers(ask, is_enough, what, seconds=DEADLINE):
    """Asks again, each time on a new connection, until is_enough(all answers so far)."""
    deadline, answers = Deadline(seconds), []
    while not deadline.is_over():
        answers.append(ask())
        if is_enough(answers):
            return answers
    seen = sorted({str(getattr(a, "body", a)) for a in answers})
    raise AssertionError(f"{what}: not so after {len(answers)} answers: {seen}")


def wait_workers(n, but=(), port=8080):
    """Pids of n workers that answer, none of them in but; by worker number."""
    def is_enough(answers):
        return len({a.worker for a in answers if a.pid not in but}) == n

    answers = wait_answers(lambda: get(port), is_enough, f"{n} workers answer, without {list(but)}")
    return {a.worker: a.pid for a in answers if a.pid not in but}


class Manager:
    """The other end of the daemon's own NOTIFY_SOCKET, as systemd would be."""

    def __init__(self, directory):
        self.path = str(directory / "manager")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.socket.bind(self.path)
        self.messages = []

    def wait(self, word, process, seconds=DEADLINE):
        """Until a message has the line word; fails at once if the process ends."""
        deadline = Deadline(seconds)
        while not any(word in message.split("\n") for message in self.messages):
            ready = select.select([self.socket, process.pidfd], [], [], deadline.left())[0]
            if self.socket in ready:
                self.messages.append(self.socket.recv(65536).decode())
            elif ready:
                raise AssertionError(f"it ended before it said {word!r}")
            else:
                raise AssertionError(f"it did not say {word!r} but {self.messages}")

    def close(self):
        self.socket.close()


class Daemon:
    """A reuseportd with a configuration, a runtime directory and a log of its own."""

    def __init__(self, build, directory, config, arguments=(), environment=None, cwd=None, through=(), uid=None,
                 prepare=None):
        """through: a command before it that becomes it; uid: as whom, if not as ourselves; prepare() is called
        in the process that becomes it."""
        self.build = build
        self.directory = directory
        self.config = Path(config)
        runtime = directory / "run"
        runtime.mkdir(exist_ok=True)
        self.reuseportctl = build / "src/ctl/reuseportctl"
        self.manager = Manager(directory)
        variables = {
            "PATH": os.environ["PATH"],
            "RUNTIME_DIRECTORY": str(runtime),
            "NOTIFY_SOCKET": self.manager.path,
        } | SANITIZER_OPTIONS
        variables.update(environment or {})
        somebody = {}
        if uid is not None:
            somebody = {"user": uid, "group": uid, "extra_groups": []}
            for path in (directory, runtime, self.manager.path):
                os.chown(path, uid, uid)
        self.popen = subprocess.Popen(
            [*map(str, through), str(build / "src/daemon/reuseportd"), "-c", str(self.config), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=variables, cwd=cwd or directory, preexec_fn=prepare, **somebody)
        self.pid = self.popen.pid
        self.process = Process(self.pid)
        self.log = Lines(self.popen.stdout)

    def wait_ready(self, seconds=DEADLINE):
        """Until every socket is open; its workers may still be starting."""
        try:
            self.manager.wait("READY=1", self.process, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log.text()}") from None
        return self

    def workers(self):
        return children_of(self.pid)

    def signal(self, number):
        self.process.kill(number)

    @property
    def control(self):
        return self.directory / "run/control"

    def ctl(self, *arguments, **options):
        """reuseportctl, ended; its result has returncode, stdout and stderr."""
        options = {"capture_output": True, "text": True, "timeout": DEADLINE, "check": False} | options
        return subprocess.run([str(self.reuseportctl), "--control", str(self.control),
                               *map(str, arguments)], **options)

    def ask(self, *arguments):
        """What reuseportctl --json answers, which must be good."""
        result = self.ctl("--json", *arguments)
        assert result.returncode == 0, (arguments, result)
        return json.loads(result.stdout)

    def wait(self, seconds=DEADLINE):
        """Its exit status, negative if a signal ended it."""
        try:
            status = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            workers = [f"{pid} {command_of(pid)}" for pid in self.workers()]
            raise AssertionError(f"reuseportd still runs after {seconds} s, with {workers}\n"
                                 f"{self.log.text()}") from None
        return status

    def stop(self, seconds=DEADLINE):
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def destroy(self):
        """The end of the test, however it went."""
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        self.process.close()
        self.manager.close()

    def check(self):
        """After the test: what a sanitizer said, wherever it said it."""
        self.log.join(1)
        found = SANITIZER_WORDS.search(self.log.text())
        assert not found, self.log.text()


class Load:
    """The load generator, beside the test."""

    def __init__(self, build, *arguments):
        self.popen = subprocess.Popen([str(build / "tests/integration/load"), *arguments],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.errors = Lines(self.popen.stderr)

    def wait_running(self):
        self.errors.wait("^load: runs")
        return self

    def result(self, seconds=120):
        """Its counts, when it has ended by itself."""
        output = self._output(seconds)
        assert self.popen.returncode == 0, self.errors.text()
        return json.loads(output)

    def _output(self, seconds):
        deadline = Deadline(seconds)
        with self.popen.stdout as out:
            assert select.select([out], [], [], deadline.left())[0], "no result of the load generator"
            output = out.read()
        self.popen.wait(deadline.left() + 1)
        return output

    def stop(self):
        self.popen.terminate()
        return self.result(30)

    def destroy(self):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()


class House:
    """What a test gets: starts daemons and loads, and cleans up behind them."""

    def __init__(self, build, directory):
        self.build = build
        self.directory = directory
        self.toy = build / "tests/integration/toy-worker"
        self.refuse = build / "tests/integration/refuse"
        self.fail_calls = build / "tests/integration/fail-calls"
        self.demo = build / "config/demo/demo-server"
        self._things = []
        self._n_daemons = 0

    def write(self, text, name="endpoints.conf"):
        """A configuration; @TOY@ becomes the path of the toy worker."""
        path = self.directory / name
        path.write_text(text.replace("@TOY@", str(self.toy)))
        return path

    def start(self, config, **options):
        """A daemon that may fail to start; config is a path or a text."""
        if not isinstance(config, Path):
            config = self.write(config)
        self._n_daemons += 1
        directory = self.directory / f"daemon{self._n_daemons}"
        directory.mkdir()
        daemon = Daemon(self.build, directory, config, **options)
        self._things.append(daemon)
        return daemon

    def run(self, config, **options):
        """A daemon that has its sockets."""
        return self.start(config, **options).wait_ready()

    def command(self, *arguments, **options):
        """reuseportd as a command that ends by itself."""
        return subprocess.run([str(self.build / "src/daemon/reuseportd"), *map(str, arguments)],
                              capture_output=True, text=True, timeout=DEADLINE, check=False, **options)

    def load(self, *arguments):
        load = Load(self.build, *arguments)
        self._things.append(load)
        return load

    def destroy(self):
        for thing in self._things:
            thing.destroy()

    def check(self):
        for thing in self._things:
            if isinstance(thing, Daemon):
                thing.check()
