"""The longer jobs of `mmcore explore`, with their progress and their tables."""

from __future__ import annotations

import json
import shlex
import time
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mmcore.arguments import number
from mmcore.cli import output as shown
from mmcore.cli import signals
from mmcore.environment import document
from mmcore.errors import InputError
from mmcore.exploration import soak as soaking
from mmcore.exploration import standard as standard_set
from mmcore.exploration.hunting import BUDGET, Hunt, defects, hunt
from mmcore.exploration.result import Counterexample

if TYPE_CHECKING:
    from rich.status import Status

    from mmcore.cli.explore import Output
    from mmcore.exploration.result import Exploration

CLEAN, FOUND, INCONCLUSIVE = 0, 1, 3


def status(text: str) -> Status:
    """A spinner on a terminal's standard error; nothing elsewhere."""
    return shown.console(stderr=True).status(text)


def _progress() -> Progress:
    console = shown.console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def write(result: Exploration | Counterexample, output: Output) -> None:
    """Writes the files that are asked for."""
    found = result if isinstance(result, Counterexample) else result.counterexample
    if found is not None:
        shown.save(output.save, found.save)
    shown.save(output.html, result.to_html)


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
        shown.show(json.dumps(_document("list-mutations") | {"mutations": rows}, indent=2))
        return CLEAN
    table = Table(box=None, pad_edge=False)
    for column in ("mutation", "origin", "defect"):
        table.add_column(column, no_wrap=column == "mutation")
    for known in defects():
        table.add_row(known.name, known.origin, known.text)
    shown.render(table)
    return CLEAN


def hunt_all(
    schedules: int | None, seed: int, jobs: int | None, shrink: int, *, as_json: bool
) -> int:
    """Looks for every defect, and prints the table."""
    number("schedules", schedules, 1)
    begin = time.monotonic()
    hunts: list[Hunt] = []

    def work() -> list[Hunt]:
        with _progress() as progress:
            task = progress.add_task("hunting", total=len(defects()))
            hunted = hunt(schedules=schedules or BUDGET, seed=seed, jobs=jobs or 1, shrink=shrink)
            with signals.keeping(hunts):
                for each in hunted:
                    hunts.append(each)
                    progress.update(task, advance=1, description=each.defect.name)
        return hunts

    def show(hunts: list[Hunt]) -> int:
        head = _document("all-mutations", schedules=schedules, seed=seed, shrink=shrink)
        return _show_hunts(hunts, head if as_json else None, time.monotonic() - begin)

    return signals.report(work, show)


def _show_hunts(hunts: list[Hunt], head: dict[str, Any] | None, spent: float) -> int:
    """Prints the table; as JSON if there is a beginning for that."""
    missed = [each.defect.name for each in hunts if not each.found]
    left = len(defects()) - len(hunts)
    if head is not None:
        rows = [each.to_dict() for each in hunts]
        shown.show(json.dumps(head | {"mutations": rows, "not_begun": left}, indent=2))
        return FOUND if missed else CLEAN
    table = Table(box=None, pad_edge=False)
    for column in ("mutation", "origin", "rule violated"):
        table.add_column(column)
    for column in ("schedules", "threads × operations × switches", "minimum"):
        table.add_column(column, justify="right")
    for each in hunts:
        race = each.exploration.counterexample
        rule = "NOT FOUND" if race is None else str(race.rule)
        size = " × ".join(map(str, each.size or ()))
        needed = "" if each.schedules is None else f"{each.schedules:,}"
        table.add_row(
            each.defect.name, each.defect.origin, rule, needed, size, str(each.defect.minimum)
        )
    shown.render(table)
    told = f"{len(hunts) - len(missed)} of {len(hunts)} found in {spent:.1f} s"
    shown.show(f"{told}; incomplete: {left} were not looked for" if left else told)
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
    results: list[standard_set.Result] = []

    def work() -> list[standard_set.Result]:
        with _progress() as progress:
            task = progress.add_task("standard set", total=total)
            explored = standard_set.run(
                designs=designs,
                preemptions=preemptions,
                limit=limit or 0,
                matching=matching,
                jobs=jobs,
                kernel=machine["kernel"],
                profile=machine["profile"],
            )
            with signals.keeping(results):
                for each in explored:
                    results.append(each)
                    progress.update(task, advance=1)
                    if seconds is not None and time.monotonic() - begin > seconds:
                        break
        return results

    head = _document(
        "standard",
        machine,
        preemptions="all" if preemptions is None else preemptions,
        schedules=limit,
        matching=matching,
    )
    return signals.report(
        work,
        lambda results: _show_standard(
            results, head, total, preemptions, designs, time.monotonic() - begin, output
        ),
    )


def _show_standard(
    results: list[standard_set.Result],
    head: dict[str, Any],
    total: int,
    preemptions: int | None,
    designs: tuple[str, ...],
    spent: float,
    output: Output,
) -> int:
    """Prints programs, schedules and time, and what is wrong or missing."""
    broken = [each for each in results if each.exploration.counterexample is not None]
    incomplete = [
        f"{each.name} ({each.design}): {each.exploration.covered}"
        for each in results
        if each.exploration.counterexample is None and not each.exploration.is_exhaustive
    ]
    if len(results) < total:
        incomplete.append(f"{total - len(results)} of {total} programs were not finished")
    bound = "every interleaving" if preemptions is None else f"to {preemptions} preemptions"
    facts = {
        **head,
        "programs": len(results),
        "schedules": sum(each.exploration.schedules for each in results),
        "steps": sum(each.exploration.steps for each in results),
        "seconds": round(spent, 1),
        "preemptions": preemptions,
        "designs": designs,
        "violations": [
            {"name": each.name, "design": each.design} | each.exploration.to_dict()
            for each in broken
        ],
        "incomplete": incomplete,
    }
    if output.as_json:
        shown.show(json.dumps(facts, indent=2))
    else:
        for each in broken:
            shown.show(f"{each.name} ({each.design})\n{each.exploration}\n")
        shown.show(
            f"{facts['programs']:,} programs, {facts['schedules']:,} schedules, "
            f"{facts['steps']:,} steps, {facts['seconds']} s: {len(broken)} violations ({bound})"
        )
        for line in incomplete:
            shown.show(f"incomplete: {line}")
    if broken:
        write(broken[0].exploration, output)
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
    done: list[soaking.Soaked] = []

    def work() -> list[soaking.Soaked]:
        with signals.keeping(done):
            for each in soaking.soak(wanted, seed=seed, jobs=jobs, **machine):
                done.append(each)
                line = f"seed {each.seed} {each.design}: {each.exploration.schedules:,} schedules"
                if not output.as_json and not shown.show(line):
                    break
                if seconds is not None and time.monotonic() - begin > seconds:
                    break
        return done

    head = _document("soak", machine, schedules=wanted, seed=seed)
    return signals.report(
        work, lambda done: _show_soak(done, head, wanted, time.monotonic() - begin, output)
    )


def _show_soak(
    done: list[soaking.Soaked], head: dict[str, Any], wanted: int, spent: float, output: Output
) -> int:
    """Prints the race, or how much was explored."""
    found = [each.exploration for each in done if each.exploration.counterexample is not None]
    if found:
        shown.show(found[0].to_json() if output.as_json else found[0])
        write(found[0], output)
        return FOUND
    schedules = sum(each.exploration.schedules for each in done)
    steps = sum(each.exploration.steps for each in done)
    if output.as_json:
        facts = {
            **head,
            "programs": len(done),
            "schedules": schedules,
            "wanted": wanted,
            "steps": steps,
            "seconds": round(spent, 1),
        }
        shown.show(json.dumps(facts, indent=2))
    else:
        explored = f"{len(done):,} programs, {schedules:,} schedules, {steps:,} steps"
        shown.show(f"{explored}, {spent:.1f} s: no violation; not exhaustive")
    return CLEAN
