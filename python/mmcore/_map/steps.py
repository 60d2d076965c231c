"""A compaction run, move by move, and a web page that shows the moves one by one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mmcore._errors import InputError
from mmcore._map.cells import COLORS
from mmcore._map.node import FREE
from mmcore._map.plots import pictures
from mmcore._map.shown import kinds, picture
from mmcore._mmcore import FRAME_KINDS
from mmcore.reporting import Grid, Live, Result
from mmcore.reporting._parts import columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mmcore._map.node import NodeMap
    from mmcore.reporting import Drawing, Part
    from mmcore.typing import Status

__all__ = ["MapSteps"]

#: The moves that the text lists; the page and the JSON document have all.
_SHOWN = 20


@dataclass(frozen=True, slots=True, eq=False)
class MapSteps(Result):
    """The moves of a compaction run over the map of its node, made by `MapChange.steps`.

    `to_html` writes a page that shows the moves one by one: it has a square for each frame, a
    slider over the moves, and buttons and keys to go one move forward and back.

    Attributes:
        before: the map of the node before the first move.
        moves: the source and the target of each move, as frame numbers within the node, in order.
        command: the command line or call that makes the run again.
    """

    kind: ClassVar[str] = "map-steps"

    before: NodeMap
    moves: tuple[tuple[int, int], ...]
    command: str = "mmcore.Machine(...).map()"

    @classmethod
    def of(cls, before: NodeMap, moves: Iterable[tuple[int, int]]) -> MapSteps:
        """The moves of a run over the map that was taken right before it.

        Args:
            before: the map of the node.
            moves: the source and the target of each move by the frames' numbers in the machine, as
                `Machine.compact` lists them; moves of other nodes are left out.

        Raises:
            InputError: if a page moves from a free frame, or to one in use.
        """
        within = range(before.base, before.base + len(before.letters))
        checked = tuple(
            (int(source) - before.base, int(target) - before.base)
            for source, target in moves
            if source in within and target in within
        )
        letters = bytearray(bytes(before.letters))
        for number, (source, target) in enumerate(checked):
            if letters[source] == ord(FREE) or letters[target] != ord(FREE):
                raise InputError(
                    f"move {number}, {source} to {target}: a page moves from a frame in use"
                    " to a free one; take the map right before the run"
                )
            letters[source], letters[target] = letters[target], letters[source]
        return cls(before, checked)

    @property
    def after(self) -> NodeMap:
        """The map after the last move; its `free_blocks` are still those before the first move."""
        letters, owners = self.before.letters.copy(), self.before.owners.copy()
        for source, target in self.moves:
            letters[target], letters[source] = letters[source], ord(FREE)
            owners[target], owners[source] = owners[source], 0
        return dataclasses.replace(self.before, letters=letters, owners=owners)

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each move: its number, source, target, and the kind of page."""
        return [
            {"move": number, "source": source, "target": target, "letter": letter}
            for number, (source, target, letter) in enumerate(self._lettered())
        ]

    @property
    def verdict(self) -> str:
        """The number of moves, and of whole free pageblocks before and after."""
        before, after = self.before.free_pageblocks, self.after.free_pageblocks
        return f"{len(self.moves):,} moves, {before} to {after} free pageblocks"

    @property
    def status(self) -> Status:
        """Always `clean`: a run has no findings."""
        return "clean"

    @property
    def title(self) -> str:
        """The heading of the web page."""
        return f"mmcore map: {len(self.moves):,} moves of node {self.before.node}"

    def content(self) -> dict[str, Any]:
        """The map before, the letters after, and all moves, as plain data for JSON."""
        return {
            "before": self.before.to_dict(),
            "after": [list(run) for run in self.after.runs],
            "moves": [list(move) for move in self.moves],
        }

    def parts(self) -> Iterator[Part]:
        """The moves on a page; the pictures before and after side by side, and the first moves."""
        pair = (self.before, self.after)
        yield dataclasses.replace(
            self.drawings()[0],
            title="The frames of the node, move by move",
            live=self._live,
        )
        yield from picture(pair)
        yield kinds(pair, "before", "after")
        rows = [
            (f"{row['move']:,}", f"{row['source']:,}", f"{row['target']:,}", row["letter"])
            for row in self.table[:_SHOWN]
        ]
        yield ""
        yield Grid(columns(">move", ">from frame", ">to frame", "kind"), tuple(rows))
        if len(self.moves) > _SHOWN:
            yield f"and {len(self.moves) - _SHOWN:,} more"
        yield ""
        yield self.verdict

    def drawings(self) -> list[Drawing]:
        """One drawing of the node, before the first move and after the last."""
        node = f"node {self.before.node}"
        shown = [(f"{node}, before", self.before), (f"{node}, after", self.after)]
        return [pictures(shown, side_by_side=2)]

    def _live(self) -> Live:
        """The squares of the node, with a slider over the moves, and buttons and keys."""
        data = {
            "letters": self.before.text,
            "moves": [number for move in self.moves for number in move],
            "colors": COLORS,
            "kinds": FRAME_KINDS,
            "pageblock": self.before.pageblock,
        }
        return Live('<div id="run"></div>', "steps.js", data)

    def _lettered(self) -> Iterator[tuple[int, int, str]]:
        letters = np.array(self.before.letters)
        for source, target in self.moves:
            yield source, target, chr(letters[source])
            letters[target], letters[source] = letters[source], ord(FREE)
