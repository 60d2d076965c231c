"""List policies on a trace: how often a program's pages are there in a memory too small for it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mmcore import _mmcore, _output
from mmcore._waiting import heard, keep
from mmcore.arguments import number
from mmcore.environment import document
from mmcore.errors import FindingError, InputError
from mmcore.trace import Trace

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

__all__ = ["Policies", "PolicyOutcome", "known", "policies"]

#: Requests between two reports of the progress.
_STRETCH = 1 << 18

#: Sizes of the memory when none is given, as shares of the trace's footprint.
_SHARES = (16, 4, 2)


def known() -> tuple[str, ...]:
    """The list policies of this build, the default first."""
    return tuple(_mmcore.Profile.accepts("lru_policy").split(", "))


@dataclass(frozen=True, slots=True)
class PolicyOutcome:
    """One policy in a memory of one size.

    Attributes:
        policy: the profile field `lru_policy`.
        size: pages that the memory holds.
        requests: requests counted, after the warm-up.
        misses: those whose page was not there.
        requests_per_s: how fast the machine answered, reclaim included.
        activated: pages that moved to the active list, or to the front.
        deactivated: pages that moved to the inactive list.
        scanned: pages that reclaim looked at.
        refaulted: pages that came back after their eviction.
        reactivated: those that were active at once: back soon enough.
        active: active pages at the end.
    """

    policy: str
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
        """Misses of all requests."""
        return self.misses / self.requests


class Policies:
    """What `mmcore.policies` found: `print` it, or take its parts.

    Attributes:
        trace: the trace.
        outcomes: one for each size and policy.
        kernel: the preset of all other fields.
        pagevec: pages that a batch holds.
        warm_up: requests that were not counted.
        left: how many sizes and policies an interruption has left out.
    """

    def __init__(
        self,
        trace: Trace,
        outcomes: tuple[PolicyOutcome, ...],
        *,
        kernel: str,
        pagevec: int,
        warm_up: int,
        left: int = 0,
    ) -> None:
        self.trace = trace
        self.outcomes = outcomes
        self.kernel = kernel
        self.pagevec = pagevec
        self.warm_up = warm_up
        self.left = left

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each size and policy, as plain numbers: `PolicyOutcome` and `miss_ratio`."""
        return [{**asdict(each), "miss_ratio": each.miss_ratio} for each in self.outcomes]

    def __str__(self) -> str:
        trace = self.trace
        what = f"{trace.source}: {len(trace):,} requests to {trace.footprint:,} pages"
        how = f"kernel {self.kernel}, batches of {self.pagevec}, warm-up {self.warm_up:,}"
        names = ("activated", "refaulted", "scanned")
        head = f"{'size':>9}  {'policy':<9} {'miss ratio':>10} {'Mrequests/s':>12}"
        lines = [f"{what}; {how}", "", head + "".join(f" {name:>10}" for name in names)]
        size = None
        for each in self.outcomes:
            shown = f"{each.size:,}" if each.size != size else ""
            size = each.size
            lines.append(
                f"{shown:>9}  {each.policy:<9} {each.miss_ratio:>10.4f}"
                f" {each.requests_per_s / 1e6:>12.2f} {each.activated:>10,}"
                f" {each.refaulted:>10,} {each.scanned:>10,}"
            )
        if self.left:
            lines.append(f"incomplete: interrupted, {self.left} of the replays are left out")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain data."""
        trace = self.trace
        names = ",".join(dict.fromkeys(each.policy for each in self.outcomes))
        sizes = ",".join(str(size) for size in dict.fromkeys(each.size for each in self.outcomes))
        words = ["mmcore", "policies", *([] if trace.is_sample else [trace.source])]
        words += ["--policy", names, "--size", sizes, "--kernel", self.kernel]
        words += ["--pagevec", str(self.pagevec), "--warm-up", str(self.warm_up)]
        return {
            **document("policies", shlex.join(words)),
            "trace": {
                "source": trace.source,
                "accesses": len(trace),
                "pages": trace.footprint,
                "digest": trace.digest,
            },
            "kernel": self.kernel,
            "pagevec": self.pagevec,
            "warm_up": self.warm_up,
            "complete": not self.left,
            "table": self.table,
        }

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Everything as JSON; written to `path` if one is given."""
        text = json.dumps(self.as_dict(), indent=1, allow_nan=False)
        if path is not None:
            _output.write(path, text + "\n")
        return text


def policies(
    trace: Trace | str | os.PathLike[str] | None = None,
    *,
    policy: str | Iterable[str] | None = None,
    size: int | Iterable[int] | None = None,
    kernel: str = "6.12",
    pagevec: int | None = None,
    warm_up: int = 0,
    progress: Callable[[float, str], None] | None = None,
) -> Policies:
    """Replays a trace over memories of some sizes under list policies, and counts misses.

    The pages are those of one file that is read through the page cache of a real machine, without
    bytes: a request whose page is there marks it accessed; another one reclaims a page if the
    memory is full, by the code that `Machine.reclaim` runs, and reads its page in. With `pagevec=1`
    the policies `fifo`, `lru` and `clock` are the textbook's.

    Args:
        trace: the accesses of a real program: a `Trace` or a file that `Trace.load` reads. Left
            out: the trace that mmcore ships.
        policy: one or more values of the profile field `lru_policy`; left out: all.
        size: pages that the memory holds, one number or several. Left out: a 16th, a quarter and a
            half of the trace's footprint.
        kernel: the preset of all other fields.
        pagevec: pages that a batch holds; left out: as the preset says.
        warm_up: requests at the beginning that are not counted.
        progress: called now and then with the share that is done, and what is being done.

    Raises:
        InputError: if an option or the trace does not fit; the message says what to change.
        FindingError: if a machine broke a rule.
        KeyboardInterrupt: by a signal; its `partial` has the replays that had ended by then.
    """
    if trace is None:
        trace = Trace.sample()
    elif not isinstance(trace, Trace):
        trace = Trace.load(trace)
    names = _names(policy)
    sizes = _sizes(size, trace)
    warm_up = number("warm_up", warm_up)
    if warm_up >= len(trace):
        raise InputError(f"warm_up: {warm_up} of {len(trace)} requests leave none to count")
    if pagevec is not None:
        pagevec = number("pagevec", pagevec, 1, (1 << 16) - 1)
    runs = [(pages, name) for pages in sizes for name in names]
    outcomes: list[PolicyOutcome] = []
    capacity = 0

    def result() -> Policies:
        left = len(runs) - len(outcomes)
        return Policies(
            trace, tuple(outcomes), kernel=kernel, pagevec=capacity, warm_up=warm_up, left=left
        )

    for done, (pages, name) in enumerate(runs):
        fields = {"lru_policy": name} | ({} if pagevec is None else {"pagevec": pagevec})
        profile = _mmcore.Profile(kernel=kernel, **fields)
        profile = profile if profile["release"] == "split" else profile.replace(release="split")
        capacity = int(profile["pagevec"])

        def report(share: float, done: int = done, what: str = f"{name}, {pages} pages") -> None:
            if progress is not None:
                progress((done + share) / len(runs), what)

        try:
            outcomes.append(_outcome(trace, name, pages, profile, warm_up, report))
        except KeyboardInterrupt as stopped:
            keep(stopped, result() if outcomes else None)
            raise
    return result()


def _outcome(
    trace: Trace,
    name: str,
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


def _names(policy: str | Iterable[str] | None) -> tuple[str, ...]:
    if policy is None:
        return known()
    names = policy.split(",") if isinstance(policy, str) else list(policy)
    for name in names:
        if name not in known():
            raise InputError(f"policy: no list policy {name!r}: choose from {', '.join(known())}")
    if not names:
        raise InputError(f"policy: name one of {', '.join(known())}")
    return tuple(dict.fromkeys(names))


def _sizes(size: int | Iterable[int] | None, trace: Trace) -> tuple[int, ...]:
    if size is None:
        return tuple(dict.fromkeys(max(1, trace.footprint // share) for share in _SHARES))
    sizes = list(size) if isinstance(size, Iterable) else [size]
    sizes = [number("size", pages, 1, (1 << 28) - 1) for pages in sizes]
    if not sizes:
        raise InputError("size: how many pages does the memory hold?")
    return tuple(dict.fromkeys(sizes))
