"""Replays a recording's script, as far as a machine can perform it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from mmcore import _mmcore
from mmcore._waiting import heard

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["replay"]

#: How a script asks for another guest than the usual one: in a comment, before its first operation.
_GUEST = re.compile(r"#.*\bmachine=(\w+)")


def replay(recording: Mapping[str, Any], release: str) -> dict[str, Any]:
    """The steps that the machine performs, as data.

    A recording's language has operations that the machine does not know, and guests that it does
    not build. The replay ends before the first of them, and says so under `unsupported`: one such
    recording must not keep the others from being compared.

    Args:
        recording: its script and steps agree with each other (`shape`).
        release: the profile to replay it under.
    """
    script = recording["script"]
    lines = script.splitlines() if isinstance(script, str) else list(script)
    guest = next((found[1] for line in lines if (found := _GUEST.match(line))), "")
    if guest:
        reason = f"the recording was made on the guest `{guest}`, which is not built here"
        return {"steps": [], "findings": [], "final": None, "unsupported": reason}
    known, missing = _known(lines)
    # One call of the core: a script of thousands of lines takes its time.
    told = heard(_mmcore.replay_program, "\n".join(known), f"machine kernel={release}")
    done: dict[str, Any] = json.loads(told)
    if missing is not None and done.get("unsupported") is None and not done["findings"]:
        done |= {"final": None, "unsupported": missing}
    return done


def _known(lines: list[str]) -> tuple[list[str], str | None]:
    """The lines before the first that the language of programs lacks, and why it ends there."""
    try:
        _mmcore.parse_program("\n".join(lines))
    except ValueError as error:
        message, line, _column = error.args
        return lines[: line - 1], message
    return lines, None
