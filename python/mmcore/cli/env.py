"""`mmcore env`: what a bug report needs to say."""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from mmcore.cli import output
from mmcore.environment import environment


def env(*, as_json: Annotated[bool, Parameter(name="--json", negative=())] = False) -> int:
    """Show the environment: version, build, interpreter, machine.

    Args:
        as_json: print JSON instead of a table.
    """
    facts = environment()
    if as_json:
        output.show(json.dumps(facts, indent=2))
        return 0
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in facts.items():
        shown = (
            ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        )
        table.add_row(name, str(shown))
    output.render(table)
    return 0
