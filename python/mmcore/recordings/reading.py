"""Recordings of real kernels: files with a script, and what a kernel did at each step of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcore._mmcore import Profile
from mmcore.errors import InputError
from mmcore.recordings.shape import wrong

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["expand", "read", "release_of"]

#: The format that is read.
FORMAT = 1
#: Files that lie beside recordings and are none.
BESIDE = ("performance.json", "matching.json")


def expand(paths: Iterable[str | Path]) -> tuple[Path, ...]:
    """The recordings named: files as they are, of folders all that are in them."""
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found = sorted(file for file in path.rglob("*.json") if file.name not in BESIDE)
            if not found:
                raise InputError(f"no recordings in {path}")
            files.extend(found)
        else:
            files.append(path)
    return tuple(files)


def read(path: str | Path) -> Mapping[str, Any]:
    """One recording.

    Raises:
        InputError: if it cannot be read or is no recording.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"{path} is no recording of format {FORMAT}")
    missing = [key for key in ("name", "kernel", "script", "steps", "final") if key not in data]
    if missing:
        raise InputError(f"{path} is no recording: it has no {', '.join(missing)}")
    found = wrong(data)
    if found is not None:
        raise InputError(f"{path} is no recording: {found}")
    return data


def release_of(recording: Mapping[str, Any]) -> str:
    """The profile of the kernel that a recording names: 6.12 for 6.12.95-amd64.

    Raises:
        InputError: if there is no such profile.
    """
    version = str(recording["kernel"]).split("-")[0].split("+")[0].split(".")
    release = ".".join(version[:2])
    if release not in Profile.PRESETS:
        known = ", ".join(Profile.PRESETS)
        raise InputError(
            f"{recording['name']} was made by {release}: there are profiles of {known}"
        )
    return release
