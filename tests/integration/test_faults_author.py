"""H9: who writes the configuration is not root.  What is not root's or ours is refused, and no message tells
what is in a file that he must not read."""

import os
import subprocess
import sys

import pytest
from house import count

BAD_CONFIG = 78
NOBODY = 65534
SECRET = "hunter2-s3cr3t"

GOOD = '''endpoints: { web: { listen_stream = "127.0.0.1:8080"; }; };
services: { site: { endpoints = ["web"]; exec_start = ["@TOY@"]; type = "notify"; }; };
'''
# As files with secrets look: none of them is a configuration.
SECRETS = {
    "shadow": f"root:$6${SECRET}:19000:0:99999:7:::\n",
    "variables": f"PASSWORD={SECRET}\n",
    "quoted": f'password = "{SECRET}";\n',
    "group": f'database: {{ password = "{SECRET}"; }};\n',
    "key": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n",
    "endpoint": f'endpoints: {{ stolen: {{ listen_stream = "{SECRET}"; }}; }};\n',
    "number": f"pin = 99999999999; {SECRET} = 1;\n",
}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else too")


def refused(result, *words):
    assert result.returncode == BAD_CONFIG, result
    said = result.stdout + result.stderr
    assert SECRET not in said, said
    for word in words:
        assert word in said, said


@pytest.fixture(params=list(SECRETS))
def secret(request, house):
    """A file of root's that only root may read."""
    path = house.directory / "secret"
    path.write_text(SECRETS[request.param])
    path.chmod(0o600)
    return path


def test_a_file_of_somebody_else_or_of_everybody_is_refused(house):
    path = house.write(GOOD)
    assert house.command("-t", "-c", path).returncode == 0
    path.chmod(0o666)
    refused(house.command("-t", "-c", path), "everybody may write")
    path.chmod(0o644)
    os.chown(path, NOBODY, -1)
    refused(house.command("-t", "-c", path), f"belongs to uid {NOBODY}")


def test_a_link_of_somebody_else_is_not_followed(house, secret):
    path = house.directory / "endpoints.conf"
    path.symlink_to(secret)
    os.lchown(path, NOBODY, -1)
    refused(house.command("-t", "-c", path), f"a link of uid {NOBODY}")
    # nor one behind a link of root's
    first = house.directory / "first.conf"
    first.symlink_to("endpoints.conf")
    refused(house.command("-t", "-c", first), f"a link of uid {NOBODY}")
    path.unlink()
    path.symlink_to(house.write(GOOD, "good.conf"))
    assert house.command("-t", "-c", first).returncode == 0, "root's links are followed"


def test_links_in_include_dir_to_foreign_files_are_refused(house, secret):
    parts = house.directory / "parts"
    parts.mkdir()
    main = house.write(f'include_dir = "parts";\n{GOOD}')
    link = parts / "10-more.conf"
    link.symlink_to(secret)
    os.lchown(link, NOBODY, -1)
    refused(house.command("-t", "-c", main), str(link), f"a link of uid {NOBODY}")
    link.unlink()
    os.chown(parts, NOBODY, -1)
    refused(house.command("-t", "-c", main), "parts belongs to uid")


def test_at_include_reads_nothing(house, secret):
    path = house.write(f'@include "{secret}"\n{GOOD}')
    refused(house.command("-t", "-c", path), "endpoints.conf:1:", "@include is refused")
    # nor in the middle, nor of a directory
    path = house.write(f'endpoints: {{\n@include "{secret.parent}"\n}};')
    refused(house.command("-t", "-c", path), "endpoints.conf:2:", "@include is refused")


def test_a_file_of_variables_that_is_none_tells_nothing(house, secret):
    text = GOOD.replace('type = "notify";', f'type = "notify"; environment_file = "{secret}";')
    result = house.command("-t", "-c", house.write(text))
    assert SECRET not in result.stdout + result.stderr, result
    link = house.directory / "link"
    link.symlink_to(secret)
    os.lchown(link, NOBODY, -1)
    refused(house.command("-t", "-c", house.write(text.replace(str(secret), str(link)))), f"a link of uid {NOBODY}")


def test_a_reload_refuses_them_too_and_says_so_to_caller_and_log(house, secret):
    path = house.write(GOOD)
    daemon = house.run(path)
    path.unlink()
    path.symlink_to(secret)
    os.lchown(path, NOBODY, -1)
    refused(daemon.ctl("reload"), f"a link of uid {NOBODY}")
    refused(daemon.ctl("check", path, "--diff"), f"a link of uid {NOBODY}")
    daemon.log.wait(f"a link of uid {NOBODY}")
    assert SECRET not in daemon.log.text()
    path.unlink()
    house.write(GOOD)
    assert daemon.ctl("reload").returncode == 0


SWAP = """
import os, sys
path, *others = sys.argv[1:]
n = 0
print("swaps", flush=True)
while True:  # each is put there in one step, as an attacker would
    for i, other in enumerate(others):
        temporary = f"{path}.{i}"
        try:
            if other.endswith(".link"):
                os.symlink(other[:-5], temporary)
                os.lchown(temporary, 65534, -1)
            else:
                os.link(other, temporary)
        except FileExistsError:
            pass
        os.rename(temporary, path)
"""


@pytest.mark.once
def test_what_is_swapped_while_it_is_read_is_refused_or_read_whole(house):
    """A process puts three things there in turn: a good file, a link of its own to root's secret, its own file."""
    good = house.write(GOOD, "good.conf")
    secret = house.directory / "secret"
    secret.write_text(SECRETS["endpoint"])
    secret.chmod(0o600)
    own = house.directory / "own.conf"
    own.write_text(GOOD.replace("web", "stolen"))
    os.chown(own, NOBODY, -1)
    path = house.write(GOOD)
    swapper = subprocess.Popen([sys.executable, "-c", SWAP, str(path), str(good), f"{secret}.link", str(own)],
                               stdout=subprocess.PIPE)
    seen = {"good": 0, "refused": 0}
    try:
        assert swapper.stdout.readline() == b"swaps\n"
        for _ in range(count(300, 5000)):
            result = house.command("--print-config", "-c", path)
            said = result.stdout + result.stderr
            assert SECRET not in said and "stolen" not in said, said
            assert result.returncode in (0, BAD_CONFIG), result
            if result.returncode == 0:
                assert "web: {" in result.stdout
            else:
                assert any(word in said for word in ("a link of uid", "belongs to uid", "another file was put",
                                                     "cannot be opened")), said
            seen["good" if result.returncode == 0 else "refused"] += 1
    finally:
        swapper.kill()
        swapper.wait()
        swapper.stdout.close()
    print(f"swapped while it was read: {seen}")
    assert all(seen.values()), seen
