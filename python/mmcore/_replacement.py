"""List policies on a trace: the misses of a program in a memory that is too small for it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from mmcore import _mmcore
from mmcore._arguments import nearest, number
from mmcore._choices import as_text
from mmcore._chosen import chosen, set_options
from mmcore._curves import curves
from mmcore._errors import FindingError, InputError, WorkersLostError
from mmcore._plotting import drawing
from mmcore._spread import Checkpoint, Part, spread, workers_of
from mmcore._trace import Trace
from mmcore._waiting import heard, keep
from mmcore.reporting import Grid, Result
from mmcore.reporting._parts import columns

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

    from mmcore import reporting
    from mmcore._chosen import Chosen
    from mmcore._spread import ExecutorChoice
    from mmcore.typing import Kernel, Policy, Status

__all__ = ["Policies", "PolicyOutcome", "known", "policies"]

#: Requests between two reports of the progress.
_STRETCH = 1 << 18

#: The fields of the profile that are not in `Policies.fields`: `PolicyOutcome.policy` and
#: `Policies.pagevec` show two of them, and the release design is always `split`.
_ELSEWHERE = frozenset({"lru_policy", "pagevec", "release"})

#: Sizes of the memory when none is given, as shares of the trace's footprint.
_SHARES = (16, 4, 2)


def known() -> tuple[Policy, ...]:
    """The list policies of this build, the default first."""
    return cast("tuple[Policy, ...]", _mmcore.CHOICES["Policy"])


@dataclass(frozen=True, slots=True)
class PolicyOutcome:
    """One policy in a memory of one size.

    Attributes:
        policy: the profile field `lru_policy`.
        size: pages that the memory holds.
        requests: requests counted, after the warm-up.
        misses: requests whose page was not in memory.
        requests_per_s: requests a second, reclaim and warm-up included.
        activated: pages that moved to the active list, or to the front.
        deactivated: pages that moved to the inactive list.
        scanned: pages that reclaim looked at.
        refaulted: pages that came back after their eviction.
        reactivated: refaulted pages that became active at once, because they came back soon.
        active: active pages at the end.
    """

    policy: Policy
    size: int
    requests: int
    misses: int
    requests_per_s: float
    activated: int
    deactivated: int
    scanned: int
    refaulted: int
    reactivated: int
    active: int

    @property
    def miss_ratio(self) -> float:
        """Misses divided by requests."""
        return self.misses / self.requests


class Policies(Result):
    """The result of `mmcore.policies`: `print` it, or take its parts.

    Attributes:
        trace: the trace.
        outcomes: one for each size and policy.
        kernel: the preset of all other fields.
        pagevec: pages that a batch holds.
        warm_up: requests that were not counted.
        left: the number of sizes and policies that an interruption has left out.
        fields: fields of the profile over the preset.
    """

    kind: ClassVar[str] = "policies"

    def __init__(
        self,
        trace: Trace,
        outcomes: tuple[PolicyOutcome, ...],
        *,
        kernel: str,
        pagevec: int,
        warm_up: int,
        left: int = 0,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self.trace = trace
        self.outcomes = outcomes
        self.kernel = kernel
        self.pagevec = pagevec
        self.warm_up = warm_up
        self.left = left
        self.fields = dict(fields or {})

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each size and policy, as plain numbers: `PolicyOutcome` and `miss_ratio`."""
        return [{**asdict(each), "miss_ratio": each.miss_ratio} for each in self.outcomes]

    @property
    def curves(self) -> dict[Policy, list[tuple[int, float]]]:
        """The miss-ratio curve of each policy: pairs of a size in pages and a miss ratio."""
        found: dict[Policy, list[tuple[int, float]]] = {}
        for each in sorted(self.outcomes, key=lambda each: each.size):
            found.setdefault(each.policy, []).append((each.size, each.miss_ratio))
        return found

    @property
    def command(self) -> str:
        """The command line that repeats the replays."""
        names = ",".join(dict.fromkeys(each.policy for each in self.outcomes))
        sizes = ",".join(str(size) for size in dict.fromkeys(each.size for each in self.outcomes))
        words = ["mmcore", "policies", *([] if self.trace.sample_of == 1 else [self.trace.source])]
        words += ["--policy", names, "--size", sizes, "--kernel", self.kernel]
        words += set_options(self.fields)
        return shlex.join([*words, "--pagevec", str(self.pagevec), "--warm-up", str(self.warm_up)])

    @property
    def verdict(self) -> str:
        """For each size the policy with the fewest misses, and the number of replays left out."""
        best: dict[int, PolicyOutcome] = {}
        for each in self.outcomes:
            if each.size not in best or each.misses < best[each.size].misses:
                best[each.size] = each
        lines = [
            f"{size:,} pages: {each.policy} has the fewest misses, {each.miss_ratio:.4f}"
            for size, each in best.items()
        ]
        if self.left:
            lines.append(f"incomplete: interrupted, {self.left} of the replays are left out")
        return "\n".join(lines)

    @property
    def status(self) -> Status:
        """`inconclusive` if replays were left out."""
        return "inconclusive" if self.left else "clean"

    def parts(self) -> Iterator[reporting.Part]:
        """The trace, the curves, the table, the verdict."""
        trace = self.trace
        what = f"{trace.source}: {len(trace):,} requests to {trace.footprint:,} pages"
        settings = "".join(f" {name}={value}" for name, value in self.fields.items())
        how = f"kernel {self.kernel}{settings}, batches of {self.pagevec}, warm-up {self.warm_up:,}"
        yield f"{what}; {how}"
        yield ""
        yield drawing(lambda: curves(self.curves), "The miss ratio over the size of the memory")
        titles = (">size", "policy", ">miss ratio", ">Mrequests/s")
        events = (">activated", ">refaulted", ">scanned")
        yield Grid(columns(*titles, *events), tuple(self._rows()))
        yield ""
        yield self.verdict

    def _rows(self) -> Iterator[tuple[str, ...]]:
        size = None
        for each in self.outcomes:
            yield (
                # The first row of a size names it.
                f"{each.size:,}" if each.size != size else "",
                each.policy,
                f"{each.miss_ratio:.4f}",
                f"{each.requests_per_s / 1e6:.2f}",
                *(f"{count:,}" for count in (each.activated, each.refaulted, each.scanned)),
            )
            size = each.size

    def content(self) -> dict[str, Any]:
        """The trace, the machine, the table."""
        return {
            "trace": self.trace.facts(),
            "kernel": self.kernel,
            "profile": self.fields,
            "pagevec": self.pagevec,
            "warm_up": self.warm_up,
            "complete": not self.left,
            "table": self.table,
        }


def policies(
    trace: Trace | str | os.PathLike[str] | None = None,
    *,
    policy: str | Iterable[Policy] | None = None,
    size: int | Iterable[int] | None = None,
    kernel: Kernel | None = None,
    profile: Chosen | None = None,
    pagevec: int | None = None,
    warm_up: int = 0,
    executor: ExecutorChoice | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Policies:
    """Replays a trace over memories of some sizes under list policies, and counts misses.

    The pages are those of one file that is read through the page cache of a real machine, without
    bytes. A request whose page is in memory marks the page accessed. Any other request reads its
    page in; if the memory is full, it first reclaims a page by the code that `Machine.reclaim`
    runs.

    With `pagevec=1` the policies `fifo`, `lru` and `clock` are the textbook's, and run on arrays
    without a machine: their counts are the machine's, their rates are not (docs/policies.md).

    Args:
        trace: the accesses of a real program: a `Trace` or a file that `Trace.load` reads. Left
            out: the trace that mmcore ships.
        policy: one or more values of the profile field `lru_policy`; left out: all.
        size: pages that the memory holds, one number or several. Left out: a 16th, a quarter and a
            half of the trace's footprint.
        kernel: the preset of all other fields; left out: 6.12.
        profile: a whole `Profile` instead of a preset, or fields of it by name.
        pagevec: pages that a batch holds; left out: as the preset says.
        warm_up: requests at the beginning that are not counted.
        executor: the workers that share the replays: an executor of `concurrent.futures`, or a
            function that makes one (docs/clusters.md). Left out: one after another.
        checkpoint: a file of finished replays, from which a later call goes on.
        progress: called now and then with the share that is done, and what is being done.

    Raises:
        InputError: if an option or the trace does not fit; the message says what to change.
        FindingError: if a machine broke a rule.
        KeyboardInterrupt: by a signal; its `partial` has the replays that had ended by then.
        OSError: if the checkpoint cannot be read or written.
        WorkersLostError: if the executor lost replays; likewise.
    """
    workers = workers_of(executor, alone=True)
    if trace is None:
        trace = Trace.sample()
    elif not isinstance(trace, Trace):
        trace = Trace.load(trace)
    names = _names(policy)
    sizes = _sizes(size, trace)
    warm_up = number("warm_up", warm_up)
    if warm_up >= len(trace):
        raise InputError(
            f"warm_up must be less than the {len(trace)} requests of the trace, not {warm_up}"
        )
    if pagevec is not None:
        pagevec = number("pagevec", pagevec, 1, (1 << 16) - 1)
    preset, fields = chosen(kernel, profile)
    preset = preset or "6.12"
    if not isinstance(profile, _mmcore.Profile):
        _refuse_given_elsewhere(fields, pagevec)
    # The fields of `_ELSEWHERE` are left out: other attributes show them, or they are fixed.
    other_fields = {name: value for name, value in fields.items() if name not in _ELSEWHERE}
    base = _mmcore.Profile(kernel=preset, **fields)
    runs = [(pages, name) for pages in sizes for name in names]
    outcomes: list[PolicyOutcome] = []
    capacity = 0

    def result() -> Policies:
        left = len(runs) - len(outcomes)
        return Policies(
            trace,
            tuple(outcomes),
            kernel=preset,
            pagevec=capacity,
            warm_up=warm_up,
            left=left,
            fields=other_fields,
        )

    def tell(share: float, what: str) -> None:
        if progress is not None:
            progress((len(outcomes) + share) / len(runs), what)

    def alone(task: dict[str, Any]) -> dict[str, Any]:
        return _replayed(task, lambda share: tell(share, _label(task)))

    tasks = []
    for pages, name in runs:
        own = {"lru_policy": name} | ({} if pagevec is None else {"pagevec": pagevec})
        capacity = int(base.replace(release="split", **own)["pagevec"])
        given = {**fields, "release": "split", **{key: as_text(own[key]) for key in own}}
        task = {"kernel": preset, "fields": given, "policy": name, "size": pages}
        tasks.append(task | {"warm_up": warm_up})
    what = {"trace": trace.digest, "replays": tasks}
    parts = (Part(_label(task), {**task, "trace": trace}) for task in tasks)
    with Checkpoint(checkpoint, "policies", what) as kept:
        work = alone if workers is None else _replayed
        done = spread(work, parts, workers=workers, checkpoint=kept)
        try:
            with closing(done):
                for place, found in done:
                    outcomes.append(PolicyOutcome(**found))
                    tell(0.0, _label(tasks[place]))
        except (KeyboardInterrupt, WorkersLostError, OSError) as stopped:
            keep(stopped, result() if outcomes else None)
            raise
    return result()


def _label(task: Mapping[str, Any]) -> str:
    return f"{task['policy']}, {task['size']} pages"


def _replayed(
    task: Mapping[str, Any], report: Callable[[float], None] = lambda _: None
) -> dict[str, Any]:
    """Does one replay, in any process, and returns its outcome as plain data."""
    profile = _mmcore.Profile(kernel=task["kernel"], **task["fields"])
    outcome = _outcome(
        task["trace"], task["policy"], task["size"], profile, task["warm_up"], report
    )
    return asdict(outcome)


def _refuse_given_elsewhere(fields: Mapping[str, str], pagevec: int | None) -> None:
    """Refuses fields that would do nothing: an argument of `policies` decides them."""
    if "lru_policy" in fields:
        raise InputError("the field lru_policy cannot be set: name the policies with --policy")
    if "release" in fields:
        raise InputError("the field release cannot be set: these replays always use split")
    if pagevec is not None and "pagevec" in fields:
        raise InputError("the field pagevec is given twice: leave out --pagevec, or its --set")


def _outcome(
    trace: Trace,
    name: Policy,
    pages: int,
    profile: _mmcore.Profile,
    warm_up: int,
    report: Callable[[float], None],
) -> PolicyOutcome:
    report(0.0)
    try:
        # A memory of many pages takes seconds to build, and to audit.
        replay = heard(_mmcore.PolicyReplay, profile, trace.ids, trace.footprint, pages, warm_up)
        done = 0
        while done < len(trace):
            done = replay.step(_STRETCH)
            report(done / len(trace))
    except ValueError as error:
        raise InputError(str(error)) from None
    try:
        found = json.loads(heard(replay.finish))
    except RuntimeError as error:
        raise FindingError(f"{name}, {pages} pages: {error}") from None
    del found["seconds"]
    return PolicyOutcome(policy=name, size=pages, **found)


def _names(policy: str | Iterable[Policy] | None) -> tuple[Policy, ...]:
    if policy is None:
        return known()
    names = policy.split(",") if isinstance(policy, str) else list(policy)
    for name in names:
        if name not in known():
            raise InputError(
                f"no list policy {name!r}: choose from {', '.join(known())}{nearest(name, known())}"
            )
    if not names:
        raise InputError(f"policy is empty: name one or more of {', '.join(known())}")
    return cast("tuple[Policy, ...]", tuple(dict.fromkeys(names)))


def _sizes(size: int | Iterable[int] | None, trace: Trace) -> tuple[int, ...]:
    if size is None:
        return tuple(dict.fromkeys(max(1, trace.footprint // share) for share in _SHARES))
    sizes = list(size) if isinstance(size, Iterable) else [size]
    sizes = [number("size", pages, 1, _mmcore.MAX_FRAMES - 1) for pages in sizes]
    if not sizes:
        raise InputError("size is empty: give one or more numbers of pages")
    return tuple(dict.fromkeys(sizes))
