"""Every preset with its real server, by the example that we ship: it answers a request of its kind, and what is
in flight when the daemon stops is finished."""

import os
import shutil
import signal
import socket
import struct
from pathlib import Path

import pytest
from house import DEADLINE, SOURCES, Deadline, Request, get, is_read_by_server

EXAMPLES = SOURCES / "config/examples"
STOP_SECONDS = 60

pytestmark = [pytest.mark.once,
              pytest.mark.skipif(os.getuid() != 0, reason="needs root: the examples name a user")]


def server(name, *programs, **options):
    missing = [p for p in programs if shutil.which(p) is None]
    mark = pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)}: not installed")
    return pytest.param(name, *options.values(), marks=mark, id=name)


HTTP = [
    server("nginx", "/usr/sbin/nginx", slow="/slow"),
    server("haproxy", "/usr/sbin/haproxy", slow="/slow"),
    server("lighttpd", "/usr/sbin/lighttpd", slow="/slow.sh"),
    server("gunicorn", "/usr/bin/gunicorn", slow="/slow"),
    server("uvicorn", "/usr/bin/uvicorn", slow="/slow"),
    server("puma", "/usr/bin/puma", slow="/slow"),
    server("unicorn", "/usr/bin/unicorn", slow="/slow"),
    server("uwsgi", "/usr/bin/uwsgi-core", slow="/slow"),
    server("node", "/usr/bin/node", slow="/slow"),
    server("h2o", "/usr/bin/h2o", "/usr/bin/gunicorn", slow="/slow"),
    server("nghttpx", "/usr/sbin/nghttpx", "/usr/bin/gunicorn", slow="/slow"),
]

DNS = [
    server("unbound", "/usr/sbin/unbound"),
    server("knot-resolver", "/usr/sbin/kresd"),
]


def run_example(house, name, workers=2):
    """The shipped file as it is, until every worker of every service is ready."""
    config = EXAMPLES / f"{name}.conf"
    Path("/run/systemd/system").mkdir(parents=True, exist_ok=True)  # unbound looks for it
    daemon = house.run(config)
    daemon.log.wait("worker . .* is ready", times=workers)
    return daemon


def finishes(daemon, request):
    """The daemon stops in the middle of a request, which is answered; and nobody had to be cut off."""
    request.wait_sent()
    daemon.signal(signal.SIGTERM)
    answer = request.answer()
    assert answer.status == 200 and "Hello from" in answer.body
    assert daemon.wait(STOP_SECONDS) == 0
    return answer


@pytest.mark.parametrize(("name", "slow"), HTTP)
def test_a_server_answers_and_finishes_what_is_in_flight(house, name, slow):
    daemon = run_example(house, name, workers=3 if name in ("h2o", "nghttpx") else 2)
    for _ in range(10):
        answer = get(8080)
        assert answer.status == 200 and "Hello from" in answer.body
    finishes(daemon, Request(8080, slow))


# ---- FastCGI ----

class FastCgiRequest:
    """One request to php-fpm, sent now and answered later."""

    BEGIN, END, PARAMS, STDIN, STDOUT = 1, 3, 4, 5, 6

    def __init__(self, port, query=""):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        script = "/srv/php-fpm/index.php"
        variables = {"SCRIPT_FILENAME": script, "REQUEST_METHOD": "GET", "QUERY_STRING": query,
                     "SCRIPT_NAME": "/index.php", "REQUEST_URI": f"/?{query}", "SERVER_PROTOCOL": "HTTP/1.1"}
        pairs = b"".join(struct.pack("BB", len(k), len(v)) + k.encode() + v.encode()
                         for k, v in variables.items())
        self.socket.sendall(self.record(self.BEGIN, struct.pack(">HB5x", 1, 0)) + self.record(self.PARAMS, pairs)
                            + self.record(self.PARAMS, b"") + self.record(self.STDIN, b""))

    @staticmethod
    def record(kind, body):
        return struct.pack(">BBHHBx", 1, kind, 1, len(body), 0) + body

    def wait_sent(self):
        ours, deadline = self.socket.getsockname()[1], Deadline()
        while not is_read_by_server(ours):
            assert not deadline.is_over(), "nobody has read the request"

    def answer(self):
        """What the script printed, headers and all."""
        printed = b""
        with self.socket, self.socket.makefile("rb") as stream:
            while True:
                head = stream.read(8)
                assert len(head) == 8, "it closed the connection in the middle"
                _, kind, _, length, padding = struct.unpack(">BBHHBx", head)
                body = stream.read(length)
                stream.read(padding)
                if kind == self.STDOUT:
                    printed += body
                if kind == self.END:
                    return printed.decode()


@pytest.mark.parametrize("name", [server("php-fpm", "/usr/sbin/php-fpm8.2")])
def test_php_answers_and_finishes_what_is_in_flight(house, name):
    daemon = run_example(house, name)
    for _ in range(10):
        assert "Hello from PHP: worker" in FastCgiRequest(9000).answer()

    request = FastCgiRequest(9000, "slow=1")
    request.wait_sent()
    daemon.signal(signal.SIGTERM)
    assert "Hello from PHP: worker" in request.answer()
    assert daemon.wait(STOP_SECONDS) == 0


# ---- DNS ----

def query(name, number=7):
    labels = b"".join(struct.pack("B", len(word)) + word.encode() for word in name.split("."))
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)


def is_good(answer, number=7):
    """NOERROR with one answer, which ends with the address of the example."""
    found, flags, _, n_answers = struct.unpack(">HHHH", answer[:8])
    return found == number and flags & 0x800F == 0x8000 and n_answers == 1 and answer[-4:] == bytes((192, 0, 2, 1))


@pytest.mark.parametrize("name", DNS)
def test_a_resolver_answers_over_udp_and_tcp(house, name):
    daemon = run_example(house, name)
    for _ in range(10):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(DEADLINE)
            client.connect(("127.0.0.1", 5300))
            client.send(query("hello.example"))
            assert is_good(client.recv(512))

        with socket.create_connection(("127.0.0.1", 5300), timeout=DEADLINE) as client:
            question = query("hello.example")
            client.sendall(struct.pack(">H", len(question)) + question)
            with client.makefile("rb") as stream:
                assert is_good(stream.read(struct.unpack(">H", stream.read(2))[0]))

    assert daemon.stop(STOP_SECONDS) == 0
