"""The Debian packages that tests/package.sh has left in build/package, installed in a booted systemd."""

from pathlib import Path

import pytest
from house import SOURCES, get, toy

PACKAGES = sorted((SOURCES / "build/package").glob("*.deb"))

pytestmark = [
    pytest.mark.packaged,
    pytest.mark.skipif(not PACKAGES, reason="no packages in build/package: sh tests/package.sh makes them"),
]


def install(box):
    # What a container's image forbids by it, it forbids the box too.
    Path("/usr/sbin/policy-rc.d").unlink(missing_ok=True)
    box.run("dpkg", "--install", *(path for path in PACKAGES if "dbgsym" not in path.name))


def test_a_package_that_is_installed_runs(box):
    install(box)
    assert box.systemctl("is-active", "reuseportd.service").stdout.strip() == "active"
    assert box.systemctl("is-enabled", "reuseportd.service").stdout.strip() == "enabled"
    assert box.systemctl("is-enabled", "reuseportd-dynamic.service", check=False).stdout.strip() == "disabled"
    assert box.systemctl("list-units", "--failed", "--no-legend").stdout == ""
    assert box.run("getent", "passwd", "reuseportd-sockets").stdout
    assert Path("/etc/reuseportd/conf.d").is_dir()
    assert "reuseportd: A deploy" in box.run("journalctl", "--list-catalog").stdout
    box.run("pkg-config", "--exists", "reuseport")

    box.configure(toy())
    box.systemctl("reload", "reuseportd.service")
    assert get(8080).status == 200


def test_a_package_that_is_purged_leaves_nothing(box):
    install(box)
    box.start(toy())
    box.run("dpkg", "--purge", "reuseportd")
    left = [path for place in ("/etc", "/lib/systemd", "/usr/lib/systemd", "/run", "/usr/share", "/var/lib")
            for path in Path(place).rglob("*reuseportd*") if "doc/" not in str(path)
            and not str(path).startswith(("/usr/share/bash-completion", "/var/lib/dpkg/info/libreuse"))]
    assert left == []


@pytest.mark.skipif(not Path("/usr/sbin/nginx").exists(), reason="nginx is not installed")
def test_the_packages_own_test_deploys_nginx_under_load(box, show):
    install(box)
    result = box.run(SOURCES / "debian/tests/nginx-under-load", timeout=240, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    show(result.stdout.strip().splitlines()[-1])
