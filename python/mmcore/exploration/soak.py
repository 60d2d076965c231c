"""Long programs, drawn at random, under schedules drawn at random: for hours, if wished.

Everything follows from the seed: its program, its release design, its schedules.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from mmcore.arguments import number
from mmcore.exploration.standard import DESIGNS
from mmcore.exploration.vocabulary import assemble, offered, variants

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mmcore.exploration.result import Exploration
    from mmcore.program import Program

__all__ = ["SCHEDULES", "Soaked", "drawn", "soak"]

#: Schedules of a whole soak, if nothing is said.
SCHEDULES = 1_000_000

#: How often the simplest of several set-ups is taken.
_SIMPLE = 0.6

#: Schedules of one program.
_EACH = 20_000


@dataclass(frozen=True, slots=True)
class Soaked:
    """One program of a soak.

    Attributes:
        seed: what it was made from.
        design: the release design.
        exploration: what was found.
    """

    seed: int
    design: str
    exploration: Exploration


def drawn(seed: int) -> Program:
    """The program of a seed: two to four threads of three to six operations on one or two pages."""
    random = Random(seed)  # noqa: S311 - reproducible on purpose
    pages = random.choice((1, 2))
    names = offered()
    threads = []
    for thread in range(random.choice((2, 2, 3, 3, 4))):
        # By name first: operations with many options are not drawn more often.
        chosen = [random.choice(names) for _ in range(random.randint(3, 6))]
        threads.append(
            [random.choice(variants(name, thread=thread, pages=pages)) for name in chosen]
        )

    def choose(choices: Sequence[str]) -> str:
        # Mostly the simplest, so that what is rare meets what is common.
        return choices[0] if random.random() < _SIMPLE else random.choice(choices)

    return assemble(threads, pages=pages, choose=choose)


def soak(
    schedules: int = SCHEDULES,
    *,
    seed: int = 0,
    jobs: int | None = None,
    kernel: str | None = None,
    release: str | None = None,
    profile: Mapping[str, str] | None = None,
) -> Iterator[Soaked]:
    """Explores one program after the other until `schedules` were run, or one breaks a rule.

    Args:
        schedules: how many, in all.
        seed: the seed of the first program; the next ones follow.
        jobs: OS threads; left out: one for each processor.
        kernel: the preset of the profile.
        release: one release design instead of all in turn.
        profile: further fields of the profile.
    """
    from mmcore.exploration import explore

    schedules, seed = number("schedules", schedules, 1), number("seed", seed)
    while schedules > 0:
        design = release or DESIGNS[seed % len(DESIGNS)]
        found = explore(
            drawn(seed),
            schedules=min(schedules, _EACH),
            seed=seed,
            kernel=kernel,
            release=design,
            profile=profile,
            jobs=jobs or len(os.sched_getaffinity(0)),
        )
        yield Soaked(seed, design, found)
        if found.counterexample is not None:
            return
        schedules -= found.schedules
        seed += 1
