"""`mmcore profiles`: the choices that a profile is made of."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

import mmcore
from mmcore.cli import output


def profiles(
    first: str | None = None,
    second: str | None = None,
    /,
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """List the fields of a profile, or those in which two presets differ.

    Args:
        first: a preset such as 6.1; left out: all presets.
        second: another preset: only what differs is listed.
        as_json: print JSON instead of lines.
    """
    result = mmcore.profiles(first, second)
    output.show(result.to_json() if as_json else result)
    return 0
