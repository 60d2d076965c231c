"""The kernel's own pages on the last node of a guest, as the recorded layouts show them.

The replay has no kernel that allocates slabs and page tables. It puts pages of the kernel's own
into the frames where a recording has them, and takes them away where the recording has none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mmcore._recordings.layouts import KERNELS, LEFT_OVER, letters_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["kernel_pages"]

#: The advice that discards pages of a region, which the operation names by their frames.
_FREED = re.compile(r"madv r\d+@(\S+) dontneed")
#: Letters of pages of a region that is not anonymous.
_OTHERS = frozenset("sfdu")
#: Operations of a set-up that free no frame.
_KEEPING = frozenset(
    {"map", "take", "layout", "wmark", "write", "read", "drain", "pin", "mlock", "fork", "set"}
)
#: Some of the frames of a range: `A`, `A-B`, `A-B/K:M`.
_RANGE = re.compile(r"(\d+)(?:-(\d+))?(?:/(\d+):(\d+))?")


def kernel_pages(
    recording: Mapping[str, Any], node: int, frames: int
) -> list[tuple[int, int, bytes]]:
    """Finds the frames of a node that hold pages of the kernel, from step to step.

    A layout is recorded after its step, but no page moves in a `layout` step. So the pages that a
    layout shows are in their frames before its step.

    Args:
        recording: a recording that `shape` has validated.
        node: the number of the node.
        frames: the number of frames of the node.

    Returns:
        Triples: the number of a step, the node, and one letter for each frame from this step on:
        `.` where the kernel has no page, `LEFT_OVER` where it had one or the frame was free. Empty
        if the recording shows no layout of this node, if the first layout has no page of the
        kernel's, or if a layout has another number of frames.
    """
    kernels = KERNELS
    found: list[tuple[int, int, bytes]] = []
    for number, step in enumerate(recording["steps"]):
        words = step["op"].split()
        if words[0] == "kpages":
            # The script itself has the kernel allocate these pages.
            kernels -= {"k"}
        if words[0] != "layout" or f"node={node}" not in words or not (shown := letters_of(step)):
            continue
        if len(shown) != frames:
            return []
        # The frames that are not recorded are the node's first pageblock: the totals of layouts
        # without `from=` show that all of it is reserved.
        letters = shown.replace("?", "R")
        if not found:
            first = "".join(letter if letter in kernels else "." for letter in letters)
            if not first.strip("."):
                return []
            before = recording["steps"][:number]
            found += [(at, node, own) for at, own in _until_first(before, node, letters, first)]
        own = "".join(letter if letter in kernels else "." for letter in letters)
        found.append((number, node, own.encode("ascii")))
    return found


def _until_first(
    steps: Sequence[Mapping[str, Any]], node: int, letters: str, first: str
) -> Iterator[tuple[int, bytes]]:
    """Finds the kernel's frames in the steps before the first layout.

    Yields:
        The number of a step, and the letters of the kernel's frames from this step on.

    Args:
        steps: the steps before the first layout.
        node: the node of the layout.
        letters: the first layout.
        first: the letters of the kernel's frames alone.
    """
    own, freed = list(first), set[int]()
    other, open_then = 0, set[int]()
    for number, step in enumerate(steps):
        listed = set(_frames_freed(step["op"], len(own))) - freed
        counted = step.get(f"n{node}", {}).get("nr_anon_pages")
        if listed and counted == -len(listed):
            # Each of these frames held a page of the region: the kernel took its frames later.
            for frame in listed:
                own[frame] = "."
        freed |= listed
        if step["op"].startswith("map ") and number > 0 and not other:
            other, open_then = number, set(freed)
    operations = [step["op"] for step in steps]
    if not any(op.startswith("take ") for op in operations) or not all(map(_keeps, operations)):
        yield 0, "".join(own).encode("ascii")
        return
    # The region took all frames that were free. So a frame that the script has not freed, and that
    # is free or another region's at the first layout, was the kernel's or left over at that time.
    kept = {at for at, letter in enumerate(letters) if letter == "." and at not in freed}
    # A frame that the script has freed only after the other region was there is left over, too.
    got = {at for at, letter in enumerate(letters) if letter in _OTHERS and at not in open_then}
    for frame in kept | got:
        own[frame] = LEFT_OVER
    yield 0, "".join(own).encode("ascii")
    if got and other:
        # The other region took these frames instead of as many others that the script had freed.
        for frame in got:
            own[frame] = "."
        for frame in open_then:
            if letters[frame] == ".":
                own[frame] = LEFT_OVER
        yield other, "".join(own).encode("ascii")


def _keeps(op: str) -> bool:
    """True if an operation frees no frame, or only frames that `_frames_freed` yields."""
    return op.split()[0] in _KEEPING or _FREED.fullmatch(op) is not None


def _frames_freed(op: str, frames: int) -> Iterator[int]:
    """Yields the frames whose pages an operation discards, of a node with `frames` frames."""
    if found := _FREED.match(op):
        for first, last, some, of in _RANGE.findall(found[1]):
            # The parser of scripts has refused a list in which `of` is 0.
            for frame in range(int(first), min(int(last or first) + 1, frames)):
                if not of or (frame - int(first)) % int(of) < int(some):
                    yield frame
