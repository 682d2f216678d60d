"""Completion of the command line, in each shell that is installed, beside a daemon that knows the names."""

import json
import os
import pty
import re
import select
import shutil
import subprocess

import pytest
from house import Deadline, toy

CONFIG = '''
    endpoints: { web: { listen_stream = ":8080"; }; api: { listen_stream = ":8081"; }; };
    services: { site: { endpoints = ["web"]; exec_start = ["@TOY@"]; type = "notify"; };
                shop: { endpoints = ["api"]; exec_start = ["@TOY@"]; type = "notify"; }; };
'''
GLOBALS = {"--json", "--no-pager", "--no-legend", "--quiet", "-q", "--timeout", "--control", "--help", "-h",
           "--version", "-V"}


def needs(shell):
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


class Shell:
    """A shell that has read our completion, in an environment that finds this build's reuseportctl."""

    def __init__(self, house, daemon, name):
        self.control = daemon.control
        self.script = house.directory / f"completion.{name}"
        result = daemon.ctl("help", "--completion", name)
        assert result.returncode == 0 and result.stdout
        self.script.write_text(result.stdout)
        programs = os.path.dirname(daemon.reuseportctl)
        self.environment = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(house.directory),
                            "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        self.directory = house.directory

    def run(self, *command):
        result = subprocess.run(command, env=self.environment, cwd=self.directory, capture_output=True, text=True,
                                timeout=20, check=False)
        assert result.returncode == 0 and not result.stderr, result
        return result.stdout


class Bash(Shell):
    def __init__(self, house, daemon):
        super().__init__(house, daemon, "bash")

    def complete(self, line):
        """The candidates for the end of a line, split as bash does it."""
        words = re.findall(r"=|[^\s=]+", line)
        if line.endswith((" ", "=")):
            words.append("" if line.endswith(" ") else "=")
            if line.endswith("="):
                del words[-1]
        listed = " ".join(f"'{word}'" for word in words)
        return set(self.run("bash", "--norc", "-c", f"source {self.script}; COMP_WORDS=({listed}); "
                            f"COMP_CWORD={len(words) - 1}; _reuseportctl; "
                            'printf "%s\\n" "${COMPREPLY[@]}"').split())


class Fish(Shell):
    def __init__(self, house, daemon):
        super().__init__(house, daemon, "fish")

    def complete(self, line):
        found = self.run("fish", "--no-config", "-c", f"source {self.script}; complete -C '{line}'")
        return {row.split("\t")[0] for row in found.splitlines()}


class Zsh(Shell):
    """The one that must be typed to."""

    def __init__(self, house, daemon):
        super().__init__(house, daemon, "zsh")
        functions = house.directory / "functions"
        functions.mkdir()
        shutil.copy(self.script, functions / "_reuseportctl")
        (house.directory / ".zshrc").write_text(
            f"PS1='> '; fpath=({functions} $fpath); autoload -U compinit; compinit -u -D\n"
            "unsetopt beep; setopt no_auto_menu; zstyle ':completion:*' list-prompt ''\n"
            # What is on the line when a TAB has been answered.
            "show() { zle -I; print -r -- \"<$BUFFER>\"; BUFFER= }; zle -N show; bindkey '^T' show\n"
            "print READY\n")

    def complete(self, line):
        """The line after a TAB."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe("zsh", ["zsh", "-i", "-d"], {**self.environment, "ZDOTDIR": str(self.directory)})
        try:
            self.wait(terminal, r"READY")
            os.write(terminal, f"{line}\t\x14".encode())
            return self.wait(terminal, r"<(.*)>\r?\n").group(1).rstrip()
        finally:
            os.close(terminal)
            os.waitpid(pid, 0)

    @staticmethod
    def wait(terminal, pattern):
        seen, deadline = "", Deadline()
        while not re.search(pattern, seen):
            assert select.select([terminal], [], [], deadline.left())[0], seen
            seen += os.read(terminal, 4096).decode("utf-8", "replace")
        return re.search(pattern, seen)


SHELLS = [pytest.param(Bash, marks=needs("bash"), id="bash"), pytest.param(Fish, marks=needs("fish"), id="fish")]


def verbs_of(daemon):
    return {verb["name"]: verb for verb in json.loads(daemon.ctl("--json", "help").stdout)["verbs"]}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_verb_and_each_of_its_options(house, shell):
    daemon = house.run(CONFIG)
    verbs, shell = verbs_of(daemon), shell(house, daemon)
    assert shell.complete("reuseportctl ") >= set(verbs)
    assert shell.complete("reuseportctl rel") == {"reload"}
    for name, verb in verbs.items():
        offered = shell.complete(f"reuseportctl {name} -")
        wanted = {"--" + option["name"] for option in verb["options"]}
        longs = {word.split("=")[0] for word in offered if word.startswith("--")}
        assert wanted <= longs and longs - wanted <= GLOBALS, (name, offered)


@pytest.mark.parametrize("shell", SHELLS)
def test_names_are_those_that_the_daemon_knows(house, shell):
    daemon = house.run(CONFIG)
    shell = shell(house, daemon)
    line = f"reuseportctl --control {daemon.control}"
    assert shell.complete(f"{line} deploy ") == {"site", "shop"}
    assert shell.complete(f"{line} stop si") == {"site"}
    assert shell.complete(f"{line} show ") == {"site", "shop", "web", "api"}
    assert "reload" in shell.complete(f"{line} help re")
    assert not shell.complete(f"{line} reload ")


@pytest.mark.parametrize("shell", SHELLS)
def test_values_of_options(house, shell):
    daemon = house.run(toy())
    shell = shell(house, daemon)
    assert shell.complete("reuseportctl wait site --for ") == {"running", "stopped"}
    assert {word.split("=")[-1] for word in shell.complete("reuseportctl deploy site --wait=")} == {
        "ready", "switched", "drained"}
    assert "SIGUSR1" in shell.complete("reuseportctl kill site --signal SIGU")
    (house.directory / "other.conf").touch()
    assert "other.conf" in shell.complete("reuseportctl check other")


@needs("bash")
def test_bash_knows_that_it_has_one(house):
    shell = Bash(house, house.run(toy()))
    assert "-F _reuseportctl reuseportctl" in shell.run(
        "bash", "--norc", "-c", f"source {shell.script}; complete -p reuseportctl")
    (house.directory / "script.py").touch()
    assert "script.py" in shell.complete("reuseportctl deploy site -- python script")


@needs("zsh")
def test_zsh(house):
    daemon = house.run(CONFIG)
    shell = Zsh(house, daemon)
    line = f"reuseportctl --control {daemon.control}"
    assert shell.complete("reuseportctl rel") == "reuseportctl reload"
    assert shell.complete(f"{line} deploy si") == f"{line} deploy site"
    assert shell.complete(f"{line} show ap") == f"{line} show api"
    assert shell.complete("reuseportctl deploy --canary-") == "reuseportctl deploy --canary-by="
    assert shell.complete("reuseportctl wait site --for r") == "reuseportctl wait site --for running"


def test_another_shell_is_refused(house):
    result = house.run(toy()).ctl("help", "--completion", "csh")
    assert result.returncode == 2 and "fish" in result.stderr
