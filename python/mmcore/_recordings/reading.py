"""Reads recordings: files with a script, and the results of a kernel for each step of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcore._errors import InputError
from mmcore._input import parse_json, read_text
from mmcore._mmcore import Profile
from mmcore._recordings.shape import wrong

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["expand", "read", "release_of"]

#: The version of the file format that is read.
FORMAT = 1
#: The names of JSON files that lie in folders of recordings, but are no recordings.
BESIDE = ("performance.json", "matching.json")


def expand(paths: Iterable[str | Path]) -> tuple[Path, ...]:
    """Lists the recordings of files and folders; folders are searched with their subfolders.

    Raises:
        InputError: if a folder cannot be read or has no recording.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        try:
            found = _in_folder(path) if path.is_dir() else [path]
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None
        if not found:
            raise InputError(f"the folder {path} has no recordings (files *.json)")
        files.extend(found)
    return tuple(files)


def _in_folder(path: Path) -> list[Path]:
    # Regular files only: opening a pipe that has no writer would block for ever.
    return sorted(p for p in path.rglob("*.json") if p.name not in BESIDE and p.is_file())


def read(path: str | Path) -> Mapping[str, Any]:
    """Reads and validates one recording.

    Raises:
        InputError: if the file cannot be read or is no recording.
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
        raise InputError(f"{path} is no recording: the key {missing[0]!r} is missing")
    found = wrong(data)
    if found is not None:
        raise InputError(f"{path} is no recording: {found}")
    return data


def release_of(recording: Mapping[str, Any]) -> str:
    """The preset for the kernel that a recording names: 6.12 for 6.12.95-amd64.

    Raises:
        InputError: if no preset is for this kernel.
    """
    version = str(recording["kernel"]).split("-")[0].split("+")[0].split(".")
    release = ".".join(version[:2])
    if release not in Profile.PRESETS:
        known = ", ".join(Profile.PRESETS)
        name = recording["name"]
        raise InputError(
            f"no profile for the kernel {release!r} of the recording {name!r}: there are {known}"
        )
    return release
