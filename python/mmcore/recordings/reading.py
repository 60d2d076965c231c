"""Recordings of real kernels: files with a script, and what a kernel did at each step of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcore._input import parse_json, read_text
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
        try:
            found = _in_folder(path) if path.is_dir() else [path]
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None
        if not found:
            raise InputError(f"no recordings in {path}")
        files.extend(found)
    return tuple(files)


def _in_folder(path: Path) -> list[Path]:
    # What is no file, such as a pipe, has nobody who writes to it.
    return sorted(p for p in path.rglob("*.json") if p.name not in BESIDE and p.is_file())


def read(path: str | Path) -> Mapping[str, Any]:
    """One recording.

    Raises:
        InputError: if it cannot be read or is no recording.
    """
    text = read_text(path)
    try:
        data = parse_json(text)
    except InputError as error:
        raise InputError(f"{path} is no recording: {error}") from None
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
        name = recording["name"]
        raise InputError(f"{name!r} was made by {release!r}: there are profiles of {known}")
    return release
