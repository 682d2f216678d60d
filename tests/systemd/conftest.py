"""Each test here runs in a booted systemd of its own: read box.py for what it finds there.

Outside, pytest boots a box for each test by boot.sh, with the build installed in it, and runs pytest in it for that
one test; the report comes back as it is.  So a test is written, and fails, as if it were on the machine.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parents[1]
sys.path.insert(0, str(SOURCES / "tests/integration"))

IS_INSIDE = bool(os.environ.get("BOX"))
REPORTS = "BOX_REPORTS"                         # where the inner pytest writes what it found
PROGRAMS = Path("/usr/local/libexec/reuseportd-tests")
# As a build has them, since house.py knows that shape.
PRODUCTS = ["config/demo/demo-server", "tests/integration/load", "tests/integration/toy-worker",
            "tests/integration/kill-at", "src/daemon/reuseportd", "src/ctl/reuseportctl"]
PASSED_ON = ("REUSEPORT_TEST_LONG", "REUSEPORT_TEST_DEADLINE")


def pytest_addoption(parser):
    parser.addoption("--build", default=str(SOURCES / "build/test"),
                     help="the build directory that is installed in the box")


def pytest_configure(config):
    config.addinivalue_line("markers", "crash_points: needs a build with -Dcrash_points=true")
    config.addinivalue_line("markers", "alone: as in tests/integration, some of whose names are imported here")
    config.addinivalue_line("markers", "packaged: nothing of ours is installed; the test installs the packages")
    config.addinivalue_line("markers", "box_seconds(n): the time that the test has in its box (300)")
    if not IS_INSIDE:
        config.pluginmanager.register(Outside(config), "outside")


# ---- outside ----

class Outside:
    """Boots, and passes on."""

    def __init__(self, config):
        self.config = config
        self.directory = None                   # ours, until the session ends
        self.skipped = None                     # why no box can be had
        self.error = None                       # what went wrong with the first

    def prepare(self):
        """Once, with the first test: what is installed in every box, and whether one boots at all."""
        # Not in /tmp, which is new in the box and hides what was there.
        self.directory = Path(tempfile.mkdtemp(prefix="reuseportd-boxes-", dir="/var/tmp"))
        probe = boot(["true"])
        if probe.returncode == 77:
            self.skipped = probe.stdout.strip().split("\n")[-1]
        elif probe.returncode != 0:
            self.error = f"an empty box ends with {probe.returncode}:\n{probe.stdout}"
        else:
            os.umask(0o022)                     # the directories are those of "/" in the box
            build = Path(self.config.getoption("--build")).resolve()
            bring_programs(build, self.directory / "programs")
            self.error = install(build, self.directory / "installed")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        if self.directory is None:
            self.prepare()
        if self.skipped:
            reports = [report_of(item, "skipped", (str(item.path), 0, f"Skipped: no box: {self.skipped}"))]
        elif self.error:
            reports = [report_of(item, "failed", self.error)]
        else:
            reports = self.run(item)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def run(self, item):
        """The reports of one test, from its box."""
        reports = self.directory / "reports"
        shutil.rmtree(reports, ignore_errors=True)
        reports.mkdir()
        marker = item.get_closest_marker("box_seconds")
        seconds = marker.args[0] if marker else 300
        layers = ["programs"] if item.get_closest_marker("packaged") else ["programs", "installed"]
        variables = [f"{name}={os.environ[name]}" for name in PASSED_ON if name in os.environ]
        result = boot(["env", f"{REPORTS}={reports}", *variables, "/usr/bin/python3", "-B", "-m", "pytest", "-q",
                       "-p", "no:cacheprovider", "--tb=short", f"--rootdir={SOURCES}",
                       f"{item.path}::{item.nodeid.split('::', 1)[1]}"],
                      layers=[self.directory / layer for layer in layers], writable=[reports], seconds=seconds)
        found = [item.config.hook.pytest_report_from_serializable(config=item.config, data=json.loads(line))
                 for path in reports.iterdir() for line in path.read_text().splitlines()]
        if not any(report.when == "teardown" for report in found):
            found.append(report_of(item, "failed", f"its box ended with {result.returncode}, in the middle of the "
                                                   f"test:\n{result.stdout}"))
        for report in found:
            # The paths of the inner one may start elsewhere.
            report.nodeid, report.location = item.nodeid, item.location
            if isinstance(report.longrepr, list):  # why it was skipped, which JSON has made a list
                report.longrepr = tuple(report.longrepr)
        return found

    def pytest_sessionfinish(self):
        if self.directory:
            shutil.rmtree(self.directory)


def pytest_terminal_summary(terminalreporter):
    """The figures, after all tests: where several run at once nobody can print in between."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, text in report.user_properties if report.when == "call" and not IS_INSIDE else ():
            if name == "shown":
                terminalreporter.write_line(f"    {report.nodeid.split('::')[-1]}: {text}")


def boot(command, layers=(), writable=(), seconds=60):
    options = [word for path in layers for word in ("-l", path)]
    options += [word for path in writable for word in ("-b", path)]
    with subprocess.Popen(["sh", HERE / "boot.sh", "-t", str(seconds), *options, *command], cwd=SOURCES,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as process:
        try:
            output = process.communicate(timeout=seconds + 60)[0]
        except subprocess.TimeoutExpired:
            process.terminate()
            output = process.communicate()[0] + "\n(its time was over)"
    return subprocess.CompletedProcess(command, process.returncode, output)


def bring_programs(build, layer):
    """What every box has beside this machine's own files."""
    for product in PRODUCTS:
        target = layer / PROGRAMS.relative_to("/") / product
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(build / product, target)
    shutil.copytree(SOURCES / "config/examples", layer / "srv")


def install(build, layer):
    """What `meson install` puts there; returns what went wrong, or None."""
    result = subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet"], text=True, check=False,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            env={**os.environ, "DESTDIR": str(layer)})
    return result.stdout if result.returncode != 0 else None


def report_of(item, outcome, text):
    return pytest.TestReport(item.nodeid, item.location, {}, outcome, text, "setup")


# ---- inside ----

@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    if IS_INSIDE and REPORTS in os.environ:
        data = CONFIG[0].hook.pytest_report_to_serializable(config=CONFIG[0], report=report)
        with open(Path(os.environ[REPORTS], "reports"), "a", encoding="utf-8") as file:
            file.write(json.dumps(data) + "\n")


CONFIG = []


def pytest_sessionstart(session):
    CONFIG.append(session.config)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if IS_INSIDE and report.failed:
        journal = subprocess.run(["journalctl", "--no-pager", "--boot", "--lines=150", "--output=short-precise"],
                                 capture_output=True, text=True, check=False)
        report.sections.append(("the journal", journal.stdout))


@pytest.fixture
def box():
    from box import Box                         # pylint: disable=import-outside-toplevel
    found = Box(PROGRAMS)
    yield found
    found.destroy()


@pytest.fixture
def show(request):
    """Says a figure that a reader of the whole run wants to see, also when the test passes."""
    def say(text):
        request.node.user_properties.append(("shown", text))

    return say
