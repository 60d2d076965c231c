"""Operations of a program that were refused in every attempt.

Results list them: otherwise a search without a broken rule would seem to have tested them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Refused", "notes", "plain", "read", "together"]


@dataclass(frozen=True, slots=True)
class Refused:
    """An operation that was refused in every attempt and so had no effect.

    Attributes:
        section: `setup`, the thread's name, or `finally`.
        i: the number of the operation in the section, from 0.
        op: the operation, as a line of the program.
        errnos: the names of the errors, each once; EPERM for a request that breaks a rule of the
            interface.
        why: the reason of one of the failures, in words.
    """

    section: str
    i: int
    op: str
    errnos: tuple[str, ...]
    why: str

    def note(self, where: str) -> str:
        """Returns one line with section, operation, `where`, errors and reason.

        Args:
            where: the runs that refused the operation, "in all 200 schedules".
        """
        refusal = " ".join(filter(None, [f"{self.section}: `{self.op}` was refused", where]))
        # A reason that begins with the name of an error already names it.
        ways = [errno for errno in self.errnos if not self.why.startswith(errno)]
        return ": ".join(filter(None, [refusal, ", ".join(ways), self.why]))


def read(rows: Iterable[Mapping[str, Any]]) -> tuple[Refused, ...]:
    """Makes refusals from the rows of a report of the core."""
    return tuple(Refused(**{**row, "errnos": tuple(row["errnos"])}) for row in rows)


def plain(refused: Iterable[Refused]) -> list[dict[str, Any]]:
    """Returns refusals as plain data, for JSON."""
    return [asdict(each) for each in refused]


def notes(refused: Iterable[Refused], where: str = "") -> list[str]:
    """Returns one line for each refusal."""
    return [f"note: {each.note(where)}" for each in refused]


def together(programs: Iterable[tuple[str, Iterable[Refused]]]) -> list[str]:
    """Returns one line for each kind of operation and set of errors, over many programs.

    Args:
        programs: for each program its name and the operations refused in all its schedules.
    """
    found: dict[tuple[str, tuple[str, ...]], list[tuple[str, Refused]]] = {}
    for program, refused in programs:
        for each in refused:
            kind = each.op.partition(" ")[0]
            found.setdefault((kind, each.errnos), []).append((program, each))
    lines = []
    for (kind, errnos), cases in found.items():
        program, first = cases[0]
        # An operation can be refused in several places of one program, which counts once.
        count = len({name for name, _ in cases})
        where = f"of {program}" if count == 1 else f"of {count:,} programs, first of {program}"
        ways = [] if first.why.startswith(errnos) else [", ".join(errnos)]
        note = f"note: {kind} was refused in all schedules {where}: `{first.op}`"
        lines.append(": ".join([note, *ways, first.why]))
    return lines
