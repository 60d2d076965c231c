"""The longer jobs of `mmcore explore`, with their progress and their tables."""

from __future__ import annotations

import json
import shlex
import sys
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mmcore.environment import document
from mmcore.errors import InputError
from mmcore.exploration import number
from mmcore.exploration import soak as soaking
from mmcore.exploration import standard as standard_set
from mmcore.exploration.hunting import BUDGET, defects, hunt
from mmcore.exploration.result import Counterexample

if TYPE_CHECKING:
    from rich.status import Status

    from mmcore.cli.explore import Output
    from mmcore.exploration.result import Exploration

CLEAN, FOUND, INCONCLUSIVE = 0, 1, 3


def status(text: str) -> Status:
    """A spinner on a terminal's standard error; nothing elsewhere."""
    return Console(stderr=True).status(text)


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _show(table: Table) -> None:
    # What reads a pipe has no width to mind.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(table)


def write(result: Exploration | Counterexample, output: Output) -> None:
    """Writes the files that are asked for."""
    try:
        found = result if isinstance(result, Counterexample) else result.counterexample
        if output.save is not None and found is not None:
            found.save(output.save)
        if output.html is not None:
            result.to_html(output.html)
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}") from None


def _document(
    kind: str, machine: dict[str, Any] | None = None, **options: object
) -> dict[str, Any]:
    """What JSON begins with: with the command, of those options that are said."""
    machine = machine or {}
    named = {name: machine.get(name) for name in ("kernel", "release")} | options
    words = ["mmcore", "explore", f"--{kind}"]
    for name, value in named.items():
        words += [] if value in (None, "") else [f"--{name}", str(value)]
    for field in (machine.get("profile") or {}).items():
        words += ["--set", "=".join(field)]
    return document(kind, shlex.join(words))


def list_mutations(*, as_json: bool) -> int:
    """Prints the defects."""
    if as_json:
        rows = [{"mutation": d.name, "origin": d.origin, "defect": d.text} for d in defects()]
        print(json.dumps(_document("list-mutations") | {"mutations": rows}, indent=2))
        return CLEAN
    table = Table(box=None, pad_edge=False)
    for column in ("mutation", "origin", "defect"):
        table.add_column(column, no_wrap=column == "mutation")
    for known in defects():
        table.add_row(known.name, known.origin, known.text)
    _show(table)
    return CLEAN


def hunt_all(
    schedules: int | None, seed: int, jobs: int | None, shrink: int, *, as_json: bool
) -> int:
    """Looks for every defect, and prints the table."""
    number("schedules", schedules, 1)
    begin = time.monotonic()
    hunts = []
    with _progress() as progress:
        task = progress.add_task("hunting", total=len(defects()))
        for each in hunt(schedules=schedules or BUDGET, seed=seed, jobs=jobs or 1, shrink=shrink):
            hunts.append(each)
            progress.update(task, advance=1, description=each.defect.name)
    missed = [each.defect.name for each in hunts if not each.found]
    if as_json:
        head = _document("all-mutations", schedules=schedules, seed=seed, shrink=shrink)
        print(json.dumps(head | {"mutations": [each.to_dict() for each in hunts]}, indent=2))
        return FOUND if missed else CLEAN
    table = Table(box=None, pad_edge=False)
    for column in ("mutation", "origin", "rule violated"):
        table.add_column(column)
    for column in ("schedules", "threads × operations × switches", "minimum"):
        table.add_column(column, justify="right")
    for each in hunts:
        found = each.exploration.counterexample
        rule = "NOT FOUND" if found is None else str(found.rule)
        size = " × ".join(map(str, each.size or ()))
        needed = "" if each.schedules is None else f"{each.schedules:,}"
        table.add_row(
            each.defect.name, each.defect.origin, rule, needed, size, str(each.defect.minimum)
        )
    _show(table)
    print(f"{len(hunts) - len(missed)} of {len(hunts)} found in {time.monotonic() - begin:.1f} s")
    return FOUND if missed else CLEAN


def standard(
    machine: dict[str, Any],
    preemptions: int | None,
    limit: int | None,
    matching: str,
    jobs: int | None,
    seconds: float | None,
    output: Output,
) -> int:
    """Explores the standard set, and prints programs, schedules and time."""
    begin = time.monotonic()
    designs = standard_set.DESIGNS if machine["release"] is None else (machine["release"],)
    total = len([name for name in standard_set.load() if matching in name]) * len(designs)
    if not total:
        raise InputError(f"no program of the standard set has {matching!r} in its name")
    results = []
    with _progress() as progress:
        task = progress.add_task("standard set", total=total)
        for each in standard_set.run(
            designs=designs,
            preemptions=preemptions,
            limit=limit or 0,
            matching=matching,
            jobs=jobs,
            kernel=machine["kernel"],
            profile=machine["profile"],
        ):
            results.append(each)
            progress.update(task, advance=1)
            if seconds is not None and time.monotonic() - begin > seconds:
                break
    broken = [each for each in results if each.exploration.counterexample is not None]
    incomplete = [
        f"{each.name} ({each.design}): {each.exploration.covered}"
        for each in results
        if each.exploration.counterexample is None and not each.exploration.is_exhaustive
    ]
    if len(results) < total:
        incomplete.append(f"{total - len(results)} of {total} programs were not begun")
    bound = "every interleaving" if preemptions is None else f"to {preemptions} preemptions"
    head = _document(
        "standard",
        machine,
        preemptions="all" if preemptions is None else preemptions,
        schedules=limit,
        matching=matching,
    )
    facts = {
        **head,
        "programs": len(results),
        "schedules": sum(each.exploration.schedules for each in results),
        "steps": sum(each.exploration.steps for each in results),
        "seconds": round(time.monotonic() - begin, 1),
        "preemptions": preemptions,
        "designs": designs,
        "violations": [
            {"name": each.name, "design": each.design} | each.exploration.to_dict()
            for each in broken
        ],
        "incomplete": incomplete,
    }
    if broken:
        write(broken[0].exploration, output)
    if output.as_json:
        print(json.dumps(facts, indent=2))
    else:
        for each in broken:
            print(f"{each.name} ({each.design})\n{each.exploration}\n")
        print(
            f"{facts['programs']:,} programs, {facts['schedules']:,} schedules, "
            f"{facts['steps']:,} steps, {facts['seconds']} s: {len(broken)} violations ({bound})"
        )
        for line in incomplete:
            print(f"incomplete: {line}")
    return FOUND if broken else INCONCLUSIVE if incomplete else CLEAN


def soak(
    schedules: int | None,
    seed: int,
    jobs: int | None,
    seconds: float | None,
    machine: dict[str, Any],
    output: Output,
) -> int:
    """Explores long programs drawn at random; every seed is printed before it is used."""
    begin = time.monotonic()
    number("schedules", schedules, 1)
    wanted = schedules or soaking.SCHEDULES
    done = steps = programs = 0
    for each in soaking.soak(wanted, seed=seed, jobs=jobs, **machine):
        done += each.exploration.schedules
        steps += each.exploration.steps
        programs += 1
        if not output.as_json:
            print(
                f"seed {each.seed} {each.design}: {each.exploration.schedules:,} schedules",
                flush=True,
            )
        if each.exploration.counterexample is not None:
            write(each.exploration, output)
            print(each.exploration.to_json() if output.as_json else each.exploration)
            return FOUND
        if seconds is not None and time.monotonic() - begin > seconds:
            break
    spent = round(time.monotonic() - begin, 1)
    if output.as_json:
        facts = {
            **_document("soak", machine, schedules=wanted, seed=seed),
            "programs": programs,
            "schedules": done,
            "steps": steps,
            "seconds": spent,
        }
        print(json.dumps(facts, indent=2))
    else:
        shown = f"{programs:,} programs, {done:,} schedules, {steps:,} steps, {spent} s"
        print(f"{shown}: no violation; not exhaustive")
    return CLEAN
