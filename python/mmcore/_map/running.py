"""Runs a program with `layout` operations added to it, and makes maps of its machine from them."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcore._errors import FindingError, InputError
from mmcore._map.node import NodeMap
from mmcore._map.result import MapChange, NodeMaps
from mmcore._running import run
from mmcore.program import Op

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
        around: the word of an operation, such as `compact`. If it is given, the nodes are mapped
            before the first and after the last of these operations. If threads have the operation,
            the nodes are mapped before and after all threads.
        fields: words of the `machine` line, such as `pages`, that replace those of the program.

    Returns:
        The maps of the nodes; with `around` the maps before and after, side by side.

    Raises:
        InputError: if the program cannot be run, or has no such operation.
        FindingError: if the machine broke a rule before the map was taken.
    """
    fields = dict(fields or {})
    nodes = range(_nodes(program, fields)) if node is None else (node,)
    added = [Op.parse(f"layout node={number}") for number in nodes]
    changed = _at_the_end(program, added) if around is None else _around(program, added, around)
    result = run(changed, **fields)
    if result.findings:
        broken = (f"{found['rule']}: {found['detail']}" for found in result.findings)
        raise FindingError("\n".join(broken))
    lines = {op.text for op in added}
    steps = [step for step in result.steps if step["op"] in lines]
    refused = [step["why"] for step in steps if "layout" not in step]
    if refused:
        raise InputError(refused[0])
    words = ["mmcore", "map", "PROGRAM.mm", *([] if node is None else ["--node", str(node)])]
    words += [] if around is None else ["--before-after", around]
    command = shlex.join([*words, *(f"--set={name}={value}" for name, value in fields.items())])
    maps = [_map(step) for step in steps]
    last = NodeMaps(tuple(maps[-len(added) :]), command)
    if around is None:
        return last
    moves = [
        move
        for step in result.steps
        if step["op"].split()[0] == around
        for move in step.get("moves", ())
    ]
    return NodeMaps(tuple(maps[: len(added)]), command).beside(last, moves)


def _nodes(program: Program, fields: Mapping[str, Any]) -> int:
    """Returns the number of nodes that `fields` or the program's `machine` line asks for."""
    spec = program.machine
    pages = str(fields["pages"]).split(",") if "pages" in fields else spec.pages if spec else ()
    said = fields.get("nodes", spec.nodes if spec else None)
    if said is not None:
        return int(said)
    return len(pages) if len(pages) > 1 else _NODES


def _at_the_end(program: Program, added: Sequence[Op]) -> Program:
    if program.threads or program.finally_:
        return dataclasses.replace(program, finally_=(*program.finally_, *added))
    return dataclasses.replace(program, setup=(*program.setup, *added))


def _around(program: Program, added: Sequence[Op], word: str) -> Program:
    """Returns the program with maps before the first and after the last operation of this word."""
    places = [number for number, op in enumerate(program.setup) if op.name == word]
    if any(op.name == word for thread in program.threads for op in thread.ops):
        # Threads run at the same time, so no moment lies before the operation of one thread alone:
        # the nodes are mapped after the set-up and after the threads.
        before = dataclasses.replace(program, setup=(*program.setup, *added))
        return dataclasses.replace(before, finally_=(*added, *program.finally_))
    if not places:
        raise InputError(f"--before-after: the program has no operation {word}")
    first, last = places[0], places[-1]
    setup = (
        *program.setup[:first],
        *added,
        *program.setup[first : last + 1],
        *added,
        *program.setup[last + 1 :],
    )
    return dataclasses.replace(program, setup=setup)


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
