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

#: The comment by which a script names the guest that it was recorded on, such as `# machine=tiny`.
#: A script without it was recorded on the usual guest of two nodes.
_GUEST = re.compile(r"#.*\bmachine=(\w+)")

#: The guests that mmcore can build as a machine, each with the number of frames of its nodes.
_GUESTS = {
    "tiny": (65536, 65536, 3805),
    "dimm": (65536, 65536, 65536),
    "giga": (65536, 65536, 786432),
}

#: The guests whose last node is a plugged memory module: its memory blocks begin offline.
_PLUGGED = frozenset({"dimm", "giga"})


def replay(
    recording: Mapping[str, Any], release: str, fields: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Replays the script of a recording and returns the steps of the machine as plain data.

    Some scripts have operations that mmcore does not know; the replay ends before the first of
    them. Some were recorded on a guest that mmcore cannot build; then no step is replayed. In both
    cases the key `unsupported` has the reason. An exception would end the comparison of all
    recordings.

    Args:
        recording: a recording that `shape` has validated.
        release: the preset of the profile: the version of the kernel, such as "6.12".
        fields: fields of the profile that override the preset, by name.

    Returns:
        A dict with `steps`, `findings`, `final` (None if the replay ended early) and `unsupported`
        (None if it did not); and, unless no step was replayed, `counts_frames`, the field
        `compact_counts_frames` of the profile.

    Raises:
        ValueError: if the core refuses the script.
    """
    script = recording["script"]
    lines = script.splitlines() if isinstance(script, str) else list(script)
    guest = next((found[1] for line in lines if (found := _GUEST.match(line))), "")
    if guest and guest not in _GUESTS:
        reason = f"the recording was made on the guest `{guest}`, which is not built here"
        return {"steps": [], "findings": [], "final": None, "unsupported": reason}
    # The word of the guest is taken out: the parser knows the other words of such a comment, as in
    # `# own-boot machine=dimm`, and not this one.
    lines = [
        line.replace(f" machine={guest}", "") if _GUEST.match(line) else line for line in lines
    ]
    known, missing = _known(lines)
    # A script runs as one call of the core, which no signal interrupts. `heard` makes the call on
    # another thread, so that Ctrl-C ends the wait.
    settings = "".join(f" {name}={value}" for name, value in (fields or {}).items())
    sizes = f" pages={','.join(map(str, _GUESTS[guest]))}" if guest else ""
    sizes += f" offline={len(_GUESTS[guest]) - 1}" if guest in _PLUGGED else ""
    report = heard(
        _mmcore.replay_program,
        "\n".join(known),
        f"machine kernel={release}{sizes}{settings}",
        _kernel_pages(recording, guest),
    )
    done: dict[str, Any] = json.loads(report)
    # `Profile` takes texts for all fields. The replay above has refused wrong names and values.
    profile = Profile(kernel=release, **dict(fields or {}))  # type: ignore[arg-type]
    done["counts_frames"] = bool(profile["compact_counts_frames"])
    if missing is not None and done.get("unsupported") is None and not done["findings"]:
        done |= {"final": None, "unsupported": missing}
    return done


def _kernel_pages(recording: Mapping[str, Any], guest: str) -> list[tuple[int, int, bytes]]:
    """Returns the kernel's own pages on the last node of a guest that the script names.

    A plugged module has none.
    """
    if not guest or guest in _PLUGGED:
        return []
    return kernel_pages(recording, len(_GUESTS[guest]) - 1, _GUESTS[guest][-1])


def _known(lines: list[str]) -> tuple[list[str], str | None]:
    """Returns the lines before the first that the parser refuses, and its error or None."""
    try:
        _mmcore.parse_program("\n".join(lines))
    except ValueError as error:
        message, line, _column = error.args
        return lines[: line - 1], message
    return lines, None
