"""`mmcore compare`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

import mmcore
from mmcore import _output
from mmcore.cli import inputs, output, signals
from mmcore.comparison.text import preface, rows


def compare(
    trace: str | None = None,
    /,
    *,
    load: str = "tiering",
    vary: str | None = None,
    kernel: str = "6.12",
    threads: int = 2,
    alone: bool = False,
    seconds: float = 30.0,
    nodes: str | None = None,
    copy: bool = True,
    seed: int = 1,
    precision: float = 0.005,
    poison_rate: float = 0.0,
    max_accesses: int | None = None,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    html: Path | None = None,
    plot: Path | None = None,
) -> int:
    """Compare designs of the release path under migration load.

    Args:
        trace: what `valgrind --tool=lackey --trace-mem=yes PROGRAM` prints (plain, .gz, .zst, or -
            for the standard input), or an .npz of pages and writes. Left out: a small trace of
            sqlite3 that mmcore ships.
        load: tiering (replays the trace over a fast and a slow node) or storm (random migrations
            against threads that use the pages).
        vary: FIELD=a,b,...: a field of the profile and its values, the baseline first. Left out:
            the release designs.
        kernel: the preset of all other fields.
        threads: how many threads migrate.
        alone: in a storm, nobody uses the memory meanwhile: the quietest measure of the protocol.
        seconds: time for measuring.
        nodes: sizes with optional latencies, such as 64MiB,256MiB:250ns.
        copy: copy the pages' contents; --no-copy times the protocol alone.
        seed: of the loads and of the order of the variants.
        precision: half width of the intervals at which measuring may stop early.
        poison_rate: share of the migrators' calls before which a frame goes bad.
        max_accesses: a trace with more is refused; 2**28 if left out.
        json_file: write everything, samples included, to this file.
        html: write a page with plots to this file.
        plot: write the plots to this file (.svg, .pdf, .png).
    """
    _check_outputs(json_file, html, plot)
    wanted = None if trace is None and load == "storm" else _read(trace, max_accesses)
    with _bar() as bar:
        task = bar.add_task("compare", total=1.0, note="")

        def work() -> mmcore.Comparison:
            return mmcore.compare(
                wanted,
                load=load,
                vary=vary,
                kernel=kernel,
                threads=threads,
                alone=alone,
                seconds=seconds,
                nodes=nodes,
                copy=copy,
                seed=seed,
                precision=precision,
                poison_rate=poison_rate,
                progress=lambda p: bar.update(
                    task, description=p.stage, completed=p.fraction, note=p.note
                ),
            )

        def show(result: mmcore.Comparison) -> int:
            bar.stop()
            _print(result)
            output.save(json_file, result.to_json)
            output.save(html, result.to_html)
            output.save(plot, result.plot)
            return 0 if result.conclusive else 3

        return signals.report(work, show)


def _check_outputs(json_file: Path | None, html: Path | None, plot: Path | None) -> None:
    """Refuses what could not be written, before a minute of measuring and not after it."""
    if html is not None or plot is not None:
        from mmcore.comparison.plots import check_path

        check_path(plot if plot is not None else Path("page.svg"))
    _output.check(json_file, html, plot)


def _read(trace: str | None, max_accesses: int | None) -> mmcore.Trace:
    if trace is None:
        return mmcore.Trace.sample()
    with _bar() as bar:
        task = bar.add_task("read", total=None, note=trace)
        return inputs.trace(
            trace,
            max_accesses,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _bar() -> Progress:
    console = output.console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


def _print(result: mmcore.Comparison) -> None:
    for line in preface(result):
        output.render(Text(line, style="dim"), soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    for label in result.labels:
        table.add_column(label, justify="right", overflow="fold")
    for name, cells in rows(result):
        table.add_row(name, *cells)
    output.show("")
    output.render(table)
    output.show(f"\n{result.verdict}")
