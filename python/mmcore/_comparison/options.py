"""The options of a comparison, with the defaults and limits of library and command line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

from mmcore._arguments import number, time_limit
from mmcore._errors import InputError
from mmcore._mmcore import MAX_LOAD_THREADS
from mmcore.typing import Kernel, Load

__all__ = ["MOST_SECONDS", "MOST_THREADS", "Options"]

#: The most migrating threads. A storm has two writing threads for each of them, and the core takes
#: at most `MAX_LOAD_THREADS` writing threads.
MOST_THREADS = MAX_LOAD_THREADS // 2

#: The half width, as a fraction, at which a comparison stops if no precision was asked for.
STOPS_AT = 0.005

#: The most seconds of a comparison: one day.
MOST_SECONDS = 86_400


@dataclass(frozen=True)
class Options:
    """The options of a comparison.

    Raises `InputError` if an option is out of its limits; the message says what to change.

    Attributes:
        load: tiering (replays the trace over a fast and a slow node), storm (random migrations
            against threads that use the pages), compaction (requests for free blocks of a
            fragmented node) or zram (the same requests, while other threads swap pages to a
            compressed device).
        kernel: the preset of the profile, for all fields that no variant sets.
        threads: the number of migrating threads.
        alone: in a storm or under compaction, migrate pages that no other thread uses, for the
            least noise.
        seconds: the seconds of measuring, one day at most. The whole, with counting, building and
            verifying, takes at most three times as long, or a minute if that is more.
        nodes: the size of each node, with the latency of an access if it is not the default, such
            as 64MiB,256MiB:250ns; None for the sizes of the load.
        copy: whether the contents of pages are copied; False times the protocol alone.
        seed: seed of the loads and of the order of the variants.
        precision: the wanted half width of the intervals, as a fraction of the ratio. Measuring may
            stop once the intervals are this narrow; a comparison with wider ones is inconclusive.
            Left out: measuring may stop at 0.005, and no width is required.
        poison_rate: share (0 to 1) of migration calls before which a frame fails.
    """

    load: Load = "tiering"
    kernel: Kernel = "6.12"
    threads: int = 2
    alone: bool = False
    seconds: float = 20.0
    nodes: str | None = None
    copy: bool = True
    seed: int = 1
    precision: float | None = None
    poison_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.load not in get_args(Load):
            raise InputError(f"load {self.load!r} is not one of {', '.join(get_args(Load))}")
        if self.alone and self.load in ("tiering", "zram"):
            raise InputError(
                "alone needs load storm or compaction:"
                f" in {self.load} the accesses cause the migrations"
            )
        if self.load == "zram" and not self.copy:
            raise InputError("load zram needs contents to compress: copy them")
        if self.asks_for_blocks and self.poison_rate:
            raise InputError("a poison rate needs load storm or tiering")
        seconds = time_limit("seconds", self.seconds)
        if seconds > MOST_SECONDS:
            raise InputError(
                f"seconds must be more than 0 and at most {MOST_SECONDS}, not {seconds:g}"
            )
        precision = None if self.precision is None else _fraction("precision", self.precision)
        if precision in (0, 1):
            raise InputError(f"precision must be a fraction between 0 and 1, not {precision:g}")
        self._set(
            threads=number("threads", self.threads, 1, MOST_THREADS),
            alone=bool(self.alone),
            seconds=seconds,
            copy=bool(self.copy),
            seed=number("seed", self.seed),
            precision=precision,
            poison_rate=_fraction("poison_rate", self.poison_rate),
        )

    @property
    def stops_at(self) -> float:
        """The half width of the intervals at which measuring may stop."""
        return STOPS_AT if self.precision is None else self.precision

    @property
    def asks_for_blocks(self) -> bool:
        """True if the load asks for free blocks of one node; other loads migrate between nodes."""
        return self.load in ("compaction", "zram")

    def _set(self, **checked: object) -> None:
        """Replaces options by their checked values; a frozen class takes no assignment."""
        for name, value in checked.items():
            object.__setattr__(self, name, value)


def _fraction(name: str, value: float) -> float:
    try:
        # `float` also parses text; adding 0 makes text a TypeError.
        part = float(value + 0)
    except (TypeError, ValueError, OverflowError):
        part = math.nan
    if not 0 <= part <= 1:
        raise InputError(f"{name} must be from 0 to 1, not {str(value)[:40]}")
    return part
