"""The maps of a machine's nodes, and two of them side by side."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mmcore import _refusals as refusals
from mmcore._errors import InputError
from mmcore._map.plots import pictures
from mmcore._map.shown import blocks, kinds, picture
from mmcore._map.steps import MapSteps
from mmcore._mmcore import FRAME_KINDS
from mmcore.reporting import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mmcore._map.node import NodeMap
    from mmcore._refusals import Refused
    from mmcore.reporting import Drawing, Part
    from mmcore.typing import Status

__all__ = ["MapChange", "NodeMaps"]

#: The call that makes maps; the command line replaces it by its own words.
_CALL = "mmcore.Machine(...).map()"


@dataclass(frozen=True, slots=True, eq=False)
class NodeMaps(Result):
    """The result of `Machine.map`: `print` it for a picture of each node, or take its parts.

    Attributes:
        nodes: the map of each node, in the order of their numbers.
        command: the command line or call that makes the maps again.
        refused: the operations of the program that had no effect; empty for maps of a machine.
    """

    kind: ClassVar[str] = "map"

    nodes: tuple[NodeMap, ...]
    command: str = _CALL
    refused: tuple[Refused, ...] = ()

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each kind of frame that a node has: node, letter, meaning, frames."""
        return [
            {"node": node.node, "letter": letter, "meaning": FRAME_KINDS[letter], "frames": frames}
            for node in self.nodes
            for letter, frames in node.totals.items()
        ]

    @property
    def verdict(self) -> str:
        """One line for each node: its frames, how many are free, and its free pageblocks."""
        return "\n".join(map(_sentence, self.nodes))

    @property
    def status(self) -> Status:
        """Always `clean`: a map has no findings."""
        return "clean"

    def content(self) -> dict[str, Any]:
        """The map of each node and the refused operations, as plain data for JSON."""
        nodes = [node.to_dict() for node in self.nodes]
        return {"nodes": nodes, "refused": refusals.plain(self.refused)}

    def parts(self) -> Iterator[Part]:
        """For each node its picture, its kinds of frames and its free blocks; the notes."""
        for node in self.nodes:
            yield from picture((node,))
            yield kinds((node,), "frames")
            yield f"free blocks of order 0 to 10: {blocks(node)}"
            yield ""
        yield self.verdict
        yield from refusals.notes(self.refused)

    def beside(self, after: NodeMaps, moves: Iterable[tuple[int, int]] = ()) -> MapChange:
        """Both maps side by side: this one before, the other after.

        Args:
            after: the map of a later moment.
            moves: the source and the target of each move of a compaction that ran between the two
                maps, as `Machine.compact` lists them; `MapChange.steps` shows them one by one.

        Raises:
            InputError: if the two have other nodes, or nodes of other sizes.
        """
        shapes = [[(node.node, len(node.letters)) for node in each.nodes] for each in (self, after)]
        if shapes[0] != shapes[1]:
            raise InputError("two maps are compared node by node: take both of the same nodes")
        moved = tuple((int(source), int(target)) for source, target in moves)
        return MapChange(self, after, moved, self.command)

    def drawings(self) -> list[Drawing]:
        """One drawing of all nodes, one below the other."""
        return [pictures([(f"node {node.node}", node) for node in self.nodes], side_by_side=1)]


@dataclass(frozen=True, slots=True, eq=False)
class MapChange(Result):
    """Two maps of the same nodes side by side, made by `NodeMaps.beside`.

    Attributes:
        before: the map on the left.
        after: the map on the right.
        moves: the pages that a compaction moved in between, by their frames; empty if not known.
        command: the command line or call that makes the maps again.
    """

    kind: ClassVar[str] = "map-change"

    before: NodeMaps
    after: NodeMaps
    moves: tuple[tuple[int, int], ...] = ()
    command: str = _CALL

    @property
    def pairs(self) -> tuple[tuple[NodeMap, NodeMap], ...]:
        """The two maps of each node."""
        return tuple(zip(self.before.nodes, self.after.nodes, strict=True))

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each kind of frame of a node: the frames before and after."""
        return [
            {
                "node": before.node,
                "letter": letter,
                "meaning": meaning,
                "before": before.totals.get(letter, 0),
                "after": after.totals.get(letter, 0),
            }
            for before, after in self.pairs
            for letter, meaning in FRAME_KINDS.items()
            if letter in before.totals or letter in after.totals
        ]

    @property
    def verdict(self) -> str:
        """One line for each node: the frames that changed, and its free pageblocks."""
        return "\n".join(
            f"node {before.node}: {_changed(before, after):,} frames changed,"
            f" {before.free_pageblocks} to {after.free_pageblocks} free pageblocks"
            for before, after in self.pairs
        )

    @property
    def status(self) -> Status:
        """Always `clean`: a difference between two maps is no finding."""
        return "clean"

    def content(self) -> dict[str, Any]:
        """Both maps and the number of changed frames of each node, as plain data for JSON."""
        return {
            "before": [before.to_dict() for before, _ in self.pairs],
            "after": [after.to_dict() for _, after in self.pairs],
            "changed": {str(before.node): _changed(before, after) for before, after in self.pairs},
            "moves": [list(move) for move in self.moves],
            "refused": refusals.plain(self.after.refused),
        }

    def parts(self) -> Iterator[Part]:
        """For each node both pictures, its kinds of frames and its free blocks; the notes."""
        for pair in self.pairs:
            yield from picture(pair)
            yield kinds(pair, "before", "after")
            before, after = map(blocks, pair)
            yield f"free blocks of order 0 to 10: {before} before, {after} after"
            yield ""
        yield self.verdict
        yield from refusals.notes(self.after.refused)

    def steps(self, node: int | None = None) -> MapSteps:
        """The moves one by one over the map before; `to_html` writes a page to step through them.

        Args:
            node: the number of the node; left out, the first node on which a page moved.

        Raises:
            InputError: if `node` is left out and no page moved, there is no such node, or the moves
                do not fit the map: they must be the first moves after the map was taken.
        """
        for before, _ in self.pairs:
            within = range(before.base, before.base + len(before.letters))
            moved = any(source in within for source, _ in self.moves)
            if (node is None and moved) or node == before.node:
                return dataclasses.replace(MapSteps.of(before, self.moves), command=self.command)
        raise InputError(
            "no page moved between the two maps: nothing to step through"
            if node is None
            else f"the maps have no node {node}"
        )

    def drawings(self) -> list[Drawing]:
        """One drawing of all nodes, each before and after."""
        shown = [
            (f"node {node.node}, {when}", node)
            for pair in self.pairs
            for when, node in zip(("before", "after"), pair, strict=True)
        ]
        return [pictures(shown, side_by_side=2)]


def _sentence(node: NodeMap) -> str:
    frames, free = len(node.letters), node.free
    whole = frames // node.pageblock
    whole_blocks = f"{node.free_pageblocks} of {whole} whole pageblocks are free"
    share = f"{free:,} of {frames:,} frames are free ({free / frames:.0%})"
    return f"node {node.node}: {share}, {whole_blocks}"


def _changed(before: NodeMap, after: NodeMap) -> int:
    return int(np.count_nonzero(before.letters != after.letters))
