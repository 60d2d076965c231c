"""`mmcore compare`: compares designs of the release path under migration load."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

import mmcore
from mmcore._cli import inputs, output, showing, signals
from mmcore._cli.progress import Bar
from mmcore._comparison.options import Options
from mmcore._comparison.plots import check_path

if TYPE_CHECKING:
    from mmcore._comparison import Progress


@Parameter(name="*")
@dataclass(frozen=True)
class PlotView(showing.View):
    """How a comparison is printed and saved.

    Attributes:
        as_json: print one JSON document (docs/json.md), samples included, instead of text.
        html: write a page with plots that needs no other file.
        plot: write the plots to this file (.svg, .pdf, .png).
    """

    plot: Path | None = None

    def check(self) -> None:
        """Refuses files that could not be written, and formats that matplotlib lacks."""
        super().check()
        if self.html is not None or self.plot is not None:
            check_path(self.plot if self.plot is not None else Path("page.svg"))


def compare(
    trace: str | None = None,
    /,
    *,
    vary: str | None = None,
    set_: inputs.Fields = (),
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008 - it is frozen
    max_accesses: int | None = None,
    view: PlotView | None = None,
) -> int:
    """Compare designs of the release path under migration load.

    Args:
        trace: a trace of a program, as valgrind's lackey, drmemtrace, perf and others print it
            (docs/traces.md; plain, .gz, .zst, or - for the standard input). Left out: a small trace
            of sqlite3 that mmcore ships.
        vary: FIELD=a,b,...: a field of the profile and its values, the baseline first. Left out:
            all release designs against split.
        set_: FIELD=VALUE: a field of the profile, set in all variants.
        options: the load, its threads and the time for measuring.
        max_accesses: refuse a trace of more accesses; 2**28 if left out.
        view: how the result is printed and saved.
    """
    view = view or PlotView()
    view.check()
    fields = inputs.fields(set_)
    wanted = None if trace is None else _read(trace, max_accesses)

    def work() -> mmcore.Comparison:
        with Bar("compare") as bar:

            def tell(progress: Progress) -> None:
                bar.update(progress.stage, done=progress.fraction, of=1.0, note=progress.note)

            return mmcore.compare(
                wanted, vary=vary, profile=fields, **asdict(options), progress=tell
            )

    def show(result: mmcore.Comparison) -> int:
        code = showing.finish(result, view)
        output.save(view.plot, result.plot)
        return code

    return signals.report(work, show)


def _read(trace: str, max_accesses: int | None) -> mmcore.Trace:
    with Bar("reading") as bar:
        return inputs.trace(trace, max_accesses, bar)
