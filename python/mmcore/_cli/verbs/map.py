"""`mmcore map`: runs a program and shows what each frame of a node is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcore import _map
from mmcore._cli import inputs, output, showing
from mmcore._errors import InputError
from mmcore._map import MapChange

if TYPE_CHECKING:
    from mmcore.results import NodeMaps


def map(  # noqa: A001 - the name of the verb
    program: str,
    /,
    *,
    node: int | None = None,
    before_after: str | None = None,
    machine: inputs.MachineWords | None = None,
    view: showing.MapView | None = None,
) -> int:
    """Run a program and show what each frame of a node is.

    Args:
        program: a program file (docs/programs.md), or - for the standard input.
        node: show this node alone; left out: all nodes.
        before_after: OPERATION: show the nodes before the first and after the last operation that
            begins with this word, such as compact, side by side.
        machine: the profile of the machine; --set also takes the other words of a `machine` line,
            such as pages=64.
        view: the options by which the map is printed and saved.
    """
    view, words = view or showing.MapView(), machine or inputs.MachineWords()
    what = inputs.program(program)
    fields = {**inputs.fields(words.set_)}
    named = {"kernel": words.kernel, "release": words.release}
    fields |= {name: value for name, value in named.items() if value is not None}

    def work(_: object) -> NodeMaps | MapChange:
        return _map.of_program(what, node=node, around=before_after, fields=fields)

    def save(result: NodeMaps | MapChange) -> None:
        output.save(view.plot, result.plot)
        if view.steps is not None and isinstance(result, MapChange):
            output.save(view.steps, result.steps(node).to_html)

    if before_after is not None and not before_after.isidentifier():
        raise InputError(f"--before-after takes the word of an operation, not {before_after!r}")
    if view.steps is not None and before_after is None:
        raise InputError("--steps shows the moves of an operation: name it by --before-after")
    return showing.report("running", work, view, also=save)
