"""Links between the documents lead to pages and headings that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY")),
    *sorted((ROOT / "docs").glob("*.md")),
]
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\[\]]*\]\(([^()\s]+)\)")


def anchors(text):
    """The names by which the headings of a page can be linked to, as GitHub and MyST make them."""
    names = []
    for heading in re.findall(r"^#{1,6} (.*)$", FENCE.sub("", text), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        names.append(re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-"))
    return names


def broken(files):
    """The links of files that lead nowhere, each with its file."""
    texts = {file: file.read_text(encoding="utf-8") for file in files}
    wrong = []
    for file, text in texts.items():
        for target in LINK.findall(FENCE.sub("", text)):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            page = (file.parent / name).resolve() if name else file
            if not page.exists():
                wrong.append(f"{file.name}: {target}: there is no such file")
                continue
            known = anchors(page.read_text(encoding="utf-8")) if page.suffix == ".md" else ()
            if anchor and anchor not in known:
                wrong.append(f"{file.name}: {target}: there is no such heading")
    return wrong


def test_links_lead_to_pages_and_headings():
    assert broken(FILES) == []


def test_pages_are_in_the_table_of_contents():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = {
        line
        for block in re.findall(r"```\{toctree\}\n(.*?)```", index, re.DOTALL)
        for line in block.splitlines()
        if re.fullmatch(r"[\w-]+", line)
    }
    pages = {file.stem for file in (ROOT / "docs").glob("*.md")} - {"index"}
    assert pages == listed


def test_a_broken_link_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A `b` c!\n[x](#a-b-c) [x](other.md) [x](page.md#d) [x](https://a/b)\n")
    found = broken([page])
    assert [line.split(": ")[1] for line in found] == ["other.md", "page.md#d"]
