"""Replays recordings of real kernels and compares every step.

| file | idea |
|---|---|
| `reading` | reads files and folders of recordings, and finds the profile of each |
| `shape` | validates a recording before it is replayed |
| `layouts` | reads the layouts of a recording as texts of letters |
| `kernel_pages` | finds the kernel's own pages on the last node, from step to step |
| `replaying` | replays the script of a recording up to the first unsupported operation |
| `passes` | replays compaction passes, each on a machine arranged by the recorded layout |
| `placement` | knows what a comparison leaves out because a boot decides it |
| `compare` | compares one recording with its replay, step by step |
| `rules` | finds the rule of docs/semantics.md for a difference |
| `result` | the public result for all recordings |
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmcore._chosen import chosen
from mmcore._errors import InputError
from mmcore._mmcore import Profile
from mmcore._recordings.compare import Comparison, Difference, compare
from mmcore._recordings.passes import CompactionPass, replay_passes
from mmcore._recordings.reading import expand, read, release_of
from mmcore._recordings.replaying import replay
from mmcore._recordings.result import Conformance, Replayed
from mmcore._waiting import heard, keep
from mmcore.program import FieldSetting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mmcore._chosen import Chosen
    from mmcore.typing import Kernel

__all__ = ["CompactionPass", "Comparison", "Conformance", "Difference", "Replayed", "conformance"]


def conformance(
    recordings: str | Path | Iterable[str | Path],
    *,
    profile: Chosen | None = None,
    until_unsupported: bool = False,
    skip_unread: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Conformance:
    """Replays recordings of real kernels and compares every step.

    Each script runs on a machine like the recorded guest: two nodes of 256 MiB, on some guests a
    third node, two CPUs, and the profile of the kernel that the recording names. Each compaction of
    a node whose layout was recorded runs once more, on a machine that has this layout, and is
    compared move by move.

    Args:
        recordings: files, or folders of which every recording is taken.
        profile: a whole `Profile` for all recordings, or fields set over the profile of each
            recording's kernel.
        until_unsupported: count a recording as matching if all steps match before the first
            operation that the machine cannot do.
        skip_unread: continue after a file that cannot be read, is no recording, or whose kernel has
            no profile; `Conformance.unread` has one line for each such file.
        progress: called before each recording, with the number done and the number in all.

    Raises:
        InputError: if the profile is not valid, a file cannot be read or is no recording, or its
            kernel has no profile.
        KeyboardInterrupt: on a signal; its `partial` is the result for the recordings compared
            before the signal, or None if there is none.
    """
    paths = [recordings] if isinstance(recordings, (str, Path)) else list(recordings)
    if not isinstance(profile, Profile) and "kernel" in (profile or {}):
        raise InputError(
            "kernel is no field of a profile: each recording is replayed under its own kernel"
        )
    preset, fields = chosen(None, profile)
    rows: list[Replayed] = []
    unread: list[str] = []

    def result(*, complete: bool) -> Conformance:
        names = tuple(map(str, paths))
        return Conformance(
            tuple(rows),
            bool(until_unsupported),
            names,
            tuple(unread),
            complete=complete,
            fields_set=FieldSetting.from_dict(fields),
            kernel=preset,
        )

    try:
        found = list(expand(paths))
        for done, path in enumerate(found):
            if progress is not None:
                progress(done, len(found))
            try:
                rows.append(_replayed(path, preset, fields, until_unsupported=until_unsupported))
            except InputError as error:
                if not skip_unread:
                    raise
                unread.append(str(error))
    except KeyboardInterrupt as stopped:
        keep(stopped, result(complete=False) if rows or unread else None)
        raise
    return result(complete=True)


def _replayed(
    path: Path, preset: Kernel | None, fields: Mapping[str, str], *, until_unsupported: bool
) -> Replayed:
    recording = read(path)
    release = preset or release_of(recording)
    try:
        replayed = replay(recording, release, fields)
        passes = heard(replay_passes, recording, release, fields)
    except ValueError as error:
        raise InputError(f"{path}: the script of the recording: {error}") from None
    outcome = compare(recording, replayed)
    fine = {"match", "unsupported"} if until_unsupported else {"match"}
    matches = outcome.verdict in fine and not outcome.findings
    matches = matches and all(each.matches for each in passes)
    return Replayed(recording["name"], release, outcome, len(recording["steps"]), matches, passes)
