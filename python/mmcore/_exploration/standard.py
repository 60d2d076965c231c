"""The standard set: programs for pairs of threads, for named triples, and for faults.

Pairs act on one page and on two.

In the `finally` section of each program the machine is audited, all memory that the threads left is
used, the machine is audited again, and the memory is given back. The explorer audits the end.

`generate` makes set-up and threads from the tables in `kinds` and `faulty`. `data/standard.txt` is
the checked-in copy, in which a review sees each change of the set; `make standard` writes it.
`load` reads the copy and adds the `finally` sections, and `run` explores the programs exhaustively
in each release design but `mine`.
"""

from __future__ import annotations

import functools
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import blake2b
from importlib.resources import files
from itertools import combinations, combinations_with_replacement, product
from typing import TYPE_CHECKING

from mmcore._chosen import DESIGNS, chosen
from mmcore._exploration.faulty import FAULTY
from mmcore._exploration.kinds import KINDS, TOGETHER, TRIPLES
from mmcore._spread import Checkpoint
from mmcore.program import Program

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Iterator

    from mmcore._chosen import Chosen
    from mmcore._exploration.planned import Planned
    from mmcore._exploration.result import Exploration
    from mmcore._spread import Workers
    from mmcore.program import Op
    from mmcore.typing import Kernel, Release

__all__ = ["Explored", "generate", "load", "run"]


@dataclass(frozen=True, slots=True)
class Explored:
    """One program of the set with the result of its search.

    Attributes:
        name: the program's name.
        design: the release design.
        exploration: the result of the search.
    """

    name: str
    design: Release
    exploration: Exploration

    @property
    def label(self) -> str:
        """Program and release design, `mapped 1: read, move (hook)`."""
        return f"{self.name} ({self.design})"


def generate() -> dict[str, str]:
    """Makes set-up and threads of each program of the set; returns the texts by name."""
    programs = {}
    for kind, (operations, *settings) in KINDS.items():
        for number, (setup, *selections) in enumerate(settings, start=1):
            for pair in combinations_with_replacement(operations, 2):
                threads = [operations[name] for name in pair]
                program = _program(setup, threads, selections)
                programs[f"{kind} {number}: {', '.join(pair)}"] = program
    for one, other in combinations(TOGETHER, 2):
        (first, (setup, page, _), _), (second, (more, another, _), _) = KINDS[one], KINDS[other]
        for pair in product(first, second):
            threads = [first[pair[0]], second[pair[1]]]
            program = _program(f"{setup}\n{more}", threads, [page, another])
            programs[f"{one} and {other}: {', '.join(pair)}"] = program
    for name, (kind, *names) in TRIPLES.items():
        operations, (setup, page, _), _ = KINDS[kind]
        lines = [operations[each] for each in names]
        programs[name] = _program(setup, lines, [page] * 3)
    for kind, each in FAULTY.items():
        for (failing, one), (beside, other) in product(each.failing.items(), each.beside.items()):
            program = _program(each.setup, [one, other], [each.pages] * 2)
            programs[f"{kind}: {failing}, {beside}"] = program
    return programs


def _program(setup: str, threads: list[str], selections: list[str]) -> str:
    text = setup
    for number, (lines, pages) in enumerate(zip(threads, selections, strict=False)):
        # `{t}` is another number in each thread, so that no two threads make objects of one name.
        free = "\n".join(f"free {page}" for page in pages.split("+"))
        body = lines.format(x=pages, t=number + 2, free=free)
        text += f"\nthread {'ABC'[number]}\n{body}"
    return text


def _afterwards(text: str) -> str:
    """Makes the `finally` section, which uses all memory that the threads left and gives it back.

    Some damage, such as a wrong page-table entry, breaks a rule only when its page is used again.
    """
    made = [line.split() for line in text.splitlines()]
    regions = {words[1]: words[2] for words in made if words[0] == "map"}
    names = {
        kind: sorted({words[1] for words in made if words[0] == kind})
        for kind in ("fork", "pin", "movable")
    }
    failed = any({"soft_offline", "hwpoison", "soft", "hard"} & set(words) for words in made)
    unpoison = [f"unpoison {name}" for name in regions if failed]
    use = [f"munlock {name}" for name in regions]
    use += ["drain", *(f"madv {name} pageout" for name in regions)]
    use += ["reclaim 4 node=0", "reclaim 4 node=1"]
    for name, kind in regions.items():
        use += [f"read {name}", f"write {name}"]
        use += [f"fread {name}", f"msync {name}"] * (kind in ("file", "tmpfs"))
    use += ["zs_check 0-1", "zs_stat"] * ("zs_open" in text)
    use += [f"cread {child} {name}" for child in names["fork"] for name in regions]
    end = [*(f"exit {child}" for child in names["fork"]), *(f"unpin {pin}" for pin in names["pin"])]
    end += ["deflate 9"] * any(words[0] == "inflate" for words in made)
    end += [f"unmap {name}" for name in regions] + [f"release {pool}" for pool in names["movable"]]
    # If a thread has closed the zsmalloc pool already, these two operations do nothing.
    end += ["zs_free_empty", "zs_close"] * ("zs_open" in text)
    return "\n".join(["audit", *use, "audit", *unpoison, *end, "drain", *unpoison])


def write(programs: dict[str, str]) -> str:
    """Returns the text of `data/standard.txt`: one line for each program, its name first."""
    lines = (f"{name} = {' ; '.join(text.splitlines())}\n" for name, text in programs.items())
    return "".join(lines)


def _text() -> str:
    return files("mmcore").joinpath("data", "standard.txt").read_text(encoding="utf-8")


@functools.cache
def load() -> dict[str, Program]:
    """Reads the checked-in set and adds the `finally` sections; returns the programs by name."""
    named = (line.split(" = ", 1) for line in _text().splitlines())
    texts = {name: program.replace(" ; ", "\n") for name, program in named}
    return {
        name: replace(Program.parse(text), finally_=_last(_afterwards(text)))
        for name, text in texts.items()
    }


@functools.cache
def _last(text: str) -> tuple[Op, ...]:
    """The operations of a `finally` section; thousands of programs share a few dozen sections."""
    return Program.parse(f"finally\n{text}").finally_


def run(
    *,
    designs: tuple[Release, ...] = DESIGNS,
    preemptions: int | None = 2,
    limit: int = 0,
    matching: str = "",
    kernel: Kernel | None = None,
    profile: Chosen | None = None,
    workers: Workers | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    until: float | None = None,
) -> Generator[Explored, None, None]:
    """Explores the programs of the set; yields them in the order of the set.

    Closing the iterator, or an interruption inside it, ends the searches that still run in this
    process.

    Args:
        designs: the release designs.
        preemptions: the bound on preemptions of a schedule; None for every interleaving.
        limit: the limit of the schedules of one program, 0 for none; a search that reaches the
            limit is incomplete.
        matching: text in the names of the programs to explore; empty for all programs.
        kernel: the preset of the profile.
        profile: a whole `Profile`, or fields by name that override the preset.
        workers: the workers that share the programs; None for this thread alone.
        checkpoint: a file of finished programs, from which a later call goes on.
        until: the time of `time.monotonic` at which programs that are not finished are given up.

    Yields:
        Each program with its exploration, once for each design.

    Raises:
        InputError: if a bound, the preset or a field is out of range or unknown.
    """
    from mmcore._exploration.gathering import searches
    from mmcore._exploration.searching import plan

    preset, fields = chosen(kernel, profile)
    what = {
        "designs": designs,
        "preemptions": preemptions,
        "schedules": limit,
        "matching": matching,
        "kernel": preset,
        "profile": fields,
    }
    # The text of the set: a checkpoint of another set has other programs under the same numbers.
    what["programs"] = blake2b(_text().encode(), digest_size=8).hexdigest()

    def planned() -> Iterator[tuple[tuple[str, Release], str, Planned]]:
        for (name, program), design in product(load().items(), designs):
            if matching in name:
                yield (
                    (name, design),
                    f"{name} ({design})",
                    plan(
                        program,
                        search="exhaustive",
                        preemptions=preemptions,
                        checks="all",
                        schedules=limit,
                        kernel=kernel,
                        release=design,
                        profile=profile,
                        jobs=1,
                    ),
                )

    with Checkpoint(checkpoint, "standard", what) as finished:
        done = searches(planned(), workers=workers, checkpoint=finished, until=until)
        with closing(done):
            for (name, design), found in done:
                yield Explored(name, design, found)
