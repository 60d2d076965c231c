"""Measuring: the variants take turns until the interval is narrow enough or time is up."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcore._waiting import heard, keep
from mmcore.comparison import stats
from mmcore.comparison.protocol import Backend, Rig, RoundReport
from mmcore.errors import FindingError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from mmcore.comparison.plan import Plan, Variant
    from mmcore.comparison.protocol import TraceArrays

__all__ = ["Measurement", "Progress", "Sample", "measure"]

#: A trace that moves fewer pages measures nothing but start-up.
MIN_MIGRATIONS = 1000

#: Trials that the time given is divided into: enough for intervals, with some to spare.
TRIALS_WANTED = 2 * (stats.MIN_BLOCKS + 2)

#: Seconds of measuring in one trial, at most: a longer run has more trials.
LONGEST_TRIAL = 2.0

#: Seconds of one variant's turn. The weather of a shared machine (caches, neighbours) changes
#: within some milliseconds: turns as short as this meet the same, and their noise cancels. Shorter
#: ones would mostly start and stop threads. (A against A, one migrator, 6 s: half widths of 1.0 to
#: 1.2 % with this, 1.5 to 3 % with 8 ms, 1.8 to 2.4 % with 0.5 ms.)
TURN = 0.002

#: Turns are doubled up to this when a migrator gets no processor time in a shorter one.
LONGEST_TURN = 1.0


@dataclass(frozen=True)
class Progress:
    """What is being done, for whoever waits.

    Attributes:
        stage: "count", "build", "warm up", "measure" or "verify".
        fraction: how much of the stage is done, 0 to 1.
        note: one line of detail.
    """

    stage: str
    fraction: float
    note: str = ""


@dataclass(frozen=True)
class Sample:
    """One variant's turn in one round of one trial."""

    trial: int
    round: int
    variant: int
    seed: int
    report: RoundReport


@dataclass(frozen=True)
class Measurement:
    """Everything that was observed.

    Attributes:
        plan: what was asked for.
        samples: the turns, in the order in which they were taken.
        operations: of each variant, what the counting build counted for one migrated page.
        verified: of each variant, what it checked at the end of each trial.
        stopped: why measuring ended: "precision", "time" or "interruption".
        elapsed: seconds of measuring.
        dropped: rounds left out because somebody's turn was too short to migrate a page.
    """

    plan: Plan
    samples: tuple[Sample, ...]
    operations: tuple[dict[str, float], ...]
    verified: tuple[tuple[dict[str, Any], ...], ...]
    stopped: str
    elapsed: float
    dropped: int

    def values(self, variant: int, attribute: str) -> NDArray[np.float64]:
        """One number a whole round, such as "pages_per_cpu_s"."""
        rounds = len(self.samples) // len(self.plan.variants)
        column = np.full(rounds, np.nan)
        for sample in self.samples:
            if sample.variant == variant and sample.round < rounds:
                column[sample.round] = getattr(sample.report, attribute)
        return column

    @property
    def trials(self) -> NDArray[np.int64]:
        """Of each whole round, its trial."""
        variants = len(self.plan.variants)
        return np.array([sample.trial for sample in self.samples[::variants]], dtype=np.int64)


def measure(
    plan: Plan,
    backend: Backend,
    progress: Callable[[Progress], None] | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Measurement:
    """Carries out a plan."""
    tell = progress if progress is not None else lambda _: None
    arrays = None if plan.trace is None else plan.trace.arrays()
    operations = tuple(_count(plan, backend, arrays, tell))
    trials = _Trials(plan, backend, arrays, clock, tell)

    def taken(stopped: str) -> Measurement:
        return Measurement(
            plan,
            tuple(trials.samples),
            operations,
            tuple(tuple(ends) for ends in trials.verified),
            stopped,
            trials.elapsed,
            trials.dropped,
        )

    try:
        return taken(trials.measure())
    except KeyboardInterrupt as interruption:
        # Of a trial that has not ended nobody has verified the machines.
        trials.forget_unverified()
        keep(interruption, taken("interruption") if trials.samples else None)
        raise


def _count(
    plan: Plan,
    backend: Backend,
    arrays: TraceArrays | None,
    tell: Callable[[Progress], None],
) -> Iterator[dict[str, float]]:
    """Operations for one migrated page of each variant, from the counting build."""
    known: dict[str, dict[str, float]] = {}
    for index, variant in enumerate(plan.variants):
        if plan.has_policies:
            # The designs are the same, and what a policy costs is its own time.
            yield {}
            continue
        tell(Progress("count", index / len(plan.variants), variant.label))
        config = json.dumps({**plan.config(variant), "planted": {}}, sort_keys=True)
        if config not in known:
            with _findings(plan, variant):
                counts = json.loads(heard(backend.count_ops, config, arrays))
            migrated = counts.pop("migrated")
            if arrays is not None and migrated < MIN_MIGRATIONS:
                raise InputError(
                    f"the trace causes only {migrated} migrations, fewer than {MIN_MIGRATIONS}:"
                    f" make the fast node smaller (--nodes, now {plan.nodes_text})"
                    " or record a longer run"
                )
            known[config] = {
                name: count / migrated if migrated else 0.0 for name, count in counts.items()
            }
        yield known[config]


class _Trials:
    """The measuring: trials until the interval is narrow enough or time is up."""

    def __init__(
        self,
        plan: Plan,
        backend: Backend,
        arrays: TraceArrays | None,
        clock: Callable[[], float],
        tell: Callable[[Progress], None],
    ) -> None:
        self.plan = plan
        self.backend = backend
        self.arrays = arrays
        self.clock = clock
        self.tell = tell
        self.trial_seconds = min(LONGEST_TRIAL, plan.seconds / TRIALS_WANTED)
        self.turn = TURN
        self.samples: list[Sample] = []
        self.verified: list[list[dict[str, Any]]] = [[] for _ in plan.variants]
        self.rounds = 0
        self.elapsed = 0.0
        self.dropped = 0

    def measure(self) -> str:
        """Fills `samples` and `verified`; returns what ended it."""
        for trial in itertools.count():
            rigs = self._build(trial)
            start = self.clock()
            end = start + min(self.trial_seconds, self.plan.seconds - self.elapsed)
            self._measure(trial, rigs, end)
            self.elapsed += self.clock() - start
            self._finish(rigs)
            if self.elapsed >= self.plan.seconds:
                return "time"
            if trial % 2 and self._expected_half_width() <= self.plan.precision:
                return "precision"
        raise AssertionError("the loop above ends by returning")

    def forget_unverified(self) -> None:
        """Leaves out the rounds of a trial whose machines were not verified at its end."""
        ended = min(map(len, self.verified))
        self.samples = [sample for sample in self.samples if sample.trial < ended]
        for ends in self.verified:
            del ends[ended:]

    def _build(self, trial: int) -> list[Rig]:
        """New machines, warmed up: the first touch of memory costs more than any design."""
        rigs: dict[int, Rig] = {}
        variants = self.plan.variants
        for index in _order([self.plan.seed, 0, trial // 2], len(variants), back=trial % 2 == 1):
            variant = variants[index]
            self._tell("build", variant.label)
            config = self.plan.config(variant)
            # Bare copies need as much memory as the load: one trial of them is enough.
            config["memcpy"] = not self.samples
            with _findings(self.plan, variant):
                text = json.dumps(config, sort_keys=True)
                # A policy of none is left out: simulated rigs know of none.
                policy = () if variant.policy is None else (variant.policy,)
                rigs[index] = heard(self.backend.LoadRig, text, self.arrays, *policy)
            self._tell("warm up", variant.label)
            seed = _round_seed(self.plan.seed, 0)
            _take_turn(self.plan, index, rigs[index], seed, self.turn)
        return [rigs[index] for index in range(len(variants))]

    def _measure(self, trial: int, rigs: list[Rig], end: float) -> None:
        """Pairs of rounds; one that the end of the trial cuts off is left out."""
        for pair in itertools.count():
            samples = self._pair(trial, pair, rigs, end)
            if samples is not None:
                self.samples += samples
            self._tell("measure")
            if self.clock() >= end:
                return

    def _pair(self, trial: int, pair: int, rigs: list[Rig], end: float) -> list[Sample] | None:
        """Two rounds; None if the time ended within, or if somebody had no chance to migrate."""
        samples = []
        first = len(self.samples) // len(rigs)
        for back in (False, True):
            self.rounds += 1
            seed = _round_seed(self.plan.seed, self.rounds)
            for index in _order([self.plan.seed, 1, trial, pair], len(rigs), back=back):
                if self.clock() >= end:
                    return None
                report = _take_turn(self.plan, index, rigs[index], seed, self.turn)
                if not _measured(self.plan, report):
                    self._lengthen(index)
                    return None
                samples.append(Sample(trial, first + back, index, seed, report))
        return samples

    def _lengthen(self, index: int) -> None:
        """A turn in which no page moved has no rate. On a busy machine it was only too short."""
        if self.turn >= LONGEST_TURN:
            if self.plan.has_policies:
                raise InputError(
                    f"{self.plan.variants[index].label}: nothing was accessed in a turn"
                )
            raise InputError(
                f"{self.plan.variants[index].label}: no page was migrated in a turn of"
                f" {self.turn:.3g} s: choose a smaller fast node (--nodes)"
            )
        self.dropped += 1
        self.turn = min(LONGEST_TURN, 2 * self.turn)
        # A trial has room for a few of them.
        self.trial_seconds = max(self.trial_seconds, 4 * len(self.plan.variants) * self.turn)

    def _finish(self, rigs: list[Rig]) -> None:
        for variant, rig, ends in zip(self.plan.variants, rigs, self.verified, strict=True):
            self._tell("verify", variant.label)
            with _findings(self.plan, variant):
                ends.append(json.loads(heard(rig.finish)))

    def _expected_half_width(self) -> float:
        """Of the widest interval, judged without a look at the effects."""
        trials = np.array([sample.trial for sample in self.samples[:: len(self.plan.variants)]])
        columns: list[list[float]] = [[] for _ in self.plan.variants]
        for sample in sorted(self.samples, key=lambda sample: sample.round):
            columns[sample.variant].append(getattr(sample.report, self.plan.primary))
        baseline, *others = (np.array(column) for column in columns)
        return max(
            stats.predicted_half_width(
                stats.blocks(other, baseline, trials).half_differences, comparisons=len(others)
            )
            for other in others
        )

    def _tell(self, stage: str, note: str = "") -> None:
        rounds = f"{len(self.samples) // len(self.plan.variants)} rounds"
        done = min(1.0, self.elapsed / self.plan.seconds)
        self.tell(Progress(stage, done, f"{rounds} {note}".rstrip()))


def _measured(plan: Plan, report: RoundReport) -> bool:
    """Whether a turn says something about the measure that the verdict is about."""
    if plan.has_policies:
        return report.modelled_ns > 0
    return report.migrated > 0 and report.migrator_cpu_s > 0


def _order(seed: list[int], variants: int, *, back: bool) -> list[int]:
    """An order drawn, or the same one backwards."""
    order: list[int] = np.random.default_rng(seed).permutation(variants).tolist()
    return order[::-1] if back else order


def _round_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])


def _take_turn(plan: Plan, index: int, rig: Rig, seed: int, seconds: float) -> RoundReport:
    with _findings(plan, plan.variants[index]):
        return RoundReport.from_json(rig.run(seed, seconds))


class _findings:  # noqa: N801 - reads as a keyword
    """Turns what the core raises into the two kinds of error: wrong input, or a finding."""

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
        if isinstance(error, ValueError | OverflowError | MemoryError):
            raise InputError(f"{self.variant.label}: {error}") from None
        text = f"{self.variant.label}: {error}"
        if self.plan.command not in text:
            text += f"\n  seed {self.plan.seed}; repeat with: {self.plan.command}"
        raise FindingError(text) from error
