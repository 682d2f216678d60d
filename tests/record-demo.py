#!/usr/bin/python3
"""Records docs/demo.svg: a canary that is promoted, and one that crashes and is rolled back.

    /usr/bin/python3 tests/record-demo.py BUILD docs/demo.svg

Starts the quick start's demo service in a network of its own, types the commands of SCRIPT into a
terminal, and draws what came as an SVG that moves.  What it shows is what happened.
"""

import ctypes
import fcntl
import html
import os
import pty
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

COLUMNS, LINES = 96, 22
FRAME_SECONDS = 0.2
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000

# what is typed, and how long it is looked at afterwards
SCRIPT = [
    ("reuseportctl list", 1.5),
    ("reuseportctl deploy demo --canary 10,50 --step 2s -E VERSION=2", 6),
    ("for i in 1 2 3; do curl -s http://127.0.0.1:8080/; done", 2),
    ("reuseportctl deploy demo --canary 10,50 --step 4s -E VERSION=3 --no-wait", 3),
    ("reuseportctl list", 2),
    ("pkill -KILL --newest demo-server    # version 3 crashes", 1.5),
    ("for i in 1 2 3; do curl -s http://127.0.0.1:8080/; done", 2),
    ("reuseportctl --no-pager status demo", 4),
]

CONFIG = """
endpoints: {{ web: {{ listen_stream = ":8080"; }}; }};
services: {{
    demo: {{ endpoints = ["web"]; exec_start = ["{demo}"]; type = "notify"; workers = 2;
             environment = ["VERSION=1"]; }};
}};
"""


class Screen:
    """As much of a terminal as the commands use: lines, \\r, clear to the end of line, colours."""

    def __init__(self):
        self.lines = [[]]
        self.column = 0
        self.color = ""

    def feed(self, text):
        text = re.sub(r"\x1b[=>]", "", text)
        for token in re.findall(r"\x1b\[\??([0-9;]*)([A-Za-z])|([\s\S])", text):
            values, command, character = token
            if command == "K":
                del self.lines[-1][self.column:]
            elif command == "m":
                self.color = {"32": "#3fb950", "31": "#f85149", "33": "#d29922"}.get(values, "")
            elif character == "\r":
                self.column = 0
            elif character == "\n":
                self.lines.append([])
                self.column = 0
            elif character >= " ":
                line = self.lines[-1]
                line += [(" ", "")] * (self.column - len(line))
                line[self.column:self.column + 1] = [(character, self.color)]
                self.column += 1

    def picture(self):
        rows = []
        for line in self.lines:
            rows += [line[i:i + COLUMNS] for i in range(0, max(len(line), 1), COLUMNS)]
        return tuple(tuple(row) for row in rows[-LINES:])


def draw_row(row, y):
    spans, text, color = [], "", ""
    for character, its in (*row, (None, None)):
        if its != color and text:
            spans.append(f'<tspan fill="{color or "#c9d1d9"}">{html.escape(text)}</tspan>')
            text = ""
        color = its
        text += character or ""
    return f'<text x="14" y="{y}" xml:space="preserve">{"".join(spans)}</text>'


def draw(frames, path):
    """@frames  of (second, picture)"""
    end = frames[-1][0] + 3
    style, groups = [], []
    for i, (begin, picture) in enumerate(frames):
        until = frames[i + 1][0] if i + 1 < len(frames) else end
        a, b = 100 * begin / end, 100 * until / end
        style.append(f"@keyframes f{i} {{ 0%,{a:.3f}% {{ visibility: hidden }} {a:.3f}%,{b:.3f}% "
                     f"{{ visibility: visible }} {b:.3f}%,100% {{ visibility: hidden }} }}")
        rows = "".join(draw_row(row, 30 + 18 * n) for n, row in enumerate(picture) if row)
        groups.append(f'<g style="animation: f{i} {end:.1f}s step-end infinite">{rows}</g>')
    width, height = COLUMNS * 8.43 + 28, LINES * 18 + 34
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14">\n'
        f'<style>{"".join(style)} g {{ visibility: hidden }}</style>\n'
        f'<rect width="100%" height="100%" rx="8" fill="#0d1117"/>\n' + "\n".join(groups) + "\n</svg>\n",
        encoding="utf-8")


def own_network():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWUSER | CLONE_NEWNET) < 0:
        raise OSError(ctypes.get_errno(), "a network of its own cannot be had")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def set_terminal(terminal):
    """No echo, since what is typed is drawn by us; the size that is drawn."""
    modes = termios.tcgetattr(terminal)
    modes[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, modes)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))


def record(build, directory):
    environment = {"PATH": f"{build}/src/ctl:/usr/bin:/bin:/usr/sbin:/sbin", "TERM": "xterm",
                   "RUNTIME_DIRECTORY": str(directory), "PS1": "", "PS2": "", "HISTFILE": ""}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "--noediting"], environment)
    set_terminal(terminal)
    screen, frames, begun = Screen(), [], time.monotonic()

    def look(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([terminal], [], [], 0.05)[0]:
                screen.feed(os.read(terminal, 65536).decode("utf-8", "replace"))
            now = time.monotonic() - begun
            if not frames or (screen.picture() != frames[-1][1] and now - frames[-1][0] >= FRAME_SECONDS):
                frames.append((now, screen.picture()))

    look(0.5)
    for command, seconds in SCRIPT:
        if screen.column > 0:
            screen.feed("\n")
        for character in "$ " + command:
            screen.feed(character)
            if character == " ":
                look(0.12)
        screen.feed("\n")
        os.write(terminal, command.encode() + b"\n")
        look(seconds)
    os.close(terminal)
    os.waitpid(pid, 0)
    return frames


def main():
    build, target = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    own_network()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        config = directory / "demo.conf"
        config.write_text(CONFIG.format(demo=build / "config/demo/demo-server"))
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ready.bind(f"{name}/ready")
        ready.settimeout(10)
        daemon = subprocess.Popen([build / "src/daemon/reuseportd", "-c", config],
                                  env={"PATH": "/usr/bin:/bin", "RUNTIME_DIRECTORY": name,
                                       "NOTIFY_SOCKET": f"{name}/ready"},
                                  stderr=subprocess.DEVNULL)
        try:
            ready.recv(4096)
            subprocess.run([build / "src/ctl/reuseportctl", "--control", directory / "control", "wait",
                            "demo", "--for=running", "--timeout", "10s"], check=True)
            draw(record(build, directory), target)
        finally:
            daemon.terminate()
            daemon.wait()


if __name__ == "__main__":
    main()
