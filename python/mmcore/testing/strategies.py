"""Hypothesis strategies: programs and schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from mmcore.errors import InputError
from mmcore.exploration.schedule import Schedule
from mmcore.exploration.vocabulary import assemble, offered, variants
from mmcore.program import Op, Program

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["programs", "schedules"]

#: Pages of a region at most: every operation on every page is there to be drawn.
_PAGES = 64


def programs(
    threads: int = 2,
    ops: Iterable[str | Op] | None = None,
    *,
    length: int = 3,
    pages: int = 1,
    setup: Program | str | None = None,
) -> st.SearchStrategy[Program]:
    """Programs of a few threads. Only their operations are drawn: interleavings are searched.

    A failing program shrinks to fewer operations, and to operations that stand earlier in `ops`.

    Args:
        threads: how many.
        ops: what they may do: names (`"move"` stands for all its forms) or whole operations
            (`"move r0 node=1"`); left out: everything that the core offers.
        length: operations of a thread, at most.
        pages: pages of each region and each owner that the set-up makes, 64 at most.
        setup: a program whose set-up is taken; left out: what the operations name is made.

    Raises:
        InputError: if an operation is none, or a number makes no sense.
    """
    if not 1 <= threads <= 8 or length < 1 or not 1 <= pages <= _PAGES:
        raise InputError(
            f"programs have 1 to 8 threads, at least one operation, and 1 to {_PAGES} pages"
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
    # The name first, so that operations of many forms are not drawn more often.
    return st.one_of([st.sampled_from(form) for form in forms])


def schedules(threads: int = 2, *, steps: int = 200) -> st.SearchStrategy[Schedule]:
    """Interleavings: a thread number for each step, for `mmcore.replay`.

    Every list is a schedule of every program, so it shrinks freely. Searching this way is slow: let
    `explore` do it.

    Args:
        threads: threads of the program.
        steps: how many steps are decided, at most.
    """
    numbers = st.lists(st.integers(0, threads - 1), max_size=steps)
    return numbers.map(lambda drawn: Schedule(tuple(drawn)))
