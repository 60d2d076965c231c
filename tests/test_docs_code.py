"""The Python code of the documents runs, and its assertions hold.

The blocks of a page run in order, in one namespace and in a folder with the files that the page
shows, as a reader would type them. A block after `<!-- not run: REASON -->` is compiled only.
"""

from pathlib import Path

import pytest

import mmcore
from document_blocks import DOCS, code, files

RECORDINGS = sorted((Path(__file__).parent / "recordings" / "6.12").glob("h0*.json"))

PAGES = {page.name: found for page in sorted(DOCS.glob("*.md")) if (found := code(page.name))}
#: The guides. Their code asserts its results: code that only shows something is no example.
GUIDES = (
    *("clusters.md", "memory-blocks.md", "memory-failure.md", "own-design.md", "own-policy.md"),
    *("owners.md", "reading-a-race.md", "stress-to-race.md", "tutorial.md"),
)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_the_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in files(page).items():
        Path(name).write_text(text)
    compare = mmcore.compare
    # A reader waits for a measurement; a test need not.
    short = {"seconds": 0.5}
    monkeypatch.setattr(mmcore, "compare", lambda *of, **by: compare(*of, **{**by, **short}))
    Path("recordings/6.12").mkdir(parents=True)
    for recording in RECORDINGS[:2]:
        Path("recordings/6.12", recording.name).symlink_to(recording)
    names = {"__name__": "__main__", "mmcore": mmcore}
    for number, block in enumerate(PAGES[page], start=1):
        compiled = compile(block["code"], f"{page}, block {number}", "exec")
        if block["reason"] is None:
            exec(compiled, names)


@pytest.mark.parametrize("page", GUIDES)
def test_examples_say_what_comes_out(page):
    assert any("assert " in block["code"] for block in PAGES[page])


def test_most_pages_have_code_and_most_code_runs():
    every = [block for found in PAGES.values() for block in found]
    assert len(PAGES) >= 15
    assert len(every) >= 50
    assert sum(block["reason"] is not None for block in every) <= len(every) // 5
