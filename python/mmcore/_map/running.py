"""Runs a program with `layout` operations added to it, and makes maps of its machine from them."""

from __future__ import annotations

import dataclasses
import shlex
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcore._errors import FindingError, InputError
from mmcore._map.node import NodeMap
from mmcore._map.result import MapChange, NodeMaps
from mmcore._running import run
from mmcore._waiting import keep
from mmcore.program import Op

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mmcore._refusals import Refused
    from mmcore.program import Program

__all__ = ["of_program"]

#: The number of nodes of a machine if neither the program nor `fields` gives it.
_NODES = 2


def of_program(
    program: Program,
    *,
    node: int | None = None,
    around: str | None = None,
    fields: Mapping[str, Any] | None = None,
) -> NodeMaps | MapChange:
    """Runs a program and maps its machine at the end, or around one of its operations.

    Args:
        program: the program. A map at the end is taken after its threads and its `finally` section.
        node: the node to map; None for all.
        around: the first word of operations, such as `compact`. If it is given, the nodes are
            mapped before the first and after the last of these operations. An operation of a thread
            counts as lasting from the start of all threads to the end of all.
        fields: words of the `machine` line, such as `pages`, that replace those of the program.

    Returns:
        The maps of the nodes; with `around` the maps before and after, side by side.

    Raises:
        InputError: if the program cannot be run, or has no such operation.
        FindingError: if the machine broke a rule during the run.
    """
    fields = dict(fields or {})
    nodes = range(_nodes(program, fields)) if node is None else (node,)
    added = [Op.parse(f"layout node={number}") for number in nodes]
    changed, places = _with_maps(program, added, _span(program, around))
    try:
        result = run(changed, **fields)
    except BaseException as stopped:
        # The exception carries the part of the run that was done, which is no map.
        keep(stopped, None)
        raise
    if result.findings:
        broken = (f"{found['rule']}: {found['detail']}" for found in result.findings)
        raise FindingError("\n".join(broken))
    # Without a finding every operation has ended: the steps stand at the places of the operations.
    without = [result.steps[at]["why"] for at in chain(*places) if "layout" not in result.steps[at]]
    if without:
        raise InputError(without[0])
    words = ["mmcore", "map", "PROGRAM.mm", *([] if node is None else ["--node", str(node)])]
    words += [] if around is None else ["--before-after", around]
    command = shlex.join([*words, *(f"--set={name}={value}" for name, value in fields.items())])
    refused = _numbered(result.refused, changed, [*chain(*places)])
    maps = [
        NodeMaps(tuple(_map(result.steps[at]) for at in each), command, refused) for each in places
    ]
    if around is None:
        return maps[0]
    before, after = places
    moves = [
        move
        for step in result.steps[before.stop : after.start]
        if step["op"].split()[0] == around
        for move in step.get("moves", ())
    ]
    return maps[0].beside(maps[1], moves)


def _nodes(program: Program, fields: Mapping[str, Any]) -> int:
    """Returns the number of nodes that `fields` or the program's `machine` line asks for."""
    spec = program.machine
    pages = str(fields["pages"]).split(",") if "pages" in fields else spec.pages if spec else ()
    said = fields.get("nodes", spec.nodes if spec else None)
    if said is not None:
        return int(said)
    return len(pages) if len(pages) > 1 else _NODES


def _span(program: Program, word: str | None) -> tuple[int, ...]:
    """Returns the places of the maps among the operations of set-up, threads and `finally`.

    Args:
        program: the program.
        word: the first word of the operations to map around; None for one map at the end.
    """
    setup, ops = len(program.setup), _operations(program)
    threads = len(ops) - len(program.finally_)
    if word is None:
        return (len(ops),)
    found = [place for place, op in enumerate(ops) if op.text.split()[0] == word]
    if not found:
        raise InputError(f"--before-after: the program has no operation {word}")
    first, last = found[0], found[-1]
    # Threads run at the same time, so no moment lies before or after the operation of one thread
    # alone: the span begins before all threads and ends after all of them.
    return (
        setup if setup <= first < threads else first,
        threads if setup <= last < threads else last + 1,
    )


def _with_maps(
    program: Program, added: Sequence[Op], places: Sequence[int]
) -> tuple[Program, list[range]]:
    """Inserts operations into a program at one place or several.

    Returns:
        The new program, and for each of the places the range of the inserted operations in it.
    """
    setup, finally_ = list(program.setup), list(program.finally_)
    before_finally = len(_operations(program)) - len(finally_)
    # The last place comes first, because an insertion shifts the places after it.
    for place in reversed(places):
        section, at = setup, place
        if place > len(program.setup):
            section, at = finally_, place - before_finally
        section[at:at] = added
    changed = dataclasses.replace(program, setup=tuple(setup), finally_=tuple(finally_))
    began = (place + number * len(added) for number, place in enumerate(places))
    return changed, [range(begin, begin + len(added)) for begin in began]


def _numbered(
    refused: Iterable[Refused], changed: Program, added: Sequence[int]
) -> tuple[Refused, ...]:
    """Numbers the refused operations as in the program without the added operations."""
    begins = {"setup": 0, "finally": len(_operations(changed)) - len(changed.finally_)}
    numbered = []
    for each in refused:
        begin = begins.get(each.section)
        before = 0 if begin is None else sum(begin <= at < begin + each.i for at in added)
        numbered.append(dataclasses.replace(each, i=each.i - before))
    return tuple(numbered)


def _operations(program: Program) -> list[Op]:
    """Returns the operations of all sections, in the order in which `run` reports them."""
    return [*program.setup, *chain(*(each.ops for each in program.threads)), *program.finally_]


def _map(step: Mapping[str, Any]) -> NodeMap:
    """Makes the map of a node from the step of a `layout` operation."""
    letters = "".join(pattern * times for times, pattern in step["layout"])
    owners: Iterable[Any] = step.get("owners") or [(len(letters), 0)]
    counts, numbers = zip(*owners, strict=True)
    return NodeMap(
        int(step["op"].partition("node=")[2].split()[0]),
        step["base"],
        np.frombuffer(letters.encode("ascii"), dtype=np.uint8),
        np.repeat(np.array(numbers, dtype=np.uint32), counts),
        tuple(step["buddy"]),
        "".join(pattern * times for times, pattern in step["types"]),
        step["pageblock"],
    )
