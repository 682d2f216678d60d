"""What a worker finds: descriptors, variables, its user, its place, its output."""

import grp
import os
import pwd
import re
import signal
import stat

from house import NEEDS_ROOT, descriptors_of, get, toy, wait_answers

MANY = '''
    endpoints: {
        web: { listen_stream = ["127.0.0.1:8080", "[::1]:8081"]; };
        dns-in: { listen_datagram = "127.0.0.1:5300"; };
    };
    services: {
        site: {
            endpoints = ["dns-in", "web"];
            exec_start = ["@TOY@"];
            type = "notify";
            workers = 2;
            environment = ["GREETING=hello world", "EMPTY="];
        };
    };
'''


def of_each_worker(path, n, port=8080):
    """{worker number: answer}, of all n workers."""
    answers = wait_answers(lambda: get(port, path),
                           lambda found: len({a.worker for a in found}) == n,
                           f"{n} workers answer")
    return {a.worker: a for a in answers}


def test_descriptors_are_the_sockets_in_order_and_nothing_else(house):
    house.run(MANY)
    inodes = set()
    for answer in of_each_worker("/fds", 2).values():
        fds = answer.json()
        assert sorted(map(int, fds)) == [0, 1, 2, 3, 4, 5]
        assert fds["0"]["target"] == "/dev/null"
        assert [fds[n]["type"] for n in "345"] == ["datagram", "stream", "stream"]
        assert [fds[n]["address"] for n in "345"] == ["127.0.0.1:5300", "127.0.0.1:8080", "[::1]:8081"]
        assert fds["4"]["listening"] and fds["5"]["listening"]
        assert not any(fds[n]["cloexec"] for n in "012345")
        inodes |= {fds[n]["target"] for n in "345"}
    assert len(inodes) == 6, "each worker has sockets of its own"


def test_proc_shows_four_descriptors_of_a_worker_that_opens_none(house):
    daemon = house.run('''
        endpoints: { web: { listen_stream = ":8080"; }; };
        services: { idle: { endpoints = ["web"]; exec_start = ["/bin/sleep", "infinity"];
                            kill_signal = "SIGKILL"; }; };
    ''')
    # Until it runs it has what the daemon had, and for a moment the libraries that are loaded.
    found = wait_answers(lambda: [descriptors_of(pid) for pid in daemon.workers()],
                         lambda found: found[-1] and sorted(found[-1][0]) == [0, 1, 2, 3],
                         "a worker has descriptors 0 to 3")
    assert found[-1][0][3].startswith("socket:")


def test_shared_endpoints_give_all_workers_the_same_socket(house):
    daemon = house.run(toy(listen='listen_stream = ":8080"; shared = true;', workers=3))
    daemon.log.wait("toy: .* ready", times=3)
    inodes = {descriptors_of(pid)[3] for pid in daemon.workers()}
    assert len(inodes) == 1


def test_environment_is_the_promised_one_and_nothing_of_ours(house):
    house.run(MANY, environment={"SECRET": "of the daemon"})
    for worker, answer in of_each_worker("/env", 2).items():
        env = answer.json()
        assert env["LISTEN_FDS"] == "3"
        assert env["LISTEN_PID"] == str(answer.pid)
        assert env["LISTEN_FDNAMES"] == "dns-in:web:web"
        assert env["REUSEPORTD_SERVICE"] == "site"
        assert env["REUSEPORTD_GENERATION"] == "1"
        assert env["REUSEPORTD_COLOR"] == "blue"
        assert env["REUSEPORTD_WORKER"] == worker
        assert env["REUSEPORTD_ADDRESS_WEB"] == "127.0.0.1:8080 [::1]:8081"
        assert env["REUSEPORTD_ADDRESS_DNS_IN"] == "127.0.0.1:5300"
        assert env["GREETING"] == "hello world" and env["EMPTY"] == ""
        promised = {"PATH", "LANG", "TZ", "NOTIFY_SOCKET", "USER", "LOGNAME", "HOME", "GREETING", "EMPTY"}
        others = {n for n in env if n not in promised and not n.startswith(("LISTEN_", "REUSEPORTD_"))}
        assert not others


def test_each_worker_has_a_notify_socket_of_its_own(house):
    house.run(toy(workers=2))
    found = {a.json()["NOTIFY_SOCKET"] for a in of_each_worker("/env", 2).values()}
    assert len(found) == 2
    for path in found:
        status = os.stat(path)
        assert stat.S_ISSOCK(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o600


def test_process_is_a_child_without_traces_of_the_daemon(house):
    daemon = house.run(toy())
    process = get(8080, "/process").json()
    assert process["parent"] == daemon.pid
    assert process["death_signal"] == signal.SIGTERM
    assert process["blocked"] == []
    assert int(process["ignored"], 16) == 0


@NEEDS_ROOT
def test_user_group_and_directory_are_the_wanted(house):
    house.run(toy(service='user = "www-data"; working_directory = "/var";'))
    user = pwd.getpwnam("www-data")
    process, env = get(8080, "/process").json(), get(8080, "/env").json()
    assert (process["uid"], process["gid"]) == (user.pw_uid, user.pw_gid)
    assert 0 not in process["groups"]
    assert process["directory"] == "/var"
    assert process["death_signal"] == signal.SIGTERM, "a change of user takes it away: set it afterwards"
    assert (env["USER"], env["HOME"]) == ("www-data", user.pw_dir)
    assert os.stat(env["NOTIFY_SOCKET"]).st_uid == user.pw_uid


@NEEDS_ROOT
def test_group_may_differ_from_the_users(house):
    house.run(toy(service='user = "nobody"; group = "daemon";'))
    process = get(8080, "/process").json()
    assert process["uid"] == pwd.getpwnam("nobody").pw_uid
    assert process["gid"] == grp.getgrnam("daemon").gr_gid


def test_output_goes_to_a_file_that_is_emptied(house):
    path = house.directory / "out"
    path.write_text("old\n")
    daemon = house.run(toy(service=f'standard_error = "file:{path}"; standard_output = "null";'))
    answer = get(8080)
    assert f"toy: {answer.pid} ready" in path.read_text()
    assert "old" not in path.read_text()
    assert not daemon.log.has("toy: .* ready")


def test_output_is_appended_to_a_file(house):
    path = house.directory / "out"
    path.write_text("old\n")
    house.run(toy(service=f'standard_error = "append:{path}";'))
    answer = get(8080)
    assert path.read_text().startswith("old\n")
    assert f"toy: {answer.pid} ready" in path.read_text()


def test_output_is_inherited_without_a_journal(house):
    daemon = house.run(toy())
    daemon.log.wait("toy: .* ready")


def test_a_program_that_does_not_exist_is_told_with_its_errno(house):
    daemon = house.run('''
        endpoints: { web: { listen_stream = ":8080"; }; };
        services: { site: { endpoints = ["web"]; exec_start = ["/nowhere/server"]; }; };
    ''')
    daemon.log.wait("/nowhere/server.*No such file or directory")
    assert daemon.stop() == 0




def test_many_workers_are_started_in_turns_of_the_loop(house):
    """Whoever asks meanwhile is answered: our manager, people, visitors."""
    n = 60
    daemon = house.run(toy(workers=n))
    assert get(8080).status == 200
    daemon.log.wait("worker .* started", times=n)
    lines = daemon.log.lines
    started = [i for i, line in enumerate(lines) if re.search("worker .* started", line)]
    told = next(i for i, line in enumerate(lines) if "Ready: 1 endpoints" in line)
    ready = next(i for i, line in enumerate(lines) if re.search("worker .* is ready", line))
    assert len(started) == n and told < started[n // 2] and ready < started[-1], lines
    daemon.log.wait("worker .* is ready", times=n)
    assert daemon.ask("list")["services"][0]["workers_ready"] == n
    assert daemon.ctl("scale", f"site={2 * n}").returncode == 0
    daemon.log.wait("worker .* is ready", times=2 * n)
    assert daemon.ctl("scale", "site=1").returncode == 0
    wait_answers(daemon.workers, lambda found: len(found[-1]) == 1, "one is left")
    assert get(8080).status == 200
    assert daemon.stop() == 0
