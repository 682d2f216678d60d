"""The command line, and what is said of configurations that are not good.

Each file in bad/ says of itself what must be said of it: a line that ends in "# BAD PATTERN" has a
problem, and the message matches PATTERN; one that ends in "# EITHER" may have one (a syntax error may
be noticed later than it was made).
"""

import re
from pathlib import Path

import pytest
from house import toy

BAD = sorted((Path(__file__).parent / "bad").glob("*.conf"))
MARK = re.compile(r"# (BAD|EITHER)(?: (.*))?$")


def problems(result, path):
    """{line number: message} of what was said, which must be nothing but problems."""
    found = {}
    for line in (result.stdout + result.stderr).splitlines():
        match = re.match(rf"(?:<\d>)?(?:reuseportd: )?{re.escape(str(path))}:(\d+): (.+)$", line)
        if match:
            found.setdefault(int(match.group(1)), []).append(match.group(2))
    return found


def test_there_are_twenty_bad_files():
    assert len(BAD) >= 20


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_every_problem_is_one_line_with_its_place(house, path):
    wanted, possible = {}, set()
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        mark = MARK.search(line)
        if mark and mark.group(1) == "BAD":
            wanted[number] = mark.group(2) or ""
        elif mark:
            possible.add(number)

    result = house.command("-t", "-c", path)
    found = problems(result, path)
    assert result.returncode == 78, result
    assert found, result
    assert set(wanted) <= set(found) and set(found) <= set(wanted) | possible, (found, result)
    for number, pattern in wanted.items():
        assert any(re.search(pattern, text) for text in found[number]), (pattern, found[number])
    assert all(len(texts) == 1 for number, texts in found.items() if number in wanted), found


def test_nothing_starts_with_a_bad_file(house):
    daemon = house.start(toy(["--version=1"], service='workers_ = 1;'))
    assert daemon.wait() == 78
    daemon.log.join()
    assert "toy:" not in daemon.log.text()


@pytest.mark.parametrize("content", [b"", b"endpoints: {\0};\n", b"\xff\xfe\n", b"x" * (1 << 20 | 1)],
                         ids=["empty", "NUL", "not UTF-8", "1 MiB and one byte"])
def test_strange_files_end_in_good_order(house, content):
    path = house.directory / "strange.conf"
    path.write_bytes(content)
    result = house.command("-t", "-c", path)
    assert result.returncode in (0, 78) and (content == b"" or result.returncode == 78), result


@pytest.mark.parametrize("path", ["/nowhere/endpoints.conf", "/", "/dev/zero"])
def test_what_is_no_file_is_named(house, path):
    result = house.command("-t", "-c", path)
    assert result.returncode == 78, result
    assert path in result.stderr + result.stdout


def test_a_good_file_is_good_and_opens_nothing(house):
    path = house.write(toy())
    result = house.command("-t", "-c", path)
    assert result.returncode == 0, result
    assert house.command("-c", path, "--check").returncode == 0


def test_version_and_help(house):
    version = house.command("-V")
    assert version.returncode == 0 and re.search(r"reuseportd \d+\.\d+", version.stdout), version
    assert house.command("--version").stdout == version.stdout
    for flag in ("-h", "--help"):
        result = house.command(flag)
        assert result.returncode == 0 and "--config" in result.stdout, result


@pytest.mark.parametrize("arguments", [["--nonsense"], ["-c"], ["unexpected"]])
def test_a_wrong_command_line_is_refused(house, arguments):
    result = house.command(*arguments)
    assert result.returncode not in (0, 78) and result.stderr, result
