"""The code of docs/traces.md runs, and its assertions hold."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "traces.md"
FENCED = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = FENCED.findall(PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_code_of_the_page_runs(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[number], f"{PAGE.name}, block {number + 1}", "exec"), {})


def test_there_is_code():
    assert BLOCKS
    assert all("assert " in block for block in BLOCKS)
