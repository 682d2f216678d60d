"""Each test runs in a network of its own, with the examples in /srv, and leaves no process behind."""

import contextlib
import os
import shutil
import signal
import tempfile
from pathlib import Path

import namespaces
import pytest
from house import SOURCES, House, Process, children_of, command_of


MOUNTED = []


def pytest_addoption(parser):
    parser.addoption("--build", default=str(SOURCES / "build/test"),
                     help="the build directory whose programs are tested")
    parser.addoption("--other-build", default=str(SOURCES / "build/clang"),
                     help="one of the same sources by another compiler, to go to and come back from")
    parser.addoption("--previous-build", default=str(SOURCES / "build/previous/build"),
                     help="one of the commit before, which tests/previous-build.sh makes")


def prepare_mounts():
    """What the examples' paths mean; and no journal, so that every line comes to standard error."""
    namespaces.new_user_and_mounts()
    namespaces.mount(str(SOURCES / "config/examples"), "/srv", flags=namespaces.MS_BIND)
    MOUNTED.append("/srv")
    if Path("/run/systemd").is_dir():
        namespaces.mount("tmpfs", "/run/systemd", "tmpfs")
        MOUNTED.append("/run/systemd")


def pytest_configure(config):
    config.addinivalue_line("markers", "crash_points: needs a build with -Dcrash_points=true")
    config.addinivalue_line("markers", "once: runs with one build, but with --long: what a sanitizer would see there it sees "
                            "in others")
    config.addinivalue_line("markers", "alone: measures time, so nothing else may run beside it")


def pytest_sessionstart(session):
    try:
        prepare_mounts()
        namespaces.become_subreaper()
    except OSError as error:
        session.config.no_namespaces = f"neither root nor user namespaces: {error}"
    else:
        session.config.no_namespaces = None


def pytest_sessionfinish(session):
    for place in reversed(MOUNTED):
        namespaces.unmount(place)


def pytest_collection_modifyitems(config, items):
    if config.no_namespaces:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=config.no_namespaces))


# What tests run or read of a build.
PRODUCTS = ["src/daemon/reuseportd", "src/ctl/reuseportctl", "config/demo/demo-server",
            "tests/integration/toy-worker", "tests/integration/load", "tests/integration/refuse",
            "tests/integration/kill-at", "tests/integration/fail-calls", "man/reuseportctl.1", "src/settings/print-keys"]


@pytest.fixture(scope="session")
def build(request):
    """A copy of what was built, since other users cannot reach sources in a home directory."""
    path = Path(request.config.getoption("--build")).resolve()
    with tempfile.TemporaryDirectory(prefix="reuseportd-build-") as name:
        copy = Path(name)
        copy.chmod(0o755)
        for product in PRODUCTS:
            (copy / product).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path / product, copy / product)
        yield copy


def wait_orphans(seconds):
    """Processes that outlived the test, after those that are ending were given time to."""
    left = []
    for pid in children_of(os.getpid()):
        with contextlib.suppress(OSError, ChildProcessError):
            with Process(pid) as process:
                if not process.is_gone(seconds):
                    left.append(f"{pid} {command_of(pid)}")
                    process.kill(signal.SIGKILL)
                    process.wait_gone()
            os.waitpid(pid, 0)
    return left


@pytest.fixture
def house(build):
    namespaces.new_network()
    with tempfile.TemporaryDirectory(prefix="reuseportd-test-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # workers that run as somebody else get to what is theirs
        found = House(build, directory)
        yield found
        found.destroy()
        orphans = wait_orphans(seconds=2)
        assert not orphans, f"left behind: {orphans}"
        found.check()


@pytest.fixture
def own_build(house):
    """A copy of the programs that a test may spoil."""
    copy = house.directory / "build"
    (copy / "src/daemon").mkdir(parents=True)
    for place in ("src/ctl", "tests/integration"):
        (copy / place).mkdir(parents=True)
    shutil.copy(house.build / "src/daemon/reuseportd", copy / "src/daemon")
    shutil.copy(house.build / "src/ctl/reuseportctl", copy / "src/ctl")
    shutil.copy(house.build / "tests/integration/load", copy / "tests/integration")
    before, house.build = house.build, copy
    yield copy / "src/daemon"
    house.build = before


@pytest.fixture
def show(request, record_property):
    """Says a figure that a reader of the whole run wants to see, also when the test passes."""
    def say(text):
        record_property("figure", text)

    return say


def pytest_terminal_summary(terminalreporter):
    """The figures, after all tests: where several run at once nobody can print in between."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, text in report.user_properties if report.when == "call" else ():
            if name == "figure":
                terminalreporter.write_line(f"    {report.nodeid.split('::')[-1]}: {text}")
