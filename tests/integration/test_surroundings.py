"""In what surroundings a worker runs: rights, limits, places, outputs, and what runs before and after it."""

import contextlib
import grp
import http.client
import json
import os
import pwd
import socket
from pathlib import Path

import pytest
from house import DEADLINE, Process, get, toy, wait_answers

NEEDS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="needs root: rights that only root may give")

TELL = '''
import errno, json, os, resource, signal, socket, struct, sys
status = {line.split(":")[0]: line.partition(":")[2].strip() for line in open("/proc/self/status")}
mask = os.umask(0)
listener = socket.socket(fileno=3)
def attempt(option, value):
    try:
        listener.setsockopt(socket.SOL_SOCKET, option, value)
        return 0
    except OSError as error:
        return error.errno
# a filter of one instruction, "ret 0", which is also a rule
import ctypes
code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
program = struct.pack("HP", 1, ctypes.addressof(code))
print(json.dumps({
    "status": status, "umask": mask, "nice": os.getpriority(os.PRIO_PROCESS, 0),
    "oom": int(open("/proc/self/oom_score_adj").read()), "cpus": sorted(os.sched_getaffinity(0)),
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE), "core": resource.getrlimit(resource.RLIMIT_CORE),
    "directory": os.getcwd(), "attach": attempt(51, program), "ebpf": attempt(52, struct.pack("i", 0)),
    "detach": attempt(68, struct.pack("i", 0)), "lock": attempt(44, struct.pack("i", 1)),
    "other": attempt(socket.SO_KEEPALIVE, struct.pack("i", 1)), "worker": os.environ["REUSEPORTD_WORKER"],
}), flush=True)
signal.pause()
'''


def run_tell(house, service, workers=1, **options):
    script = house.directory / "tell.py"
    script.write_text(TELL)
    return house.run(f'''
        endpoints: {{ web: {{ listen_stream = "127.0.0.1:8080"; }}; }};
        services: {{ site: {{ endpoints = ["web"]; exec_start = ["/usr/bin/python3", "{script}"];
                              kill_signal = "SIGKILL"; workers = {workers}; {service} }}; }};
    ''', **options)


def tell(house, service=""):
    return json.loads(run_tell(house, service).log.wait(r'^\{"status.*\}$').group(0))


def test_by_default_only_new_privileges_are_refused(house):
    told = tell(house)
    assert told["status"]["NoNewPrivs"] == "1" and told["status"]["Seccomp"] == "0"
    assert told["nice"] == os.nice(0) and told["cpus"] == sorted(os.sched_getaffinity(0))
    assert int(told["status"]["CapAmb"], 16) == 0
    assert told["lock"] == 0 and told["other"] == 0


def test_the_lock_keeps_a_worker_from_the_rule_and_from_nothing_else(house):
    told = tell(house, "reuseport_lock = true;")
    assert told["status"]["Seccomp"] == "2"
    assert told["attach"] == told["ebpf"] == told["detach"] == told["lock"] == 1  # EPERM
    assert told["other"] == 0


@NEEDS_ROOT
def test_the_lock_holds_without_no_new_privileges_too(house):
    told = tell(house, 'reuseport_lock = true; no_new_privileges = false; user = "nobody";')
    assert told["status"]["NoNewPrivs"] == "0" and told["status"]["Seccomp"] == "2"
    assert told["detach"] == 1


@NEEDS_ROOT
def test_groups_and_capabilities_are_those_of_the_settings(house):
    told = tell(house, 'user = "nobody"; supplementary_groups = ["audio", "video"]; '
                       'ambient_capabilities = ["CAP_NET_ADMIN", "CAP_SYS_NICE"];')
    groups = {int(word) for word in told["status"]["Groups"].split()}
    assert {grp.getgrnam("audio").gr_gid, grp.getgrnam("video").gr_gid} <= groups and 0 not in groups
    assert told["status"]["Uid"].split() == [str(pwd.getpwnam("nobody").pw_uid)] * 4
    wanted = 1 << 12 | 1 << 23
    assert int(told["status"]["CapAmb"], 16) == int(told["status"]["CapEff"], 16) == wanted
    assert int(told["status"]["CapPrm"], 16) == wanted


@NEEDS_ROOT
def test_surroundings_are_those_of_the_settings(house):
    told = tell(house, 'nice = 5; oom_score_adjust = 100; umask = "0027"; cpu_affinity = "0"; '
                       'limit_nofile = "100:200"; limit_core = 0; working_directory = "/usr"; user = "nobody";')
    assert told["nice"] == 5 and told["oom"] == 100 and told["umask"] == 0o027 and told["cpus"] == [0]
    assert told["nofile"] == [100, 200] and told["core"] == [0, 0] and told["directory"] == "/usr"


def test_each_worker_has_a_cpu_of_its_own(house):
    ours = sorted(os.sched_getaffinity(0))
    daemon = run_tell(house, 'cpu_affinity = "slot";', workers=len(ours) + 1)
    daemon.log.wait(r'^\{"status', times=len(ours) + 1)
    told = [json.loads(line) for line in daemon.log.lines if line.startswith('{"status')]
    assert {t["worker"]: t["cpus"] for t in told} == {
        str(i): [ours[i % len(ours)]] for i in range(len(ours) + 1)}


def test_workers_may_be_as_many_as_there_are_cpus(house):
    n = len(os.sched_getaffinity(0))
    daemon = house.run(toy(service="").replace("workers = 1", 'workers = "cpus"'))
    daemon.log.wait("toy: .* ready", times=n)
    assert len(daemon.workers()) == n


@NEEDS_ROOT
def test_another_root_is_all_that_a_worker_sees(house):
    root = house.directory / "root"
    root.mkdir()
    source = house.directory / "jailed.c"
    source.write_text(r'''
        #include <stdio.h>
        #include <sys/stat.h>
        #include <unistd.h>
        int main(void) {
                char place[256];
                struct stat s;
                printf("jailed: in %s, etc %s, socket %s\n", getcwd(place, sizeof(place)),
                       access("/etc", F_OK) < 0 ? "hidden" : "seen",
                       fstat(3, &s) == 0 && S_ISSOCK(s.st_mode) ? "yes" : "no");
                fflush(stdout);
                return pause();
        }''')
    compiled = os.spawnlp(os.P_WAIT, "cc", "cc", "-static", "-o", str(root / "jailed"), str(source))
    assert compiled == 0
    daemon = house.run(f'''
        endpoints: {{ web: {{ listen_stream = ":8080"; }}; }};
        services: {{ site: {{ endpoints = ["web"]; exec_start = ["/jailed"]; root_directory = "{root}";
                              kill_signal = "SIGKILL"; user = "nobody"; }}; }};
    ''')
    daemon.log.wait("jailed: in /, etc hidden, socket yes")


@pytest.mark.parametrize(("setting", "words"), [
    ('root_directory = "/nowhere"', "cannot enter root_directory of .*No such file or directory"),
    ('working_directory = "/nowhere"', "cannot change the directory of .*No such file or directory"),
])
def test_what_cannot_be_had_is_said_in_a_sentence(house, setting, words):
    daemon = house.run(toy(service=f'{setting}; restart = "no";'))
    daemon.log.wait(words)
    assert daemon.stop() == 0


# ---- the journal ----

class Journal:
    """A journal that keeps what it is told."""

    def __init__(self):
        directory = Path("/run/systemd/journal")
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "stdout"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(DEADLINE)

    def listen(self, backlog=8):
        self.socket.listen(backlog)
        return self

    def take(self, words, connections):
        """Accepts so many, and reads the first of which has words."""
        texts = []
        for _ in range(connections):
            stream, _ = self.socket.accept()
            stream.settimeout(DEADLINE)
            text = b""
            while text.count(b"\n") < 7 or (not texts and words not in text):
                data = stream.recv(4096)
                if not data:
                    break
                text += data
            texts.append(text.decode())
            stream.close()
        return texts

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()
        self.path.unlink()
        self.path.parent.rmdir()


NEEDS_RUN = pytest.mark.skipif(not Path("/run/systemd").is_dir(), reason="there is no /run/systemd")


@NEEDS_RUN
@pytest.mark.parametrize("setting", ["", 'standard_error = "journal";'])
def test_output_goes_to_the_journal_if_there_is_one(house, setting):
    with Journal().listen() as journal:
        house.run(toy(service=f'standard_output = "null"; {setting}'))
        text = journal.take(b"ready", 1)[0]
        assert text.split("\n")[:7] == ["site", "", "6", "1", "0", "0", "0"]
        assert "toy: " in text


@NEEDS_RUN
def test_a_journal_that_does_not_answer_holds_nobody(house):
    """Its queue is full: connect() would wait for ever."""
    with Journal().listen(0) as journal, contextlib.closing(socket.socket(socket.AF_UNIX)) as first:
        first.connect(str(journal.path))
        daemon = house.run(toy(service='standard_error = "journal"; standard_output = "null";'))
        daemon.log.wait("the journal cannot be reached: Resource temporarily unavailable")
        daemon.log.wait("toy: .* ready")
        assert get(8080).status == 200


# ---- before and after ----

def note(house, name, text="$REUSEPORTD_SERVICE $REUSEPORTD_WORKER"):
    """A command that writes a line, as a setting."""
    return f'["/bin/sh", "-c", "echo {name} {text} >> {house.directory}/notes"]'


def notes(house):
    path = house.directory / "notes"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def test_commands_run_before_and_after_each_worker_in_order(house):
    daemon = house.run(toy(service=f'''
        exec_start_pre = ({note(house, "one")}, {note(house, "two")});
        exec_stop_post = {note(house, "after", "$SERVICE_RESULT $EXIT_CODE $EXIT_STATUS")}; '''))
    assert get(8080).status == 200
    assert notes(house) == ["one site 0", "two site 0"]
    assert daemon.stop() == 0
    assert notes(house)[2:] == ["after success exited 0"]


@NEEDS_ROOT
def test_commands_run_as_the_worker_and_without_its_sockets(house):
    (house.directory / "notes").touch()
    (house.directory / "notes").chmod(0o666)
    fds = '$(ls -l /proc/self/fd | grep -c socket:)'
    house.run(toy(service=f'user = "nobody"; working_directory = "/var"; standard_output = "null"; '
                          f'standard_error = "null"; '
                          f'exec_start_pre = {note(house, "as", f"$(id -un) $(pwd) {fds} $LISTEN_FDS.")};'))
    assert get(8080).status == 200
    assert notes(house) == ["as nobody /var 0 ."]


def test_a_worker_whose_command_fails_is_not_started_but_tried_again(house):
    daemon = house.run(toy(service='exec_start_pre = ["/bin/false"]; restart_delay = "1ms";'))
    daemon.log.wait("exec_start_pre: /bin/false exited with status 1")
    daemon.log.wait("worker 0 was not started: exec_start_pre: /bin/false exited with status 1", times=3)
    assert not daemon.log.has("toy: ")
    assert daemon.stop() == 0


def test_a_command_that_may_fail_stops_nobody(house):
    daemon = house.run(toy(service='exec_start_pre = ["-/bin/false"];'))
    assert get(8080).status == 200
    assert daemon.log.has("/bin/false exited with status 1, ignoring")


def test_a_command_that_hangs_has_the_time_of_a_start(house):
    daemon = house.run(toy(service='exec_start_pre = ["/bin/sleep", "600"]; timeout_start = "200ms"; '
                                   'restart_delay = "1ms";'))
    daemon.log.wait("was not started: timeout_start was over", times=2)
    assert len(daemon.workers()) <= 1
    assert daemon.stop() == 0


def test_a_daemon_that_stops_waits_for_no_command_before_a_start(house):
    daemon = house.run(toy(service='exec_start_pre = ["/bin/sleep", "600"];'))
    wait_answers(daemon.workers, lambda found: found[-1], "the command runs")
    assert daemon.stop() == 0
    assert daemon.workers() == []


def test_what_runs_after_a_worker_knows_how_it_ended(house):
    house.run(toy(service=f'restart_delay = "1ms"; '
                          f'exec_stop_post = {note(house, "after", "$SERVICE_RESULT $EXIT_CODE $EXIT_STATUS")};'))
    for path in ("/exit/7", "/signal/9"):
        with pytest.raises((OSError, http.client.HTTPException)):
            get(8080, path)
    get(8080)
    wait_answers(lambda: notes(house), lambda found: len(found[-1]) == 2, "it was run twice")
    assert notes(house) == ["after exit-code exited 7", "after signal killed KILL"]


def test_a_status_may_be_called_a_success(house):
    daemon = house.run(toy(service='restart = "on-failure"; success_exit_status = (7, "SIGUSR2");', workers=2))
    with contextlib.suppress(OSError, http.client.HTTPException):
        get(8080, "/exit/7")

    def ask():
        with contextlib.suppress(OSError, http.client.HTTPException):
            get(8080, "/signal/12")  # until the rule has changed, the dead one may be asked
        return daemon.workers()

    wait_answers(ask, lambda found: found[-1] == [], "nobody is replaced")
    daemon.log.wait("toy: .* starts", times=2)
    assert len(daemon.log.times_of("toy: .* starts")) == 2
    assert not daemon.log.has("ended badly")


# ---- limits of starts, and who is killed ----

def test_a_worker_that_was_started_too_often_makes_its_service_fail(house):
    daemon = house.run(toy(["--ready=never", "--exit-after=0", "--exit-code=1"],
                           service='restart_delay = "1ms"; start_limit_burst = 3; start_limit_interval = "1min";'))
    daemon.log.wait("worker 0 was started 3 times within start_limit_interval = 1min; the service fails")
    daemon.log.wait("Generation 1 is gone: its workers ended badly")
    assert len(daemon.log.times_of("toy: .* starts")) == 3
    with pytest.raises(ConnectionRefusedError):
        get(8080)
    assert daemon.stop() == 0


@pytest.mark.parametrize(("mode", "lives"), [("mixed", False), ("process", True)])
def test_kill_mode_says_who_is_killed(house, mode, lives):
    daemon = house.run(toy(["--grandchild"], service=f'kill_mode = "{mode}";'))
    daemon.log.wait("ready")
    grandchild = int(daemon.log.wait(r"toy: (\d+) is a grandchild").group(1))
    with Process(grandchild) as process:
        assert daemon.stop() == 0
        if lives:
            assert not process.is_gone()
            process.kill()
        process.wait_gone()  # a signal that was sent is not yet an end


# ---- the daemon's own ----

def test_the_log_level_of_the_settings_and_of_the_command_line(house):
    text = toy() + ' daemon: { log_level = "warning"; log_target = "stderr"; };'
    quiet = house.run(text)
    quiet.log.wait("toy: .* ready")
    assert quiet.stop() == 0
    assert not quiet.log.has("reuseportd: |Ready: |Stopping")

    loud = house.run(text, arguments=["--log-level=debug"])
    loud.log.wait("worker 0 .* is ready")
    assert loud.stop() == 0
    loud.log.wait("worker 0 .* is stopping")


def test_a_level_that_is_none_is_refused_with_those_that_are(house):
    for flag, word in (("--log-level", "warning"), ("--log-target", "journal")):
        result = house.command(f"{flag}=loud")
        assert result.returncode == 2 and word in result.stderr and "'loud'" in result.stderr


def test_the_effective_configuration_is_printed_and_is_one(house):
    path = house.write(toy(service='preset = "nginx"; nice = 3;'))
    result = house.command("--print-config", "-c", path)
    assert result.returncode == 0 and "nice = 3" in result.stdout and 'kill_signal = "SIGQUIT"' in result.stdout
    again = house.command("--print-config", "-c", house.write(result.stdout, "again.conf"))
    assert again.returncode == 0
