"""Every citation in code and documents leads to something that is there.

A check takes one file and returns the citations in it that lead nowhere. The checks run over all
files of the repository, and over planted citations that are dead (`CHECKS`): a check that sees
nothing fails there.
"""

import functools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mmcore._recordings import rules
from mmcore._recordings.compare import Difference
from mmcore._recordings.rules import rule_of

ROOT = Path(__file__).parents[1]
RECORDINGS = ROOT / "tests" / "recordings"
#: This file cites what does not exist, on purpose.
SELF = Path(__file__).name
#: Folders that hold only built files.
BUILT = {".venv", "target", "_build", ".git", "__pycache__", "node_modules"}


class Text(NamedTuple):
    """A file of the repository: its path from the root, and its content."""

    path: str
    text: str

    @property
    def prose(self) -> str:
        """The whole file in one line, without the signs that mark comments."""
        return re.sub(r"\n\s*(?://[/!]?|#)?[ \t]*", " ", self.text)

    @property
    def comments(self) -> str:
        """A document without its code blocks, or the comments and docstrings of code."""
        if self.path.endswith(".md"):
            return re.sub(r"^```.*?^```", "", self.text, flags=re.MULTILINE | re.DOTALL)
        if self.path.endswith(".rs"):
            return "\n".join(re.findall(r"//.*", self.text))
        return "\n".join(re.findall(r'#.*|"""[\s\S]*?"""', self.text))


@functools.cache
def paths() -> tuple[str, ...]:
    """All files of the repository, from its root."""
    found: list[str] = []
    for folder in ("rust", "python", "tests", "benches", "docs"):
        files = (path for path in sorted((ROOT / folder).rglob("*")) if path.is_file())
        relative = (path.relative_to(ROOT) for path in files)
        found.extend(path.as_posix() for path in relative if BUILT.isdisjoint(path.parts))
    return (*found, *(path.name for path in sorted(ROOT.iterdir()) if path.is_file()))


@functools.cache
def texts() -> tuple[Text, ...]:
    """All code and documents except this file."""
    suffixes = (".rs", ".py", ".pyi", ".md")
    return tuple(
        Text(path, (ROOT / path).read_text(encoding="utf-8"))
        for path in paths()
        if path.endswith(suffixes) and not path.endswith(SELF)
    )


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def cells(row: str) -> list[str]:
    """The cells of a table's row."""
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


# The things that can be cited.


@functools.cache
def sections() -> dict[str, str]:
    """The handbook's sections by number, each with its text."""
    parts = re.split(
        r"^#{2,3} (\d+(?:\.\d+)?)\.? .*$", read("docs/lifecycle.md"), flags=re.MULTILINE
    )
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@functools.cache
def bugs() -> dict[str, str]:
    """The kernel's bugs by number, each with its text."""
    parts = re.split(r"^### (\d+)\. .*$", read("docs/kernel-bugs.md"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@functools.cache
def mutations() -> dict[str, str]:
    """The defects that the explorer can put back, each with its origin."""
    source = read("rust/core/src/mutation.rs")
    return dict(re.findall(r'^    \w+ = "([a-z-]+)", "(.*)";$', source, flags=re.MULTILINE))


@functools.cache
def recordings() -> dict[str, list[Path]]:
    """The recordings that ship, by their names and by the first words of their names."""
    found: dict[str, list[Path]] = {}
    for path in sorted(RECORDINGS.glob("6.*/*.json")):
        if path.stem != "performance":
            for name in {path.stem, path.stem.split("-")[0]}:
                found.setdefault(name, []).append(path)
    return found


@functools.cache
def steps(name: str) -> int:
    """The number of steps of the longest recording of that name."""
    return max(
        len(json.loads(path.read_text(encoding="utf-8"))["steps"]) for path in recordings()[name]
    )


@functools.cache
def invariants() -> dict[str, str]:
    """The numbered invariants of the design, each with the rest of its row."""
    part = read("docs/design.md").split("\n## Invariants\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| (\d+) \| (.*) \|$", part, flags=re.MULTILINE))


@functools.cache
def audit_rules() -> frozenset[str]:
    """The rules that an audit can report: its own, and those of the owners of movable pages."""
    own = "".join(read(path) for path in paths() if path.startswith("rust/core/src/audit/"))
    owners = "".join(read(f"rust/core/src/{name}.rs") for name in ("balloon/ops", "movable/pool"))
    rules = re.findall(r'report\s*\.\s*(?:page|machine)\(\s*"([^"]+)"', own)
    return frozenset([*rules, *re.findall(r'report\(\s*"([^"]+)"', owners)])


@functools.cache
def anchors(path: str) -> frozenset[str]:
    """The targets of links in a document: its labels, and its headings as GitHub writes them."""
    text = re.sub(r"^```.*?^```", "", read(path), flags=re.MULTILINE | re.DOTALL)
    labels = re.findall(r"^\(([\w-]+)\)=$", text, flags=re.MULTILINE)
    headings = re.findall(r"^#{1,3} (.*)$", text, flags=re.MULTILINE)
    slugs = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return frozenset([*labels, *slugs])


@functools.cache
def is_file(name: str) -> bool:
    """True if this is the path of a file, from the root or from any folder on the way to it."""
    return any(path == name or path.endswith("/" + name) for path in paths())


# The checks.


def dead_sections(file: Text) -> Iterator[str]:
    """Section 6.3 of the handbook, or step 8 of it, or steps 6 and 10."""
    one = r"\d+(?:\.\d+)?"
    several = rf"{one}(?:(?:, | and | or ){one})*"
    steps = r"\d+(?:(?:, | and | or | to )\d+)*\b(?!\.\d)"
    cited = rf"\blifecycle(?:\.md)?\W{{0,3}}(?:sections? )?({several})(?: steps? ({steps}))?"
    for number in re.findall(rf"\blifecycle {one}(?:-| to )({one})", file.prose):
        if number not in sections():
            yield f"lifecycle {number}"
    for numbers, cited_steps in re.findall(cited, file.prose):
        for number in re.findall(one, numbers):
            if number not in sections():
                yield f"lifecycle {number}"
                continue
            for step in re.findall(r"\d+", cited_steps):
                if not re.search(rf"^(?:{step}\. |\| {step} \|)", sections()[number], re.MULTILINE):
                    yield f"lifecycle {number} step {step}"
    if file.path == "docs/lifecycle.md":
        # Numbers in brackets after a year are versions of the kernel.
        inner = rf"(?:\bsee |\b[Ss]ections? |(?<!2016 )(?<!mid )(?<!today )\()({one})(?=[);,. ]|$)"
        for number in re.findall(inner, file.text, flags=re.MULTILINE):
            if number not in sections() and "." in number:
                yield f"section {number}"


def _numbers(word: str, text: str) -> list[str]:
    """The numbers behind a word: `bug 17`, `bugs 17, 22 and 30`."""
    several = re.findall(rf"\b{word} (\d+(?:(?:, | and |, and | or )\d+)*)\b", text)
    return [number for listed in several for number in re.findall(r"\d+", listed)]


def dead_bugs(file: Text) -> Iterator[str]:
    """Bug 17 of the list."""
    for number in _numbers("bugs?", file.prose):
        if number not in bugs():
            yield f"bug {number}"


#: h01, h01/4, s08-swap-zeroes/5; percentiles look like them.
RECORDING = re.compile(
    r"(?<![\w/.-])(?!p(?:50|90|99)\b)([bcghlmopsz]\d{2,6}(?:-[a-z0-9]+)*)(?:/(\d+))?\b"
)
#: A recording whose number has one digit is cited with a step only: p0 is a page, c0 a child.
SHORT = re.compile(r"(?<![\w/.-])([bcghlmopsz]\d(?:-[a-z0-9]+)*)/(\d+)\b")


def dead_recordings(file: Text) -> Iterator[str]:
    """Recording h01, or step h01/4; the profile's texts cite them too, not only its comments."""
    where = file.text if file.path.endswith("profile.rs") else file.comments
    for pattern in (RECORDING, SHORT):
        for name, step in pattern.findall(where):
            if name not in recordings():
                yield name
            elif step and int(step) >= steps(name):
                yield f"{name}/{step}"


def dead_mutations(file: Text) -> Iterator[str]:
    """The mutation `hook-without-lock`, or the same after --mutation or `mmcore hunt`."""
    found = re.findall(r"(?:--mutation|mmcore hunt) ([a-z]+(?:-[a-z]+)+)", file.text)
    found += re.findall(r"\bmutation ([a-z]+(?:-[a-z]+)+)\b", file.prose)
    for listed in re.findall(r"\bmutations?:? (`[a-z-]+`(?:(?:, | and )`[a-z-]+`)*)", file.prose):
        found += re.findall(r"`([a-z]+(?:-[a-z]+)+)`", listed)
    return (f"mutation {name}" for name in found if name not in mutations())


#: A name in capitals stands for the reader's own: `cli/VERB.py`.
PLACEHOLDER = re.compile(r"\b[A-Z]+\.\w+$")


def dead_files(file: Text) -> Iterator[str]:
    """A file of code or a document, by its path; in commands too, if it has a folder."""
    where = file.text if file.path.endswith(".md") else file.comments
    found = re.findall(r"`([\w./-]+\.(?:rs|py|pyi|md))`", file.comments)
    found += re.findall(r"(?<![\w/`.:-])(\w+(?:/\w+)+\.rs)\b", file.comments)
    found += re.findall(r"(?<![\w/])((?:docs|tests|benches|rust|python)/[\w./-]+\.[a-z]\w*)", where)
    return (name for name in found if not is_file(name) and not PLACEHOLDER.search(name))


def dead_links(file: Text) -> Iterator[str]:
    """A link in a document, or a heading that is named behind a document."""
    if file.path.endswith(".md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", file.comments)):
            if re.match(r"[a-z]+:", target):
                continue
            page, _, anchor = target.partition("#")
            path = (ROOT / file.path).parent / page if page else ROOT / file.path
            name = path.resolve().relative_to(ROOT).as_posix()
            if not path.is_file() or (anchor and anchor not in anchors(name)):
                yield target
    for page, heading in re.findall(r'`(docs/[\w-]+\.md)`, "([^"]+)"', file.prose):
        if not re.search(rf"^#+ {re.escape(heading)}$", read(page), flags=re.MULTILINE):
            yield f"{page}, {heading}"


#: In the audit: a comment that begins with the number of what it checks, or the report of a rule.
AUDITED = re.compile(
    r"//[/!]? Rules? (\d+(?:(?:, | and )\d+)*)\b"
    r'|report\s*\.\s*(?:page|machine)\(\s*"([^"]+)"'
)


def dead_invariants(file: Text) -> Iterator[str]:
    """Invariant 7; in the audit also the number before a rule, in whose row the rule must be."""
    numbers = _numbers("[Ii]nvariants?", file.prose)
    if file.path.startswith("rust/core/src/audit/"):
        before: list[str] = []
        for listed, rule in AUDITED.findall(file.text):
            if listed:
                before = re.findall(r"\d+", listed)
                numbers += before
            elif not any(f'"{rule}"' in invariants().get(number, "") for number in before):
                yield f"rule {rule}"
    for number in numbers:
        if number not in invariants():
            yield f"invariant {number}"


CHECKS: dict[Callable[[Text], Iterator[str]], list[tuple[Text, str]]] = {
    dead_sections: [
        (Text("a.rs", "//! Frees a page (lifecycle\n//! 99.1)."), "lifecycle 99.1"),
        (Text("a.rs", "// As lifecycle 3.3, 3.9 say."), "lifecycle 3.9"),
        (Text("a.rs", "// As lifecycle 3.3-3.99 say."), "lifecycle 3.99"),
        (Text("a.md", "[lifecycle 17.2](lifecycle.md)"), "lifecycle 17.2"),
        (Text("a.rs", '"lifecycle 6.3 step 77; 6.1: h01"'), "lifecycle 6.3 step 77"),
        (Text("a.rs", "//! As lifecycle 6.3 steps 6 and 78, 6.8."), "lifecycle 6.3 step 78"),
        (Text("docs/lifecycle.md", "That is an exception (6.77)."), "section 6.77"),
    ],
    dead_bugs: [
        (Text("a.rs", '"605ca5ede764, bug 22"'), "bug 22"),
        (Text("a.rs", "// As bugs 3 and 999."), "bug 999"),
    ],
    dead_recordings: [
        (Text("a.rs", "// A page stays (h99/3)."), "h99"),
        (Text("a.rs", "// A page stays (h01/4000)."), "h01/4000"),
        (Text("docs/a.md", "| a rule | p2/999 |"), "p2/999"),
        (Text("profile.rs", '"6.1 and 6.12: h98/4"'), "h98"),
    ],
    dead_mutations: [
        (Text("a.md", "$ mmcore explore P --mutation no-such-thing"), "mutation no-such-thing"),
        (Text("a.md", "$ mmcore hunt no-such-thing"), "mutation no-such-thing"),
        (Text("a.rs", "// The mutation no-such-thing finds it."), "mutation no-such-thing"),
        (Text("a.md", "mutations `claim-not-checked`,\n`no-such-thing`"), "mutation no-such-thing"),
    ],
    dead_files: [
        (Text("a.md", "see `lru/nowhere.rs`"), "lru/nowhere.rs"),
        (Text("a.rs", "// As map/nowhere.rs says."), "map/nowhere.rs"),
        (Text("a.py", "# As docs/nowhere.md says."), "docs/nowhere.md"),
    ],
    dead_links: [
        (Text("docs/a.md", "[text](nowhere.md)"), "nowhere.md"),
        (Text("docs/a.md", "[text](design.md#no-such-part)"), "design.md#no-such-part"),
        (
            Text("a.rs", '//! `docs/design.md`, "Nothing of the kind".'),
            "docs/design.md, Nothing of the kind",
        ),
    ],
    dead_invariants: [
        (Text("a.md", "This is invariant 77."), "invariant 77"),
        (Text("a.md", "Invariants 3 and 99 hold."), "invariant 99"),
        (Text("rust/core/src/audit/a.rs", "// Rules 4 and 78: both hold."), "invariant 78"),
        (Text("rust/core/src/audit/a.rs", "//! Rule 79 for files."), "invariant 79"),
        (
            Text(
                "rust/core/src/audit/a.rs",
                '// Rule 6: content.\nreport.page("a page is in one place", pfn, what)',
            ),
            "rule a page is in one place",
        ),
        (
            Text("rust/core/src/audit/a.rs", 'report.page("nobody knows", pfn, what)'),
            "rule nobody knows",
        ),
    ],
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_no_citation_is_dead(check):
    dead = [f"{file.path}: {citation}" for file in texts() for citation in check(file)]
    assert not dead


@pytest.mark.parametrize(
    ("check", "file", "citation"),
    [(check, file, citation) for check, planted in CHECKS.items() for file, citation in planted],
)
def test_a_dead_citation_is_found(check, file, citation):
    assert citation in list(check(file))


def test_the_places_that_cite_are_seen():
    assert len(texts()) > 200
    assert (len(sections()), len(bugs())) == (66, 31)
    assert len(invariants()) == 10
    assert len(mutations()) > 50
    assert len(audit_rules()) > 40


# The list of bugs and the mutations name each other.


def test_each_bug_and_its_mutation_name_each_other():
    for number, entry in bugs().items():
        here = entry.split("**Here:** ")[1]
        named = re.match(r"mutation `([a-z-]+)`", here)
        row = re.search(rf"^\| {number} \|(.*)$", read("docs/kernel-bugs.md"), flags=re.MULTILINE)
        assert row, f"bug {number} is not in the index"
        last = cells(row[1])[-1]
        if named is None:
            assert here.startswith("no mutation. "), number
            assert last.startswith("none: "), number
        else:
            assert last == f"`{named[1]}`"
            assert f"bug {number}" in mutations()[named[1]]
    numbers = {n for origin in mutations().values() for n in re.findall(r"bug (\d+)", origin)}
    assert numbers == {n for n, entry in bugs().items() if "**Here:** mutation" in entry}


def test_each_mutation_has_a_program():
    programs = {
        Path(path).stem for path in paths() if path.startswith("python/mmcore/data/mutations/")
    }
    assert programs == set(mutations())


def test_the_design_lists_no_rule_that_the_audit_does_not_have():
    listed = {rule for row in invariants().values() for rule in re.findall(r'"([^"]+)"', row)}
    assert listed == audit_rules()


# The page of rules: the tests and recordings that it names exist.

SEMANTICS = read("docs/semantics.md")
#: The first and the last cell of each row that states a rule.
RULES = [
    (cells(line)[0], cells(line)[-1])
    for line in SEMANTICS.splitlines()
    if line.startswith("|") and "held by" not in line and not line.startswith("|---")
]


#: The rules of calls. Those of the single page, which no call shows by itself, come before them.
RULES_OF_CALLS = [
    (cells(line)[0], cells(line)[-1])
    for line in SEMANTICS.partition("(move-pages-statuses)=")[2].splitlines()
    if line.startswith("|") and "held by" not in line and not line.startswith("|---")
]


@pytest.mark.parametrize(
    ("rule", "held"), RULES_OF_CALLS, ids=[rule[:40] for rule, _ in RULES_OF_CALLS]
)
def test_a_rule_of_a_call_names_a_recording_or_says_that_there_is_none(rule, held):
    plain = re.sub(r"`[^`]+`", "", held)
    named = RECORDING.search(plain) or SHORT.search(plain) or "recordings" in held
    assert named or held.startswith("not recorded"), rule


@functools.cache
def loom_models() -> str:
    return "\n".join(text.text for text in texts() if text.path.startswith("rust/core/tests/loom/"))


def test_there_are_rules():
    assert len(RULES) > 100


@pytest.mark.parametrize(("rule", "held"), RULES, ids=[rule[:40] for rule, _ in RULES])
def test_the_tests_that_hold_a_rule_exist(rule, held):
    plain = re.sub(r"`[^`]+`", "", held)
    assert (
        RECORDING.search(plain)
        or SHORT.search(plain)
        or re.search(r"`|explored|standard set", held)
    ), rule
    for name in re.findall(r"`([^`]+)`", held):
        # A mutation, a file, or a loom model: a file of them, or the name of one.
        model = name.rstrip(":")
        assert (
            name in mutations()
            or is_file(name)
            or is_file(f"rust/core/tests/loom/{model}.rs")
            or re.search(rf"\b{re.escape(model)}\b", loom_models())
        ), name
    standard = read("python/mmcore/data/standard.txt")
    for name in re.findall(r'"([^"]+)"', held):
        assert name in audit_rules() or re.search(
            rf"^{re.escape(name)} ", standard, flags=re.MULTILINE
        ), name


#: Every operation of the recordings.
OPERATIONS = sorted(
    {
        line.split()[0]
        for line in (ROOT / "rust/core/tests/data/recorded_ops.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
)
ADVICE = ("cold", "pageout", "free", "dontneed", "soft_offline", "hwpoison", "other")


@pytest.mark.parametrize("field", ["calls", "ret", "status", "pages.r0.3.ref", "n0", "vm"])
@pytest.mark.parametrize("op", [*OPERATIONS, *(f"madv r0 {advice}" for advice in ADVICE)])
def test_a_difference_leads_to_a_rule(op, field):
    assert rule_of(Difference(0, op, field, 1, 2)) in anchors("docs/semantics.md")


def test_the_rule_of_each_recorded_operation_is_written_down():
    words = rules._BY_OPERATION.keys() | rules._MIGRATION | {"madv"}
    assert words >= set(OPERATIONS)


def test_every_page_is_in_the_table_of_contents():
    trees = re.findall(
        r"^```\{toctree\}\n(?::.*\n)*\n((?:.+\n)+?)```", read("docs/index.md"), flags=re.MULTILINE
    )
    pages = {
        path.removeprefix("docs/").removesuffix(".md")
        for path in paths()
        if re.match(r"docs/[^/]+\.md$", path)
    }
    assert len(trees) > 1
    assert sorted("".join(trees).split()) == sorted(pages - {"index"})
