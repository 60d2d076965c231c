"""Hypothesis strategies: programs and schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from mmcore._arguments import number
from mmcore._errors import InputError
from mmcore._exploration.schedule import Schedule
from mmcore._exploration.vocabulary import assemble, offered, variants
from mmcore._mmcore import MAX_EXPLORED_THREADS, MAX_STEPS
from mmcore.program import Op, Program

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["programs", "schedules"]

#: The limit of the pages of a region: each operation has a form for each page, and the choice of
#: forms is built before one is drawn.
_PAGES = 64


def programs(
    threads: int = 2,
    ops: Iterable[str | Op] | None = None,
    *,
    length: int = 3,
    pages: int = 1,
    setup: Program | str | None = None,
) -> st.SearchStrategy[Program]:
    """Draws programs of a few threads; `explore` then searches their interleavings.

    A failing program shrinks to fewer operations, and to operations that stand earlier in `ops`.

    Args:
        threads: the number of threads, 1 to 8 (the limit of `mmcore.explore`).
        ops: the operations to draw from: names (`"move"` stands for all its forms) or whole
            operations (`"move r0 node=1"`); left out: every operation on pages that threads share.
        length: the limit of operations of a thread, at least 1.
        pages: the number of pages of each region and owner in the set-up, 1 to 64.
        setup: a program whose set-up, machine and `finally` section are used; left out: a set-up
            that makes the regions, pins and pages that the operations name.

    Raises:
        InputError: if an operation is not valid, or a number is out of range.
    """
    most = MAX_EXPLORED_THREADS
    if not 1 <= threads <= most or length < 1 or not 1 <= pages <= _PAGES:
        raise InputError(
            f"programs have 1 to {most} threads, at least one operation, and 1 to {_PAGES} pages"
        )
    base = Program.parse(setup) if isinstance(setup, str) else setup
    chosen = tuple(offered() if ops is None else ops)
    if not chosen:
        raise InputError("ops is empty: there is nothing to draw")
    bodies = [
        st.lists(_operation(chosen, thread, pages), min_size=1, max_size=length)
        for thread in range(threads)
    ]
    made = st.tuples(*bodies)
    return made.map(lambda drawn: assemble(drawn, pages=pages, setup=base))


def _operation(chosen: tuple[str | Op, ...], thread: int, pages: int) -> st.SearchStrategy[Op]:
    forms: list[tuple[Op, ...]] = []
    for one in chosen:
        if isinstance(one, Op):
            forms.append((one,))
        elif " " in one:
            forms.append((Op.parse(one),))
        else:
            forms.append(variants(one, thread=thread, pages=pages))
    # The name is drawn first, then the form: otherwise operations with many forms are drawn most.
    return st.one_of([st.sampled_from(form) for form in forms])


def schedules(threads: int = 2, *, steps: int = 200) -> st.SearchStrategy[Schedule]:
    """Draws schedules for `mmcore.replay`: a thread number for each step.

    Every list is a schedule of every program, so that Hypothesis can shrink it freely. A search by
    drawn schedules is slow; `explore` searches in the core.

    Args:
        threads: the number of threads of the program.
        steps: the limit of the length of a schedule.

    Raises:
        InputError: if a value is no number, or is out of range.
    """
    threads = number("threads", threads, 1, MAX_EXPLORED_THREADS)
    steps = number("steps", steps, 0, MAX_STEPS)
    numbers = st.lists(st.integers(0, threads - 1), max_size=steps)
    return numbers.map(lambda drawn: Schedule(tuple(drawn)))
