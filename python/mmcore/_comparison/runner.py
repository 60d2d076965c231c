"""Measures the variants in turns, until the intervals are narrow enough or the time is up."""

from __future__ import annotations

import functools
import itertools
import json
import math
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcore._comparison import stats
from mmcore._comparison.protocol import (
    COUNTED,
    Backend,
    Hits,
    Operations,
    Rig,
    RoundReport,
)
from mmcore._errors import FindingError, InputError
from mmcore._waiting import heard, heard_all, keep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from mmcore._comparison.plan import Plan, Variant
    from mmcore._trace.arrays import TraceArrays

__all__ = ["Measurement", "Progress", "Sample", "measure"]

#: The fewest migrations of a trace: with fewer, the rates would be those of the start-up.
MIN_MIGRATIONS = 1000

#: The number of trials that the time is divided into. Two trials make a block, and four of the 14
#: blocks are cut off before the mean is taken. More blocks make the interval a little narrower, but
#: each trial builds, warms up and verifies machines for as long as it measures.
TRIALS_WANTED = 2 * 14

#: The most seconds of measuring in one trial; a longer comparison has more trials.
LONGEST_TRIAL = 2.0

#: The most seconds of a whole comparison: so many times those of measuring, but at least a minute.
#: To build, warm up and verify takes about as long as to measure on a quiet machine, but several
#: times as long if other programs take the processors: then trials are shorter, or there are fewer.
LIMIT, LEAST_LIMIT = 3.0, 60.0

#: The least share of its length to which a trial is shortened: its machines must be worth making.
SHORTEST_TRIAL = 0.2

#: Seconds of one variant's turn. The speed of a shared host (caches, other programs) changes within
#: some milliseconds: adjacent turns of this length run at the same speed, and the noise cancels.
#: Shorter ones would mostly start and stop threads. (One design against itself, one migrator, 6 s:
#: half widths of 1.0 to 1.2 % with this, 1.5 to 3 % with 8 ms, 1.8 to 2.4 % with 0.5 ms.)
TURN = 0.002

#: The exceptions that are raised when the report of another build has another form.
_MALFORMED = (AttributeError, KeyError, TypeError, json.JSONDecodeError)

#: The most seconds of a turn: a turn is doubled up to this while a variant migrates no page in it.
LONGEST_TURN = 1.0


@dataclass(frozen=True)
class Progress:
    """The progress of a comparison.

    Attributes:
        stage: "count", "build", "warm up", "measure" or "verify".
        fraction: the share done, 0 to 1: of the variants while counting, then of the time.
        note: one line of detail.
    """

    stage: str
    fraction: float
    note: str = ""


@dataclass(frozen=True)
class Sample:
    """The turn of one variant in one round of one trial.

    Attributes:
        trial: the number of the trial, from 0.
        round: the number of the round, from 0, counted over all trials.
        variant: the index of the variant in the plan.
        seed: the seed of the round, the same for all variants.
        report: the report of the rig.
    """

    trial: int
    round: int
    variant: int
    seed: int
    report: RoundReport


@dataclass(frozen=True)
class Measurement:
    """The turns of a comparison, with their counts and checks.

    Attributes:
        plan: the plan that was measured.
        samples: the turns, in the order of time.
        operations: for each variant, the operations in the counting build.
        verified: for each variant, the checks at the end of each trial.
        stopped: the reason for the end: "precision", "time" or "interruption"; "counted" if
            nothing was timed.
        elapsed: seconds of measuring.
        dropped: pairs of rounds left out because a variant's turn was too short to migrate a page.
        others: the processors that other programs used meanwhile, on average; None if unknown.
    """

    plan: Plan
    samples: tuple[Sample, ...]
    operations: tuple[Operations, ...]
    verified: tuple[tuple[dict[str, Any], ...], ...]
    stopped: str
    elapsed: float
    dropped: int
    others: float | None = None

    def values(self, variant: int, attribute: str) -> NDArray[np.float64]:
        """An array of one attribute of a variant's reports, such as "pages_per_cpu_s", by round."""
        rounds = len(self.samples) // len(self.plan.variants)
        column = np.full(rounds, np.nan)
        for sample in self.samples:
            if sample.variant == variant and sample.round < rounds:
                column[sample.round] = getattr(sample.report, attribute)
        return column

    @property
    def trials(self) -> NDArray[np.int64]:
        """The trial of each round."""
        variants = len(self.plan.variants)
        return np.array([sample.trial for sample in self.samples[::variants]], dtype=np.int64)


def measure(
    plan: Plan,
    backend: Backend,
    progress: Callable[[Progress], None] | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    base: Backend | None = None,
    busy: Callable[[], Callable[[], float | None]] = lambda: lambda: None,
) -> Measurement:
    """Counts, measures and verifies the variants of a plan.

    Args:
        plan: the plan.
        backend: the core, or a simulation of it.
        progress: called from time to time.
        clock: seconds of a monotonic clock; tests pass their own.
        base: the other build, for the variants that it runs.
        busy: begins to observe the host, and returns a function; that function returns the number
            of processors that other programs have used since, on average.

    Raises:
        InputError: if a configuration is refused, or a variant migrates too few pages.
        FindingError: if a machine broke a rule.
        KeyboardInterrupt: by a signal; its `partial` has the rounds of the trials that had ended.
    """
    tell = progress if progress is not None else lambda _: None
    trace = plan.trace
    arrays = None if trace is None else trace.arrays().filled(trace.footprint)
    deadline = clock() + max(LEAST_LIMIT, LIMIT * plan.options.seconds)
    backends = tuple(base if each.base and base else backend for each in plan.variants)
    operations = tuple(_count(plan, backends, arrays, tell))
    _check_alike(plan, operations)
    trials = _Trials(plan, backends, arrays, clock, tell, deadline)
    others = busy()

    def taken(stopped: str) -> Measurement:
        return Measurement(
            plan,
            tuple(trials.samples),
            operations,
            tuple(tuple(ends) for ends in trials.verified),
            stopped,
            trials.elapsed,
            trials.dropped,
            # After an interruption the other build may be in a turn, and cannot tell its time.
            others() if stopped in ("time", "precision") else None,
        )

    try:
        return taken(trials.measure() if plan.timed else "counted")
    except KeyboardInterrupt as interruption:
        # The machines of an unfinished trial are not verified: its rounds may have lost content.
        trials.forget_unverified()
        keep(interruption, taken("interruption") if trials.samples else None)
        raise


def _count(
    plan: Plan,
    backends: Sequence[Backend],
    arrays: TraceArrays | None,
    tell: Callable[[Progress], None],
) -> Iterator[Operations]:
    """Yields the operations of each variant, from the counting build."""
    known: dict[tuple[str, bool], Operations] = {}
    for index, (variant, backend) in enumerate(zip(plan.variants, backends, strict=True)):
        tell(Progress("count", index / len(plan.variants), variant.label))
        config = json.dumps(plan.config(variant), sort_keys=True)
        if plan.has_policies:
            # Variants with policies share one design: their operation counts say nothing.
            yield Operations({}, {}, _hits(plan, variant, backend, config, arrays))
            continue
        if (config, variant.base) not in known:
            with _findings(plan, variant):
                counts = json.loads(heard(backend.count_ops, config, arrays))
                migrated = counts.pop("migrated")
            if arrays is not None and migrated < MIN_MIGRATIONS:
                nodes = plan.smaller_nodes
                advice = "record a program that uses more memory"
                if nodes is not None:
                    advice = f"make the fast node smaller, such as --nodes {nodes}, or {advice}"
                raise InputError(
                    f"the trace causes only {migrated} migrations, fewer than {MIN_MIGRATIONS},"
                    f" with nodes {plan.nodes_text}: {advice}"
                )
            accesses, used = counts.pop("accesses", 0), counts.pop("used", {})
            known[config, variant.base] = Operations(
                _each(counts, migrated),
                _each(used, accesses),
                None if arrays is None else _hits(plan, variant, backend, config, arrays),
            )
        yield known[config, variant.base]


def _check_alike(plan: Plan, operations: Sequence[Operations]) -> None:
    """Refuses another build whose counts are of another kind.

    Counts that only one of two builds knows are left out of the comparison. If the builds had no
    count in common, the verdict about work would say that they do the same work.

    Raises:
        InputError: if two variants that are compared have counts, and share none.
    """
    for index in plan.compared:
        here, there = (operations[each].per_page.keys() for each in (index, plan.baseline(index)))
        if here and there and not here & there & COUNTED.keys():
            raise InputError(
                f"{plan.variants[index].label}: the build of --against has no count in common with"
                f" this one: it counts {', '.join(sorted(there))}"[:300]
            )


def _hits(
    plan: Plan, variant: Variant, backend: Backend, config: str, arrays: TraceArrays | None
) -> Hits | None:
    """Counts where the accesses of a trace find their pages; None if the build does not count."""
    policy = () if variant.policy is None else (variant.policy,)
    with _findings(plan, variant):
        text = heard(backend.count_hits, config, arrays, *policy)
        return None if text == "null" else Hits.from_json(text)


def _each(counts: dict[str, int], of: int) -> dict[str, float]:
    """Divides counts by a number of pages or accesses; returns no counts if the number is 0."""
    return {name: count / of for name, count in counts.items()} if of else {}


class _Trials:
    """The trials of a comparison, run until the intervals are narrow enough or the time is up."""

    def __init__(
        self,
        plan: Plan,
        backends: Sequence[Backend],
        arrays: TraceArrays | None,
        clock: Callable[[], float],
        tell: Callable[[Progress], None],
        deadline: float,
    ) -> None:
        self.plan = plan
        self.backends = backends
        self.arrays = arrays
        self.clock = clock
        self.tell = tell
        self.deadline = deadline
        self.trial_seconds = min(LONGEST_TRIAL, plan.options.seconds / TRIALS_WANTED)
        self.turn = TURN
        self.samples: list[Sample] = []
        self.verified: list[list[dict[str, Any]]] = [[] for _ in plan.variants]
        self.rounds = 0
        self.elapsed = 0.0
        self.dropped = 0

    def measure(self) -> str:
        """Fills `samples` and `verified`; returns why it ended: "time" or "precision"."""
        began = self.clock()
        # The seconds that a trial takes beside its measuring, on average.
        beside = 0.0
        for trial in itertools.count():
            rigs = self._build(trial)
            start = self.clock()
            left = self.plan.options.seconds - self.elapsed
            end = start + min(self._trial_seconds(trial, beside), left)
            self._measure(trial, rigs, end)
            self.elapsed += self.clock() - start
            self._finish(rigs)
            if self.elapsed >= self.plan.options.seconds:
                return "time"
            now = self.clock()
            beside = (now - began - self.elapsed) / (trial + 1)
            block = 2 * (self._trial_seconds(trial + 1, beside) + beside)
            if trial % 2 and now + block > self.deadline:
                return "time"
            if trial % 2 and self._expected_half_width() <= self.plan.options.stops_at:
                return "precision"
        raise AssertionError("the loop above ends by returning")

    def _trial_seconds(self, trial: int, beside: float) -> float:
        """The seconds of measuring in a trial, if each takes `beside` seconds more."""
        left = 2 * stats.MIN_BLOCKS - trial
        if left <= 0:
            return self.trial_seconds
        # With trials of this length, all that an interval needs end before the deadline.
        affordable = (self.deadline - self.clock()) / left - beside
        return min(self.trial_seconds, max(SHORTEST_TRIAL * self.trial_seconds, affordable))

    def forget_unverified(self) -> None:
        """Drops the rounds of a trial whose machines were not verified."""
        ended = min(map(len, self.verified))
        self.samples = [sample for sample in self.samples if sample.trial < ended]
        for ends in self.verified:
            del ends[ended:]

    def _build(self, trial: int) -> list[Rig]:
        """Builds and warms up the machines: first touches of memory cost more than any design."""
        rigs: dict[int, Rig] = {}
        variants = self.plan.variants
        order = _order([self.plan.options.seed, 0, trial // 2], len(variants))
        for index in reversed(order) if trial % 2 else order:
            variant = variants[index]
            self._tell("build", variant.label)
            config = self.plan.config(variant)
            # Bare copies double the memory of the load: only the first trial makes them.
            config["memcpy"] = not self.samples
            with _findings(self.plan, variant):
                text = json.dumps(config, sort_keys=True)
                # The argument is left out without a policy: simulated rigs do not take it.
                policy = () if variant.policy is None else (variant.policy,)
                rigs[index] = heard(self.backends[index].LoadRig, text, self.arrays, *policy)
            self._tell("warm up", variant.label)
            seed = _round_seed(self.plan.options.seed, 0)
            _take_turn(self.plan, index, rigs[index], seed, self.turn)
        return [rigs[index] for index in range(len(variants))]

    def _measure(self, trial: int, rigs: list[Rig], end: float) -> None:
        """Measures pairs of rounds until `end`; an unfinished pair is left out.

        The first pair has no limit of time: on a busy host it may take longer than the trial
        should, and a trial without a pair would be lost.
        """
        for pair in itertools.count():
            samples = self._pair(trial, pair, rigs, end if pair else math.inf)
            if samples is not None:
                self.samples += samples
            self._tell("measure")
            if self.clock() >= end:
                return

    def _pair(self, trial: int, pair: int, rigs: list[Rig], end: float) -> list[Sample] | None:
        """Measures two rounds; None if the time ran out or a turn migrated no page."""
        samples = []
        first = len(self.samples) // len(rigs)
        order = _order([self.plan.options.seed, 1, trial, pair], len(rigs))
        for back in (False, True):
            self.rounds += 1
            seed = _round_seed(self.plan.options.seed, self.rounds)
            for index in reversed(order) if back else order:
                if self.clock() >= end:
                    return None
                report = _take_turn(self.plan, index, rigs[index], seed, self.turn)
                if not _measured(self.plan, report):
                    self._lengthen(index)
                    return None
                samples.append(Sample(trial, first + back, index, seed, report))
        return samples

    def _lengthen(self, index: int) -> None:
        """Doubles the turn after one in which a variant migrated no page, and so has no rate.

        Raises:
            InputError: if the longest turn was too short: the load moves no pages at all.
        """
        if self.turn >= LONGEST_TURN:
            if self.plan.has_policies:
                raise InputError(
                    f"{self.plan.variants[index].label}: no page was accessed in a turn of"
                    f" {self.turn:.3g} s: record a longer trace"
                )
            other = "another size" if self.plan.options.asks_for_blocks else "a smaller fast node"
            raise InputError(
                f"{self.plan.variants[index].label}: no page was migrated in a turn of"
                f" {self.turn:.3g} s: choose {other} (--nodes)"
            )
        self.dropped += 1
        self.turn = min(LONGEST_TURN, 2 * self.turn)
        # A trial must hold at least two pairs of rounds of such turns.
        self.trial_seconds = max(self.trial_seconds, 4 * len(self.plan.variants) * self.turn)

    def _finish(self, rigs: list[Rig]) -> None:
        """Verifies all machines, several at a time: nothing is measured any more."""

        def finished(variant: Variant, rig: Rig) -> dict[str, Any]:
            with _findings(self.plan, variant):
                end: dict[str, Any] = json.loads(rig.finish())
                return end

        self._tell("verify")
        pairs = zip(self.plan.variants, rigs, strict=True)
        calls = [functools.partial(finished, variant, rig) for variant, rig in pairs]
        results = heard_all(calls, threads=len(os.sched_getaffinity(0)))
        for ends, end in zip(self.verified, results, strict=True):
            ends.append(end)

    def _expected_half_width(self) -> float:
        """The half width predicted for the widest interval."""
        trials = np.array([sample.trial for sample in self.samples[:: len(self.plan.variants)]])
        columns: list[list[float]] = [[] for _ in self.plan.variants]
        for sample in sorted(self.samples, key=lambda sample: sample.round):
            columns[sample.variant].append(getattr(sample.report, self.plan.primary))
        values = [np.array(column) for column in columns]
        compared = self.plan.compared
        return max(
            stats.predicted_half_width(
                stats.blocks(
                    values[index], values[self.plan.baseline(index)], trials
                ).half_differences,
                comparisons=len(compared),
            )
            for index in compared
        )

    def _tell(self, stage: str, note: str = "") -> None:
        rounds = f"{len(self.samples) // len(self.plan.variants)} rounds"
        # The share of the seconds of measuring, or of those until the deadline: the larger one.
        seconds = self.plan.options.seconds
        limit = max(LEAST_LIMIT, LIMIT * seconds)
        done = max(self.elapsed / seconds, 1 - (self.deadline - self.clock()) / limit)
        done = min(1.0, max(0.0, done))
        self.tell(Progress(stage, done, f"{rounds} {note}".rstrip()))


def _measured(plan: Plan, report: RoundReport) -> bool:
    """True if a turn has a value of each measure that is compared."""
    if plan.has_policies:
        return report.modelled_ns > 0
    moved = report.migrated > 0 and report.migrator_cpu_s > 0
    # The users' speed is compared too, unless there are none.
    used = not plan.options.asks_for_blocks or plan.options.alone or report.accesses > 0
    return moved and used


def _order(seed: list[int], variants: int) -> list[int]:
    """A random order of the variants, drawn from the seed."""
    order: list[int] = np.random.default_rng(seed).permutation(variants).tolist()
    return order


def _round_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])


def _take_turn(plan: Plan, index: int, rig: Rig, seed: int, seconds: float) -> RoundReport:
    with _findings(plan, plan.variants[index]):
        return RoundReport.from_json(rig.run(seed, seconds))


class _findings:  # noqa: N801 - reads as a keyword
    """Turns exceptions of the core into an InputError or a FindingError that names the variant."""

    def __init__(self, plan: Plan, variant: Variant) -> None:
        self.plan = plan
        self.variant = variant

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InputError | FindingError) or not isinstance(error, Exception):
            return
        if self.variant.policy is not None and error is self.variant.policy.raised:
            return
        if self.variant.base and isinstance(error, _MALFORMED):
            raise InputError(
                f"{self.variant.label}: the build of --against answers in another form:"
                f" {' '.join(str(error).split())}"[:300]
            ) from None
        if isinstance(error, ValueError | OverflowError | MemoryError):
            raise InputError(f"{self.variant.label}: {error}") from None
        text = f"{self.variant.label}: {error}"
        if self.plan.command not in text:
            text += f"\n  seed {self.plan.options.seed}; repeat with: {self.plan.command}"
        raise FindingError(text) from error
