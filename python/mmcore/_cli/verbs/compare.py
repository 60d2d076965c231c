"""`mmcore compare`: compares designs of the release path under migration load."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

import mmcore
from mmcore._cli import inputs, output, showing, signals
from mmcore._cli.progress import Bar
from mmcore._comparison.gates import Gate  # noqa: TC001 - the command line reads the annotations
from mmcore._comparison.options import Options
from mmcore._errors import InputError

if TYPE_CHECKING:
    from mmcore._comparison import Progress


@Parameter(name="*")
@dataclass(frozen=True)
class CompareView(showing.PlotView):
    """The options by which a comparison is printed and saved.

    Attributes:
        as_json: print one JSON document (docs/json.md), samples included, instead of text.
        html: write a page with plots that needs no other file.
        plot: write the plots to this file (.svg, .pdf, .png).
        markdown: write the verdicts and the table as Markdown to this file, and append them to the
            file that GITHUB_STEP_SUMMARY names, if it is set.
    """

    markdown: Path | None = None


@Parameter(name="*")
@dataclass(frozen=True)
class GateWords:
    """The options by which a comparison is judged.

    The exit code is then 0 (fine), 1 (worse) or 3 (inconclusive).

    Attributes:
        gate: work judges the counts of operations, which are the same in every run; time judges
            the measured interval. Give the option twice for both. With work alone nothing is
            timed.
        at_most: the slowdown that the gate time allows, such as 3%.
        allow: COUNT=+N: the additional operations for each migrated page that the gate 'work'
            tolerates, such as atomics=+0.5.
        work: a file of counts: the gate 'work' compares the variants with these counts, and not
            with the baseline.
        update: write the file of counts anew, and judge nothing.
    """

    gate: Annotated[tuple[Gate, ...], Parameter(negative=(), show_default=False)] = ()
    at_most: str = "3%"
    allow: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = ()
    work: Path | None = None
    update: Annotated[bool, Parameter(negative=())] = False

    @property
    def options(self) -> dict[str, Any]:
        """The same values as keyword arguments of `mmcore.compare`."""
        return {
            "gate": self.gate,
            "at_most": _fraction(self.at_most),
            "allow": dict(map(_allowed, self.allow)),
            "work": self.work,
            "update": self.update,
        }


def compare(
    trace: str | None = None,
    /,
    *,
    vary: str | None = None,
    set_: inputs.Fields = (),
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008 - it is frozen
    against: Path | None = None,
    gates: GateWords | None = None,
    max_accesses: int | None = None,
    view: CompareView | None = None,
) -> int:
    """Compare designs of the release path under migration load.

    Args:
        trace: a trace of a program, as valgrind's lackey, drmemtrace, perf and others print it
            (docs/traces.md; plain, .gz, .zst, or - for the standard input). Left out: 64 processes
            of sqlite3, from a trace that mmcore ships.
        vary: FIELD=a,b,...: a field of the profile and its values, the baseline first. Left out:
            all release designs but mine, against split.
        set_: FIELD=VALUE: a field of the profile, set in all variants.
        options: the load, its threads and the time for measuring.
        against: the Python of another environment: compare each variant with the same one of the
            mmcore that is installed there.
        gates: the options by which the comparison is judged.
        max_accesses: refuse a trace of more accesses; 2**28 if left out.
        view: the options by which the result is printed and saved.
    """
    view = view or CompareView()
    view.check()
    fields = inputs.fields(set_)
    judged = (gates or GateWords()).options
    wanted = inputs.trace_or_shipped(trace, max_accesses)

    def work() -> mmcore.Comparison:
        with Bar("compare") as bar:

            def tell(progress: Progress) -> None:
                bar.update(progress.stage, done=progress.fraction, of=1.0, note=progress.note)

            return mmcore.compare(
                wanted,
                vary=vary,
                profile=fields,
                **asdict(options),
                against=against,
                **judged,
                progress=tell,
            )

    def show(result: mmcore.Comparison) -> int:
        code = showing.finish(result, view)
        if view.markdown is not None:
            output.save(view.markdown, result.to_markdown)
            summary = os.environ.get("GITHUB_STEP_SUMMARY")
            output.save(Path(summary) if summary else None, lambda to: _append(to, result))
        return 0 if judged["update"] else code

    return signals.report(work, show)


def _append(summary: Path, result: mmcore.Comparison) -> None:
    with summary.open("a", encoding="utf-8") as file:
        file.write(result.to_markdown())


def _fraction(text: str) -> float:
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        raise InputError(f"--at-most takes a slowdown such as 3%, not {text!r}") from None
    return number / 100 if text.endswith("%") else number


def _allowed(word: str) -> tuple[str, float]:
    name, _, number = word.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise InputError(f"--allow takes COUNT=+N, such as atomics=+0.5, not {word!r}") from None
