"""Makes traces whose accesses follow a rule and a seed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcore._arguments import number, shown
from mmcore._errors import InputError
from mmcore._trace.gathering import Found, Pieces
from mmcore._trace.random import Draws

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from numpy.typing import NDArray

__all__ = ["phases", "sequential", "uniform", "zipf"]

#: A function that draws the pages of successive accesses, given the random sequence, the number of
#: the first access, and the number of accesses.
Pages: TypeAlias = "Callable[[Draws, int, int], NDArray[np.uint64]]"

#: The most pages and the most accesses of a trace that is made.
_MOST = 1 << 28

#: Accesses that are drawn at a time.
_STRETCH = 1 << 20

#: The largest exponent of a Zipf distribution; with it nearly all accesses are to one page.
_STEEPEST = 16.0


def sequential(pages: int, accesses: int, **common: Any) -> Found:
    """Passes over all pages in order, again and again."""
    pages = number("pages", pages, 1, _MOST)

    def draw(_: Draws, begin: int, count: int) -> NDArray[np.uint64]:
        return np.arange(begin, begin + count, dtype=np.uint64) % np.uint64(pages)

    return _made(f"sequential({pages}, {accesses}", draw, accesses, **common)


def uniform(pages: int, accesses: int, **common: Any) -> Found:
    """Accesses each page with the same probability."""
    pages = number("pages", pages, 1, _MOST)

    def draw(draws: Draws, _: int, count: int) -> NDArray[np.uint64]:
        return draws.below(pages, count)

    return _made(f"uniform({pages}, {accesses}", draw, accesses, **common)


def zipf(pages: int, accesses: int, *, exponent: float, **common: Any) -> Found:
    """Accesses the page of rank `k` with a probability in proportion to `1 / k**exponent`."""
    pages = number("pages", pages, 1, _MOST)
    exponent = _share("exponent", exponent, _STEEPEST)
    below = np.cumsum(np.arange(1, pages + 1, dtype=np.float64) ** -exponent)
    ranked: NDArray[np.uint64] | None = None

    def draw(draws: Draws, _: int, count: int) -> NDArray[np.uint64]:
        nonlocal ranked
        if ranked is None:
            # Neighbours in memory must not be neighbours in rank.
            ranked = draws.shuffled(np.arange(pages, dtype=np.uint64))
        ranks = np.searchsorted(below, draws.shares(count) * below[-1], side="right")
        found: NDArray[np.uint64] = ranked[np.minimum(ranks, pages - 1)]
        return found

    return _made(f"zipf({pages}, {accesses}, exponent={exponent}", draw, accesses, **common)


def phases(pages: int, accesses: int, *, phases: int, share: float, **common: Any) -> Found:
    """Accesses one set of pages uniformly, then another set."""
    pages = number("pages", pages, 1, _MOST)
    accesses = number("accesses", accesses, 1, _MOST)
    phases = number("phases", phases, 1, accesses)
    share = _share("share", share, 1.0)
    size = max(1, round(share * pages))
    window: NDArray[np.uint64] = np.empty(0, np.uint64)
    last = -1

    def draw(draws: Draws, begin: int, count: int) -> NDArray[np.uint64]:
        nonlocal window, last
        parts = []
        while count:
            phase = begin * phases // accesses
            if phase != last:
                window, last = draws.shuffled(np.arange(pages, dtype=np.uint64))[:size], phase
            # The first access of the next phase.
            end = -(-(phase + 1) * accesses // phases)
            part = min(count, end - begin)
            parts.append(window[draws.below(size, part)])
            begin, count = begin + part, count - part
        return np.concatenate(parts)

    name = f"phases({pages}, {accesses}, phases={phases}, share={share}"
    return _made(name, draw, accesses, **common)


def _made(
    name: str, draw: Pages, accesses: int, *, writes: float, threads: int, seed: int
) -> Found:
    """Draws the accesses; pages, writes and threads each from a random sequence of their own."""
    accesses = number("accesses", accesses, 1, _MOST)
    writes = _share("writes", writes, 1.0)
    threads = number("threads", threads, 1, 1 << 16)
    seed = number("seed", seed)
    source = f"Trace.{name}, writes={writes}, threads={threads}, seed={seed})"
    pieces = Pieces(source, accesses)
    pages, kinds, drawn_threads = (Draws((seed, part)) for part in range(3))
    for begin in range(0, accesses, _STRETCH):
        count = min(_STRETCH, accesses - begin)
        pieces.make_room(count)
        pieces.add(
            draw(pages, begin, count),
            kinds.shares(count) < writes,
            drawn_threads.below(threads, count).astype(np.uint16),
        )
    return pieces.found()


def _share(name: str, value: float, most: float) -> float:
    """Checks a number from 0 to `most`."""
    try:
        said = math.nan if isinstance(value, bool | str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        said = math.nan
    if not 0 <= said <= most:
        raise InputError(f"{name} must be a number from 0 to {most:g}, not {shown(value)}")
    return said
