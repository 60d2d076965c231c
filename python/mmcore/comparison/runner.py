"""Measuring: the variants take turns until the interval is narrow enough or time is up."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

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

#: Blocks that the time given is divided into, as long as a turn stays within its bounds.
BLOCKS_WANTED = 32

#: Seconds of one variant's turn: long enough for some thousand migrations, and short enough that
#: the machine's weather is the same for all variants of a round.
TURN = (0.02, 0.25)

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
    """One variant's turn in one round."""

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
        verified: of each variant, what it checked at the end.
        stopped: why measuring ended: "precision" or "time".
        elapsed: seconds of measuring.
        dropped: blocks left out because somebody's turn was too short to migrate a page.
    """

    plan: Plan
    samples: tuple[Sample, ...]
    operations: tuple[dict[str, float], ...]
    verified: tuple[dict[str, Any], ...]
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
    rigs = []
    for index, variant in enumerate(plan.variants):
        tell(Progress("build", index / len(plan.variants), variant.label))
        rigs.append(_build(plan, variant, backend, arrays))
    turn = _turn_seconds(plan)
    for index, (variant, rig) in enumerate(zip(plan.variants, rigs, strict=True)):
        # The first touch of memory costs more than any design does.
        tell(Progress("warm up", index / len(rigs), variant.label))
        _take_turn(plan, index, rig, _round_seed(plan.seed, 0), turn)
    start = clock()
    rounds = _Rounds(plan, rigs, turn, clock, [])
    stopped = rounds.measure(tell)
    elapsed = clock() - start
    verified = []
    for index, (variant, rig) in enumerate(zip(plan.variants, rigs, strict=True)):
        tell(Progress("verify", index / len(rigs), variant.label))
        with _findings(plan, variant):
            verified.append(json.loads(rig.finish()))
    tell(Progress("verify", 1.0))
    return Measurement(
        plan, tuple(rounds.samples), operations, tuple(verified), stopped, elapsed, rounds.dropped
    )


def _count(
    plan: Plan,
    backend: Backend,
    arrays: TraceArrays | None,
    tell: Callable[[Progress], None],
) -> Iterator[dict[str, float]]:
    """Operations for one migrated page of each variant, from the counting build."""
    known: dict[str, dict[str, float]] = {}
    for index, variant in enumerate(plan.variants):
        tell(Progress("count", index / len(plan.variants), variant.label))
        config = json.dumps({**plan.config(variant), "planted": {}}, sort_keys=True)
        if config not in known:
            with _findings(plan, variant):
                counts = json.loads(backend.count_ops(config, arrays))
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


def _build(plan: Plan, variant: Variant, backend: Backend, arrays: TraceArrays | None) -> Rig:
    with _findings(plan, variant):
        return backend.LoadRig(json.dumps(plan.config(variant), sort_keys=True), arrays)


def _turn_seconds(plan: Plan) -> float:
    shortest, longest = TURN
    turns = BLOCKS_WANTED * stats.ROUNDS * len(plan.variants)
    return min(longest, max(shortest, plan.seconds / turns))


@dataclass
class _Rounds:
    """The measuring: blocks of rounds, until the interval is narrow enough or time is up."""

    plan: Plan
    rigs: list[Rig]
    turn: float
    clock: Callable[[], float]
    samples: list[Sample]
    dropped: int = 0

    def measure(self, tell: Callable[[Progress], None]) -> str:
        """Fills `samples`; returns what ended it."""
        differences: list[list[float]] = [[] for _ in self.plan.variants[1:]]
        start = self.clock()
        for attempt in itertools.count():
            block = self._block(attempt, start + self.plan.seconds)
            elapsed = self.clock() - start
            if block is not None:
                self.samples += block
                width = _width_after(block, differences)
                rounds = f"{len(self.samples) // len(self.rigs)} rounds"
                note = f"{rounds}, ±{width:.2%} expected" if width < 1 else rounds
                tell(Progress("measure", min(1.0, elapsed / self.plan.seconds), note))
                if width <= self.plan.precision:
                    return "precision"
            if elapsed >= self.plan.seconds:
                return "time"
        raise AssertionError("the loop above ends by returning")

    def _block(self, attempt: int, deadline: float) -> list[Sample] | None:
        """One block; None if the time ended within it, or if somebody had no chance to migrate."""
        first = len(self.samples) // len(self.rigs)
        block = []
        for in_block, order in enumerate(_orders(self.plan.seed, attempt, len(self.rigs))):
            seed = _round_seed(self.plan.seed, attempt * stats.ROUNDS + in_block + 1)
            for index in order:
                if self.clock() >= deadline:
                    return None
                report = _take_turn(self.plan, index, self.rigs[index], seed, self.turn)
                if report.migrated == 0 or report.migrator_cpu_s <= 0:
                    self._lengthen(index)
                    return None
                block.append(Sample(first + in_block, index, seed, report))
        return block

    def _lengthen(self, index: int) -> None:
        """A turn in which no page moved has no rate. On a busy machine it was only too short."""
        if self.turn >= LONGEST_TURN:
            raise InputError(
                f"{self.plan.variants[index].label}: no page was migrated in a turn of"
                f" {self.turn:.3g} s: choose a smaller fast node (--nodes)"
            )
        self.dropped += 1
        self.turn = min(LONGEST_TURN, 2 * self.turn)


def _orders(seed: int, block: int, variants: int) -> Iterator[list[int]]:
    """The orders of a block's rounds: one drawn, its reverse, one drawn, its reverse."""
    rng = np.random.default_rng([seed, block])
    for _ in range(stats.ROUNDS // 2):
        order = rng.permutation(variants).tolist()
        yield order
        yield order[::-1]


def _round_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])


def _width_after(block: list[Sample], differences: list[list[float]]) -> float:
    """Adds a block's differences; the half width to expect of the widest interval."""
    columns: dict[int, list[float]] = {}
    for sample in sorted(block, key=lambda sample: sample.round):
        columns.setdefault(sample.variant, []).append(sample.report.pages_per_cpu_s)
    baseline = np.array(columns[0])
    widths = []
    for index, seen in enumerate(differences, start=1):
        seen.extend(stats.blocks(np.array(columns[index]), baseline).half_differences)
        widths.append(stats.predicted_half_width(np.array(seen), comparisons=len(differences)))
    return max(widths)


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
        if isinstance(error, ValueError | OverflowError | MemoryError):
            raise InputError(f"{self.variant.label}: {error}") from None
        text = f"{self.variant.label}: {error}"
        if self.plan.command not in text:
            text += f"\n  seed {self.plan.seed}; repeat with: {self.plan.command}"
        raise FindingError(text) from error
