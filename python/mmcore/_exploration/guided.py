"""Programs that follow from the coverage of earlier ones; a soak explores them.

A program that covers a pair of steps which no earlier program has covered is kept. Each later
program is either drawn anew, or made from a kept program by a few changes. The more new pairs one
of the two ways has brought lately, the more often it is taken. Programs are drawn in rounds: the
programs of a round depend only on the results of the rounds before it, so that they are the same
with any number of workers.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

from mmcore._exploration.vocabulary import assemble, offered, variants

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmcore._exploration.pairs import Pairs
    from mmcore.program import Op, Program

__all__ = ["Draft", "Guide", "drawn"]

#: The probability with which the simplest of several lines of a set-up is taken without a draw
#: among all of them.
_SIMPLE = 0.6

#: The number of programs in the first round, and the most in any. A later round has as many
#: programs as all rounds before it together, up to this limit.
_FIRST_ROUND, _MOST = 4, 256

#: The least share of the programs that are drawn anew, and of those that are made from kept ones.
_LEAST = 0.125

#: The number of latest results of each way (drawn anew, changed) from which the shares of the two
#: ways are computed.
_LATELY = 64

#: The most programs that are kept; the oldest is given up for a further one.
_KEPT = 1_024

#: The most operations of a thread of a changed program, and the most of its changes.
_LONGEST, _CHANGES = 8, 3


@dataclass(frozen=True, slots=True)
class Draft:
    """A program in parts that can be changed: its threads, and the choices of its set-up.

    Attributes:
        threads: the operations of each thread.
        pages: the number of pages of each region and owner.
        choices: the state of the generator that chooses the lines of the set-up.
        seed: the seed that drew the program, or its last changes.
    """

    threads: tuple[tuple[Op, ...], ...]
    pages: int
    choices: Any
    seed: int

    @property
    def program(self) -> Program:
        """The program, with a set-up for all that its threads name."""
        random = Random()  # noqa: S311 - the state follows from the seed
        random.setstate(self.choices)

        def choose(choices: Sequence[str]) -> str:
            # The simplest line is mostly taken, so that a rare line is combined with common ones.
            return choices[0] if random.random() < _SIMPLE else random.choice(choices)

        return assemble(self.threads, pages=self.pages, choose=choose)


def drawn(seed: int) -> Draft:
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
            tuple(random.choice(variants(name, thread=thread, pages=pages)) for name in chosen)
        )
    return Draft(tuple(threads), pages, random.getstate(), seed)


def changed(draft: Draft, others: Sequence[Draft], seed: int) -> Draft:
    """Makes one to three changes to a program.

    A change puts in, replaces, removes or swaps operations of a thread, takes over the thread of
    another program, or chooses the lines of the set-up anew.

    Args:
        draft: the program.
        others: programs from which a thread can be taken.
        seed: the seed, which determines the changes.
    """
    random = Random(f"changes {seed}")  # noqa: S311 - reproducible on purpose
    draft = replace(draft, seed=seed)
    for _ in range(random.randint(1, _CHANGES)):
        draft = _changed_once(draft, others, random)
    return draft


def _changed_once(draft: Draft, others: Sequence[Draft], random: Random) -> Draft:
    number = random.randrange(len(draft.threads))
    ops = list(draft.threads[number])
    place = random.randrange(len(ops))
    op = random.choice(variants(random.choice(offered()), thread=number, pages=draft.pages))
    change = random.choice(("put in", "put in", "replace", "remove", "swap", "thread", "set-up"))
    if change == "put in" and len(ops) < _LONGEST:
        ops.insert(place, op)
    elif change == "remove" and len(ops) > 1:
        del ops[place]
    elif change == "swap":
        other = random.randrange(len(ops))
        ops[place], ops[other] = ops[other], ops[place]
    elif change == "thread":
        # The names of the things that a thread makes have the thread's number, so only the thread
        # in the same place of another program fits.
        fit = [each for each in others if each.pages == draft.pages and len(each.threads) > number]
        ops = list(random.choice(fit).threads[number]) if fit else ops
    elif change == "set-up":
        return replace(draft, choices=random.getstate())
    else:
        ops[place] = op
    threads = (*draft.threads[:number], tuple(ops), *draft.threads[number + 1 :])
    return replace(draft, threads=threads)


class Guide:
    """Draws the programs of a soak, and learns from their pairs."""

    def __init__(self) -> None:
        #: The pairs that are covered so far.
        self.covered: set[tuple[str, str, str]] = set()
        #: The number of programs whose results are known.
        self._known = 0
        #: The kept programs, and those of them that the current round may use.
        self._kept: deque[Draft] = deque(maxlen=_KEPT)
        self._usable: tuple[Draft, ...] = ()
        #: The number of the first program after the current round.
        self._end = 0
        #: The new pairs of the latest programs drawn anew, and of the latest changed ones.
        self._fresh: deque[int] = deque(maxlen=_LATELY)
        self._changed: deque[int] = deque(maxlen=_LATELY)
        #: The share of programs of the current round that are drawn anew.
        self._share = 1.0

    def is_ready(self, number: int) -> bool:
        """True if program `number` can be drawn: all rounds before its own are known."""
        return number < self._end or self._known >= number

    def draw(self, number: int, seed: int) -> tuple[Draft, int | None]:
        """Draws the next program, and returns it with the seed of the program it was made from.

        Args:
            number: the number of the program in the soak. Calls must come in the order 0, 1, 2, ...
            seed: the seed of the program or of its changes.
        """
        if number == self._end:
            self._usable = tuple(self._kept)
            self._share = self._fresh_share()
            self._end = number + min(max(number, _FIRST_ROUND), _MOST)
        random = Random(f"choice {seed}")  # noqa: S311 - reproducible on purpose
        if not self._usable or random.random() < self._share:
            return drawn(seed), None
        parent = random.choice(self._usable)
        return changed(parent, self._usable, seed), parent.seed

    def _fresh_share(self) -> float:
        if not self._fresh or not self._changed:
            return 0.5
        fresh, changed = (sum(each) / len(each) for each in (self._fresh, self._changed))
        return min(max(fresh / (fresh + changed or 1), _LEAST), 1 - _LEAST)

    def learn(self, draft: Draft, parent: int | None, pairs: Pairs | None) -> int:
        """Adds the pairs of a program to the covered ones, and keeps the program if some are new.

        Returns:
            The number of new pairs.
        """
        new = set() if pairs is None else {pair.name for pair in pairs.pairs} - self.covered
        self._known += 1
        (self._fresh if parent is None else self._changed).append(len(new))
        self.covered |= new
        if new:
            self._kept.append(draft)
        return len(new)
