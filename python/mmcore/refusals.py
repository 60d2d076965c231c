"""Operations that were refused whenever they were tried.

No broken rule is no pass of an operation that was never done: results tell of it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Refused", "notes", "plain", "read"]


@dataclass(frozen=True, slots=True)
class Refused:
    """An operation that did nothing of what it says, however often it was tried.

    Attributes:
        section: `setup`, the thread's name, or `finally`.
        i: its number in the section, from 0.
        op: the operation.
        errnos: the ways in which it failed, each once; EPERM for what a program must not ask for.
        why: why it failed, once, in words.
    """

    section: str
    i: int
    op: str
    errnos: tuple[str, ...]
    why: str

    def note(self, where: str) -> str:
        """One line: section, operation, where it was refused, how, why.

        Args:
            where: "in all 200 schedules", for example.
        """
        told = " ".join(filter(None, [f"{self.section}: `{self.op}` was refused", where]))
        # The words begin with the way in which it failed, if the kernel has a number for it.
        ways = [errno for errno in self.errnos if not self.why.startswith(errno)]
        return ": ".join(filter(None, [told, ", ".join(ways), self.why]))


def read(rows: Iterable[Mapping[str, Any]]) -> tuple[Refused, ...]:
    """Reads what the core tells."""
    return tuple(Refused(**{**row, "errnos": tuple(row["errnos"])}) for row in rows)


def plain(refused: Iterable[Refused]) -> list[dict[str, Any]]:
    """Plain data."""
    return [asdict(each) for each in refused]


def notes(refused: Iterable[Refused], where: str = "") -> list[str]:
    """The notes, a line each."""
    return [f"note: {each.note(where)}" for each in refused]
