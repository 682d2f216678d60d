"""Answers each datagram with the number of the worker and what it was sent."""

import os
import selectors
import signal
import socket
import sys

SD_LISTEN_FDS_START = 3

worker = os.environ.get("REUSEPORTD_WORKER", "?").encode()
waiting = selectors.DefaultSelector()
for fd in range(SD_LISTEN_FDS_START, SD_LISTEN_FDS_START + int(os.environ["LISTEN_FDS"])):
    s = socket.socket(fileno=fd)
    s.setblocking(False)
    waiting.register(s, selectors.EVENT_READ)

# Python has no sd_notify(3) of its own, and needs none.
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))

signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))

while True:
    for key, events in waiting.select():
        try:
            data, sender = key.fileobj.recvfrom(65536)
            key.fileobj.sendto(b"worker " + worker + b": " + data, sender)
        except BlockingIOError:
            pass
