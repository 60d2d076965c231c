"""The text of a comparison: its first lines, its table and its verdict."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mmcore._comparison import stats, work
from mmcore._comparison.protocol import COUNTED
from mmcore._environment import environment
from mmcore.reporting import Grid
from mmcore.reporting._parts import columns

if TYPE_CHECKING:
    from mmcore._comparison.figures import Figures

__all__ = ["UNRESOLVED", "grid", "preface", "time_verdict", "work_verdict"]

#: One line on each load that replays no trace.
WORK = {
    "storm": "random pages move while other threads use them",
    "compaction": "threads ask a fragmented node for blocks while other threads use its pages",
    "zram": "threads ask for blocks while pages are swapped to a compressed device",
}

UNRESOLVED = "no difference resolved"

#: Other programs use at least this many processors on a machine that is called busy.
BUSY = 0.1


def preface(comparison: Figures) -> list[str]:
    """The load, the options, the number of rounds and the processor, in a few lines."""
    plan, taken = comparison.plan, comparison.measurement
    rounds = len(taken.samples) // len(plan.variants)
    if plan.trace is not None:
        what = f"{plan.trace.source}: {len(plan.trace):,} accesses, {plan.trace.footprint:,} pages"
    else:
        what = WORK[plan.options.load]
        if plan.options.alone:
            what = what.partition(" while ")[0]
    options = plan.options
    fields = "".join(f" {name}={value}" for name, value in plan.fields.items())
    threads = f"{options.threads} {'asking' if options.asks_for_blocks else 'migrating'} threads"
    node = "node" if options.asks_for_blocks else "nodes"
    how = f"kernel {options.kernel}{fields}, {threads}, {node} {plan.nodes_text}"
    done = f"{rounds} rounds in {taken.elapsed:.0f} s (stopped by {taken.stopped})"
    if not plan.timed:
        done = "counted, not timed"
    lines = [
        f"{options.load}: {what}",
        f"{how}{'' if options.copy else ', no copy'}; {done}, seed {options.seed}",
        f"measured on {_processor()}",
    ]
    if taken.others is not None:
        lines.append(f"{_others(taken.others)} meanwhile")
    lines += [
        f"{name}: {build}" for name, build in zip(("base", "here"), plan.builds, strict=False)
    ]
    if options.load == "tiering" and plan.timed:
        lines.append(
            "Both nodes are this machine's DRAM; modelled time counts each access with its"
            " node's latency."
        )
    return lines


def _processor() -> str:
    facts = environment()
    cache = facts["last_level_cache_kib"]
    size = "unknown size" if cache is None else f"{cache // 1024} MiB"
    name = facts["processor"] or facts["machine"]
    return f"{name}, last-level cache of {size}, pages copied by {facts['page_copy']}"


def _rows(comparison: Figures) -> list[tuple[str, list[str]]]:
    """The rows of the table: a measure, and one cell per variant."""
    table = comparison.table
    if not comparison.plan.timed:
        return _counts(table)
    shown: list[tuple[str, list[str]]] = [
        ("pages migrated / s", [_number(row["pages_per_s"]) for row in table]),
        ("pages / migrator CPU-second", [_number(row["pages_per_cpu_s"]) for row in table]),
    ]
    ratio = [
        ("  ratio to the baseline", [_ratio(row["ratio"]) for row in table]),
        ("  95 % interval", [_ends(row["ratio"]) for row in table]),
    ]
    if comparison.plan.has_policies:
        speeds = [_number(row["accesses_per_modelled_s"]) for row in table]
        shown[:0] = [("accesses / modelled second", speeds), *ratio]
    else:
        shown += [
            *ratio,
            ("  ratio in wall time", [_ratio(row["ratio_wall"]) for row in table]),
            ("  95 % interval", [_ends(row["ratio_wall"]) for row in table]),
        ]
    for name, title in (("p50_ns", "µs a page, p50"), ("p99_ns", "  p99"), ("p99.9_ns", "  p99.9")):
        shown.append((title, [_number(row["latency"][name], ".2f", 1e-3) for row in table]))
    if comparison.plan.options.asks_for_blocks:
        shown += _block_rows(table)
    else:
        # Compaction does not tell the repeated passes of its migrations.
        shown.append(("retries", [_number(row["retries"]) for row in table]))
    shown.append(("failures", [_number(row["failed"]) for row in table]))
    cells = [_number(row["share_of_memcpy"], ".2f") for row in table]
    shown.append(("speed / bare memcpy", cells))
    return [*shown, *_counts(table)]


def _counts(table: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """The rows that are the same in every run: operations, and where accesses find their pages."""
    shown = _counted("per migrated page:", [row["per_page"] for row in table])
    if any(row["users"] is not None for row in table):
        shown += _counted("per access:", [row["users"]["per_access"] for row in table])
    if any(row["fast_share"] is not None for row in table):
        cells = [_number(row["modelled_ns_per_access"], ".1f") for row in table]
        shown.append(("modelled ns / access", cells))
        cells = [_number(row["fast_share"], ".3f") for row in table]
        shown.append(("hits on the fast node", cells))
    return shown


def _counted(title: str, counts: list[dict[str, float]]) -> list[tuple[str, list[str]]]:
    """The rows with the operations of the counting build; no rows if nothing was counted."""
    names = [name for name in COUNTED if any(name in each for each in counts)]
    rows = [(f"  {COUNTED[name]}", [_number(e.get(name), ".2f") for e in counts]) for name in names]
    return [(title, [""] * len(counts)), *rows] if rows else []


def _block_rows(table: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """The rows of loads that ask for blocks: requests, other threads, and a zram device."""
    asked = [row["requests"] for row in table]
    rows = [
        ("requests for a block", [_number(each["requests"]) for each in asked]),
        ("  served", [_percentage(each["served"], each["requests"]) for each in asked]),
    ]
    for name, title in (
        ("p50_ns", "  µs a request, p50"),
        ("p99_ns", "  p99"),
        ("p99.9_ns", "  p99.9"),
    ):
        rows.append((title, [_number(each["latency"][name], ",.0f", 1e-3) for each in asked]))
    rows.append(("  pages moved a block", [_number(e["pages_per_block"], ".0f") for e in asked]))
    if all(row["users"] is not None for row in table):
        users = [row["users"] for row in table]
        rows += [
            ("accesses / user CPU-second", [_number(each["accesses_per_cpu_s"]) for each in users]),
            ("  ratio to the baseline", [_ratio(each["ratio"]) for each in users]),
            ("  95 % interval", [_ends(each["ratio"]) for each in users]),
        ]
    if all(row["stored"] is not None for row in table):
        stored = [row["stored"] for row in table]
        rows += [
            ("content / compressed", [_number(e["content_per_compressed"], ".2f") for e in stored]),
            (
                "content / pages of zsmalloc",
                [_number(e["content_per_pool"], ".2f") for e in stored],
            ),
            ("pages of one word", [_percentage(e["same_share"], 1) for e in stored]),
            ("pages that do not compress", [_percentage(e["huge_share"], 1) for e in stored]),
            ("pages swapped in / s", [_number(each["swapped_in_per_s"]) for each in stored]),
            ("pages swapped out / s", [_number(each["swapped_out_per_s"]) for each in stored]),
        ]
    return rows


def work_verdict(comparison: Figures) -> list[str]:
    """One line for each variant: its operations that are more or fewer than the baseline's."""
    plan, done, labels = comparison.plan, comparison.measurement.operations, comparison.labels
    lines = []
    for index in plan.compared:
        at = plan.baseline(index)
        if plan.has_policies:
            here, there = (done[each].hits.fast_share for each in (index, at))
            lines.append(
                f"{labels[index]} serves {here:.1%} of the accesses from the fast node,"
                f" {labels[at]} {there:.1%}; on every machine"
            )
        else:
            lines.append(work.sentence(labels[index], labels[at], done[index], done[at]))
    return lines


def time_verdict(comparison: Figures) -> list[str]:
    """One line for each variant: the difference that its interval shows, or the lack of one."""
    plan = comparison.plan
    if not plan.timed or not plan.compared:
        return []
    blocks = len(comparison.block_log_ratios(plan.compared[0]))
    if blocks < stats.MIN_BLOCKS:
        too_few_trials = f"{2 * blocks} trials are fewer than {2 * stats.MIN_BLOCKS}"
        return [f"inconclusive: {too_few_trials}; give more --seconds"]
    lines = [_sentence(comparison, index) for index in plan.compared]
    if any(not comparison.interval(index).usable for index in plan.compared):
        lines.append(_advice(comparison))
    if comparison.missed:
        wanted = f"±{100 * plan.options.precision:g} %"
        names = ", ".join(comparison.missed)
        lines.append(f"inconclusive: wider than {wanted}, which --precision asks for: {names}")
    return lines


def _sentence(comparison: Figures, index: int) -> str:
    plan, interval = comparison.plan, comparison.interval(index)
    label, baseline = comparison.labels[index], comparison.labels[plan.baseline(index)]
    ends = f"({_percent(interval.low)} to {_percent(interval.high)})"
    if not interval.usable:
        others = comparison.measurement.others
        wide = "its rounds differ too much"
        if others is not None and others >= BUSY:
            wide = "this machine was too busy for its rounds"
        allows = f"which allows {ends}" if interval.known else "which have no interval"
        return f"{label}: inconclusive: {wide}, {allows}"
    if interval.resolved:
        word = "faster" if interval.ratio > 1 else "slower"
        much = f"{_percent(interval.ratio)} {plan.primary_text}"
        return f"{label}: {word} than {baseline}, {much} {ends}"
    within = f"none above {100 * interval.largest:.1f} % in {comparison.measurement.elapsed:.0f} s"
    return f"{label}: {UNRESOLVED} from {baseline}: {within} {ends}"


def _advice(comparison: Figures) -> str:
    """Advice about intervals that are too wide to use."""
    options, others = comparison.plan.options, comparison.measurement.others
    used = "" if others is None else f"{_others(others)}; "
    load = "" if options.alone else " or --load storm --alone, which is disturbed least,"
    return f"{used}stop other programs, give more --seconds,{load} or rely on the work verdict"


def _others(used: float) -> str:
    """The processors that other programs used, in words."""
    return f"other programs used {used:.1f} of {len(os.sched_getaffinity(0))} processors"


def grid(comparison: Figures) -> Grid:
    """The table, with one row per measure and one column per variant."""
    titles = columns("", *(f">{label}" for label in comparison.labels))
    return Grid(titles, tuple((name, *cells) for name, cells in _rows(comparison)))


def _number(value: float | None, form: str = ",.0f", factor: float = 1.0) -> str:
    return "-" if value is None else format(value * factor, form)


def _percentage(part: float | None, whole: float) -> str:
    return "-" if part is None or not whole else f"{100 * part / whole:.1f} %"


def _ratio(interval: dict[str, Any] | None) -> str:
    if interval is None:
        return "baseline"
    if interval["low"] is None:
        return "too few rounds"
    return f"{interval['ratio']:.3f}" if interval["resolved"] else UNRESOLVED


def _ends(interval: dict[str, Any] | None) -> str:
    if interval is None or interval["low"] is None:
        return ""
    return f"{interval['low']:.3f}-{interval['high']:.3f}"


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %"
