"""Prints a result, writes its files and returns its exit code, in one way for all verbs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from cyclopts import Parameter

from mmcore import _output
from mmcore._cli import output, signals
from mmcore._cli.progress import Bar
from mmcore._errors import InputError
from mmcore._exploration.replaying import Replay
from mmcore._plotting import check_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmcore.reporting import Result

__all__ = ["CODES", "MapView", "PlotView", "RaceView", "View", "finish", "report"]

#: The result that a verb shows.
Shown = TypeVar("Shown", bound="Result")

#: The exit code of each status.
CODES = {"clean": 0, "finding": 1, "unusable": 2, "inconclusive": 3}


@Parameter(name="*")
@dataclass(frozen=True)
class View:
    """The options by which a result is printed and saved.

    Attributes:
        as_json: print one JSON document (docs/json.md) instead of text.
        html: write the result as a web page to this file.
    """

    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False
    html: Path | None = None

    def check(self) -> None:
        """Refuses files that could not be written, and two options with the same file.

        Called before the work: a refusal after the work would lose the result.
        """
        paths = (getattr(self, each.name) for each in fields(self))
        _output.check(*(path for path in paths if isinstance(path, Path)))


@Parameter(name="*")
@dataclass(frozen=True)
class RaceView(View):
    """The options by which a result that may have a counterexample is printed and saved.

    Attributes:
        as_json: print one JSON document (docs/json.md) instead of text.
        html: write the result as a web page to this file, with the timeline of the race.
        save: write the program and the schedule of the race to this file, for `mmcore replay`.
        plot: write the timeline of the race as an image to this .svg file.
        chrome: write the steps of the race to this file, for the trace viewers Perfetto
            (ui.perfetto.dev) and chrome://tracing.
    """

    save: Path | None = None
    plot: Path | None = None
    chrome: Path | None = None

    def check(self) -> None:
        """Refuses files that could not be written, and images that are not SVG."""
        super().check()
        if self.plot is not None and self.plot.suffix.lower() != ".svg":
            raise InputError(f"{self.plot}: the name of a timeline must end in .svg")


@Parameter(name="*")
@dataclass(frozen=True)
class PlotView(View):
    """The options by which a result with plots is printed and saved.

    Attributes:
        as_json: print one JSON document (docs/json.md) instead of text.
        html: write a page with plots that needs no other file.
        plot: write the plots to this file (.svg, .pdf, .png).
    """

    plot: Path | None = None

    def check(self) -> None:
        """Refuses files that could not be written, and formats that matplotlib lacks."""
        super().check()
        if self.html is not None or self.plot is not None:
            check_path(self.plot if self.plot is not None else Path("page.svg"))


@Parameter(name="*")
@dataclass(frozen=True)
class MapView(View):
    """The options by which a map is printed and saved.

    Attributes:
        as_json: print one JSON document (docs/json.md) instead of text.
        html: write the map as a web page to this file.
        plot: write the pictures as an image to this .svg, .pdf or .png file.
        steps: with --before-after compact: write a web page to this file that shows the moves one
            by one.
    """

    plot: Path | None = None
    steps: Path | None = None

    def check(self) -> None:
        """Refuses files that could not be written, and formats that matplotlib lacks."""
        super().check()
        if self.plot is not None:
            check_path(self.plot)


def finish(result: Result, view: View) -> int:
    """Prints a result, writes the files of its view, and returns the exit code."""
    if view.as_json:
        output.show(result.to_json())
    else:
        for part in result.parts():
            output.display(part)
    if isinstance(view, RaceView) and (found := _race(result)) is not None:
        output.save(view.save, found.save)
        output.save(view.plot, found.plot)
        output.save(view.chrome, found.to_chrome)
    if isinstance(view, PlotView):
        output.save(view.plot, result.plot)
    output.save(view.html, result.to_html)
    return CODES[result.status]


def _race(result: Result) -> Replay | None:
    """Returns the steps to save: the result itself, or the counterexample in it, or None."""
    found = getattr(result, "counterexample", result)
    return found if isinstance(found, Replay) else None


def report(
    what: str,
    work: Callable[[Bar], Shown],
    view: View,
    also: Callable[[Shown], None] | None = None,
    *,
    seconds: float | None = None,
    note: str = "",
) -> int:
    """Does the work with a progress bar and shows its result; a signal shows the partial one.

    Args:
        what: the name of the task in the progress bar.
        work: calls the library; a KeyboardInterrupt from it has the partial result.
        view: the options by which the result is printed and saved.
        also: called with the result afterwards, to write further files.
        seconds: the time after which the work ends early; None for no limit.
        note: one line of detail beside the bar.

    Returns:
        The exit code.

    Raises:
        InputError: before the work, if a file of the view cannot be written.
        KeyboardInterrupt: by a signal, after the partial result was shown.
    """
    view.check()

    def with_bar() -> Shown:
        with Bar(what, seconds=seconds, note=note) as bar:
            return work(bar)

    def show(result: Shown) -> int:
        code = finish(result, view)
        if also is not None:
            also(result)
        return code

    return signals.report(with_bar, show)
