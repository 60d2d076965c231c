"""Replays recordings of real kernels and compares every step.

| file | idea |
|---|---|
| `reading` | reads files and folders of recordings, and finds the profile of each |
| `shape` | validates a recording before it is replayed |
| `layouts` | reads the layouts of a recording as texts of letters |
| `kernel_pages` | finds the kernel's own pages on the last node, from step to step |
| `replaying` | replays the script of a recording up to the first unsupported operation |
| `batched` | finds the pages of files that wait in a batch, from layout to layout |
| `passes` | replays compaction passes, each on a machine arranged by the recorded layout |
| `placement` | knows the values that a comparison leaves out, because each boot decides them |
| `attempts` | knows that an offlining tries pages until a signal comes |
| `compare` | compares one recording with its replay, step by step |
| `rules` | finds the rule of docs/semantics.md for a difference |
| `result` | the public result for all recordings |
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcore._chosen import chosen
from mmcore._errors import InputError, WorkersLostError
from mmcore._input import read_text
from mmcore._mmcore import Profile
from mmcore._recordings.compare import Comparison, Difference, compare
from mmcore._recordings.passes import CompactionPass, replay_passes
from mmcore._recordings.reading import expand, read, release_of
from mmcore._recordings.replaying import replay
from mmcore._recordings.result import Conformance, Replayed, from_plain, plain
from mmcore._spread import Checkpoint, Part, spread, workers_of
from mmcore._waiting import heard, keep
from mmcore.program import FieldSetting

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mmcore._chosen import Chosen
    from mmcore._spread import ExecutorChoice
    from mmcore.typing import Kernel

__all__ = ["CompactionPass", "Comparison", "Conformance", "Difference", "Replayed", "conformance"]


def conformance(
    recordings: str | Path | Iterable[str | Path],
    *,
    profile: Chosen | None = None,
    until_unsupported: bool = False,
    skip_unread: bool = False,
    executor: ExecutorChoice | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
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
        executor: the workers that share the recordings: an executor of `concurrent.futures`, or a
            function that makes one (docs/clusters.md). Left out: one after another.
        checkpoint: a file of finished recordings, from which a later call goes on.
        progress: called before the first recording and after each, with the number done and the
            number in all.

    Raises:
        InputError: if the profile is not valid, a file cannot be read or is no recording, or its
            kernel has no profile.
        KeyboardInterrupt: on a signal; its `partial` is the result for the recordings compared
            before the signal, or None if there is none.
        OSError: if the checkpoint cannot be read or written.
        WorkersLostError: if the executor lost recordings; likewise.
    """
    workers = workers_of(executor, alone=True)
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

    found: list[Path] = []

    def parts() -> Iterator[Part]:
        for path in found:
            yield Part(str(path), _task(path, preset, fields, until_unsupported=until_unsupported))

    try:
        found += expand(paths)
        if progress is not None:
            progress(0, len(found))
        what = {
            "recordings": []
            if checkpoint is None
            else [[str(path), _digest(path)] for path in found],
            "kernel": preset,
            "profile": fields,
            "until_unsupported": bool(until_unsupported),
        }
        with Checkpoint(checkpoint, "conformance", what) as kept:
            done = spread(_replayed, parts(), workers=workers, checkpoint=kept)
            with closing(done):
                for number, outcome in done:
                    if "unread" not in outcome:
                        rows.append(from_plain(outcome))
                    elif skip_unread:
                        unread.append(outcome["unread"])
                    else:
                        raise InputError(outcome["unread"])
                    if progress is not None:
                        progress(number + 1, len(found))
    except (KeyboardInterrupt, WorkersLostError, OSError) as stopped:
        keep(stopped, result(complete=False) if rows or unread else None)
        raise
    return result(complete=True)


def _digest(path: Path) -> str | None:
    """A hash of a file's text, by which a checkpoint knows it; None if it cannot be read."""
    try:
        text = read_text(path)
    except InputError:
        return None
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _task(
    path: Path, preset: Kernel | None, fields: Mapping[str, str], *, until_unsupported: bool
) -> dict[str, Any]:
    """One recording as the task of a worker, which need not have the file."""
    common = {"path": str(path), "fields": dict(fields), "until_unsupported": until_unsupported}
    try:
        recording = read(path)
        release = preset or release_of(recording)
    except InputError as error:
        return {**common, "unread": str(error)}
    return {**common, "recording": recording, "release": release}


def _replayed(task: Mapping[str, Any]) -> dict[str, Any]:
    """Compares one recording, in any process.

    Returns:
        A `Replayed` as plain data; or, under the key `unread`, the reason why there is none.
    """
    if "unread" in task:
        return {"unread": task["unread"]}
    recording, release, fields = task["recording"], task["release"], task["fields"]
    try:
        replayed = replay(recording, release, fields)
        passes = heard(replay_passes, recording, release, fields)
    except ValueError as error:
        return {"unread": f"{task['path']}: the script of the recording: {error}"}
    outcome = compare(recording, replayed)
    fine = {"match", "unsupported"} if task["until_unsupported"] else {"match"}
    matches = outcome.verdict in fine and not outcome.findings
    matches = matches and all(each.matches or each.reason for each in passes)
    name, total = recording["name"], len(recording["steps"])
    return plain(Replayed(name, release, outcome, total, matches, passes))
