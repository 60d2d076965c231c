"""The layouts of a recording: the kind of each frame of a node, as one text of letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "AS_RECORDED",
    "KERNELS",
    "LEFT_OVER",
    "expanded",
    "field_of",
    "letters_of",
    "node_of",
    "scanned",
]

#: The letters of recordings for kinds of frames that only mmcore tells apart.
AS_RECORDED = str.maketrans({"q": "k", "i": "v"})

#: Letters of frames that may be parts of one allocation of several frames. Kernels before 6.4 count
#: such an allocation as one scanned frame, and a layout does not tell where one begins.
_COMPOUND = "Skh"

#: Letters of frames that the kernel itself uses, or keeps on the list of a CPU.
KERNELS = frozenset("RSTkcx")

#: The letter of frames of a replay that the kernel had used or left free, and no region got.
LEFT_OVER = "?"


def field_of(step: Mapping[str, Any], name: str) -> Any:
    """A field of a step, or that of one run if the runs of the recording differ there."""
    return step.get(name, step.get("info", {}).get(name))


def expanded(runs: Sequence[Sequence[Any]]) -> str:
    """Returns the letters of a layout, one for each frame.

    Args:
        runs: pairs of a number and a pattern of letters, which is repeated so many times.
    """
    return "".join(pattern * times for times, pattern in runs)


def letters_of(step: Mapping[str, Any]) -> str:
    """The letters of the layout that a step shows; empty if it shows none, or only the totals."""
    return expanded(field_of(step, "layout") or ())


def node_of(words: Sequence[str]) -> int | None:
    """The node that the words of an operation name; None if they name none."""
    named = [word[5:] for word in words[1:] if word.startswith("node=")]
    return int(named[0]) if named and named[0].isdecimal() else None


def scanned(recorded: int, machine: int, letters: str, *, frames: bool) -> bool:
    """Returns whether two numbers of scanned frames agree, as far as a layout can tell.

    Args:
        recorded: the number of the kernel.
        machine: the number of the machine, which counts each frame.
        letters: the layout of the node that was scanned.
        frames: whether the kernel counts each frame of an allocation of several frames.
    """
    parts = 0 if frames else sum(map(letters.count, _COMPOUND))
    return recorded <= machine <= recorded + parts
