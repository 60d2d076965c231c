"""A comparison in words and as a table: the rows that every view shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmcore.comparison.protocol import COUNTED

if TYPE_CHECKING:
    from mmcore.comparison.result import Comparison
    from mmcore.comparison.stats import Interval

__all__ = ["UNRESOLVED", "as_text", "preface", "rows", "sentence"]

UNRESOLVED = "no difference resolved"


def preface(comparison: Comparison) -> list[str]:
    """What was measured, in two or three lines."""
    plan, taken = comparison.plan, comparison.measurement
    rounds = len(taken.samples) // len(plan.variants)
    if plan.trace is not None:
        what = f"{plan.trace.source}: {len(plan.trace):,} accesses, {plan.trace.footprint:,} pages"
    else:
        what = "random pages move while other threads use them"
    how = f"kernel {plan.kernel}, {plan.threads} migrating threads, nodes {plan.nodes_text}"
    done = f"{rounds} rounds in {taken.elapsed:.0f} s (stopped by {taken.stopped})"
    lines = [
        f"{plan.load}: {what}",
        f"{how}{'' if plan.copy else ', no copy'}; {done}, seed {plan.seed}",
    ]
    if plan.load == "tiering":
        lines.append(
            "Both nodes are this machine's DRAM; modelled time counts each access with its"
            " node's latency."
        )
    return lines


def rows(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """The table: each measure with one cell a variant."""
    table = comparison.table
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
    shown.append(("retries", [_number(row["retries"]) for row in table]))
    shown.append(("failures", [_number(row["failed"]) for row in table]))
    counted = [name for name in COUNTED if any(name in row["per_page"] for row in table)]
    if counted:
        shown.append(("per migrated page:", [""] * len(table)))
    for name in counted:
        cells = [_number(row["per_page"].get(name), ".2f") for row in table]
        shown.append((f"  {COUNTED[name]}", cells))
    cells = [_number(row["share_of_memcpy"], ".2f") for row in table]
    shown.append(("speed / bare memcpy", cells))
    if any(row["modelled_ns_per_access"] is not None for row in table):
        cells = [_number(row["modelled_ns_per_access"], ".1f") for row in table]
        shown.append(("modelled ns / access", cells))
    if any(row["fast_share"] is not None for row in table):
        cells = [_number(row["fast_share"], ".3f") for row in table]
        shown.append(("hits on the fast node", cells))
    return shown


def sentence(label: str, baseline: str, interval: Interval, measure: str) -> str:
    """The verdict about one variant."""
    low, high = _percent(interval.low), _percent(interval.high)
    if not interval.known:
        return f"{label}: {UNRESOLVED}; the rounds differ too much for an interval"
    if not interval.resolved:
        return f"{label}: {UNRESOLVED} from {baseline} ({low} to {high})"
    word = "faster" if interval.ratio > 1 else "slower"
    return (
        f"{label}: {word} than {baseline}, {_percent(interval.ratio)} {measure} ({low} to {high})"
    )


def as_text(comparison: Comparison) -> str:
    """The preface and the table as plain text."""
    lines = [("", comparison.labels), *rows(comparison)]
    name_width = max(len(name) for name, _ in lines)
    widths = [max(len(cells[i]) for _, cells in lines) for i in range(len(comparison.labels))]
    table = [
        "  ".join(
            [name.ljust(name_width), *(c.rjust(w) for c, w in zip(cells, widths, strict=True))]
        ).rstrip()
        for name, cells in lines
    ]
    return "\n".join([*preface(comparison), "", *table])


def _number(value: float | None, form: str = ",.0f", factor: float = 1.0) -> str:
    return "-" if value is None else format(value * factor, form)


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
