"""What may have become of the configuration while nobody looked; each is called with its path."""

import re

SAID = "The configuration has problems, the settings of before stay in force"


def bad(path):
    path.write_text("endpoints: { web: { listen_stram = 8080; }; };")


def cut(path):
    text = path.read_text()
    path.write_text(text[:len(text) // 2])


def gone(path):
    path.unlink()


def a_directory(path):
    path.unlink()
    path.mkdir()


def without_its_directory(path):
    path.write_text(re.sub("^", 'include_dir = "/nowhere";\n', path.read_text(), count=1))


MISHAPS = [bad, cut, gone, a_directory, without_its_directory]
