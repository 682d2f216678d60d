"""The checks of the sources: that they can fail, and that what is shipped is whole."""

import re
import subprocess

import pytest
from house import SOURCES


def check_layers(src):
    return subprocess.run(["sh", SOURCES / "tests/check-layers.sh", src], capture_output=True, text=True,
                          check=False)


@pytest.mark.parametrize(("file", "line", "message"), [
    ("base/a.c", '#include "reuse/reuseport.h"', "base may not use"),
    ("reuse/a.c", '#include "settings/settings.h"', "reuse may not use"),
    ("reuse/a.c", "#include <systemd/sd-event.h>", "libc only"),
    ("settings/a.h", '# include "daemon/x.h"', "settings may not use"),
    ("ctl/a.c", '#include "daemon/x.h"', "ctl may not use"),
    ("ctl/a.c", '#include "reuse/reuseport.h"', "ctl may not use"),
    ("daemon/a.c", '#include "ctl/x.h"', "daemon may not use"),
    ("daemon/a.c", '#include "nothing.h"', "not a header of daemon"),
    ("attic/a.c", "", "not a floor"),
])
def test_an_include_that_climbs_is_found(tmp_path, file, line, message):
    for header in ("base/fd.h", "reuse/reuseport.h", "settings/settings.h", "daemon/x.h", "ctl/x.h"):
        (tmp_path / header).parent.mkdir(exist_ok=True)
        (tmp_path / header).touch()
    (tmp_path / "daemon/good.c").write_text('#include "base/fd.h"\n#include "reuse/reuseport.h"\n')
    assert check_layers(tmp_path).returncode == 0

    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(f"/* A file. */\n\n{line}\n")
    result = check_layers(tmp_path)
    assert result.returncode == 1 and message in result.stdout, result


def test_nothing_is_freed_on_the_way_to_where_that_is_noted():
    """`x->owner->x = x_free(x)`: C does not say which side comes first, and clang -O3 frees first."""
    through = re.compile(r"^\s*(\w+)->[\w.]+->[\w.>-]+ = \w+\(\1\);", re.MULTILINE)
    assert through.search("        l->service->held = held_look_free(l);\n")
    found = [f"{path.name}: {match.group().strip()}" for path in sorted((SOURCES / "src").rglob("*.c"))
             for match in through.finditer(path.read_text()) if "_free(" in match.group() or "_unref(" in match.group()]
    assert not found


def test_the_commented_configuration_has_every_key():
    table = "".join(path.read_text() for path in (SOURCES / "src/settings").glob("*-table.c"))
    keys = set(re.findall(r'\.name = "(\w+)"', table))
    shipped = (SOURCES / "config/endpoints.conf").read_text()
    missing = {key for key in keys if not re.search(rf"^// +{key} = ", shipped, re.MULTILINE)}
    assert len(keys) > 15 and not missing


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "src/README.md"])
def test_what_the_documents_link_to_exists(page):
    path = SOURCES / page
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_map_knows_every_file_of_the_sources_and_no_other():
    """In the first column of its floor's table: by its name, or as one of a family, `bus-*`."""
    text = (SOURCES / "src/README.md").read_text()
    wrong = []
    for directory in sorted(path for path in (SOURCES / "src").iterdir() if path.is_dir()):
        section = re.search(rf"^### {directory.name}:.*?(?=^##)", text, re.MULTILINE | re.DOTALL)
        assert section, f"the map has no floor {directory.name}"
        columns = re.findall(r"^\| ([^|]+) \|", section.group(), re.MULTILINE)
        known = {word for column in columns if column != "file" for word in re.split(r", ", column)}
        stems = {path.stem for path in directory.rglob("*.[ch]")}
        for path in directory.rglob("*.c"):
            if not {path.stem, path.name, f"{path.stem.split('-')[0]}-*"} & known:
                wrong.append(f"{path.name} is not in the map")
        for word in known:
            if not any(stem == word.split(".")[0] or stem.startswith(word.removesuffix("*"))
                       and word.endswith("*") for stem in stems):
                wrong.append(f"{directory.name} has no {word}")
    assert not wrong


def test_the_readme_installs_what_the_build_needs():
    listed = re.findall(r"^build +(\S+)$", (SOURCES / "tests/packages").read_text(), re.MULTILINE)
    command = re.search(r"^apt-get install ((?:.*\\\n)*.*)$", (SOURCES / "README.md").read_text(), re.MULTILINE)
    assert sorted(command.group(1).replace("\\\n", " ").split()) == sorted(listed)


def test_the_catalog_explains_every_message_and_no_other():
    table = re.findall(r'^#define MESSAGE_(\w+)\s+"([0-9a-f]{32})"$',
                       (SOURCES / "src/daemon/messages.h").read_text(), re.MULTILINE)
    entries = re.findall(r"^# (\w+)\n-- (\w+)\nSubject: .+\nDefined-By: reuseportd\nDocumentation: .+\n\n.+$",
                         (SOURCES / "units/reuseportd.catalog").read_text(), re.MULTILINE)
    assert len(table) > 30 and sorted(entries) == sorted(table)
    assert len({number for _, number in table}) == len(table)

    code = "".join(path.read_text() for path in (SOURCES / "src/daemon").rglob("*.c"))
    assert [name for name, _ in table if not re.search(rf"\bMESSAGE_{name}\b", code)] == []


def test_the_catalog_names_only_verbs_and_keys_that_there_are():
    catalog = (SOURCES / "units/reuseportd.catalog").read_text()
    verbs = set(re.findall(r'^        \{ "([a-z-]+)", "', (SOURCES / "src/ctl/verbs.c").read_text(), re.MULTILINE))
    named = set(re.findall(r"reuseportctl ([a-z-]+)", catalog))
    assert verbs > named and {"status", "logs"} <= named
    keys = set(re.findall(r"^// +(\w+) = ", (SOURCES / "config/endpoints.conf").read_text(), re.MULTILINE))
    words = set(re.findall(r"\b([a-z]+(?:_[a-z]+)+)\b", catalog)) - {"sd_notify", "optmem_max"}
    assert words <= keys, words - keys
