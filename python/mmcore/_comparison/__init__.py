"""Compares designs of the release path under migration load.

`plan` lists the variants, `options` has the load and its limits, `runner` measures the variants
round by round, `stats` computes confidence intervals, `figures` the numbers of the table, `result`
is the public result, `text` and `plots` show it. `protocol` describes the calls of the core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mmcore import _mmcore
from mmcore._chosen import chosen
from mmcore._comparison.options import Options
from mmcore._comparison.plan import make_plan
from mmcore._comparison.result import Comparison
from mmcore._comparison.runner import Progress, measure
from mmcore._errors import InputError
from mmcore._interrupted import partial
from mmcore._mmcore import Profile
from mmcore._trace import Trace
from mmcore._waiting import keep

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from mmcore._chosen import Chosen
    from mmcore._comparison.protocol import Backend
    from mmcore.typing import Kernel, Load

__all__ = ["Comparison", "Options", "Progress", "compare"]


def compare(
    trace: Trace | str | os.PathLike[str] | None = None,
    *,
    load: Load = Options.load,
    vary: str | Mapping[str, Sequence[object]] | None = None,
    kernel: Kernel | None = None,
    profile: Chosen | None = None,
    threads: int = Options.threads,
    alone: bool = Options.alone,
    seconds: float = Options.seconds,
    nodes: str | None = Options.nodes,
    copy: bool = Options.copy,
    seed: int = Options.seed,
    precision: float = Options.precision,
    poison_rate: float = Options.poison_rate,
    progress: Callable[[Progress], None] | None = None,
) -> Comparison:
    """Measures variants of a machine under one load, and tells real differences from noise.

    The variants take turns in paired rounds (A B C D, D C B A, then another order), so that a
    slower or faster moment of the host meets all of them alike. `mmcore._comparison.stats` states
    the guarantees of the intervals.

    Args:
        trace: for `load="tiering"`, the accesses of a real program: a `Trace` or a file that
            `Trace.load` reads. Left out: a small trace of sqlite3 that mmcore ships.
        load: "tiering" replays the trace over a small fast node and a large slow one; "storm"
            moves random pages between nodes while other threads read, write, pin and free them;
            "compaction" asks for blocks of a node in pieces, while other threads use and replace
            its pages; "zram" does the same while pages are swapped to a compressed device.
        vary: "FIELD=a,b,..." or {"FIELD": [a, b, ...]}: a field of the profile and its values, the
            baseline first. Left out: the release designs against "split". Of load tiering also
            {"policy": [None, f, ...]}: callables that choose the pages to move after each epoch;
            None is the kernel's own choice. `f(hits, node, age)` gets three arrays with one entry
            per page of the trace: accesses in the epoch; the node, -1 before the first access; and
            epochs since the last access. It returns two arrays: the pages to promote and the pages
            to demote. An exception that it raises ends the comparison.
        kernel: the preset of all other fields; left out: 6.12.
        profile: a whole `Profile` instead of a preset, or fields of it by name.
        threads: the number of migrating threads.
        alone: for `load="storm"` and `load="compaction"`: no other thread uses the memory while it
            is migrated. This measures with the least noise, and resolves a few percent within
            seconds.
        seconds: seconds of measuring; building, counting and verifying take time of their own.
        nodes: sizes with optional access latencies, "64MiB,256MiB:250ns"; compaction and zram take
            one. Left out: for a trace, a fast node of a quarter of its footprint.
        copy: whether the contents of pages are copied; if not, the protocol alone is timed.
        seed: the seed of the loads and of the order of the variants.
        precision: the half width of the intervals, as a fraction of the ratio, at which measuring
            may stop before the time is up.
        poison_rate: the share (0 to 1) of migration calls before which a frame fails: with a soft
            error, in a storm half of them with a hard error.
        progress: called from time to time with the current stage and its share done.

    Raises:
        InputError: if an option or the trace does not fit; the message says what to change.
        FindingError: if a machine broke a rule: lost content, or an audit that is not clean.
        KeyboardInterrupt: by a signal; its `partial` has the rounds of the trials that had ended.
    """
    preset, fields = chosen(kernel, profile)
    options = Options(
        load=load,
        kernel=preset or Options.kernel,
        threads=threads,
        alone=alone,
        seconds=seconds,
        nodes=nodes,
        copy=copy,
        seed=seed,
        precision=precision,
        poison_rate=poison_rate,
    )
    if trace is None and load == "tiering":
        trace = Trace.sample()
    elif trace is not None and not isinstance(trace, Trace):
        trace = Trace.load(trace)
    plan = make_plan(trace, options, vary=vary, fields=fields)
    if not isinstance(profile, Profile):
        for name in plan.varied & fields.keys():
            raise InputError(
                f"the field {name} is varied and set: leave it out of --vary, or out of --set"
            )
    try:
        return Comparison(measure(plan, cast("Backend", _mmcore), progress))
    except KeyboardInterrupt as stopped:
        taken = partial(stopped)
        keep(stopped, None if taken is None else Comparison(taken))
        raise
