"""The standard set: all pairs of operations, on one page and on two, and named triples.

What the threads leave is audited, used, audited once more, given back, and audited at the end.

`generate` makes set-up and threads from the tables in `kinds`; `data/standard.txt` is what it made,
checked in so that a change of the set is seen; `make standard` writes it anew. `load` adds what is
done afterwards, and `run` explores the programs exhaustively, in each release design.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from itertools import combinations, combinations_with_replacement, product
from typing import TYPE_CHECKING

from mmcore import arguments
from mmcore.exploration.kinds import KINDS, TOGETHER, TRIPLES
from mmcore.program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mmcore.exploration.result import Exploration

__all__ = ["DESIGNS", "Result", "generate", "load", "run"]

#: The release designs that are explored.
DESIGNS = ("putback", "split", "hook", "hook_late", "packed")


@dataclass(frozen=True, slots=True)
class Result:
    """A program of the set, explored.

    Attributes:
        name: its name.
        design: the release design.
        exploration: what was found.
    """

    name: str
    design: str
    exploration: Exploration


def generate() -> dict[str, str]:
    """Set-up and threads of each program of the set, by name."""
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
    return programs


def _program(setup: str, threads: list[str], selections: list[str]) -> str:
    text = setup
    for number, (lines, pages) in enumerate(zip(threads, selections, strict=False)):
        # What threads make has a number of their own.
        free = "\n".join(f"free {page}" for page in pages.split("+"))
        body = lines.format(x=pages, t=number + 2, free=free)
        text += f"\nthread {'ABC'[number]}\n{body}"
    return text


def _afterwards(text: str) -> str:
    """What a program does when its threads have ended: all that they left is used, then given back.

    What is wrong but in no rule's way shows when somebody uses it.
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
    use += [f"cread {child} {name}" for child in names["fork"] for name in regions]
    end = [*(f"exit {child}" for child in names["fork"]), *(f"unpin {pin}" for pin in names["pin"])]
    end += [f"unmap {name}" for name in regions] + [f"release {pool}" for pool in names["movable"]]
    return "\n".join(["audit", *use, "audit", *unpoison, *end, "drain", *unpoison])


def write(programs: dict[str, str]) -> str:
    """The set as it is checked in: a line a program, its name first."""
    lines = (f"{name} = {' ; '.join(text.splitlines())}\n" for name, text in programs.items())
    return "".join(lines)


@functools.cache
def load() -> dict[str, Program]:
    """The set: as it is checked in, and what is done afterwards."""
    text = files("mmcore").joinpath("data", "standard.txt").read_text(encoding="utf-8")
    named = (line.split(" = ", 1) for line in text.splitlines())
    texts = {name: program.replace(" ; ", "\n") for name, program in named}
    return {
        name: Program.parse(f"{text}\nfinally\n{_afterwards(text)}") for name, text in texts.items()
    }


def run(
    *,
    designs: tuple[str, ...] = DESIGNS,
    preemptions: int | None = 2,
    limit: int = 0,
    matching: str = "",
    jobs: int | None = None,
    kernel: str | None = None,
    profile: Mapping[str, str] | None = None,
) -> Iterator[Result]:
    """Explores the set, in order; several programs at a time.

    Whoever leaves the loop early, or is interrupted in it, ends the searches that still go on.

    Args:
        designs: release designs.
        preemptions: the bound of the exhaustive search.
        limit: schedules of one program after which its search stops, incomplete; 0 for none.
        matching: only programs whose name contains this.
        jobs: programs at a time; left out: one for each processor.
        kernel: the preset of the profile.
        profile: further fields of the profile.
    """
    from mmcore import _mmcore
    from mmcore.exploration import STOP, explore

    jobs = arguments.number("jobs", jobs, most=arguments.JOBS)
    stop = _mmcore.Stop()

    def one(name: str, program: Program, design: str) -> Result:
        # Signals reach the main thread alone: it tells the others.
        STOP.set(stop)
        found = explore(
            program,
            search="exhaustive",
            preemptions=preemptions,
            schedules=limit,
            kernel=kernel,
            release=design,
            profile=profile,
            jobs=1,
        )
        return Result(name, design, found)

    todo = ((n, p, d) for n, p in load().items() if matching in n for d in designs)
    workers = jobs or len(os.sched_getaffinity(0))
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Result]] = deque()
    try:
        for each in todo:
            waiting.append(pool.submit(one, *each))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
