"""Plain words: the first sentence of a comment has a thing of the field as its subject.

CONTRIBUTING.md, "Plain words", has the rule. A comment that begins with a question word ("What the
batches must hold.") has a clause in place of a subject, and must be read twice.
"""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: A head whose subject is a clause.
CLAUSE = re.compile(r"(?:What|Who|Whom|Whose|Why|Which|Whether|How)(?:ever)?\b")
#: "Where" and "When" begin a sentence of another kind as well: a condition, a comma, and then a
#: main clause with its own subject. Such a sentence is accepted.
CONDITION = re.compile(r"(?:Where|When)(?:ever)?\b(?![^.:;]*,)")
#: A pronoun in place of the subject; "This page" names one.
PRONOUN = re.compile(
    r"(?:It|They|Those|(?:This|That|These) (?:is|are|was|were|has|have|had|can|may|must|does|do))\b"
)
#: A parameter or an attribute in a docstring. Its text may begin with "whether", as a truth value.
FIELD = re.compile(r"\s*`?\w+`?: (?:what|whom?|whose|why|how|where|those)\b")


def hangs(text: str) -> bool:
    """True if the first sentence of a comment has a clause or a pronoun as its subject."""
    return any(kind.match(text) for kind in (CLAUSE, CONDITION, PRONOUN))


def blocks(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Joins comments on successive lines; yields the first line and the first paragraph."""
    before, first, text = -1, -1, []
    for number, line in [*lines, (-1, "")]:
        if number != before + 1 and text:
            yield first, " ".join(text).split("  ")[0].strip()
            text = []
        if not text:
            first = number
        text.append(line.strip() or " ")
        before = number


def of_rust(text: str) -> Iterator[tuple[int, str]]:
    """The comments of a Rust file: line and text."""
    found: dict[str, list[tuple[int, str]]] = {"//": [], "///": [], "//!": []}
    for number, line in enumerate(text.splitlines(), 1):
        if comment := re.match(r"\s*(//[/!]?) ?(.*)", line):
            found[comment[1]].append((number, comment[2]))
    for lines in found.values():
        yield from blocks(lines)


def of_python(text: str) -> Iterator[tuple[int, str]]:
    """The comments and docstrings of a Python file: line and text."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    yield from blocks(
        [
            (token.start[0], token.string.lstrip("#:"))
            for token in tokens
            if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip()
        ]
    )
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring is not None:
                yield node.body[0].lineno, docstring.split("\n\n")[0].replace("\n", " ")


def of_fields(text: str) -> Iterator[int]:
    """The lines of docstrings that explain a parameter by a question word."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False) or ""
            for number, line in enumerate(docstring.splitlines()):
                if FIELD.match(line):
                    yield node.body[0].lineno + number


def hanging(path: Path, text: str) -> list[str]:
    """The places of a file whose comments hang on a clause."""
    found = of_rust(text) if path.suffix == ".rs" else of_python(text)
    lines = [number for number, head in found if hangs(head)]
    lines += [] if path.suffix == ".rs" else of_fields(text)
    return [f"{path}:{number}: {text.splitlines()[number - 1].strip()}" for number in sorted(lines)]


def test_a_comment_begins_with_its_subject():
    listed = subprocess.run(
        ["git", "ls-files", "*.rs", "*.py", "*.pyi"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [Path(name) for name in listed.stdout.splitlines() if (ROOT / name).exists()]
    assert len(paths) > 500
    found = [place for path in paths for place in hanging(path, (ROOT / path).read_text())]
    assert not found, "\n".join(found)


def test_a_head_that_hangs_on_a_clause_is_found():
    rust = "/// What the batches must hold.\nmodel: Queues,\n// Not the head.\n// What follows.\n"
    assert hanging(Path("a.rs"), rust) == ["a.rs:1: /// What the batches must hold."]
    text = '"""How far the work has come."""\n#: Who took a page.\nTAKER = 1\n'
    assert [place.split(":")[1] for place in hanging(Path("a.py"), text)] == ["1", "2"]
    text = (
        '"""Looks.\n\nArgs:\n    title: what the table shows.\n    seen: whether it was seen.\n"""'
    )
    assert hanging(Path("a.py"), text) == ["a.py:4: title: what the table shows."]
    refused = (
        "Where the migrate scanner is.",
        "This is not the last put.",
        "Whoever waits, gets it.",
    )
    accepted = ("Where a page could not move, the rest is scanned.", "This page moves.", "Whatsit")
    assert [hangs(text) for text in (*refused, *accepted)] == [True] * 3 + [False] * 3
