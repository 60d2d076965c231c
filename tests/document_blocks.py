"""The blocks of the documents: Python code, commands with their output, and files."""

import re
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
CODE = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+) -->\n\n?)?"
    r"^```(?:python|\{code-cell\}[^\n]*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text(page):
    return (DOCS / page).read_text(encoding="utf-8")


def code(page):
    """The blocks of Python code of a page, in order."""
    return list(CODE.finditer(text(page)))


def commands(page):
    """Yields each command of the consoles of a page with the lines below it."""
    for block in CONSOLE.findall(text(page)):
        for found in re.finditer(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            yield found[1], found[2]


def files(page):
    """The files that a page shows by `$ cat FILE`, by name."""
    return {
        found[1]: shown
        for command, shown in commands(page)
        if (found := re.fullmatch(r"cat (\S+)", command))
    }
