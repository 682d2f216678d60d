"""Nobody is lost: what two files of the integration tests say when they run with their full counts."""

import os
import re
import subprocess
import sys
from pathlib import Path

from bench import Page

TESTS = Path(__file__).resolve().parents[1] / "integration"
FILES = ("test_handshakes.py", "test_deploy_many.py")
SHOWN = re.compile(r"^ {4}test_(\w+): (.*?)\.?\s*(?:\[\d+%\])?$", re.MULTILINE)
SUMMARY = re.compile(r"^(?:\d+ (?:passed|failed|skipped|error)s?(?:, )?)+ in .*$", re.MULTILINE)


def run(bench):
    page = Page("Slow handshakes, and a thousand deploys")
    environment = os.environ | ({"REUSEPORT_TEST_LONG": "1"} if bench.is_long else {})
    result = subprocess.run([sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short",
                             f"--build={bench.build}", *(str(TESTS / name) for name in FILES)],
                            env=environment, capture_output=True, text=True, check=False)
    page.say(f"{' and '.join(FILES)} of tests/integration, by the name of the test:")
    page.say()
    for name, text in SHOWN.findall(result.stdout):
        page.say(f"- {name.replace('_', ' ')}: {text}")
    summary = SUMMARY.search(result.stdout)
    page.goal("slow handshakes and a thousand deploys lose nobody", "all pass",
              summary.group(0) if summary else "no results", result.returncode == 0)
    if result.returncode != 0:
        print(result.stdout, result.stderr, flush=True)
    return page
