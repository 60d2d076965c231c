"""Recordings of real kernels, replayed and compared.

| file | idea |
|---|---|
| `reading` | files and folders of recordings, and which profile a recording is for |
| `shape` | whether a file that says so is a recording |
| `replaying` | a recording's script, replayed as far as a machine can |
| `compare` | one recording against its replay, step by step |
| `rules` | which rule of docs/semantics.md a difference touches |
| `result` | what came of all of them |
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmcore._waiting import keep
from mmcore.errors import InputError
from mmcore.recordings.compare import Comparison, Difference, compare
from mmcore.recordings.reading import expand, read, release_of
from mmcore.recordings.replaying import replay
from mmcore.recordings.result import Conformance, Replayed

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Comparison", "Conformance", "Difference", "Replayed", "conformance"]


def conformance(
    recordings: str | Path | Iterable[str | Path],
    *,
    until_unsupported: bool = False,
    skip_unread: bool = False,
) -> Conformance:
    """Replays recordings of real kernels and compares every step.

    Each script runs on a machine as the recording's was: two nodes of 256 MiB, two CPUs, the
    profile of the kernel that the recording names.

    Args:
        recordings: files, or folders with everything in them.
        until_unsupported: a recording matches if all steps up to the first that the machine cannot
            do are as recorded.
        skip_unread: compare the other recordings if one is broken; `Conformance.unread` says why.

    Raises:
        InputError: if a file cannot be read, is no recording, or no profile is its kernel's.
        KeyboardInterrupt: by a signal; its `partial` has the recordings that were compared by then.
    """
    paths = [recordings] if isinstance(recordings, (str, Path)) else list(recordings)
    rows: list[Replayed] = []
    unread: list[str] = []

    def result(*, complete: bool) -> Conformance:
        names = tuple(map(str, paths))
        return Conformance(
            tuple(rows), bool(until_unsupported), names, tuple(unread), complete=complete
        )

    try:
        for path in expand(paths):
            try:
                rows.append(_replayed(path, until_unsupported=until_unsupported))
            except InputError as error:
                if not skip_unread:
                    raise
                unread.append(str(error))
    except KeyboardInterrupt as stopped:
        keep(stopped, result(complete=False) if rows or unread else None)
        raise
    return result(complete=True)


def _replayed(path: Path, *, until_unsupported: bool) -> Replayed:
    recording = read(path)
    release = release_of(recording)
    try:
        replayed = replay(recording, release)
    except ValueError as error:
        raise InputError(f"{path}: its script: {error}") from None
    outcome = compare(recording, replayed)
    fine = {"match", "unsupported"} if until_unsupported else {"match"}
    matches = outcome.verdict in fine and not outcome.findings
    return Replayed(recording["name"], release, outcome, len(recording["steps"]), matches)
