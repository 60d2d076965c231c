"""The attempts of an offlining to move a page that does not move, until a signal ends the step.

The kernel tries such a page until a signal arrives, as fast as the guest is; the machine makes as
many rounds as the replay asks for. Neither number says anything about the page. So the counts of
the two sides may differ, but only by a multiple of the rounds that one side made more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["more_failures", "more_rounds", "of_attempts"]

#: The counters that rise with each attempt: a locked page is unlocked and locked again.
_COUNTERS = ("pgmigrate_fail", "unevictable_pgs_mlocked", "unevictable_pgs_stranded")


def _is_signalled(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """True if a step is an offlining that a signal ended on both sides."""
    words = theirs["op"].split()
    errnos = theirs.get("errno"), ours.get("errno")
    return words[0] == "memblk" and words[-1] == "offline" and errnos == ("EINTR", "EINTR")


def _more(theirs: Mapping[str, Any], ours: Mapping[str, Any], field: str, name: str) -> int:
    recorded, machine = (side.get(field, {}).get(name, 0) for side in (theirs, ours))
    return recorded - machine if recorded and machine else 0


def more_rounds(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> int:
    """The rounds that the recorded step made more than the machine's.

    The pages that did not move are put back once a round. 0 for any step but an offlining that a
    signal ended on both sides after it had put pages back.
    """
    if not _is_signalled(theirs, ours):
        return 0
    return _more(theirs, ours, "calls", "putback_movable_pages")


def more_failures(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> int:
    """The additional failed moves of the recorded step, in its additional rounds; or 0."""
    return _more(theirs, ours, "vm", "pgmigrate_fail") if more_rounds(theirs, ours) else 0


def of_attempts(
    more: int, difference: tuple[str, Any, Any], recorded: Sequence[Any], machine: Sequence[Any]
) -> bool:
    """True if the number of rounds explains that one value of a step differs.

    Args:
        more: the result of `more_rounds`, not 0.
        difference: the field and the place within it, and both values.
        recorded: the failed attempts of the kernel, each a frame and an errno.
        machine: the failed attempts of the machine.
    """
    field, one, other = difference
    first, _, rest = field.partition(".")
    if first == "calls" or (first == "vm" and rest in _COUNTERS):
        # Each round makes the same calls and counts the same.
        return bool((one - other) % more == 0 and (one > other) == (more > 0))
    # One side has more failures, and each of these is of a page that had failed on both sides.
    same = min(len(recorded), len(machine))
    is_longer = list(recorded[:same]) == list(machine[:same])
    return first == "fails" and is_longer and {*recorded, *machine} == {*recorded[:same]}
