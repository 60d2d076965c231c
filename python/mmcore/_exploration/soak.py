"""The soak explores long random programs under random schedules.

Programs that cover new pairs of steps are kept, and later programs are made from them (`guided`).
All follows from the seed of the first program and the number of schedules.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mmcore._arguments import number
from mmcore._chosen import DESIGNS, chosen
from mmcore._exploration.guided import Guide
from mmcore._spread import Checkpoint

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Iterator

    from mmcore._chosen import Chosen
    from mmcore._exploration.guided import Draft
    from mmcore._exploration.planned import Planned
    from mmcore._exploration.result import Exploration
    from mmcore._spread import Workers
    from mmcore.typing import Kernel, Release

    #: The program, the seed of the program it was made from, and the release design.
    _Key = tuple[Draft, int | None, Release]

__all__ = ["SCHEDULES", "Soaked", "soak"]

#: The default number of schedules of a soak, of all programs together.
SCHEDULES = 1_000_000

#: The limit of schedules of one program.
_EACH = 20_000


@dataclass(frozen=True, slots=True)
class Soaked:
    """One program of a soak.

    Attributes:
        seed: the seed of program and schedules.
        design: the release design.
        exploration: the result of the search.
        parent: the seed of the kept program from which this one was made; None for a program that
            was drawn anew, from its own seed alone.
        new_pairs: the number of pairs of steps that no earlier program of the soak covered.
        pairs: the number of pairs of steps that the soak has covered so far.
    """

    seed: int
    design: str
    exploration: Exploration
    parent: int | None = None
    new_pairs: int = 0
    pairs: int = 0

    @property
    def label(self) -> str:
        """Seed and release design, `seed 7 (hook)` or `seed 9 from seed 7 (hook)`."""
        made = "" if self.parent is None else f" from seed {self.parent}"
        return f"seed {self.seed}{made} ({self.design})"


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

    guide = Guide()

    def planned() -> Iterator[tuple[_Key, str, Planned] | None]:
        for count, begun in enumerate(range(0, schedules, _EACH)):
            own = first + count
            while not guide.is_ready(count):
                yield None
            draft, parent = guide.draw(count, own)
            design = release or DESIGNS[own % len(DESIGNS)]
            search = plan(
                draft.program,
                schedules=min(schedules - begun, _EACH),
                seed=own,
                checks="all",
                kernel=kernel,
                release=design,
                profile=profile,
                jobs=1,
                pairs=True,
            )
            yield (draft, parent, design), f"seed {own} ({design})", search

    with Checkpoint(checkpoint, "soak", {**what, "profile": fields}) as finished:
        done = searches(planned(), workers=workers, checkpoint=finished, until=until)
        with closing(done):
            for (draft, parent, design), found in done:
                new = guide.learn(draft, parent, found.pairs)
                # The pairs of thousands of programs would fill the memory.
                options = {name: value for name, value in found.options.items() if name != "pairs"}
                alone = replace(found, pairs=None, options=options)
                yield Soaked(draft.seed, design, alone, parent, new, len(guide.covered))
                if found.counterexample is not None:
                    return
