"""What commands beside a deploy are told, and what people are told of it."""

import socket

from house import toy, wait_answers

OK = 0


def test_commands_of_a_deploy_get_the_environment_as_workers_do(house):
    """Templates are expanded for hooks and checks too."""
    seen = house.directory / "seen"
    write = f'["/bin/sh", "-c", "echo $ME $REUSEPORTD_SERVICE $REUSEPORTD_GENERATION $REUSEPORTD_COLOR ${{USER-none}} >> {seen}.%s"]'
    daemon = house.run(toy(service=f'''
        environment = ["ME=%n-%g-%c-%i-%{{fd:web}}-%{{port:web}}-100%%"]; user = "daemon";
        deploy: {{ hook_pre = {write % "pre"}; hook_post = {write % "post"};
                   health_check: {{ exec = {write % "check"}; }}; }};''', workers=2))
    assert daemon.ctl("wait", "site", "--for=running").returncode == OK
    assert daemon.ctl("deploy", "site").returncode == OK
    post = house.directory / "seen.post"
    wait_answers(post.exists, lambda answers: answers[-1], "hook_post has run")
    for name in ("pre", "post"):
        text = (house.directory / f"seen.{name}").read_text()
        assert text == "site-2-green-0-3-8080-100% site 2 green none\n", (name, text)
    checks = set((house.directory / "seen.check").read_text().splitlines())
    assert checks == {f"site-2-green-{i}-3-8080-100% site 2 green none" for i in (0, 1)}


def test_the_log_and_the_bus_name_the_same_door(house):
    daemon = house.run(toy())
    assert daemon.ctl("wait", "site", "--for=running").returncode == OK
    assert daemon.ctl("deploy", "site", "--preview", "--no-wait").returncode == OK
    line = daemon.log.wait(r"have a look: curl (--interface 127.83.0.1 http://127.0.0.1:8080/) ;")
    door = daemon.ask("show", "site")["properties"]["LastDeploy"]
    assert line[1] in door, door


def test_refused_notifications_are_shown(house):
    daemon = house.run(toy())
    assert daemon.ctl("wait", "site", "--for=running").returncode == OK
    worker = daemon.workers()[0]
    with open(f"/proc/{worker}/environ", "rb") as file:
        path = dict(word.split(b"=", 1) for word in file.read().split(b"\0") if word)[b"NOTIFY_SOCKET"].decode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.connect(path)
        for _ in range(3):
            notify.send(b"STATUS=a\0b")
    wait_answers(lambda: daemon.ask("show", "site")["properties"], lambda seen:
                 seen[-1]["NotificationsRefused"] == 3 and seen[-1]["Draining"] == 0, "they are counted")
    assert any("3 messages of its workers" in hint for hint in daemon.ask("status", "site")["hints"])
