"""The code of these pages runs, and its assertions hold."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
FENCED = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Each page, with the fewest blocks of code that it has: a page without code would test nothing.
PAGES = {"memory-blocks.md": 3, "memory-failure.md": 6}
BLOCKS = {page: FENCED.findall((DOCS / page).read_text(encoding="utf-8")) for page in PAGES}


@pytest.mark.parametrize(
    ("page", "number"), [(page, number) for page in PAGES for number in range(len(BLOCKS[page]))]
)
def test_the_code_of_the_page_runs(page, number):
    exec(compile(BLOCKS[page][number], f"{page}, block {number + 1}", "exec"), {})


@pytest.mark.parametrize("page", PAGES)
def test_there_is_code(page):
    assert len(BLOCKS[page]) >= PAGES[page]
    assert all("assert " in block for block in BLOCKS[page])
