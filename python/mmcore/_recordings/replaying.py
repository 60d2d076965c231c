"""Replays the script of a recording up to the first operation that the machine cannot do."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from mmcore import _mmcore
from mmcore._core import Profile
from mmcore._recordings.kernel_pages import kernel_pages
from mmcore._waiting import heard

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["replay"]

#: The comment by which a script names another guest than the usual one.
_GUEST = re.compile(r"#.*\bmachine=(\w+)")

#: The guests that can be built, each with the frames of its nodes.
_GUESTS = {
    "tiny": (65536, 65536, 3805),
    "dimm": (65536, 65536, 65536),
    "giga": (65536, 65536, 786432),
}

#: The guests whose last node is a plugged module: its memory blocks begin offline.
_PLUGGED = frozenset({"dimm", "giga"})


def replay(
    recording: Mapping[str, Any], release: str, fields: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Replays a script and returns the steps of the machine as plain data.

    Some scripts have operations that the machine does not know, or need a guest that it does not
    build. The replay ends before the first such operation, and the key `unsupported` has the
    reason: an exception would keep the other recordings from being compared.

    Args:
        recording: a recording that `shape` has validated.
        release: the preset of the profile.
        fields: fields of the profile that are set over the preset.

    Returns:
        A dict with `steps`, `findings`, `final` (None if the replay ended early), `unsupported`,
        and `counts_frames`, the field `compact_counts_frames` of the profile.

    Raises:
        ValueError: if the core refuses the script.
    """
    script = recording["script"]
    lines = script.splitlines() if isinstance(script, str) else list(script)
    guest = next((found[1] for line in lines if (found := _GUEST.match(line))), "")
    if guest and guest not in _GUESTS:
        reason = f"the recording was made on the guest `{guest}`, which is not built here"
        return {"steps": [], "findings": [], "final": None, "unsupported": reason}
    # The guest stands beside the words that the parser knows, as in `# own-boot machine=dimm`.
    lines = [
        line.replace(f" machine={guest}", "") if _GUEST.match(line) else line for line in lines
    ]
    known, missing = _known(lines)
    # On another thread (`heard`): a long script is one call, which no signal could interrupt.
    over = "".join(f" {name}={value}" for name, value in (fields or {}).items())
    sizes = f" pages={','.join(map(str, _GUESTS[guest]))}" if guest else ""
    sizes += f" offline={len(_GUESTS[guest]) - 1}" if guest in _PLUGGED else ""
    told = heard(
        _mmcore.replay_program,
        "\n".join(known),
        f"machine kernel={release}{sizes}{over}",
        _kernel_pages(recording, guest),
    )
    done: dict[str, Any] = json.loads(told)
    # The fields come from the user as texts; the core has checked their names and values.
    profile = Profile(kernel=release, **dict(fields or {}))  # type: ignore[arg-type]
    done["counts_frames"] = bool(profile["compact_counts_frames"])
    if missing is not None and done.get("unsupported") is None and not done["findings"]:
        done |= {"final": None, "unsupported": missing}
    return done


def _kernel_pages(recording: Mapping[str, Any], guest: str) -> list[tuple[int, int, bytes]]:
    """The kernel's pages on the last node of a guest. A plugged module has none when it comes."""
    if not guest or guest in _PLUGGED:
        return []
    return kernel_pages(recording, len(_GUESTS[guest]) - 1, _GUESTS[guest][-1])


def _known(lines: list[str]) -> tuple[list[str], str | None]:
    """The lines before the first that the parser refuses, and its error; None without one."""
    try:
        _mmcore.parse_program("\n".join(lines))
    except ValueError as error:
        message, line, _column = error.args
        return lines[: line - 1], message
    return lines, None
