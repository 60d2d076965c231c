"""docs/semantics.md: what it says holds a rule is there."""

import json
import re
from pathlib import Path

import pytest

import mmcore
from test_recordings import SHIPPED, collection

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "semantics.md").read_text(encoding="utf-8")
#: The last cell of each row that states a rule.
ROWS = [
    (line.split("|")[1].strip(), line.split("|")[-2].strip())
    for line in TEXT.splitlines()
    if line.startswith("|") and "held by" not in line and not line.startswith("|---")
]
RECORDING = re.compile(r"\b([ghmps]\d+[-a-z0-9]*)(?:/(\d+))?")
#: Where files of tests, and files with tests in them, are.
FOLDERS = (
    ".",
    "tests",
    "rust/core/src",
    "rust/core/src/map",
    "rust/core/src/load",
    "rust/core",
    "rust",
)


def recordings():
    """Every recording that is known here, by its short name: the numbers of its steps."""
    folders = [SHIPPED] + ([collection()] if collection() else [])
    known = {}
    for folder in folders:
        for path in folder.glob("6.*/*.json"):
            if path.stem != "performance":
                steps = len(json.loads(path.read_text(encoding="utf-8"))["steps"])
                for name in (path.stem, path.stem.split("-")[0]):
                    known[name] = max(steps, known.get(name, 0))
    return known


KNOWN = recordings()
MUTATIONS = {name for name, *_ in mmcore._mmcore.mutations()}
LOOM = "\n".join(path.read_text() for path in (ROOT / "rust/core/tests/loom").glob("*.rs"))


def test_there_are_rules():
    assert len(ROWS) > 100


@pytest.mark.parametrize(("rule", "held"), ROWS, ids=[rule[:40] for rule, _ in ROWS])
def test_what_holds_a_rule_is_there(rule, held):
    assert held, rule
    assert RECORDING.search(held) or "`" in held or "explored" in held or "standard set" in held
    for name in re.findall(r"`([^`]+)`", held):
        if name in MUTATIONS:
            continue
        if name.endswith((".rs", ".py")):
            assert any((ROOT / folder / name).is_file() for folder in FOLDERS), name
        else:
            # A loom model: of a file, or of a name.
            model = name.rstrip(":")
            file = ROOT / "rust/core/tests/loom" / f"{model}.rs"
            assert file.is_file() or re.search(rf"\b{model}\b", LOOM), name
    for name, step in RECORDING.findall(re.sub(r"`[^`]+`", "", held)):
        if collection() is None and name not in KNOWN:
            continue
        assert name in KNOWN, name
        assert not step or int(step) < KNOWN[name], f"{name}/{step}"
