"""`mmcore env`: shows version, build, interpreter and machine, for a bug report."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from mmcore._cli import output
from mmcore._environment import build, environment
from mmcore.reporting import Grid, head
from mmcore.reporting._document import as_json as to_json
from mmcore.reporting._parts import columns


def env(*, as_json: Annotated[bool, Parameter(name="--json", negative=())] = False) -> int:
    """Show version, build, interpreter and machine, for a bug report.

    Args:
        as_json: print one JSON document (docs/json.md) instead of a table.
    """
    if as_json:
        output.show(to_json(head("environment", "mmcore env")))
        return 0
    facts = {**environment(), "build": build()}
    rows = tuple((name, _shown(value)) for name, value in facts.items())
    output.display(Grid(columns("fact", "value"), rows))
    return 0


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return str(value)
