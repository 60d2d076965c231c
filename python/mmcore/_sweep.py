"""Sweeps: a comparison for each point of a grid of loads, machines and other choices."""

from __future__ import annotations

import itertools
import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mmcore._arguments import nearest
from mmcore._chosen import chosen
from mmcore._comparison import compare
from mmcore._errors import FindingError, InputError, WorkersLostError
from mmcore._mmcore import Profile
from mmcore._spread import Checkpoint, Part, spread, workers_of
from mmcore._trace import Trace
from mmcore._waiting import keep
from mmcore.reporting import Grid, Result
from mmcore.reporting._parts import columns

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mmcore import reporting
    from mmcore._spread import ExecutorChoice
    from mmcore.typing import Status

__all__ = ["Sweep", "SweepPoint", "sweep"]

#: The parameters of `compare` that a sweep takes, for all points or as an axis of the grid. The
#: others name files or programs of this computer, which a worker need not have.
PARAMETERS = (
    "trace",
    "load",
    "vary",
    "kernel",
    "profile",
    "threads",
    "alone",
    "seconds",
    "nodes",
    "copy",
    "seed",
    "precision",
    "poison_rate",
    "gate",
    "at_most",
    "allow",
)

#: The keys that a point keeps of the document of its comparison. The keys `samples` and `verified`
#: have a row for each turn, and would make the file of a sweep hundreds of times larger.
_KEPT = ("status", "verdict", "command", "environment", "build", "work", "time", "gates", "table")

#: The statuses, the gravest first: that of a sweep is the gravest of its points.
_GRAVEST: tuple[Status, ...] = ("finding", "unusable", "inconclusive", "clean")


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One point of a grid, with its comparison.

    Attributes:
        choices: the values of this point, by the names of the grid, as plain data.
        comparison: status, verdict, command, environment, build, work, time, gates and table of the
            comparison, as its JSON document has them; None if there is none.
        problem: the reason why there is no comparison; None if there is one.
        status: the status of the comparison; without one `unusable` if the point does not fit, or
            `finding` if a machine broke a rule.
    """

    choices: Mapping[str, Any]
    comparison: Mapping[str, Any] | None
    problem: str | None
    status: Status

    @property
    def label(self) -> str:
        """The choices as text, `load=storm threads=2`."""
        return " ".join(f"{name}={_shown(value)}" for name, value in self.choices.items())

    @property
    def verdict(self) -> str:
        """The verdict of the comparison, or the reason why there is none."""
        return self.problem if self.comparison is None else self.comparison["verdict"]  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Sweep(Result):
    """The result of `mmcore.sweep`: `print` it, or take its parts.

    Attributes:
        points: the points that are done, in the order of the grid.
        grid: the names and values of the grid, as plain data.
        options: the parameters that all points share, as plain data.
        wanted: the number of points of the grid.
    """

    kind: ClassVar[str] = "sweep"

    points: tuple[SweepPoint, ...]
    grid: Mapping[str, Sequence[Any]]
    options: Mapping[str, Any]
    wanted: int

    @property
    def command(self) -> str:
        """The call that makes the sweep again."""
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"mmcore.sweep({dict(self.grid)!r}{options})"

    @property
    def seed(self) -> int | None:
        """The seed that all comparisons share; None if it is an axis of the grid."""
        return None if "seed" in self.grid else int(self.options.get("seed", 1))

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each point and variant: the choices of the point, then the comparison's row.

        A point without a comparison has one row, with the key `problem`.
        """
        rows: list[dict[str, Any]] = []
        for point in self.points:
            choices = {name: _cell(value) for name, value in point.choices.items()}
            if point.comparison is None:
                rows.append({**choices, "problem": point.problem})
                continue
            rows += [{**choices, **row} for row in point.comparison["table"]]
        return rows

    @property
    def verdict(self) -> str:
        """The verdict of each point, and the number of points left out."""
        lines = [
            f"{point.label}: {line}"
            for point in self.points
            for line in (point.verdict or "nothing is said").splitlines()
        ]
        left = self.wanted - len(self.points)
        return "\n".join([*lines, *([f"incomplete: {left} points are left out"] if left else [])])

    @property
    def status(self) -> Status:
        """The gravest status of a point; `inconclusive` if points were left out."""
        found = {point.status for point in self.points}
        if len(self.points) < self.wanted:
            found.add("inconclusive")
        return next(status for status in _GRAVEST if status in found)

    def content(self) -> dict[str, Any]:
        """The grid, the options, and each point with its comparison, as plain data."""
        return {
            "grid": {name: list(values) for name, values in self.grid.items()},
            "options": dict(self.options),
            "wanted": self.wanted,
            "points": [
                {
                    "choices": dict(point.choices),
                    "status": point.status,
                    "problem": point.problem,
                    "comparison": None if point.comparison is None else dict(point.comparison),
                }
                for point in self.points
            ],
        }

    def parts(self) -> Iterator[reporting.Part]:
        """The table of statuses, then the verdicts."""
        rows = tuple(
            (*(_shown(value) for value in point.choices.values()), point.status)
            for point in self.points
        )
        yield Grid(columns(*self.grid, "status"), rows)
        yield ""
        yield self.verdict


def sweep(
    grid: Mapping[str, Sequence[Any]],
    *,
    executor: ExecutorChoice | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Sweep:
    """Compares the variants of a machine at each point of a grid.

    Each point is one `mmcore.compare`, in which the variants take turns on one computer. Points may
    run on several computers at the same time: the differences between the variants of a point are
    measured, but a difference between two points may also come from their computers. Two timed
    points on one computer disturb each other, so give each computer one worker with one thread.
    With `gate="work"` nothing is timed.

    Args:
        grid: for each axis a parameter of `mmcore.compare` and its values:
            `{"load": ["storm", "zram"], "threads": [1, 2]}`.
        executor: the workers that share the points: an executor of `concurrent.futures`, or a
            function that makes one (docs/clusters.md). Left out: one point after another.
        checkpoint: a file of finished points, from which a later call goes on.
        progress: called before the first point and after each, with the number done and the number
            in all.
        options: other parameters of `mmcore.compare`, the same for all points.

    Raises:
        InputError: if a name is no parameter that a sweep takes, or an axis has no value. A point
            that `compare` refuses is in the result, with the reason.
        WorkersLostError: if the executor lost points; its `partial` is the result of the others.
        KeyboardInterrupt: by a signal; likewise.
        OSError: if the checkpoint cannot be read or written.
    """
    axes = {name: list(values) for name, values in _checked(grid, options).items()}
    workers = workers_of(executor, alone=True)
    traces: dict[str, Trace] = {}
    axes = {name: [_plain(name, value, traces) for value in axes[name]] for name in axes}
    shared = {name: _plain(name, value, traces) for name, value in options.items()}
    choices = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    points: list[SweepPoint] = []

    def result() -> Sweep:
        return Sweep(tuple(points), axes, shared, len(choices))

    def parts() -> Iterator[Part]:
        for choice in choices:
            arguments = {**shared, **choice}
            trace = arguments.get("trace")
            own = {} if trace is None else {"trace": traces[trace]}
            yield Part(
                SweepPoint(choice, None, None, "clean").label, {"arguments": {**arguments, **own}}
            )

    digests = {name: trace.digest for name, trace in traces.items()}
    what = {"grid": axes, "options": shared, "traces": digests}
    with Checkpoint(checkpoint, "sweep", what) as kept:
        if progress is not None:
            progress(0, len(choices))
        done = spread(_compared, parts(), workers=workers, checkpoint=kept)
        try:
            with closing(done):
                for number, found in done:
                    points.append(SweepPoint(choices[number], **found))
                    if progress is not None:
                        progress(len(points), len(choices))
        except (KeyboardInterrupt, WorkersLostError, OSError) as stopped:
            keep(stopped, result() if points else None)
            raise
    return result()


def _compared(task: Mapping[str, Any]) -> dict[str, Any]:
    """Compares at one point, in any process; returns attributes of a `SweepPoint` by name."""
    arguments = dict(task["arguments"])
    profile = arguments.get("profile")
    try:
        if profile is not None and "kernel" in profile:
            arguments["profile"] = Profile(**profile)
        document = compare(**arguments).to_dict()
    except InputError as error:
        return {"comparison": None, "problem": str(error), "status": "unusable"}
    except FindingError as error:
        return {"comparison": None, "problem": str(error), "status": "finding"}
    kept = {name: document[name] for name in _KEPT}
    return {"comparison": kept, "problem": None, "status": document["status"]}


def _checked(
    grid: Mapping[str, Sequence[Any]], options: Mapping[str, Any]
) -> Mapping[str, Sequence[Any]]:
    for name in (*grid, *options):
        if name not in PARAMETERS:
            words = f"choose from {', '.join(PARAMETERS)}{nearest(name, PARAMETERS)}"
            raise InputError(f"a sweep has no {name!r}: {words}")
    for name, values in grid.items():
        if name in options:
            raise InputError(f"{name} is an axis of the grid and an option: leave one out")
        if isinstance(values, str) or not list(values):
            raise InputError(f"the axis {name} needs a list of values, such as [1, 2]")
    return grid


def _plain(name: str, value: Any, traces: dict[str, Trace]) -> Any:
    """A value as plain data; a trace goes to `traces`, under the name that is returned."""
    if name == "trace" and value is not None:
        trace = value if isinstance(value, Trace) else Trace.load(value)
        source = str(Path(trace.source))
        # Two traces of one source, such as arrays, are told apart by their digests.
        known = traces.setdefault(source, trace)
        if known != trace:
            source = f"{source} ({trace.digest})"
            traces[source] = trace
        return source
    if name == "profile" and value is not None:
        if not isinstance(value, Profile) and "kernel" in dict(value):
            # The plain data of a whole profile, as the command of a sweep prints it.
            value = Profile(**value)
        preset, fields = chosen(None, value)
        return fields if preset is None else {"kernel": preset, **fields}
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        raise InputError(
            f"{name} must be plain data that a file can keep: a sweep takes no functions"
        ) from None


def _cell(value: Any) -> Any:
    """A choice as a cell of a table: lists and dicts as text."""
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
