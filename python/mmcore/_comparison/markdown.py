"""A comparison as Markdown, for the summary of a CI run or a comment on a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcore._comparison.text import grid, preface
from mmcore.reporting._parts import as_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mmcore._comparison.figures import Figures
    from mmcore._comparison.gates import Outcome
    from mmcore.typing import Status

__all__ = ["as_markdown"]

#: The heading of each status.
_HEADINGS = {
    "clean": "fine",
    "finding": "worse than allowed",
    "unusable": "unusable",
    "inconclusive": "inconclusive",
}


def as_markdown(
    comparison: Figures,
    *,
    status: Status,
    outcomes: Iterable[Outcome],
    work: Iterable[str],
    time: Iterable[str],
) -> str:
    """Returns the gates and verdicts as lists, and below them the printed table, folded away."""
    labels = [comparison.labels[index] for index in comparison.plan.compared]
    lines = [f"### mmcore compare: {_HEADINGS[status]}", ""]
    lines += _listed("Gates", map(str, outcomes))
    lines += _listed("Work, the same on every machine", work)
    lines += _listed("Time, on this machine", time)
    table = as_text([*preface(comparison), "", grid(comparison)])
    # The fence has four backquotes, because a label could have three.
    lines += ["<details>", f"<summary>The table: {_escaped(', '.join(labels))}</summary>", ""]
    lines += ["````text", table, "````", "", "</details>", ""]
    lines += ["Repeat with:", "", "````console", f"$ {comparison.plan.command}", "````", ""]
    return "\n".join(lines)


def _listed(title: str, items: Iterable[str]) -> list[str]:
    rows = [f"* {_escaped(item)}" for item in items]
    return [f"**{title}**", "", *rows, ""] if rows else []


def _escaped(text: str) -> str:
    """Escapes the characters that Markdown takes for markup: labels have underscores."""
    for special in "\\`*_<>|":
        text = text.replace(special, f"\\{special}")
    return text
