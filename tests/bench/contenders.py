"""Ways to put a new version of a server in the place of the old one, each as its own documentation has it.

Each has a name, reason() why it cannot be tried here, start() until it answers, servers() with the pids that a
replacement replaces, and replace(), which begins one.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import house
from bench import PORT, Floor, deploy, toys
from test_deploy_servers import HAPROXY, NGINX, haproxy, nginx

ADDRESS = f"127.0.0.1:{PORT}"
BUSY = 200  # µs of work for each request
SWITCHES = [f"--busy={BUSY}", "--hasty"]
WORKERS = 2
AS_SYSTEMD = 'exec env LISTEN_FDS=1 LISTEN_PID=$$ "$0" "$@"'


def missing(*programs):
    gone = [program for program in programs if not shutil.which(program)]
    return f"{', '.join(gone)}: not installed" if gone else None


def wait_until(is_so, what, seconds=20):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"{what}: not after {seconds} s"
        time.sleep(0.002)  # a stranger, which tells nobody


def answers():
    with contextlib.suppress(OSError):
        return house.get(PORT).status == 200
    return False


def ended(popen):
    with contextlib.suppress(ProcessLookupError):
        popen.send_signal(signal.SIGTERM)
    try:
        popen.wait(10)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()


class Contender:
    def __init__(self, bench, found):
        self.bench, self.found = bench, found
        self.directory = found.directory
        self.toy = str(bench.toy)
        self.popen = None

    @staticmethod
    def reason():
        return None

    def launch(self, *words, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL,
                   "cwd": self.directory, "start_new_session": True} | options
        return subprocess.Popen([str(word) for word in words], **options)

    def servers(self):
        return house.children_of(self.popen.pid)

    def stop(self):
        ended(self.popen)


# ---- one server, the toy, in many hands ----

class Ours(Contender):
    name = "reuseportd"
    is_ours = True

    def config(self):
        return toys(WORKERS, *SWITCHES)

    def start(self):
        self.daemon = self.bench.daemon(self.found, self.config())

    def servers(self):
        return self.daemon.workers()

    def replace(self):
        deploy(self.daemon)

    def stop(self):
        self.daemon.stop()


class OursShared(Ours):
    name = "reuseportd, shared = true"

    def config(self):
        return toys(WORKERS, *SWITCHES, endpoint="shared = true;")


class Minimal(Contender):
    name = "minimal supervisor (one socket, no checks)"

    def start(self):
        self.floor = Floor(self.bench.build, self.bench.toy, PORT, WORKERS, SWITCHES, subprocess.DEVNULL)

    def servers(self):
        return house.children_of(self.floor.pid)

    def replace(self):
        self.floor.deploy()

    def stop(self):
        self.floor.destroy()


class StartServer(Contender):
    name = "start_server (Server::Starter), HUP"

    @staticmethod
    def reason():
        return missing("start_server")

    def start(self):
        self.popen = self.launch("start_server", f"--port={ADDRESS}=3", "--", "/bin/sh", "-c", AS_SYSTEMD,
                                 self.toy, *SWITCHES)

    def replace(self):
        self.popen.send_signal(signal.SIGHUP)


class S6(Contender):
    name = "s6-supervise and s6-fdholder, s6-svc -r"

    @staticmethod
    def reason():
        return missing("s6-supervise", "s6-fdholder-daemon", "s6-svc")

    def start(self):
        holder, rules, service = (self.directory / name for name in ("holder", "rules", "service"))
        for path, text in ((rules / "uid/0/allow", ""), (rules / "uid/0/env/S6_FDHOLDER_STORE_REGEX", ".*\n"),
                           (rules / "uid/0/env/S6_FDHOLDER_RETRIEVE_REGEX", ".*\n"),
                           (service / "run", f"#!/bin/sh\nexec s6-fdholder-retrieve {holder} web "
                                             f"/bin/sh -c '{AS_SYSTEMD} 3<&0' {self.toy} {' '.join(SWITCHES)}\n")):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (service / "run").chmod(0o755)
        self.holder = self.launch("s6-fdholder-daemon", "-1", "-i", rules, holder)
        wait_until(holder.exists, "s6-fdholder-daemon listens")
        with socket.create_server(("127.0.0.1", PORT), backlog=4096) as listener:
            subprocess.run(["s6-fdholder-store", holder, "web"], stdin=listener, check=True)
        self.service = service
        self.popen = self.launch("s6-supervise", service)

    def replace(self):
        subprocess.run(["s6-svc", "-r", self.service], check=True)

    def stop(self):
        subprocess.run(["s6-svc", "-xd", self.service], check=True)
        self.popen.wait(10)
        ended(self.holder)


class SystemdUnit(Contender):
    """In a box where systemd is PID 1, and which has its own network."""

    name = "systemd, a socket unit and systemctl restart"
    is_boxed = True
    units = Path("/etc/systemd/system")

    @staticmethod
    def reason():
        return missing("systemd-nspawn")

    def start(self):
        (self.units / "web.socket").write_text(f"[Socket]\nListenStream={ADDRESS}\nBacklog=4096\n")
        (self.units / "web.service").write_text(
            f"[Service]\nType=notify\nExecStart={self.toy} {' '.join(SWITCHES)}\nStandardError=null\n"
            "[Unit]\nStartLimitIntervalSec=0\n")
        subprocess.run(["systemctl", "daemon-reload"], check=True)
        subprocess.run(["systemctl", "start", "web.socket", "web.service"], check=True)

    def servers(self):
        return [int(subprocess.run(["systemctl", "show", "--value", "--property=MainPID", "web.service"], check=True,
                                   capture_output=True, text=True).stdout)]

    def replace(self):
        subprocess.run(["systemctl", "restart", "web.service"], check=True)

    def stop(self):
        subprocess.run(["systemctl", "stop", "web.socket", "web.service"], check=True)


class SocketActivate(Contender):
    name = "systemd-socket-activate, stopped and started"

    @staticmethod
    def reason():
        return missing("systemd-socket-activate")

    def start(self):
        self.popen = self.launch("systemd-socket-activate", "-l", ADDRESS, self.toy, *SWITCHES)

    def servers(self):
        return [self.popen.pid]

    def replace(self):
        self.stop()
        self.start()


class Overlap(Contender):
    name = "old and new overlap, SO_REUSEPORT each"

    def start(self):
        self.popens = [self.begin() for _ in range(WORKERS)]

    def begin(self):
        popen = self.launch(self.toy, f"--bind={ADDRESS}", *SWITCHES, stderr=subprocess.PIPE)
        house.Lines(popen.stderr).wait("ready")
        return popen

    def servers(self):
        return [popen.pid for popen in self.popens]

    def replace(self):
        new = [self.begin() for _ in self.popens]
        old, self.popens = self.popens, new
        for popen in old:
            ended(popen)

    def stop(self):
        for popen in self.popens:
            ended(popen)


# ---- servers that replace themselves, and the same ones in our hands ----

class NginxReload(Contender):
    name = "nginx, reload"
    listen = ADDRESS

    @staticmethod
    def reason():
        return missing("/usr/sbin/nginx")

    def start(self):
        self.config = self.directory / "nginx.conf"
        self.pid_file = self.directory / "nginx-blue.pid"
        self.write(WORKERS)
        self.popen = self.launch("/usr/sbin/nginx", "-c", self.config)

    def write(self, workers):
        text = NGINX.format(directory=self.directory) % "blue"
        self.config.write_text(text.replace(f"listen {ADDRESS}", f"listen {self.listen}")
                               .replace("worker_processes 2", f"worker_processes {workers}"))

    def replace(self):
        self.popen.send_signal(signal.SIGHUP)


class NginxReuseport(NginxReload):
    name = "nginx with listen … reuseport, reload to 2 or 4 workers"
    listen = ADDRESS + " reuseport"
    n_reloads = 0

    def replace(self):
        self.n_reloads += 1
        self.write(4 if self.n_reloads % 2 else WORKERS)
        super().replace()


class NginxUpgrade(NginxReload):
    """In the background: in the foreground nginx takes its parent for an old version that still runs."""

    name = "nginx, new binary (USR2, QUIT)"

    def start(self):
        super().start()
        self.popen.wait()

    def write(self, workers):
        super().write(workers)
        self.config.write_text(self.config.read_text().replace("daemon off", "daemon on"))

    def master(self):
        with contextlib.suppress(OSError, ValueError):
            return int(self.pid_file.read_text())
        return 0

    def servers(self):
        master = self.master()
        return [master, *(pid for pid in house.children_of(master) if pid != self.master())]

    def replace(self):
        old = self.master()
        os.kill(old, signal.SIGUSR2)
        wait_until(lambda: self.master() not in (0, old) and len(house.children_of(self.master())) >= WORKERS,
                   "the new master has its workers")
        os.kill(old, signal.SIGQUIT)

    def stop(self):
        os.kill(self.master(), signal.SIGTERM)
        wait_until(lambda: not self.pid_file.exists(), "nginx ends")


class HaproxyReload(Contender):
    name = "haproxy -Ws, reload"

    @staticmethod
    def reason():
        return missing("/usr/sbin/haproxy")

    def start(self):
        config = self.directory / "haproxy.cfg"
        config.write_text(HAPROXY.replace('"fd@${FD}"', ADDRESS))
        self.popen = self.launch("/usr/sbin/haproxy", "-Ws", "-f", config)

    def replace(self):
        self.popen.send_signal(signal.SIGUSR2)


class OursNginx(Ours):
    name = "nginx in reuseportd"
    reason = NginxReload.reason

    def config(self):
        return nginx(self.directory).replace("preset", 'standard_error = "null"; preset')


class OursHaproxy(Ours):
    name = "haproxy in reuseportd"
    reason = HaproxyReload.reason

    def config(self):
        return haproxy(self.directory).replace("preset", 'standard_error = "null"; preset')


ALL = (Ours, OursShared, Minimal, Overlap, StartServer, S6, SystemdUnit, SocketActivate,
       OursNginx, NginxReload, NginxReuseport, NginxUpgrade, OursHaproxy, HaproxyReload)
