"""Services that are units: systemd starts them, we hand them their sockets and move the visitors."""

import json
import re
import shutil
import signal
import socket
from pathlib import Path

import pytest
from house import Process, count, get, wait_answers

OK, FAILED, USAGE, NOT_ACTIVE, NO_SUCH_NAME, NOT_REACHABLE, DENIED, ROLLED_BACK = range(8)
CTL = "/usr/local/bin/reuseportctl"
UNIT = "reuseportd.service"
ADDRESS = "--address=127.0.0.1:8080"
NAME = "org.reuseportd"

CONFIG = '''
    endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; };
    services: { site: { endpoints = ["web"]; unit = "web@%%c.service"; %s }; };
'''

# Both ways of handing sockets to a unit.
STORE = f"""
NotifyAccess=all
FileDescriptorStoreMax=1
ExecStartPre={CTL} store web
ExecStart=%s
"""
EXEC = f"""
NotifyAccess=all
ExecStart={CTL} exec web -- %s
"""
WAYS = {"store": STORE, "exec": EXEC}

SANDBOX = """
DynamicUser=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
RuntimeDirectory=web-%i
"""

NGINX = """
daemon off;
worker_processes 2;
error_log stderr warn;
pid pid;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {
        listen 127.0.0.1:8080;
        location / { add_header X-Server-Pid $pid always; return 200 "hello"; }
    }
}
"""

GUNICORN = """
import os


def app(environ, start_response):
    start_response("200 OK", [("X-Server-Pid", str(os.getpid())), ("Content-Length", "6")])
    return [b"hello\\n"]
"""


def is_refused(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def write_toy(box, way="store", more=""):
    toy = shutil.copy(box.toy, "/usr/local/bin/toy-worker")
    box.write_unit("web@.service", f"[Service]\nType=notify\n{SANDBOX}{WAYS[way] % toy}{more}")


def write_nginx(box, way):
    Path("/etc/web-nginx.conf").write_text(NGINX)
    command = "/usr/sbin/nginx -e stderr -p /run/web-%i/ -c /etc/web-nginx.conf"
    box.write_unit("web@.service", f'[Service]\nType=exec\nKillSignal=SIGQUIT\nKillMode=mixed\n{SANDBOX}'
                                   f'Environment="NGINX=3;"\n{WAYS[way] % command}')
    return 'preset = "nginx";'              # whose workers share the socket, and must not wait in accept()


def write_gunicorn(box, way):
    Path("/opt/web").mkdir(parents=True)
    Path("/opt/web/app.py").write_text(GUNICORN)
    command = "/usr/bin/gunicorn --chdir /opt/web --worker-tmp-dir /run/web-%i -w 1 --threads 8 app:app"
    box.write_unit("web@.service", f"[Service]\nType=notify\n{SANDBOX}{WAYS[way] % command}")
    return 'type = "notify";'


SERVERS = {"nginx": write_nginx, "gunicorn": write_gunicorn}


def start_toy(box, way="store", more="", unit=""):
    write_toy(box, way, unit)
    box.start(CONFIG % ('type = "notify";' + more))
    wait_running(box)


def wait_running(box):
    box.wait_until(lambda: box.ask("status", "site")["state"] == "running", "site runs")


def color(box):
    return box.ask("status", "site")["color"]


def start_load(box, *arguments):
    load = box.load(ADDRESS, "--clients=8", "--seconds=3600", *arguments)
    return load.wait_running()


def deploy(box, *arguments):
    result = box.ctl("--json", "deploy", "site", *arguments, check=False)
    return result.returncode, json.loads(result.stdout.strip().split("\n")[-1]), result


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("server", SERVERS)
def test_deploys_of_a_sandboxed_unit_lose_nothing(box, show, server, way):
    if not shutil.which(server):
        pytest.skip(f"{server} is not installed")
    box.start(CONFIG % SERVERS[server](box, way))
    wait_answers(lambda: get(8080).status, lambda seen: seen[-1] == 200, f"{server} answers")
    wait_running(box)
    loads = [start_load(box), start_load(box, "--keep-alive")]
    n = count(3, 50)
    for _ in range(n):
        code, result, whole = deploy(box, "--wait=drained")
        assert code == OK and result["result"] == "done" and result["cut_connections"] == 0, whole
    results = [load.stop() for load in loads]
    for result in results:
        assert result["lost"] == 0 and result["requests"] > 0, json.dumps(result)
    assert len(results[0]["pids"]) > n
    show(f"{server} by {way}, {n} deploys: {sum(r['requests'] for r in results)} requests, 0 lost")

    unit = f"web@{color(box)}.service"
    assert box.show(unit, "DynamicUser") == "yes" and box.show(unit, "ProtectSystem") == "strict"
    uid = re.search(r"^Uid:\s+(\d+)", Path(f"/proc/{box.main_pid(unit)}/status").read_text(), re.MULTILINE)
    assert int(uid.group(1)) >= 61184, "systemd's dynamic users"
    box.systemctl("stop", "reuseportd.service")
    assert box.systemctl("list-units", "--no-legend", "web@*").stdout == ""
    assert box.show("reuseportd.service", "Result") == "success"


@pytest.mark.box_seconds(900)
def test_a_template_deployed_again_and_again_loses_nothing(box, show):
    start_toy(box)
    load = start_load(box)
    n = count(3, 50)
    seen = set()
    for _ in range(n):
        code, result, whole = deploy(box)
        assert code == OK and result["result"] == "done", whole
        seen.add(color(box))
    result = load.stop()
    show(f"{n} deploys of web@%c.service: {result['requests']} requests, {result['lost']} lost")
    assert result["lost"] == 0 and len(result["pids"]) == n + 1
    assert {"blue", "green"} <= seen


def test_a_canary_stands_between_two_instances(box):
    start_toy(box)
    box.ctl("deploy", "site", "--canary", "50", "--step", "1h", "--no-wait")
    box.wait_until(lambda: (box.ask("status", "site")["deploy"] or {}).get("state") == "canary", "the canary")
    pids = {box.main_pid("web@blue.service"), box.main_pid("web@green.service")}
    wait_answers(lambda: get(8080).pid, lambda seen: set(seen) == pids, "both instances answer")
    box.ctl("promote", "site")
    box.wait_until(lambda: box.show("web@blue.service", "ActiveState") == "inactive", "blue is stopped")
    assert get(8080).pid == box.main_pid("web@green.service")


def test_a_unit_that_fails_is_rolled_back_and_the_journal_says_why(box):
    start_toy(box)
    load = start_load(box)
    before = get(8080).pid
    box.write_unit("web@green.service.d/bad.conf", "[Service]\nExecStart=\nExecStart=/bin/sh -c 'exit 3'\n")
    code, result, whole = deploy(box)
    assert code == ROLLED_BACK and result["result"] == "rolled_back", whole
    assert "unit web@green.service failed before it was ready" in result["reason"], result
    assert "exit-code, status 3" in result["reason"], result
    assert get(8080).pid == before
    assert load.stop()["lost"] == 0
    told = [entry["MESSAGE"] for entry in box.journal("SYSLOG_IDENTIFIER=reuseportd", "SERVICE=site")]
    assert any("exit-code, status 3" in line for line in told), told

    Path("/etc/systemd/system/web@green.service.d/bad.conf").unlink()
    box.systemctl("daemon-reload")
    code, result, whole = deploy(box)
    assert code == OK, whole


def test_a_unit_that_never_says_it_is_ready_is_given_up(box):
    start_toy(box, more='timeout_start = "2s";')
    box.write_unit("web@green.service.d/mute.conf", "[Service]\nExecStart=\nExecStart=sleep 1000\n")
    code, result, whole = deploy(box)
    assert code == ROLLED_BACK, whole
    box.wait_until(lambda: box.show("web@green.service", "ActiveState") in ("inactive", "failed"), "it is gone")
    assert get(8080).pid == box.main_pid("web@blue.service")


def test_a_unit_that_does_not_exist_is_named(box):
    box.start(CONFIG % "")
    found = box.follow_journal("SYSLOG_IDENTIFIER=reuseportd")
    found.wait("unit web@blue.service was not started: there is no such unit")
    write_toy(box)
    wait_answers(lambda: box.ask("status", "site")["workers_ready"], lambda seen: seen[-1] == 1, "it runs")


def test_rollback_goes_back_to_the_other_instance(box):
    start_toy(box)
    assert deploy(box, "--wait=drained")[0] == OK and color(box) == "green"
    box.ctl("rollback", "site")
    assert color(box) == "blue"
    assert get(8080).pid == box.main_pid("web@blue.service")


def test_a_lost_instance_is_replaced_whoever_ended_it(box):
    start_toy(box)
    first = get(8080).pid
    box.systemctl("stop", "web@blue.service")
    second = wait_answers(lambda: get(8080).pid, lambda seen: seen[-1] != first, "another process")[-1]
    box.systemctl("kill", "--signal=KILL", "web@blue.service")
    third = wait_answers(lambda: get(8080).pid, lambda seen: seen[-1] != second, "another process")[-1]
    assert third == box.main_pid("web@blue.service")
    wait_running(box)
    assert box.ask("status", "site")["restarts"] >= 2

    box.ctl("kill", "site", "--signal", "SIGKILL")
    wait_answers(lambda: get(8080).pid, lambda seen: seen[-1] != third, "another process")


def test_a_restart_of_its_own_does_not_disturb_ours(box):
    """Restart= in the unit's file: systemd brings back what we bring back."""
    start_toy(box, unit="Restart=always\nRestartSec=50ms\n")
    before = get(8080).pid
    box.systemctl("kill", "--signal=KILL", "web@blue.service")
    wait_answers(lambda: get(8080).pid, lambda seen: seen[-1] != before, "another process")
    wait_running(box)
    assert deploy(box, "--wait=drained")[0] == OK
    assert box.show("web@blue.service", "ActiveState") == "inactive"
    assert get(8080).pid == box.main_pid("web@green.service")


def test_a_service_that_is_stopped_stops_its_unit(box):
    start_toy(box)
    box.ctl("stop", "site")
    assert box.show("web@blue.service", "ActiveState") == "inactive"
    assert box.ctl("is-active", "site", check=False).returncode == NOT_ACTIVE
    box.ctl("start", "site")
    assert get(8080).pid == box.main_pid("web@blue.service")


def test_several_workers_are_several_instances(box):
    shutil.copy(box.toy, "/usr/local/bin/toy-worker")
    box.write_unit("many@.service", f"[Service]\nType=notify\n{SANDBOX}{EXEC % '/usr/local/bin/toy-worker'}")
    box.start(CONFIG.replace("web@%%c", "many@%%c-%%i") % 'type = "notify"; workers = 2;')
    wait_running(box)
    pids = {box.main_pid(f"many@blue-{i}.service") for i in range(2)}
    wait_answers(lambda: get(8080).pid, lambda seen: set(seen) == pids, "both")
    assert deploy(box, "--wait=drained")[0] == OK
    assert len({box.main_pid(f"many@green-{i}.service") for i in range(2)} - {0}) == 2


def test_the_status_shows_the_unit_and_its_process(box):
    start_toy(box)
    (worker,) = box.ask("status", "site")["workers"]
    assert worker["pid"] == box.main_pid("web@blue.service") and worker["state"] == "ready"
    assert "web@%c.service" in box.ctl("show", "site").stdout
    refused = box.ctl("deploy", "site", "--", "/bin/true", check=False)
    assert refused.returncode == USAGE and "unit web@%c.service" in refused.stderr, refused


def test_an_instance_that_runs_already_is_started_anew(box):
    """Somebody has started it by hand: it cannot have our sockets."""
    start_toy(box)
    assert box.systemctl("start", "web@green.service", check=False).returncode != OK
    told = [entry["MESSAGE"] for entry in box.journal("SYSLOG_IDENTIFIER=reuseportctl")]
    assert any("the unit web@green.service is not being run by it" in line or
               "endpoints.web.allow_users" in line for line in told), told

    drop_in = "web@green.service.d/alone.conf"
    box.write_unit(drop_in, "[Service]\nType=exec\nExecStartPre=\nExecStart=\nExecStart=sleep 1000\n")
    box.systemctl("start", "web@green.service")
    by_hand = box.main_pid("web@green.service")
    (Path("/etc/systemd/system") / drop_in).unlink()
    box.systemctl("daemon-reload")
    code, result, whole = deploy(box, "--wait=drained")
    assert code == OK and result["result"] == "done", whole
    assert get(8080).pid == box.main_pid("web@green.service") != by_hand
    told = [entry["MESSAGE"] for entry in box.journal("SYSLOG_IDENTIFIER=reuseportd")]
    assert any("web@green.service runs already" in line for line in told), told


def test_a_bus_that_goes_away_for_a_while_is_found_again(box):
    start_toy(box)
    before = get(8080).pid
    box.systemctl("restart", "dbus.service")
    box.follow_journal("SYSLOG_IDENTIFIER=reuseportd").wait("system bus is lost")
    box.systemctl("stop", "web@blue.service")
    wait_answers(lambda: get(8080).pid, lambda seen: seen[-1] != before, "another process", seconds=60)
    assert deploy(box, "--wait=drained")[0] == OK



def test_the_logs_of_a_service_are_those_of_its_units_too(box):
    start_toy(box)
    assert deploy(box, "--wait=drained")[0] == OK
    box.run("journalctl", "--sync")
    lines = box.ctl("logs", "site", "--no-pager").stdout.split("\n")
    for said in ("web@blue.service is being started", "web@green.service is being started", "toy-worker"):
        assert any(said in line for line in lines), (said, lines)


# ---- store, where a line is missing ----

@pytest.mark.parametrize(("lines", "says"), [
    ("", "NotifyAccess=exec"),
    ("NotifyAccess=main\nFileDescriptorStoreMax=4\n", "NotifyAccess=main and does not hear"),
    ("NotifyAccess=exec\n", "FileDescriptorStoreMax=1"),
])
def test_store_names_the_line_that_the_unit_lacks(box, lines, says):
    box.start('endpoints: { free: { listen_stream = "127.0.0.1:8081"; }; };')
    box.write_unit("alone.service", f"[Service]\n{lines}ExecStartPre={CTL} store free\nExecStart={box.toy}\n")
    assert box.systemctl("start", "alone.service", check=False).returncode != OK
    told = [entry["MESSAGE"] for entry in box.journal("SYSLOG_IDENTIFIER=reuseportctl")]
    assert any(says in line and "[Service]" in line for line in told), told


@pytest.mark.parametrize("way", WAYS)
def test_an_endpoint_without_a_service_listens_as_long_as_its_unit_lives(box, way):
    box.start('endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; };')
    box.write_unit("alone.service", f"[Service]\nType=notify\n{WAYS[way] % box.toy}")
    for _ in range(2):
        box.systemctl("start", "alone.service")
        assert get(8080).pid == box.main_pid("alone.service")
        box.systemctl("kill", "--signal", signal.SIGKILL.name, "alone.service")
        box.wait_until(lambda: is_refused(8080), "it refuses")
        box.systemctl("reset-failed", "alone.service", check=False)


def test_a_unit_is_given_only_what_is_its_own(box):
    """Somebody else's unit, as root, is told whose the endpoint is; as another user, that he may not."""
    start_toy(box)
    box.write_unit("thief.service", f"[Service]\nType=oneshot\nExecStart={CTL} exec web -- true\n")
    assert box.systemctl("start", "thief.service", check=False).returncode != OK
    box.write_unit("thief.service",
                   f"[Service]\nType=oneshot\nDynamicUser=yes\nExecStart={CTL} exec web -- true\n")
    assert box.systemctl("start", "thief.service", check=False).returncode != OK
    assert box.show("thief.service", "ExecMainStatus") == str(DENIED)
    told = [entry["MESSAGE"] for entry in box.journal("SYSLOG_IDENTIFIER=reuseportctl")]
    assert any("belongs to service site" in line for line in told), told
    assert any("endpoints.web.allow_users" in line for line in told), told
    assert get(8080).pid == box.main_pid("web@blue.service")


def test_an_address_that_a_unit_of_others_holds_is_said_to_be_systemd_s(box):
    box.write_unit("other.socket", "[Socket]\nListenStream=127.0.0.1:8080\nService=other.service\n")
    box.write_unit("other.service", "[Service]\nExecStart=true\n")
    box.systemctl("start", "other.socket")
    box.write_unit("reuseportd.service.d/once.conf", "[Service]\nRestart=no\n")
    box.configure('endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; };')
    assert box.systemctl("start", "reuseportd.service", check=False).returncode != OK
    told = [entry["MESSAGE"] for entry in box.journal("SYSLOG_IDENTIFIER=reuseportd")]
    assert any("held by systemd for a unit" in line for line in told), told
    assert not any("kill 1" in line for line in told), told


def replace_by_reexec(box):
    box.ctl("reexec", timeout=4)  # not only when something else happens


def replace_by_restart(box):
    box.systemctl("restart", UNIT)


def replace_by_kill(box):
    with Process(box.main_pid(UNIT)) as daemon:
        daemon.kill()
        daemon.wait_gone()


REPLACE = {"re-exec": replace_by_reexec, "restart": replace_by_restart, "kill": replace_by_kill}


def wait_daemon(box):
    box.wait_until(lambda: box.ctl("list", check=False).returncode == OK, "a daemon answers")


@pytest.fixture(params=REPLACE)
def replace(request, box):
    def run():
        REPLACE[request.param](box)
        wait_daemon(box)

    return run


def test_units_serve_on_while_the_daemon_is_replaced(box, show, replace):
    """The same instances, the same sockets, and the next deploy goes on from there."""
    start_toy(box)
    load = start_load(box)
    before = get(8080).pid
    n = count(3, 50)
    for _ in range(n):
        replace()
        box.wait_until(lambda: box.ctl("is-active", "site", check=False).returncode == OK, "the successor")
        assert get(8080).pid == before == box.main_pid("web@blue.service")
    code, _, whole = deploy(box, "--wait=drained")
    assert code == OK, whole
    assert get(8080).pid == box.main_pid("web@green.service")
    result = load.stop()
    show(f"{n} times replaced over a unit: {result['requests']} requests, {result['lost']} lost")
    assert result["lost"] == 0, json.dumps(result)


@pytest.mark.parametrize("way", WAYS)
def test_a_deploy_between_two_instances_goes_on_while_the_daemon_is_replaced(box, show, replace, way):
    start_toy(box, way)
    load = start_load(box)
    box.ctl("deploy", "site", "--canary", "50", "--step", "1h", "--no-wait")
    box.wait_until(lambda: (box.ask("status", "site")["deploy"] or {}).get("state") == "canary", "the canary")
    pids = {box.main_pid("web@blue.service"), box.main_pid("web@green.service")}
    for _ in range(2):
        replace()
        assert box.ask("status", "site")["deploy"]["state"] == "canary"
        assert {box.main_pid("web@blue.service"), box.main_pid("web@green.service")} == pids
        wait_answers(lambda: get(8080).pid, lambda seen: set(seen) == pids, "both instances answer")
    box.ctl("promote", "site")
    box.wait_until(lambda: box.show("web@blue.service", "ActiveState") == "inactive", "blue is stopped")
    assert get(8080).pid == box.main_pid("web@green.service")
    result = load.stop()
    show(f"a canary of units: {result['requests']} requests, {result['lost']} lost")
    assert result["lost"] == 0, json.dumps(result)


@pytest.mark.parametrize("way", WAYS)
def test_an_endpoint_is_still_taken_when_the_daemon_was_replaced(box, replace, way):
    box.start('endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; };')
    box.write_unit("alone.service", f"[Service]\nType=notify\n{WAYS[way] % box.toy}")
    for _ in range(2):
        box.systemctl("start", "alone.service")
        taker = box.main_pid("alone.service")
        for _ in range(2):
            replace()
            assert get(8080).pid == taker
        box.systemctl("stop", "alone.service")
        box.wait_until(lambda: is_refused(8080), "it refuses")
        replace()
        assert is_refused(8080)


@pytest.mark.parametrize("way", WAYS)
def test_a_taker_that_ends_while_there_is_no_daemon_has_it_no_more(box, way):
    box.start('endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; };')
    box.write_unit("alone.service", f"[Service]\nType=notify\n{WAYS[way] % box.toy}")
    n_stored = box.show(UNIT, "NFileDescriptorStore")
    for _ in range(2):
        box.systemctl("start", "alone.service")
        with Process(box.main_pid(UNIT)) as daemon:
            daemon.kill(signal.SIGSTOP)
            box.systemctl("stop", "alone.service")
            daemon.kill()
            daemon.wait_gone()
        wait_daemon(box)
        box.wait_until(lambda: is_refused(8080), "it refuses")
        box.wait_until(lambda: box.show(UNIT, "NFileDescriptorStore") == n_stored, "as much is stored as before")


def test_a_user_s_daemon_runs_units_of_that_user(box):
    """Over the user's bus, without any privilege; the system's daemon and bus have no part in it."""
    if not Path("/usr/lib/systemd/user/dbus.socket").exists():
        pytest.skip("dbus-user-session is not installed")
    box.run("useradd", "--create-home", "--uid=4711", "anna")
    home = Path("/home/anna")
    units, settings = home / ".config/systemd/user", home / "endpoints.conf"
    units.mkdir(parents=True)
    settings.write_text(CONFIG % 'type = "notify";')
    (units / "reuseportd.service").write_text(
        f"[Service]\nType=notify\nExecStart=/usr/local/sbin/reuseportd -c {settings}\n")
    toy = shutil.copy(box.toy, "/usr/local/bin/toy-worker")
    (units / "web@.service").write_text(f"[Service]\nType=notify\n{STORE % toy}")
    box.run("chown", "--recursive", "anna:anna", home)
    box.systemctl("start", "dbus.service")
    box.systemctl("start", "user@4711.service")

    def as_anna(*words):
        return box.run("setpriv", "--reuid=anna", "--regid=anna", "--clear-groups", "env",
                       "XDG_RUNTIME_DIR=/run/user/4711", f"HOME={home}", *words).stdout.strip()

    def pid_of(unit):
        return int(as_anna("systemctl", "--user", "show", "--value", "--property=MainPID", unit))

    as_anna("systemctl", "--user", "start", "dbus.socket")
    as_anna("systemctl", "--user", "start", "reuseportd.service")
    as_anna("reuseportctl", "wait", "site", "--for=running")
    assert get(8080).pid == pid_of("web@blue.service")
    as_anna("reuseportctl", "deploy", "site", "--wait=drained")
    assert get(8080).pid == pid_of("web@green.service") and pid_of("web@blue.service") == 0
    assert "site" in as_anna("busctl", "--user", "call", NAME, "/org/reuseportd", f"{NAME}.Manager", "ListServices")
    as_anna("systemctl", "--user", "stop", "reuseportd.service")
    assert pid_of("web@green.service") == 0 and is_refused(8080)
