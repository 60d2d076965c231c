"""A progress line on stderr, shown only if stderr is a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mmcore._cli import output

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Bar"]


class Bar:
    """A progress line: the task, a bar, the elapsed time and a note.

    Args:
        what: the name of the task, such as "exploring".
    """

    def __init__(self, what: str) -> None:
        console = output.console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        # Without a total the bar moves but shows no share.
        self._task = self._progress.add_task(what, total=None, note="")

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
