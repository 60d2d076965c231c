"""Comparing designs of the release path under migration load: the main job.

`plan` says what is compared, `runner` measures it round by round, `stats` says what can be trusted,
`result` holds the outcome, and `text`, `plots` and `page` show it. `protocol` is the border to the
core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mmcore import _mmcore
from mmcore._interrupted import partial
from mmcore._waiting import keep
from mmcore.comparison.plan import make_plan
from mmcore.comparison.result import Comparison
from mmcore.comparison.runner import Progress, measure
from mmcore.trace import Trace

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from mmcore.comparison.protocol import Backend

__all__ = ["Comparison", "Progress", "compare"]


def compare(
    trace: Trace | str | os.PathLike[str] | None = None,
    *,
    load: str = "tiering",
    vary: str | Mapping[str, Sequence[object]] | None = None,
    kernel: str = "6.12",
    threads: int = 2,
    alone: bool = False,
    seconds: float = 30.0,
    nodes: str | None = None,
    copy: bool = True,
    seed: int = 1,
    precision: float = 0.005,
    poison_rate: float = 0.0,
    progress: Callable[[Progress], None] | None = None,
) -> Comparison:
    """Compares variants of a machine under one load, and says which differences can be trusted.

    The variants take turns in paired rounds (A B C D, D C B A, then another order), so that they
    meet the same weather; see `mmcore.comparison.stats` for what the intervals promise.

    Args:
        trace: for `load="tiering"`, the accesses of a real program: a `Trace` or a file that
            `Trace.load` reads. Left out: a small trace of sqlite3 that mmcore ships.
        load: "tiering" replays the trace over a small fast node and a large slow one; "storm"
            moves random pages between nodes while other threads read, write, pin and free them.
        vary: "FIELD=a,b,..." or {"FIELD": [a, b, ...]}: a field of the profile and its values, the
            baseline first. Left out: the release designs against "split". Of load tiering also
            {"policy": [None, f, ...]}: callables that decide after each epoch what moves; None is
            the kernel's way. `f(hits, node, age)` gets an array each, with a number for each page
            of the trace (accesses in the epoch; the node, -1 if there is none yet; epochs since the
            last access), and returns the pages to promote and the pages to demote. What it raises
            ends the comparison.
        kernel: the preset of all other fields.
        threads: how many threads migrate.
        alone: for `load="storm"`: nobody uses the memory while it is migrated. The quietest
            measure of the protocol, which resolves a few percent within seconds.
        seconds: the time for measuring; building, counting and verifying come on top.
        nodes: sizes with optional access latencies, "64MiB,256MiB:250ns". Left out: for a trace, a
            fast node of a quarter of its footprint.
        copy: whether the contents of pages are copied; without, the protocol alone is timed.
        seed: of the loads and of the order of the variants.
        precision: the half width of the intervals that is enough: measuring stops when they are
            predicted to reach it, or when the time is up.
        poison_rate: the share of the migrators' calls before which a frame goes bad: softly under
            both loads, in a storm half of them hard.
        progress: called now and then, with what is being done.

    Raises:
        InputError: if an option or the trace does not fit; the message says what to change.
        FindingError: if a machine broke a rule: lost content, or an audit that is not clean.
        KeyboardInterrupt: by a signal; its `partial` has the rounds measured by then.
    """
    if load == "tiering":
        if trace is None:
            trace = Trace.sample()
        elif not isinstance(trace, Trace):
            trace = Trace.load(trace)
    elif trace is not None and not isinstance(trace, Trace):
        trace = Trace.load(trace)
    plan = make_plan(
        trace,
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
    )
    try:
        return Comparison(measure(plan, cast("Backend", _mmcore), progress))
    except KeyboardInterrupt as stopped:
        taken = partial(stopped)
        keep(stopped, None if taken is None else Comparison(taken))
        raise
