"""Compaction passes of a recording: each on a machine arranged by the layout recorded before it.

A compaction through the node's `compact` file depends on the layout of the node alone. So a pass is
compared move by move even where the layouts of two boots differ by chance. The letters of a layout
leave four things open; the recorded pass answers them:

* A page of a file can have a reference that no letter shows. It has one if every attempt to move it
  failed.
* A page of a file that waits in a batch has the letter of the kernel's own pages (`k`). A page with
  this letter that moved was a page of a file, because the kernel's own pages do not move. `batched`
  finds those that did not move.
* The reference that makes an anonymous page a `p` can be that of a batch, in which the page waits
  to be activated or to be dropped lazily. A compaction drains the batches first. So a `p` that
  moved, or that has no such reference afterwards, waited in a batch.
* A timer gives the free frames on a CPU's list (`c`) back to the node. If a page moved to such a
  frame, the frames had been given back before the pass. They can also have been given back without
  being a target. So a pass that differs is run again: with those of the frames free that are free
  afterwards, and then with all of them free. It matches if one of its runs matches in full.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mmcore._core import Machine, Profile
from mmcore._errors import KernelError
from mmcore._recordings.batched import Batched
from mmcore._recordings.compare import Difference, each_of
from mmcore._recordings.compare import moves as recorded_moves
from mmcore._recordings.layouts import (
    AS_RECORDED,
    KERNELS,
    expanded,
    field_of,
    letters_of,
    scanned,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["CompactionPass", "replay_passes"]

#: Frames of the kernel's first zone (ZONE_DMA), which is scanned apart from the rest of node 0.
_DMA = 4096
#: The nodes of the recorded guest whose layout has two zones.
_TWO_ZONES = frozenset({0})
#: The counters of a pass that are compared, if the recording has them.
_COUNTERS = (
    "pgmigrate_success",
    "pgmigrate_fail",
    "compact_isolated",
    "compact_migrate_scanned",
    "compact_free_scanned",
)
#: The reason why a pass without the types of the pageblocks is not compared.
_NO_TYPES = "its layout lacks the types of the pageblocks, so the pageblocks of targets are unknown"
#: Letters of frames whose pages belong to a process or an owner.
_PAGES = frozenset("aAUufdsvpqbz")
#: Frames of a pageblock.
_PAGEBLOCK = 512
#: The differences of a pass that follow from the types of the pageblocks.
_FROM_TYPES = ("moves.", "vm.", "layout.")
#: Bytes of a frame.
_PAGE = 4096
#: The most frames of a node whose pages are given bytes, so that their content is checked.
_BACKED = 1 << 14


@dataclass(frozen=True, slots=True)
class CompactionPass:
    """One pass of a recording, compared move by move.

    Attributes:
        step: the number of the step, from 0.
        op: the operation of the step.
        moves: the number of moves that the kernel made.
        matching: the number of moves, from the first on, that the machine made too.
        differences: the first move that differs; the counters, the free blocks and the contents
            that differ; the first frame that differs after the pass. One difference `layout` if no
            node can have the recorded layout. Empty if the pass matches or cannot be compared.
        reason: the reason why the pass cannot be compared; empty if it can.
    """

    step: int
    op: str
    moves: int
    matching: int
    differences: tuple[Difference, ...] = ()
    reason: str = ""

    @property
    def matches(self) -> bool:
        """True if moves, counters, free blocks, contents and the layout after the pass agree."""
        return not self.differences and not self.reason


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A pass as it was recorded."""

    step: int
    op: str
    node: int
    letters: str
    types: str
    unevictable: bool
    moves: tuple[tuple[int, int], ...]
    #: The frames of the pages whose every attempt to move failed.
    referenced: tuple[int, ...]
    counters: Mapping[str, int]
    #: The free blocks by order before the pass; None where the runs differ. Empty if not recorded.
    blocks: tuple[int | None, ...]
    #: The layout of the step after the pass; empty if that step shows none.
    after: str


@dataclass(frozen=True, slots=True)
class _Done:
    """The moves and counters of the machine in a pass, and the damage that it found."""

    moves: Sequence[tuple[int, int]]
    counters: Mapping[str, int]
    #: Frames of pages that have lost the content that was written to them.
    damaged: Sequence[int]
    #: The free blocks by order before the pass; empty for a node of two zones.
    blocks: Sequence[int]
    #: The layout after the pass.
    after: str


def replay_passes(
    recording: Mapping[str, Any], release: str, fields: Mapping[str, str] | None = None
) -> tuple[CompactionPass, ...]:
    """Sets a machine up for each compaction pass of a recording, runs it and compares its moves.

    Args:
        recording: a recording that `shape` has validated.
        release: the preset of the profile.
        fields: fields of the profile that override the preset, by name.

    Returns:
        The passes in the order of the recording; empty if it has no pass whose layout and moves
        were recorded.
    """
    return tuple(_any_pass(each, release, dict(fields or {})) for each in _passes(recording))


def _passes(recording: Mapping[str, Any]) -> Iterator[_Recorded]:
    """The passes whose layout and moves are known."""
    letters = types = ""
    node, unevictable = -1, True
    blocks: tuple[int | None, ...] = ()
    steps = recording["steps"]
    batched = Batched()
    for number, step in enumerate(steps):
        words = step["op"].split()
        named = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        if words[:2] == ["set", "compact_unevictable_allowed"]:
            unevictable = words[2] != "0"
        elif words[0] == "layout" and (found := letters_of(step)):
            node = int(named["node"])
            letters = batched.letters(node, found)
            types = expanded(field_of(step, "types") or []) or _all_movable(step, letters)
            blocks = _blocks(step)
        elif words[0] == "compact" and letters and field_of(step, "cev") is not None:
            if int(named.get("node", node)) == node:
                moves = tuple(recorded_moves(field_of(step, "moves") or []))
                following = steps[number + 1] if number + 1 < len(steps) else {"op": ""}
                same = following["op"].split()[:2] == ["layout", f"node={node}"]
                after = letters_of(following) if same else ""
                yield _Recorded(
                    number,
                    step["op"],
                    node,
                    _as_it_was(letters, moves, after),
                    types,
                    unevictable,
                    moves,
                    _referenced(step, moves),
                    # Without a node the counters are those of all nodes.
                    _counters(step) if "node" in named else {},
                    () if "c" in letters else blocks,
                    after,
                )
            letters = ""
        batched.apply(step)


def _as_it_was(letters: str, moves: Sequence[tuple[int, int]], after: str) -> str:
    """Returns the letters of a layout, corrected by what the recorded pass shows.

    If a page moved to a frame `c`, all frames `c` were free. A frame `k` from which a page moved
    held a page of a file in a batch (`q`). A page `p` that moved, or that has no additional
    reference afterwards, had one only until the batches were drained.
    """
    if any(letters[target : target + 1] == "c" for _, target in moves):
        letters = letters.replace("c", ".")
    sources, targets = {source for source, _ in moves}, {target for _, target in moves}

    def corrected(frame: int, letter: str) -> str:
        moved = frame in sources
        if letter == "k" and moved:
            return "q"
        stayed = frame not in targets and after[frame : frame + 1] in {"a", "v"}
        return "a" if letter == "p" and (moved or stayed) else letter

    return "".join(corrected(frame, letter) for frame, letter in enumerate(letters))


def _referenced(step: Mapping[str, Any], moves: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Returns the frames of the pages for which every attempt to move failed with EAGAIN."""
    # A list of failures may be cut; its last entry is then a text.
    runs = [run for run in field_of(step, "fails") or [] if isinstance(run, list)]
    failed = {source for source, errno in each_of(runs) if errno == "-EAGAIN"}
    failed -= {source for source, _ in moves}
    return tuple(sorted(frame for frame in failed if isinstance(frame, int)))


def _blocks(step: Mapping[str, Any]) -> tuple[int | None, ...]:
    """The free blocks by order of a node of one zone."""
    zones = [name for name in step if name.startswith("buddy_")]
    found = step[zones[0]] if len(zones) == 1 else []
    return tuple(blocks if isinstance(blocks, int) else None for blocks in found)


def _all_movable(step: Mapping[str, Any], letters: str) -> str:
    """The types of the pageblocks, if the totals of the layout show that all are movable; or none.

    Older recordings have the totals by type, and not the type of each pageblock.
    """
    zones = [step[name] for name in step if name.startswith("blocks_")]
    blocks = -(-len(letters) // _PAGEBLOCK)
    movable = [zone.get("Movable") for zone in zones if isinstance(zone, dict) and len(zone) == 1]
    return "M" * blocks if len(zones) == 1 and movable == [blocks] else ""


def _counters(step: Mapping[str, Any]) -> dict[str, int]:
    """The counters of a pass; `info` decides, because it has the counters of the kept run."""
    counters = {**step.get("vm", {}), **step.get("info", {}).get("vm", {})}
    return {name: counters[name] for name in _COUNTERS if name in counters}


def _any_pass(recorded: _Recorded, release: str, fields: Mapping[str, str]) -> CompactionPass:
    """Repeats a pass with each layout that it can have had, until one matches in full."""
    first = _pass(recorded, release, fields)
    if first.matches:
        return first
    if not recorded.types and all(
        found.field.startswith(_FROM_TYPES) for found in first.differences
    ):
        # All pageblocks were movable in the repetition, which is wrong for this recording.
        return replace(first, matching=0, differences=(), reason=_NO_TYPES)
    if "c" not in recorded.letters:
        return first
    after = recorded.after.ljust(len(recorded.letters), "?")
    pairs = zip(recorded.letters, after, strict=False)
    some = "".join("." if pair == ("c", ".") else pair[0] for pair in pairs)
    for letters in (some, recorded.letters.replace("c", ".")):
        other = _pass(replace(recorded, letters=letters), release, fields)
        if other.matches:
            return other
    return first


def _pass(recorded: _Recorded, release: str, fields: Mapping[str, str]) -> CompactionPass:
    """Repeats a pass. A layout that no node can have is a difference, and ends no other pass."""
    try:
        return _compared(recorded, release, fields)
    except KernelError as error:
        step, op = recorded.step, recorded.op
        refused = Difference(step, op, "layout", "arranged", str(error))
        return CompactionPass(step, op, len(recorded.moves), 0, (refused,))


def _compared(recorded: _Recorded, release: str, fields: Mapping[str, str]) -> CompactionPass:
    zones = _zones(recorded)
    small = len(recorded.letters) <= _BACKED
    moves: list[tuple[int, int]] = []
    counters = dict.fromkeys(_COUNTERS, 0)
    damaged: list[int] = []
    blocks: Sequence[int] = ()
    after_it = ""
    sizes = [len(letters) * _PAGE for _, letters, _ in zones]
    # The fields come from the user as texts; the core checks their names and values.
    profile = Profile(kernel=release, **fields)  # type: ignore[arg-type]
    with Machine(nodes=sizes, backed=small, profile=profile) as machine:
        for number, (first, letters, types) in enumerate(zones):
            with machine.arrange(letters, node=number, types=types or None) as arrangement:
                base = machine.nodes[number].base
                frames = range(first, first + len(letters))
                held = [
                    machine.page(base + frame - first).get()
                    for frame in recorded.referenced
                    if frame in frames and letters[frame - first] in _PAGES
                ]
                blocks = machine.map(number).nodes[0].free_blocks
                before = machine.vmstat()
                machine.compact_unevictable_allowed = recorded.unevictable
                done = machine.compact(number, moves=True)
                after = machine.vmstat()
                moves += [(int(a) - base + first, int(b) - base + first) for a, b in done.moves]
                for name in _COUNTERS:
                    counters[name] += after[name] - before[name]
                if (frame := arrangement.damaged()) is not None:
                    damaged.append(frame - base + first)
                after_it += machine.map(number).nodes[0].text
                for reference in held:
                    reference.put()
    if len(zones) > 1:
        # The kernel's first zone begins at frame 1, this machine's first node at frame 0.
        counters["compact_migrate_scanned"] -= 1
    whole = _Done(moves, counters, damaged, blocks if len(zones) == 1 else (), after_it)
    frames_counted = bool(profile["compact_counts_frames"])
    return CompactionPass(
        recorded.step,
        recorded.op,
        len(recorded.moves),
        _common(recorded.moves, moves),
        tuple(_differences(recorded, whole, frames=frames_counted)),
    )


def _zones(recorded: _Recorded) -> list[tuple[int, str, str]]:
    """The zones of the node: the first frame, the letters and the pageblock types of each."""
    letters, types = recorded.letters, recorded.types
    if recorded.node not in _TWO_ZONES or len(letters) <= _DMA:
        return [(0, letters, types)]
    blocks = _DMA // _PAGEBLOCK
    return [(0, letters[:_DMA], types[:blocks]), (_DMA, letters[_DMA:], types[blocks:])]


def _common(one: Sequence[object], other: Sequence[object]) -> int:
    """The number of entries, from the first on, that two sequences share."""
    same = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        same += 1
    return same


def _differences(recorded: _Recorded, done: _Done, *, frames: bool) -> Iterator[Difference]:
    step, op = recorded.step, recorded.op
    same = _common(recorded.moves, done.moves)
    for order, pair in enumerate(zip(recorded.blocks, done.blocks, strict=False)):
        if pair[0] is not None and pair[0] != pair[1]:
            yield Difference(step, op, f"buddy.{order}", *pair)
    if same < len(recorded.moves) or same < len(done.moves):
        sides = (
            list(each[same]) if same < len(each) else None for each in (recorded.moves, done.moves)
        )
        yield Difference(step, op, f"moves.{same}", *sides)
    for name, value in recorded.counters.items():
        mine = done.counters[name]
        counted = name != "compact_migrate_scanned" or frames
        if not scanned(value, mine, recorded.letters, frames=counted):
            yield Difference(step, op, f"vm.{name}", value, mine)
    for frame in done.damaged:
        yield Difference(step, op, f"data.{frame}", "ok", "bad")
    # The kernel allocates and frees frames of its own meanwhile.
    own = KERNELS | {"."}
    after = done.after.translate(AS_RECORDED)
    for frame, (theirs, ours) in enumerate(zip(recorded.after, after, strict=False)):
        if theirs not in {ours, "?"} and not own.issuperset((theirs, ours)):
            yield Difference(step, op, f"layout.{frame}", theirs, ours)
            return
