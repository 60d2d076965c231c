"""The soak explores long random programs under random schedules.

The seed of a program determines its operations, its release design and its schedules, so that the
seed alone reproduces a violation.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from mmcore._arguments import number
from mmcore._chosen import DESIGNS, chosen
from mmcore._exploration.vocabulary import assemble, offered, variants
from mmcore._spread import Checkpoint

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Iterator, Sequence

    from mmcore._chosen import Chosen
    from mmcore._exploration.planned import Planned
    from mmcore._exploration.result import Exploration
    from mmcore._spread import Workers
    from mmcore.program import Program
    from mmcore.typing import Kernel, Release

__all__ = ["SCHEDULES", "Soaked", "drawn", "soak"]

#: The default number of schedules of a soak, of all programs together.
SCHEDULES = 1_000_000

#: The probability of the simplest of several lines of a set-up.
_SIMPLE = 0.6

#: The limit of schedules of one program.
_EACH = 20_000


@dataclass(frozen=True, slots=True)
class Soaked:
    """One program of a soak.

    Attributes:
        seed: the seed of program and schedules.
        design: the release design.
        exploration: the result of the search.
    """

    seed: int
    design: str
    exploration: Exploration

    @property
    def label(self) -> str:
        """Seed and release design, `seed 7 (hook)`."""
        return f"seed {self.seed} ({self.design})"


def drawn(seed: int) -> Program:
    """Draws a program: two to four threads of three to six operations on one or two pages.

    Args:
        seed: the seed, which determines the program.
    """
    random = Random(seed)  # noqa: S311 - reproducible on purpose
    pages = random.choice((1, 2))
    names = offered()
    threads = []
    for thread in range(random.choice((2, 2, 3, 3, 4))):
        # First the name, then the form: otherwise operations with many options are drawn most.
        chosen = [random.choice(names) for _ in range(random.randint(3, 6))]
        threads.append(
            [random.choice(variants(name, thread=thread, pages=pages)) for name in chosen]
        )

    def choose(choices: Sequence[str]) -> str:
        # Mostly the simplest, so that a rare line is combined with common ones.
        return choices[0] if random.random() < _SIMPLE else random.choice(choices)

    return assemble(threads, pages=pages, choose=choose)


def soak(
    schedules: int = SCHEDULES,
    *,
    seed: int = 0,
    kernel: Kernel | None = None,
    release: Release | None = None,
    profile: Chosen | None = None,
    workers: Workers | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    until: float | None = None,
) -> Generator[Soaked, None, None]:
    """Explores program after program until `schedules` were run or a rule breaks.

    Args:
        schedules: the number of schedules, of all programs together.
        seed: the seed of the first program; each next program has the next number.
        kernel: the preset of the profile.
        release: one release design instead of all in turn.
        profile: a whole `Profile`, or fields by name that override the preset.
        workers: the workers that share the programs; None for this thread alone.
        checkpoint: a file of finished programs, from which a later call goes on.
        until: the time of `time.monotonic` at which programs that are not finished are given up.

    Yields:
        Each program with its exploration; the last one has the counterexample, if there is one.

    Raises:
        InputError: if a number is out of range, or the preset or a field is unknown.
    """
    from mmcore._exploration.gathering import searches
    from mmcore._exploration.searching import plan

    schedules, first = number("schedules", schedules, 1), number("seed", seed)
    preset, fields = chosen(kernel, profile)
    what = {"schedules": schedules, "seed": first, "kernel": preset, "release": release}

    def planned() -> Iterator[tuple[tuple[int, Release], str, Planned]]:
        for count, begun in enumerate(range(0, schedules, _EACH)):
            own = first + count
            design = release or DESIGNS[own % len(DESIGNS)]
            search = plan(
                drawn(own),
                schedules=min(schedules - begun, _EACH),
                seed=own,
                checks="all",
                kernel=kernel,
                release=design,
                profile=profile,
                jobs=1,
            )
            yield (own, design), f"seed {own} ({design})", search

    with Checkpoint(checkpoint, "soak", {**what, "profile": fields}) as kept:
        done = searches(planned(), workers=workers, checkpoint=kept, until=until)
        with closing(done):
            for (own, design), found in done:
                yield Soaked(own, design, found)
                if found.counterexample is not None:
                    return
