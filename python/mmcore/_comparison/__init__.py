"""Compares designs of the release path under migration load.

`plan` lists the variants, `options` has the load and its limits, `runner` counts the variants and
measures them round by round, `stats` computes confidence intervals, `figures` the numbers of the
table, `work` compares counts, `gates` judges, `result` is the public result, `text`, `markdown` and
`plots` show it, `histogram` draws latencies. `protocol` describes the calls of the core, `against`
makes the same calls in another build, through the module `worker`, and `busy` measures the load of
the host by other programs.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from mmcore import _mmcore, _output
from mmcore._chosen import chosen
from mmcore._comparison import against as other_build
from mmcore._comparison import work as counts
from mmcore._comparison.busy import observe
from mmcore._comparison.gates import AT_MOST, Gates, make_gates
from mmcore._comparison.options import Options
from mmcore._comparison.plan import PROCESSES, make_plan
from mmcore._comparison.result import Comparison
from mmcore._comparison.runner import Measurement, Progress, measure
from mmcore._errors import InputError
from mmcore._interrupted import partial
from mmcore._mmcore import Profile
from mmcore._trace import Trace
from mmcore._waiting import keep

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mmcore._chosen import Chosen
    from mmcore._comparison.gates import Gate
    from mmcore._comparison.plan import Plan
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
    precision: float | None = Options.precision,
    poison_rate: float = Options.poison_rate,
    against: str | os.PathLike[str] | None = None,
    gate: Gate | Sequence[Gate] | None = None,
    at_most: float = AT_MOST,
    allow: Mapping[str, float] | None = None,
    work: str | os.PathLike[str] | None = None,
    update: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Comparison:
    """Measures variants of a machine under one load, and tells real differences from noise.

    The variants take turns in paired rounds (A B C D, D C B A, then another order), so that a
    slower or faster moment of the host meets all of them alike. `mmcore._comparison.stats` states
    the guarantees of the intervals.

    Args:
        trace: for `load="tiering"`, the accesses of a real program: a `Trace` or a file that
            `Trace.load` reads. Left out: `Trace.sample(64)`, 64 processes of sqlite3.
        load: "tiering" replays the trace over a small fast node and a large slow one; "storm"
            moves random pages between nodes while other threads read, write, pin and free them;
            "compaction" asks a fragmented node for blocks, while other threads use and replace
            its pages; "zram" does the same while pages are swapped to a compressed device.
        vary: "FIELD=a,b,..." or {"FIELD": [a, b, ...]}: a field of the profile and its values, the
            baseline first. Left out: the release designs but "mine", against "split". For load
            tiering also {"policy": [None, f, ...]}: callables that choose the pages to move after
            each epoch; None is the kernel's own choice. `f(hits, node, age)` gets three arrays with
            one entry per page of the trace: accesses in the epoch; the node, -1 before the first
            access and while the page moves; and epochs since the last access. It returns two
            arrays: the pages to promote and the pages to demote. An exception that it raises ends
            the comparison.
        kernel: the preset of all other fields; left out: 6.12.
        profile: a whole `Profile` instead of a preset, or fields of it by name.
        threads: the number of migrating threads.
        alone: for `load="storm"` and `load="compaction"`: no other thread uses the memory while it
            is migrated. This measures with the least noise, and resolves a few percent within
            seconds.
        seconds: seconds of measuring. The whole call, with counting, building and verifying, takes
            at most three times as long, or a minute if that is more. On a busy machine measuring is
            cut short to keep this limit.
        nodes: sizes with optional access latencies, "64MiB,256MiB:250ns"; compaction and zram take
            one. Left out: for a trace, a fast node of a quarter of its footprint.
        copy: whether the contents of pages are copied; if not, the protocol alone is timed.
        seed: the seed of the loads and of the order of the variants.
        precision: the wanted half width of the intervals, as a fraction of the ratio. Measuring may
            stop once the intervals are this narrow; a result with wider ones is inconclusive. Left
            out: measuring may stop at 0.005, and no width is required.
        poison_rate: the share (0 to 1) of migration calls before which a frame is made to fail. The
            failures are soft errors; in a storm half of them are hard.
        against: the interpreter of another environment: each variant is compared with the same one
            of the build that is installed there, which runs in a process of its own.
        gate: "work", "time" or both: `Comparison.status` is then "finding" if a variant is worse
            than allowed. With "work" alone, the variants are counted and not timed.
        at_most: the slowdown that the gate "time" allows, as a fraction. The gate passes if the
            whole interval is within it, and fails if the whole interval is beyond it.
        allow: for counts such as "atomics": the number of additional operations for each migrated
            page that the gate "work" tolerates.
        work: a file of counts. The gate "work" then compares the variants with this file and not
            with the baseline. If `gate` is left out, a file sets `gate="work"`.
        update: write the counts into the file of `work`, and judge nothing.
        progress: called from time to time with the current stage and its share done.

    Raises:
        InputError: if an option, the trace, the file of `work` or the other build does not fit;
            the message says what to change.
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
        trace = Trace.sample(PROCESSES)
    elif trace is not None and not isinstance(trace, Trace):
        trace = Trace.load(trace)
    gates = _gates(gate, at_most, allow, work=work, update=update, against=against)
    timed = not update and (not gates.names or "time" in gates.names)
    plan = make_plan(
        trace,
        options,
        vary=vary,
        fields=fields,
        against=None if against is None else os.fspath(against),
        timed=timed,
        asked=_asked(gates, work, update=update),
    )
    if plan.has_policies and "work" in gates.names:
        raise InputError(
            "the gate 'work' cannot judge policies, which all run under one release design: leave"
            " the gate out, or vary a field of the profile"
        )
    if "work" in gates.names and work is None and not plan.compared:
        raise InputError("the gate 'work' needs two variants, --against or --work")
    if work is not None and not update:
        gates = replace(gates, expected=counts.Expected.read(work, plan))
    if not isinstance(profile, Profile):
        for name in plan.varied & fields.keys():
            raise InputError(
                f"the field {name} is varied and set: leave it out of --vary, or out of --set"
            )
    try:
        result = Comparison(_measured(plan, progress), gates)
    except KeyboardInterrupt as stopped:
        taken = partial(stopped)
        keep(stopped, None if taken is None else Comparison(taken, gates))
        raise
    if update and work is not None:
        result.save_work(work)
    return result


def _gates(
    gate: Gate | Sequence[Gate] | None,
    at_most: float,
    allow: Mapping[str, float] | None,
    *,
    work: str | os.PathLike[str] | None,
    update: bool,
    against: str | os.PathLike[str] | None,
) -> Gates:
    """Checks that the arguments of gates fit together; the file of counts is read later."""
    if update and work is None:
        raise InputError("--update needs the file to write: --work FILE")
    if work is not None and against is not None:
        raise InputError(
            "the gate 'work' compares with a file or with another build, not with both: leave out"
            " --work or --against"
        )
    if update and gate:
        raise InputError("--update writes the counts and judges nothing: leave --gate out")
    if update:
        _output.check(work)
    if work is not None and not update:
        names = (gate,) if isinstance(gate, str) else tuple(gate or ("work",))
        if "work" not in names:
            raise InputError(
                "the file of --work is used by the gate 'work' only: add --gate work, or leave"
                " --work out"
            )
        gate = names
    made = make_gates(gate, at_most, allow)
    for option, given, name in (
        ("allow", bool(made.allow), "work"),
        ("at_most", at_most != AT_MOST, "time"),
    ):
        if given and name not in made.names:
            raise InputError(f"{option} is for the gate {name}: give --gate {name}")
    return made


def _asked(gates: Gates, work: str | os.PathLike[str] | None, *, update: bool) -> list[str]:
    """The words of the command line that choose the gates."""
    words = [word for name in gates.names for word in ("--gate", name)]
    if gates.at_most != AT_MOST:
        words += ["--at-most", f"{100 * gates.at_most:g}%"]
    words += [word for name, n in gates.allow.items() for word in ("--allow", f"{name}=+{n:g}")]
    if work is not None:
        words += ["--work", os.fspath(work)]
    return [*words, "--update"] if update else words


def _measured(plan: Plan, progress: Callable[[Progress], None] | None) -> Measurement:
    """Counts and measures a plan with this build, and with the other build if the plan has one."""
    own = cast("Backend", _mmcore)
    if plan.against is None:
        return measure(plan, own, progress, busy=observe)
    with other_build.running(plan.against) as base:
        builds = (base.build, other_build.here())

        def used() -> float:
            return time.process_time() + base.processor_seconds()

        # The other process counts as this comparison, not as another program.
        return measure(
            replace(plan, builds=builds), own, progress, base=base, busy=lambda: observe(used)
        )
