"""`mmcore trace`: converts a trace, or shows what is in it."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path  # noqa: TC003 - the command line reads the annotations
from typing import TYPE_CHECKING

from cyclopts import App

from mmcore import _output, _waiting
from mmcore._cli import inputs, output, showing
from mmcore._cli.progress import Bar

if TYPE_CHECKING:
    from mmcore._trace import Trace
    from mmcore._trace.summary import TraceSummary

__all__ = ["trace"]

#: The verb, with a command for each thing that is done with a trace.
trace = App(name="trace")


@trace.command
def show(
    path: str,
    /,
    *,
    max_accesses: int | None = None,
    view: showing.View | None = None,
) -> int:
    """Show what is in a trace: its pages, how soon they are accessed again, writes, threads.

    Args:
        path: a trace in one of the formats of docs/traces.md, or - for the standard input.
        max_accesses: refuse a trace of more accesses; 2**28 if left out.
        view: the options by which the result is printed and saved.
    """
    return _shown(path, max_accesses, view or showing.View(), None)


@trace.command
def convert(
    path: str,
    out: Path,
    /,
    *,
    max_accesses: int | None = None,
    view: showing.View | None = None,
) -> int:
    """Read a trace in any format, and write it as an .npz archive, which is read much faster.

    Args:
        path: a trace in one of the formats of docs/traces.md, or - for the standard input.
        out: the archive to write.
        max_accesses: refuse a trace of more accesses; 2**28 if left out.
        view: the options by which the summary of the trace is printed and saved.
    """
    view = view or showing.View()
    _output.check(out, view.html)
    return _shown(path, max_accesses, view, out)


def _shown(path: str, max_accesses: int | None, view: showing.View, out: Path | None) -> int:
    """Reads a trace, shows its summary, and writes it to `out` if that is given."""
    read: list[Trace] = []

    def work(bar: Bar) -> TraceSummary:
        read.append(inputs.trace(path, max_accesses, bar))
        bar.update("looking through it", done=0, of=None, note=f"{len(read[0]):,} accesses")
        command = shlex.join(["mmcore", "trace", "show", inputs.source(path)])
        return dataclasses.replace(_waiting.heard(read[0].summary), command=command)

    def save(to: Path) -> None:
        with Bar("writing") as bar:
            read[0].save(to, progress=lambda done, of: bar.update(done=done, of=of, note=to.name))

    return showing.report("reading", work, view, also=lambda _: output.save(out, save))
