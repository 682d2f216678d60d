"""Clients that all connect at once, ask one thing each, and tell how they fared: run by test_handshakes.

    python3 slow_clients.py IP:PORT COUNT [--source=IP] [--talk-after=SECONDS] [--fast-open] [--seconds=DEADLINE]

Prints "begun" when every SYN is out, and one JSON object when each has its answer, its reset, or no answer at all
when the time is over.
"""

import argparse
import json
import selectors
import socket
import sys
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
MSG_FASTOPEN = 0x20000000


class Client:
    def __init__(self, options):
        host, port = options.address.rsplit(":", 1)
        self.begun = time.monotonic()
        self.talk_at = self.begun + options.talk_after
        self.has_asked = False
        self.answer = b""
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if options.source:
            self.socket.bind((options.source, 0))
        if options.fast_open:
            self.has_asked = self.socket.sendto(REQUEST, MSG_FASTOPEN, (host, int(port))) == len(REQUEST)
        else:
            self.socket.connect_ex((host, int(port)))

    def ask(self):
        self.socket.send(REQUEST)
        self.has_asked = True

    def take(self):
        """How it ended, or None."""
        try:
            if not self.has_asked:
                error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error == 0:
                    return None
                return "refused"
            more = self.socket.recv(4096)
        except BlockingIOError:
            return None
        except ConnectionError:
            return "reset"
        self.answer += more
        if more:
            return None
        return "answered" if self.answer.startswith(b"HTTP/1.1 200") else "closed"

    def version(self):
        head = self.answer.decode().split("X-Version: ")
        return head[1].split("\r\n")[0] if len(head) == 2 else "?"


def get_fast_open_cookie(options):
    """The first connection of all is an ordinary one: it brings the cookie for the others."""
    host, port = options.address.rsplit(":", 1)
    with socket.socket() as first:
        first.sendto(REQUEST, MSG_FASTOPEN, (host, int(port)))
        while first.recv(4096):
            pass


def run(options):
    selector = selectors.DefaultSelector()
    if options.fast_open:
        get_fast_open_cookie(options)
    waiting = {client.socket: client for client in (Client(options) for _ in range(options.count))}
    for sock, client in waiting.items():
        wanted = selectors.EVENT_READ if client.has_asked else selectors.EVENT_READ | selectors.EVENT_WRITE
        selector.register(sock, wanted)
    print("begun", flush=True)

    end = time.monotonic() + options.seconds
    result = {"answered": 0, "reset": 0, "refused": 0, "closed": 0, "hung": 0, "worst": 0.0, "versions": {}}
    while waiting and time.monotonic() < end:
        for key, events in selector.select(0.05):
            client = waiting[key.fileobj]
            outcome = client.take()
            if outcome is None and events & selectors.EVENT_WRITE and not client.has_asked:
                if client.talk_at <= time.monotonic():
                    client.ask()
                    selector.modify(key.fileobj, selectors.EVENT_READ)
            elif outcome:
                selector.unregister(key.fileobj)
                result[outcome] += 1
                result["worst"] = max(result["worst"], round(time.monotonic() - client.begun, 2))
                if outcome == "answered":
                    result["versions"][client.version()] = result["versions"].get(client.version(), 0) + 1
                waiting.pop(key.fileobj).socket.close()
    result["hung"] = len(waiting)
    print(json.dumps(result), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("count", type=int)
    parser.add_argument("--source")
    parser.add_argument("--talk-after", type=float, default=0)
    parser.add_argument("--fast-open", action="store_true")
    parser.add_argument("--seconds", type=float, default=20)
    run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
