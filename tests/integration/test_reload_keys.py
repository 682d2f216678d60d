"""Every key of the table, changed once by a real reload: its column is true.

n: it is applied and nothing is pending.  x: the running workers stay, and the key is named as pending until a
restart.  o: the service gets a new generation on other sockets, or the reload says that it cannot.
"""

import re
import signal
import socket
import subprocess

import pytest
from house import count, get, wait_answers

OK, FAILED = 0, 1

STREAM = 'listen_stream = "127.0.0.1:8080";'
DATAGRAM = 'listen_datagram = "127.0.0.1:8080";'
BASE = {"endpoints.NAME": "", "services.NAME": "", "services.NAME.deploy": "",
        "services.NAME.deploy.health_check": "", "daemon": ""}

# What a key is before and after; one word: it is not said before.  A dict says more.
WORDS = {
    "endpoints.NAME": {
        "listen_stream": {"instead": ('"127.0.0.1:8080"', '["127.0.0.1:8080", "127.0.0.1:8083"]')},
        "listen_datagram": {"instead": ('"127.0.0.1:8080"', '["127.0.0.1:8080", "127.0.0.1:8083"]')},
        "shared": ["true"],
        "backlog": ["77"],
        "bind_ipv6_only": {"words": ['"ipv6-only"'], "with": 'listen_stream = ":8080";', "refused": True},
        "exclusive": {"words": ["false"], "moves": False},
        "file_descriptor_name": ['"other"'],
        "steering": ['"cpu"'],
        "flows": {"only": True},
        "allow_users": ['["root", "daemon"]'],
        "bind_to_device": {"words": ['"lo"'], "refused": True},
        "timestamping": ['"ns"'],
        "tcp_congestion": ['"reno"'],
        "broadcast": {"words": ["true"], "with": DATAGRAM},
        "pass_packet_info": {"words": ["true"], "with": DATAGRAM},
    },
    "services.NAME": {
        "endpoints": {"instead": ('["e"]', '["e", "spare"]')},
        "exec_start": {"instead": ('["@TOY@"]', '["@TOY@", "--version=2"]')},
        "preset": ['"gunicorn"'],
        "fd_protocol": ['"server-starter"'],
        "type": {"instead": ('"notify"', '"exec"')},
        "workers": ["3"],
        "activation": ['"on-demand"'],
        "idle_timeout": {"words": ['"1h"'], "beside": 'activation = "on-demand";', "sleeps": True},
        "restart": ['"no"'],
        "restart_delay": ['"1s"'],
        "restart_max_delay": ['"40s"'],
        "start_limit_interval": {"words": ['"1min"', '"2min"'], "beside": "start_limit_burst = 5;"},
        "start_limit_burst": {"words": ["5", "6"], "beside": 'start_limit_interval = "1min";'},
        "timeout_start": ['"80s"'],
        "timeout_stop": ['"80s"'],
        "watchdog": ['"1h"'],
        "kill_signal": ['"SIGINT"'],
        "final_kill_signal": ['"SIGABRT"'],
        "kill_mode": ['"process"'],
        "user": ['"daemon"'],
        "group": ['"daemon"'],
        "supplementary_groups": ['["daemon"]'],
        "ambient_capabilities": ['["CAP_NET_RAW"]'],
        "no_new_privileges": ["false"],
        "reuseport_lock": ["true"],
        "working_directory": ['"/"'],
        "root_directory": ['"/"'],
        "umask": ['"0077"'],
        "nice": ["1"],
        "oom_score_adjust": ["1"],
        "cpu_affinity": ['"slot"'],
        "environment": ['"A=1"'],
        "environment_file": ['"-/nonexistent/file"'],
        "pass_environment": ['"HOME"'],
        "standard_output": ['"null"'],
        "standard_error": ['"null"'],
        "success_exit_status": ['["3"]'],
        "exec_start_pre": ['["/bin/true"]'],
        "exec_stop_post": ['["/bin/true"]'],
        "fd_store_max": ["4"],
        "unit": {"only": True},
    },
    "services.NAME.deploy": {
        "canary": ["[50]"],
        "step": ['"1s"'],
        "canary_by": ['"source"'],
        "min_healthy_time": ['"1s"'],
        "progress_deadline": ['"1min"'],
        "drain_delay": ['"1s"'],
        "drain_timeout": ['"80s"'],
        "hook_pre": ['["/bin/true"]'],
        "hook_post": ['["/bin/true"]'],
        "hook_failed": ['["/bin/true"]'],
    },
    "services.NAME.deploy.health_check": {
        "http": ['"/"', '"/other"'],
        "tcp": {"words": ["true"]},
        "exec": ['["/bin/true"]'],
        "endpoint": {"words": ['"e"'], "beside": "tcp = true;"},
        "interval": {"words": ['"2s"'], "beside": "tcp = true;"},
        "timeout": {"words": ['"2s"'], "beside": "tcp = true;"},
        "healthy": {"words": ["2"], "beside": "tcp = true;"},
        "unhealthy": {"words": ["2"], "beside": "tcp = true;"},
    },
    "daemon": {
        "log_level": ['"debug"'],
        "log_target": ['"stderr"'],
        "control_socket": {"only": True},  # we speak to it by its path; test_control moves it
        "control_group": ['"daemon"'],
        "control_mode": ['"0600"', '"0660"'],
        "dbus": ['"no"'],
        "fd_store": ['"none"'],
        "store_max": ["500"],
        "bpf": ['"no"'],
    },
}


def read_keys(build):
    """{group: {key: column}} from the table, as the manual is made."""
    titles = list(BASE)
    page = subprocess.run([str(build / "src/settings/print-keys")], input="".join(f"@KEYS {t}@\n" for t in titles),
                          capture_output=True, text=True, check=True, timeout=20).stdout
    found, group = {}, -1
    for line in page.replace("applies:\n", "applies: ").splitlines():
        if line.startswith(".Bl"):
            group += 1
            found[titles[group]] = {}
        elif line.startswith(".It Ic "):
            name = line.split()[-1]
        elif (match := re.search(r"applies: ([nxo])\.", line)):
            found[titles[group]][name] = match[1]
    assert group + 1 == len(titles) and all(found.values()), page
    assert page.count(".It Ic ") == sum(map(len, found.values())) + page.count("A group, see"), page
    return found


def text_of(said, endpoint=STREAM, exec_start='["@TOY@"]', kind='"notify"', endpoints='["e"]'):
    check = said["services.NAME.deploy.health_check"]
    return f'''
        daemon: {{ {said["daemon"]} }};
        endpoints: {{ e: {{ {endpoint} {said["endpoints.NAME"]} }}; spare: {{ listen_stream = "127.0.0.1:8084"; }}; }};
        services: {{ s: {{ endpoints = {endpoints}; exec_start = {exec_start}; type = {kind}; workers = 2;
            {said["services.NAME"]}
            deploy: {{ {said["services.NAME.deploy"]} {f"health_check: {{ {check} }};" if check else ""} }};
        }}; }};'''.replace(" workers = 2;" if "workers" in said["services.NAME"] else "\0", "")


def texts(group, key, how):
    """The configuration before and after."""
    how = how if isinstance(how, dict) else {"words": how}
    endpoint = how.get("with", DATAGRAM if key == "listen_datagram" else STREAM)
    if "instead" in how:
        before = text_of(BASE, endpoint)
        after = before.replace(how["instead"][0], how["instead"][1], 1)
        assert before != after
        return before, after
    words = how["words"] if len(how["words"]) > 1 else [None, *how["words"]]
    made = []
    for word in words:
        line = how.get("beside", "") + (f" {key} = {word};" if word else "")
        made.append(text_of(BASE | {group: line}, endpoint))
    return made


def sockopt_words(key):
    """A value for a socket option that this page has no word for; most are flags."""
    return {"keep_alive_time": ['"100s"'], "keep_alive_interval": ['"10s"'], "keep_alive_probes": ["3"],
            "defer_accept": ['"3s"'], "receive_buffer": ['"32K"'], "send_buffer": ['"32K"'], "ip_tos": ["16"],
            "ip_ttl": ["32"], "mark": ["7"], "priority": ["3"], "fast_open": ["16"]}.get(key, ["true"])


def change(house, group, key, column):
    how = WORDS[group].get(key)
    if key.startswith("limit_"):
        how = ['"100"'] if "nofile" not in key else ['"1000"']
    if how is None and group == "endpoints.NAME":
        how = sockopt_words(key)
    assert how is not None, f"{group}.{key} has no example in this test"
    more = how if isinstance(how, dict) else {}
    if more.get("only"):
        return
    before, after = texts(group, key, how)
    daemon = house.run(before)
    where = f"{group}.{key}"
    name = {"endpoints.NAME": f"endpoints.e.{key}", "daemon": f"daemon.{key}"}.get(group, f"services.s.{key}")
    if not more.get("sleeps"):
        assert daemon.ctl("wait", "s", "--for=running").returncode == OK, where
    workers = daemon.workers()
    house.write(after, daemon.config.name)
    foretold = daemon.ctl("check", "--diff").stdout
    result = daemon.ctl("reload")
    if more.get("refused"):
        assert result.returncode == FAILED and "restart reuseportd" in result.stderr, (where, result)
        assert daemon.stop() == 0
        return
    assert result.returncode == OK, (where, result)
    word = {"n": "now", "x": "pending", "o": "new sockets"}[column]
    lines = [line for line in result.stdout.splitlines() if line.startswith(f"{word} {name}")]
    assert lines and lines[0] in foretold, (where, result.stdout, foretold)
    status = daemon.ask("status", "s")
    if column == "o" and more.get("moves", True):
        wait_answers(lambda: daemon.ask("status", "s"), lambda seen: seen[-1]["generation"] == 2 and
                     seen[-1]["state"] == "running" and not seen[-1]["pending"], f"{where}: a new generation")
    elif column == "x" and key != "endpoints":
        assert status["pending"] and daemon.workers() == workers, (where, status)
        assert any(name in hint for hint in status["hints"]), (where, status["hints"])
        assert name in daemon.ask("show", "s")["properties"]["PendingKeys"], where
    else:
        assert not status["pending"], (where, status)
        assert daemon.workers() == workers, where
    assert daemon.stop() == 0


@pytest.mark.parametrize("group", list(BASE))
def test_each_key_applies_as_its_column_says(house, build, group):
    keys = read_keys(build)[group]
    for key, column in keys.items():
        change(house, group, key, column)
    print(f"{group}: {len(keys)} keys")


TOY = '''daemon: {{ {daemon} }}; endpoints: {{ e: {{ listen_stream = "127.0.0.1:8080"; }}; }};
         services: {{ s: {{ endpoints = ["e"]; exec_start = ["@TOY@"{words}]; type = "notify"; {service} }}; }};'''


def toy_text(service="", words="", daemon=""):
    return TOY.format(service=service, words=words, daemon=daemon)


def reload(house, daemon, text):
    house.write(text, daemon.config.name)
    result = daemon.ctl("reload")
    assert result.returncode == OK, result


def test_timeout_start_counts_for_a_worker_that_starts(house):
    daemon = house.run(toy_text('timeout_start = "1h"; restart_delay = "10s";', ', "--ready=never"'))
    wait_answers(daemon.workers, lambda seen: seen[-1], "it starts")
    reload(house, daemon, toy_text('timeout_start = "100ms"; restart_delay = "10s";', ', "--ready=never"'))
    daemon.log.wait("was not ready within timeout_start = 100ms")


def test_start_limits_count_for_a_generation_that_is_there(house):
    words = ', "--exit-after=0", "--exit-code=1", "--ready=never"'
    daemon = house.run(toy_text('restart_delay = "10ms"; restart_max_delay = "10ms";', words))
    daemon.log.wait("will be replaced", times=3)
    reload(house, daemon, toy_text('restart_delay = "10ms"; restart_max_delay = "10ms"; '
                                   'start_limit_interval = "1min"; start_limit_burst = 2;', words))
    daemon.log.wait("within start_limit_interval = 1min; the service fails")


def test_idle_timeout_counts_for_a_service_that_is_awake(house):
    daemon = house.run(toy_text('activation = "on-demand"; idle_timeout = "1h";'))
    assert get(8080).status == 200
    reload(house, daemon, toy_text('activation = "on-demand"; idle_timeout = "200ms";'))
    wait_answers(daemon.workers, lambda seen: not seen[-1], "it sleeps")


def test_log_level_and_log_target_count_at_once(house):
    daemon = house.run(toy_text(daemon='log_level = "warning"; log_target = "stderr";'))
    assert daemon.ctl("wait", "s", "--for=running").returncode == OK
    assert not daemon.log.has("is ready")
    reload(house, daemon, toy_text(daemon='log_level = "debug"; log_target = "stderr";'))
    assert daemon.ctl("scale", "s=2").returncode == OK
    daemon.log.wait(r"worker 1 .*is ready")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        has_journal = False
        try:
            journal.connect("/run/systemd/journal/socket")
            has_journal = True
        except OSError:
            pass
    reload(house, daemon, toy_text(daemon='log_level = "debug"; log_target = "journal";'))
    # where no journal answers lines come to standard error all the same
    if not has_journal:
        daemon.log.wait("Reloaded", times=2)


def test_what_the_command_line_says_of_the_log_stays(house):
    daemon = house.run(toy_text(daemon='log_level = "info";'), arguments=["--log-level=warning"])
    reload(house, daemon, toy_text(daemon='log_level = "debug";'))
    assert daemon.ctl("restart", "s").returncode == OK
    daemon.signal(signal.SIGUSR2)
    daemon.log.wait("SIGUSR2")
    assert not daemon.log.has("Reloaded")


def test_a_rollback_goes_by_the_deploy_keys_of_today(house):
    daemon = house.run(toy_text())
    assert daemon.ctl("wait", "s", "--for=running").returncode == OK
    assert daemon.ctl("restart", "s").returncode == OK
    mark = house.directory / "mark"
    reload(house, daemon, toy_text(f'deploy: {{ hook_post = ["/bin/sh", "-c", "echo $REUSEPORTD_RESULT > {mark}"]; }};'))
    assert daemon.ctl("rollback", "s").returncode == OK
    wait_answers(mark.exists, lambda seen: seen[-1], "the hook of today has run")


def test_the_queue_limit_is_there_when_reload_returns(house):
    """A reload that waits for a deploy says so; any other has done all when it returns."""
    daemon = house.run(toy_text())
    assert daemon.ctl("wait", "s", "--for=running").returncode == OK
    text = toy_text()
    for backlog in range(100, 100 + count(20, 200)):
        reload(house, daemon, text.replace(":8080\";", f":8080\"; backlog = {backlog};"))
        assert daemon.ask("list-endpoints")["endpoints"][0]["queue_limit"] == backlog
