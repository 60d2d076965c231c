"""`mmcore run`: a program on real threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.table import Table

import mmcore
from mmcore.cli import inputs, output, signals
from mmcore.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmcore.running import RunResult, StressResult


def run(
    file: str,
    /,
    *,
    stress: float | None = None,
    kernel: str | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Run a program: set-up, threads on real threads, audit.

    Args:
        file: the program (docs/programs.md describes the language), or - for the standard input.
        stress: run it again and again for so many seconds, or until a rule breaks.
        kernel: the profile, instead of the program's.
        set_: FIELD=VALUE: a word of the program's `machine` line, such as release=packed.
        as_json: print JSON instead of a table.
    """
    program = inputs.program(file)
    fields: dict[str, Any] = {**inputs.fields(set_)}
    for name in fields:
        # Each becomes a keyword of the call, next to its own.
        if not name.isidentifier() or name in {"patience", "seconds", "program"}:
            raise InputError(f"--set takes FIELD=VALUE, and {name!r} is no field")
    if kernel is not None:
        fields["kernel"] = kernel
    if stress is not None:

        def show_rounds(rounds: StressResult) -> int:
            if as_json:
                output.show(rounds.to_json())
            else:
                _print_outcomes(rounds)
            return 0 if rounds.clean else 1

        return signals.report(lambda: mmcore.stress(program, seconds=stress, **fields), show_rounds)

    def show(result: RunResult) -> int:
        if as_json:
            output.show(result.to_json())
        else:
            _print_steps(result)
        return 1 if not result.clean else 3 if result.unsupported else 0

    return signals.report(lambda: mmcore.run(program, **fields), show)


def _print_steps(result: RunResult) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("section", "operation", "ret", "outcome"):
        table.add_column(column)
    for step in result.steps:
        table.add_row(step["section"], step["op"], str(step["ret"]), _outcome(step))
    output.render(table)
    for held in result.held:
        output.show(f"held: {held}")
    _print_verdict(result)


def _outcome(step: Mapping[str, Any]) -> str:
    runs = [f"{n}×{value}" for n, value in (*step.get("status", ()), *step.get("acc", ()))]
    if "isolated" in step:
        runs.append("anon {} file {}".format(*step["isolated"]))
    if "why" in step:
        runs.append(f"{step['problem']}: {step['why']}")
    return ", ".join(runs)


def _print_verdict(result: RunResult) -> None:
    for finding in result.findings:
        place = "" if finding["pfn"] is None else f"page {finding['pfn']:#x}: "
        output.show(f"broken: {finding['rule']}: {place}{finding['detail']}")
    if result.interrupted:
        output.show("interrupted before the end: not audited")
    elif result.clean:
        output.show("audit: clean")
    for note in result.notes:
        output.show(note)
    if result.unsupported:
        output.show(f"{len(result.unsupported)} operations were not done: see above")


def _print_outcomes(result: StressResult) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("section", "operation", "outcomes"):
        table.add_column(column)
    for row in result.outcomes:
        seen = ", ".join(f"{name} {count}" for name, count in row["seen"].items())
        table.add_row(row["section"], row["op"], seen)
    output.render(table)
    for note in result.notes:
        output.show(note)
    if result.interrupted:
        output.show("interrupted: the round that it stopped in is not counted")
    if result.found is None:
        done = (
            f"{result.rounds} rounds, each audited: clean" if result.rounds else "no round was done"
        )
        output.show(done)
        return
    output.show(f"round {result.broken} breaks a rule:")
    _print_steps(result.found)
