"""The commands of the guides run and print what the guides show.

`$ cat FILE` with the text below it makes the file. The output of the other commands may have `...`
for anything: within a line for a part of it, on a line of its own for any number of lines.
"""

import re
from pathlib import Path

import pytest

from document_blocks import commands, files
from mmcore._cli import run
from test_documented_commands import words

#: The guides, and how many commands of mmcore each has at least.
PAGES = {"tutorial.md": 3, "reading-a-race.md": 1, "stress-to-race.md": 3, "explorer.md": 2}
#: Commands that the test leaves out: they take long, or a file of theirs is not in the page.
LONG = re.compile(r"standard|soak|hunt$|.*#|explore my\.mm|explore no_drain")


def pattern(shown):
    """The pattern that an output must match."""
    parts = []
    for line in shown.splitlines():
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            # Columns are as wide as their widest cell.
            words = [re.escape(word).replace(r"\.\.\.", ".*") for word in line.split()]
            parts.append(r"\s*" + r"\s+".join(words) + r"\s*\n")
    return "".join(parts)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_print_what_the_page_shows(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    done = 0
    for name, text in files(page).items():
        Path(name).write_text(text, encoding="utf-8")
    for command, shown in commands(page):
        if command.startswith("mmcore ") and not LONG.match(command.removeprefix("mmcore ")):
            assert run(words(command.removeprefix("mmcore "))) in (0, 1)
            printed = capsys.readouterr().out
            assert re.match(pattern(shown), printed), f"{command}\n{printed[:2000]}"
            done += 1
    assert done >= PAGES[page]


def test_an_output_that_differs_is_seen():
    assert re.match(pattern("a ... c\n...\nend\n"), "a b c\n1\n2\nend\n")
    assert not re.match(pattern("a ... c\n...\nend\n"), "a b d\n1\n2\nend\n")
    assert not re.match(pattern("a\n"), "b\n")
