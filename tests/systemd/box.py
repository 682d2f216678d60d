"""What a test finds in its box: systemd is PID 1, nothing of ours runs, and ours is installed as `meson install` does
it; a test that is marked `packaged` installs the packages itself.

The configuration is the file that the unit reads; the examples are in /srv.  The box is thrown away after the
test, so whatever a test writes, and wherever, is nobody else's.
"""

import json
import select
import subprocess
from pathlib import Path

from house import DEADLINE, Deadline, Lines, Load

UNITS = Path("/etc/systemd/system")


class Box:
    def __init__(self, programs):
        self.programs = programs                # shaped as a build directory is
        self.toy = programs / "tests/integration/toy-worker"
        is_packaged = not Path("/usr/local/sbin/reuseportd").exists()
        self.config = Path("/etc" if is_packaged else "/usr/local/etc", "reuseportd/endpoints.conf")
        self._things = []

    def run(self, *command, check=True, **options):
        """A command, ended."""
        options = {"capture_output": True, "text": True, "timeout": DEADLINE * 3} | options
        result = subprocess.run([*map(str, command)], check=False, **options)
        assert not check or result.returncode == 0, (command, result)
        return result

    def systemctl(self, *arguments, **options):
        return self.run("systemctl", "--no-pager", *arguments, **options)

    def ctl(self, *arguments, **options):
        """reuseportctl of the system's daemon."""
        return self.run("reuseportctl", *arguments, **options)

    def ask(self, *arguments):
        return json.loads(self.ctl("--json", *arguments).stdout)

    def show(self, unit, name):
        """One property of a unit."""
        return self.systemctl("show", "--value", f"--property={name}", unit).stdout.strip()

    def main_pid(self, unit="reuseportd.service"):
        return int(self.show(unit, "MainPID"))

    def configure(self, text, path=None):
        """A configuration; @TOY@ becomes the path of the toy worker."""
        path = path or self.config
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("@TOY@", str(self.toy)))

    def write_unit(self, name, text):
        """A unit or a drop-in, known to systemd when this returns."""
        path = UNITS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("@TOY@", str(self.toy)))
        self.systemctl("daemon-reload")

    def start(self, text=None, unit="reuseportd.service"):
        if text is not None:
            self.configure(text)
        self.systemctl("start", unit)

    def journal(self, *matches):
        """Entries of this boot, oldest first, as dictionaries of their fields."""
        self.run("journalctl", "--sync")
        result = self.run("journalctl", "--boot", "--output=json", "--all", *matches)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def follow_journal(self, *matches):
        """The messages as they come, those of this boot first; wait() for one."""
        popen = subprocess.Popen(["journalctl", "--boot", "--follow", "--lines=all", "--output=cat",
                                  *matches], stdout=subprocess.PIPE)
        self._things.append(popen)
        return Lines(popen.stdout)

    def load(self, *arguments):
        load = Load(self.programs, *arguments)
        self._things.append(load)
        return load

    def wait_until(self, is_so, what, seconds=DEADLINE):
        """Until is_so() is true, for what systemd tells nobody by an event; returns what it said."""
        deadline = Deadline(seconds)
        while True:
            found = is_so()
            if found:
                return found
            assert not deadline.is_over(), f"not so after {seconds} s: {what}"
            select.select([], [], [], 0.02)

    def destroy(self):
        for thing in self._things:
            if isinstance(thing, Load):
                thing.destroy()
            else:
                thing.terminate()
                thing.wait()
