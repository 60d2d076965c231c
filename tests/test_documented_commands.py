"""The commands in README, docs and Makefile are commands that the command line takes."""

import re
import shlex
from pathlib import Path

import pytest
from cyclopts import CycloptsError

from mmcore._cli import GROUPS, VERBS, app
from mmcore.reporting import KINDS

ROOT = Path(__file__).parent.parent
FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

#: The words in documented commands that the reader replaces, each with an example of its own.
STANDS_FOR = {"RECORDING...": ["RECORDING"], "'...'": ["PROGRAM @ SCHEDULE"]}


FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def cited(text):
    """Commands in code: the lines of fences that begin with `mmcore`."""
    for fence in FENCE.findall(text):
        for line in fence.splitlines():
            if found := re.match(r"(?:\$ |replay: )?mmcore (.*)", line.strip()):
                yield found[1]


def words(command):
    """The words of a command as a shell would hand them on, up to a pipe or a file."""
    lexer = shlex.shlex(command, posix=False, punctuation_chars="|>;")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    found = []
    for word in lexer:
        if set(word) <= set("|>;"):
            break
        found += STANDS_FOR.get(word, [word.strip("'\"")])
    return found


def parse(arguments):
    app().parse_args(arguments, exit_on_error=False, print_error=False)


TEXTS = {file: file.read_text(encoding="utf-8") for file in FILES}
COMMANDS = [
    pytest.param(command, id=f"{file.name}: {command[:60]}")
    for file, text in TEXTS.items()
    for command in cited(text)
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_cited_command_parses(command):
    parse(words(command))


def test_verbs_that_are_named_in_sentences_are_verbs():
    named = [
        (file.name, verb)
        for file, text in TEXTS.items()
        for verb in re.findall(r"`mmcore ([\w-]+)", FENCE.sub("", text))
    ]
    assert len(named) > 20
    assert [(file, verb) for file, verb in named if verb not in {*VERBS, "--help", "VERB"}] == []


def test_every_verb_is_cited_and_a_wrong_citation_is_seen():
    used = {words(parameter.values[0])[0] for parameter in COMMANDS}
    assert set(VERBS) <= used
    for wrong in ("explore --standard", "explore race.mm --replay x", "exploer race.mm"):
        with pytest.raises(CycloptsError):
            parse(words(wrong))


def test_the_makefile_calls_the_command_line_as_it_is():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    # The shell takes what follows `||`.
    calls = re.findall(r"\$\(BIN\)/mmcore (.*?)(?: \|\| .*)?$", text, re.MULTILINE)
    assert len(calls) >= 4
    variables = dict(re.findall(r"^(\w+) *\?= *(.*)$", text, re.MULTILINE))
    for call in calls:
        filled = re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], call)
        parse(shlex.split(filled))


def test_the_document_kinds_are_documented():
    text = TEXTS[ROOT / "docs" / "json.md"]
    assert tuple(re.findall(r"^\| `([a-z-]+)` \| `mmcore[ .]", text, re.MULTILINE)) == KINDS


def test_the_groups_have_each_verb_once():
    assert len(VERBS) == len(set(VERBS)) == sum(map(len, GROUPS.values()))
