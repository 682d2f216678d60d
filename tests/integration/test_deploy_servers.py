"""Blue/green with servers that people run: by preset, under load, nothing lost."""

import json
import shutil

import pytest
from house import count, get, wait_answers

ADDRESS = "--address=127.0.0.1:8080"

NGINX = """
daemon off;
master_process on;
worker_processes 2;
pid {directory}/nginx-%s.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:8080;
        location / {{ add_header X-Server-Pid $pid always; return 200 "hello"; }}
        location = /sleep/2000 {{ alias {directory}/large; limit_rate 50k;
                                  add_header X-Server-Pid $pid always; }}
    }}
}}
"""

HAPROXY = """
global
    maxconn 1000
defaults
    mode http
    timeout client 30s
    timeout server 30s
    timeout connect 5s
    timeout tarpit 2s
    timeout http-keep-alive 30s
frontend web
    bind "fd@${FD}"
    http-request tarpit deny_status 200 if { path_beg /sleep }
    http-request return status 200 content-type text/plain string hello hdr X-Server-Pid %pid
"""

GUNICORN = """
import os
import time


def app(environ, start_response):
    if environ["PATH_INFO"].startswith("/sleep"):
        time.sleep(2)
    start_response("200 OK", [("X-Server-Pid", str(os.getpid())), ("Content-Length", "6")])
    return [b"hello\\n"]
"""

NODE = """
const http = require("http");
const server = http.createServer((request, response) => {
    const answer = () => {
        response.writeHead(200, { "X-Server-Pid": process.pid, "Content-Length": 6 });
        response.end("hello\\n");
    };
    setTimeout(answer, request.url.startsWith("/sleep") ? 2000 : 0);
});
server.listen({ fd: 3 });
process.on("SIGTERM", () => { server.close(() => process.exit(0)); server.closeIdleConnections(); });
"""


def service(exec_start, preset, more=""):
    words = ", ".join(json.dumps(str(word)) for word in exec_start)
    return f'''
        endpoints: {{ web: {{ listen_stream = "127.0.0.1:8080"; }}; }};
        services: {{
            site: {{ endpoints = ["web"]; preset = "{preset}"; exec_start = [{words}]; workers = 1; {more} }};
        }};
    '''


def nginx(directory):
    (directory / "large").write_bytes(b"x" * 100_000)
    for color in ("blue", "green", "amber", "violet"):
        (directory / f"nginx-{color}.conf").write_text(NGINX.format(directory=directory) % color)
    return service(["/usr/sbin/nginx", "-c", f"{directory}/nginx-%c.conf"], "nginx")


def haproxy(directory):
    (directory / "haproxy.cfg").write_text(HAPROXY)
    return service(["/usr/sbin/haproxy", "-Ws", "-f", directory / "haproxy.cfg"], "haproxy",
                   'environment = ["FD=%{fd:web}"];')


def gunicorn(directory):
    (directory / "app.py").write_text(GUNICORN)
    return service(["/usr/bin/gunicorn", "--chdir", directory, "-w", "1", "--threads", "16",
                    "--keep-alive", "30", "app:app"], "gunicorn")


def node(directory):
    (directory / "server.js").write_text(NODE)
    return service([shutil.which("node"), directory / "server.js"], "node")


SERVERS = {"nginx": nginx, "haproxy": haproxy, "gunicorn": gunicorn, "node": node}


@pytest.mark.once
@pytest.mark.parametrize("name", SERVERS)
def test_deploys_of_a_real_server_lose_nothing(house, show, name):
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    house.directory.chmod(0o755)
    daemon = house.run(SERVERS[name](house.directory))
    wait_answers(lambda: get(8080).status, lambda seen: seen[-1] == 200, f"{name} answers")
    running = [house.load(ADDRESS, "--clients=8", "--seconds=3600"),
               house.load(ADDRESS, "--clients=4", "--keep-alive", "--seconds=3600"),
               house.load(ADDRESS, "--clients=3", "--path=/sleep/2000", "--seconds=3600")]
    for load in running:
        load.wait_running()
    n = count(4, 100)
    for _ in range(n):
        result = wait_answers(lambda: json.loads(daemon.ctl("--json", "deploy", "site").stdout),
                              lambda seen: "every bank is taken" not in (seen[-1]["reason"] or ""),
                              "a bank is free")[-1]
        assert result["result"] == "done", result
        assert result["cut_connections"] == 0, result
    for _ in range(200):  # beside these the load has met the last one too
        assert get(8080).status == 200
    results = [load.stop() for load in running]
    for kind, result in zip(("new connections", "keep-alive", "2 s requests"), results):
        show(f"{n} deploys, {kind}: {result['requests']} requests, {result['lost']} lost, "
             f"{result['closed_idle']} closed while idle, {result['retried']} retried")
        assert result["lost"] == 0, (kind, result)
        assert result["requests"] > 0, kind
    assert len(results[0]["pids"]) >= n + 1
    daemon.stop()
