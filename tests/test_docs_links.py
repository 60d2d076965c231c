"""Links between the documents lead somewhere, and each word that the glossary marks is in it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(path):
    return FENCED.sub("", path.read_text(encoding="utf-8"))


def slug(heading):
    """The name by which a heading is linked to, on GitHub and on the site."""
    bare = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", bare)).replace(" ", "-")


def anchors(path):
    return {slug(found) for found in re.findall(r"^#{1,6} (.*)$", prose(path), re.MULTILINE)}


def broken(path, text):
    """The links of a text at `path` that lead to no file of the repository, or to no heading."""
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        page = path.parent / name if name else path
        if not page.is_file() or (anchor and page.suffix == ".md" and anchor not in anchors(page)):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_leads_to_a_heading_that_is_there(page):
    assert list(broken(page, prose(page))) == []


def test_a_link_that_leads_nowhere_is_found():
    page = ROOT / "docs" / "compare.md"
    text = "[](no.md) [](ci.md#nothing) [](#traces) [](ci.md) [](https://x.org)"
    assert list(broken(page, text)) == ["no.md", "ci.md#nothing"]


def unexplained(text):
    """The words in italics that have no entry of their own, in any of their forms."""
    entries = {
        word.strip().lower()
        for row in re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)
        for word in re.split(r", | or ", re.sub(r"[`*]|\(.*?\)", "", row))
    }
    ends = ("", "s", "es", "d", "ed", "ing")
    # A word in italics that is no term: the sentence about italics itself.
    marked = set(re.findall(r"(?<![*\w])\*([A-Za-z][^*\n]*?)\*(?!\*)", text)) - {"italics"}
    for word in sorted(marked):
        forms = {word.lower().removesuffix(end) for end in ends}
        forms |= {form + "e" for form in forms} | {f"{form} page" for form in forms}
        if not forms & entries and not any(entry.removesuffix("s") in forms for entry in entries):
            yield word


def test_every_word_in_italics_of_the_glossary_has_an_entry():
    assert list(unexplained((ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"))) == []


def test_a_word_without_an_entry_is_found():
    text = "| drain | Empties the *batches* by a *put*. |\n| LRU batch, batch | A *batch*. |\n"
    assert list(unexplained(text)) == ["put"]
