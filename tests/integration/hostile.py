"""Workers that a test writes in Python: what they have in common, and how they are run.

A worker's text is run after this one's, so that it may speak to the daemon in every wrong way.
"""

import array
import os
import selectors
import socket
import sys
import time


class Speaker:
    """The worker's end of its notify socket."""

    def __init__(self):
        self.path = os.environ["NOTIFY_SOCKET"]
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def say(self, message, fds=()):
        if isinstance(message, str):
            message = message.encode()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        return self.socket.sendmsg([message], rights, 0, self.path)

    def barrier(self):
        """Seconds until all that was said before was acted on."""
        ours, theirs = os.pipe()
        begun = time.monotonic()
        self.say("BARRIER=1", [theirs])
        os.close(theirs)
        os.read(ours, 1)  # until it is closed
        os.close(ours)
        return time.monotonic() - begun


def tell(*words):
    print("worker:", *words, file=sys.stderr, flush=True)


def serve(watchdog=None):
    """Answers HTTP with who it is; says WATCHDOG=1 so often."""
    speaker, listener, clients = Speaker(), socket.socket(fileno=3), selectors.DefaultSelector()
    listener.setblocking(False)
    clients.register(listener, selectors.EVENT_READ)
    speaker.say("READY=1")
    tell("ready", os.getpid())
    while True:
        for key, _ in clients.select(watchdog):
            if key.fileobj is listener:
                try:
                    clients.register(listener.accept()[0], selectors.EVENT_READ)
                except BlockingIOError:
                    pass
                continue
            clients.unregister(key.fileobj)
            with key.fileobj:
                if key.fileobj.recv(4096):
                    body = b"Hello\n"
                    head = (f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nX-Server-Pid: {os.getpid()}\r\n"
                            f"X-Worker: {os.environ['REUSEPORTD_WORKER']}\r\nConnection: close\r\n\r\n")
                    key.fileobj.sendall(head.encode() + body)
        if watchdog:
            speaker.say("WATCHDOG=1")


def script(house, text, name="worker.py"):
    """The path of a worker's program."""
    path = house.directory / name
    with open(__file__, encoding="utf-8") as file:
        path.write_text(file.read() + "\n\n" + text)
    return path


def service(path, name="site", endpoint="web", settings="", workers=1):
    return (f'{name}: {{ endpoints = ["{endpoint}"]; exec_start = ["/usr/bin/python3", "{path}"]; type = "notify"; '
            f'kill_signal = "SIGKILL"; workers = {workers}; {settings} }};')
