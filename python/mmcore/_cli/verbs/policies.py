"""`mmcore policies`: replays a trace under list policies and counts misses."""

from __future__ import annotations

import mmcore
from mmcore._cli import inputs, showing
from mmcore._errors import InputError
from mmcore.typing import Kernel  # noqa: TC001 - the command line reads the annotations


def policies(
    trace: str | None = None,
    /,
    *,
    policy: str | None = None,
    size: str | None = None,
    kernel: Kernel = "6.12",
    set_: inputs.Fields = (),
    pagevec: int | None = None,
    warm_up: int = 0,
    max_accesses: int | None = None,
    view: showing.PlotView | None = None,
) -> int:
    """Replay a trace under list policies and count the misses.

    Args:
        trace: a trace of a program, as valgrind's lackey, drmemtrace, perf and others print it
            (docs/traces.md; plain, .gz, .zst, or - for the standard input). Left out: a small trace
            of sqlite3 that mmcore ships.
        policy: NAME,NAME,...: values of the profile field lru_policy. Left out: all.
        size: N,N,...: memory sizes in pages. Left out: a 16th, a quarter and a half of the pages
            that the trace touches.
        kernel: the preset of all other fields.
        set_: FIELD=VALUE: a field of the profile over the preset.
        pagevec: pages in an LRU batch; with 1, fifo, lru and clock act as in textbooks.
        warm_up: requests at the beginning of the trace that are not counted.
        max_accesses: refuse a trace of more accesses; 2**28 if left out.
        view: the options by which the result is printed and saved.
    """
    view = view or showing.PlotView()
    view.check()
    fields = inputs.fields(set_)
    sizes = None if size is None else [_number(word) for word in size.split(",")]
    wanted = inputs.trace_or_shipped(trace, max_accesses)
    return showing.report(
        "replaying",
        lambda bar: mmcore.policies(
            wanted,
            policy=policy,
            size=sizes,
            kernel=kernel,
            profile=fields,
            pagevec=pagevec,
            warm_up=warm_up,
            progress=lambda share, what: bar.update(done=share, of=1.0, note=what),
        ),
        view,
    )


def _number(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise InputError(f"--size takes numbers of pages, not {word!r}") from None
