"""`mmcore policies`: list policies on a trace."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import mmcore
from mmcore.cli import inputs, output, signals
from mmcore.errors import InputError


def policies(
    trace: str | None = None,
    /,
    *,
    policy: str | None = None,
    size: str | None = None,
    kernel: str = "6.12",
    pagevec: int | None = None,
    warm_up: int = 0,
    max_accesses: int | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Replay a trace under list policies, and count the pages that were not there.

    Args:
        trace: what `valgrind --tool=lackey --trace-mem=yes PROGRAM` prints (plain, .gz, .zst, or -
            for the standard input), or an .npz of pages and writes. Left out: a small trace of
            sqlite3 that mmcore ships.
        policy: NAME,NAME,...: values of the profile field lru_policy. Left out: all.
        size: N,N,...: pages that the memory holds. Left out: a 16th, a quarter and a half of what
            the trace touches.
        kernel: the preset of all other fields.
        pagevec: pages that an LRU batch holds; with 1, fifo, lru and clock are the textbook's.
        warm_up: requests at the beginning that are not counted.
        max_accesses: a trace with more is refused; 2**28 if left out.
        as_json: print JSON instead of a table.
    """
    sizes = None if size is None else [_number(word) for word in size.split(",")]
    console = output.console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as bar:
        task = bar.add_task("read", total=1.0)
        wanted = None if trace is None else inputs.trace(trace, max_accesses)

        def work() -> mmcore.Policies:
            return mmcore.policies(
                wanted,
                policy=policy,
                size=sizes,
                kernel=kernel,
                pagevec=pagevec,
                warm_up=warm_up,
                progress=lambda share, what: bar.update(task, completed=share, description=what),
            )

        def show(result: mmcore.Policies) -> int:
            bar.stop()
            output.show(result.to_json() if as_json else result)
            return 0

        return signals.report(work, show)


def _number(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise InputError(f"--size takes numbers of pages, not {word!r}") from None
