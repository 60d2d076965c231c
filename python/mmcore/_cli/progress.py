"""A progress line on stderr, shown only if stderr is a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from rich.progress import Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress_bar import ProgressBar
from rich.text import Text

from mmcore._cli import output

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Task

__all__ = ["Bar", "share"]

#: Characters of the bar.
_WIDTH = 30


class Bar:
    """A progress line: the task, a bar, the share that is done, the elapsed time and a note.

    Args:
        what: the name of the task, such as "exploring".
        seconds: the time after which the work ends early; None for no limit. The bar shows the
            share of this time if it is larger than that of the work, or if nothing is known of the
            work.
        note: one line of detail, until `update` gives another.
    """

    def __init__(self, what: str, *, seconds: float | None = None, note: str = "") -> None:
        console = output.console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            _Share(),
            _Percent(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
            # Lines that are printed meanwhile go above the bar, by way of stderr. A standard output
            # that is no terminal must get its lines itself: they are for a file or a pipe.
            redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
        )
        self._task = self._progress.add_task(what, total=None, note=note, seconds=seconds)

    def update(
        self, what: str | None = None, *, done: float, of: float | None, note: str = ""
    ) -> None:
        """Redraws the line.

        Args:
            what: the name of the current task; unchanged if left out.
            done: the amount of work done, in the unit of `of`.
            of: the whole amount of work; None if it is unknown.
            note: one line of detail.
        """
        self._progress.update(self._task, description=what, completed=done, total=of, note=note)

    def rate(self, done: int, unit: str) -> str:
        """The work done and its speed in words: `131,072 schedules, 90,000 a second`."""
        elapsed = self._progress.tasks[0].elapsed
        speed = f", {done / elapsed:,.0f} a second" if elapsed else ""
        return f"{done:,} {unit}{speed}"

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._progress.stop()


def share(task: Task) -> float | None:
    """The share of the work that is done, or of the time if that is larger; None if unknown."""
    seconds = task.fields["seconds"]
    known = []
    if task.total:
        known.append(task.completed / task.total)
    if seconds and task.elapsed is not None:
        known.append(task.elapsed / seconds)
    return min(1.0, max(known)) if known else None


class _Share(ProgressColumn):
    """The bar; it moves without a share if neither the work nor the time has a known end."""

    def render(self, task: Task) -> ProgressBar:
        done = share(task)
        total = None if done is None else 1.0
        now = task.get_time()
        return ProgressBar(total, done or 0.0, _WIDTH, pulse=done is None, animation_time=now)


class _Percent(ProgressColumn):
    """The share as a number."""

    def render(self, task: Task) -> Text:
        done = share(task)
        return Text("" if done is None else f"{done:4.0%}")
