"""A schedule as elements of a web page: threads side by side, folds, and steps with hints."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from mmcore._exploration.explained import explained, partners
from mmcore._exploration.races import folded, racing, stops, word
from mmcore.reporting import Live

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmcore._exploration.step import TraceStep
    from mmcore.program import Program

__all__ = ["lanes"]

#: The most steps that a fold lists. A schedule without an end has millions, which no page can hold;
#: the JSON document has them all.
_MOST = 400


def lanes(
    program: Program, trace: tuple[TraceStep, ...], rule: str | None, *, at_end: bool
) -> Live:
    """Makes the page's view of a trace: a column for each thread, time downward.

    Where JavaScript is off, a reader can still open the folds, racing steps name each other, and
    each step has its explanation as a hint. With the script a line joins the racing steps, arrow
    keys go from step to step, and the step at the cursor is explained below.

    Args:
        program: the program; each of its threads is a column.
        trace: the steps.
        rule: the broken rule; None if no rule broke.
        at_end: whether the rule broke after all threads had ended; otherwise the last step broke
            it, and is marked.
    """
    breaks = len(trace) - 1 if rule and not at_end else None
    names = [thread.name for thread in program.threads]
    heads = "".join(f"<span>thread {escape(name)}</span>" for name in names)
    ended = f'<p class="ended">all threads have ended: {escape(rule or "")}</p>' if at_end else ""
    html = (
        f'<div class="race" style="--threads:{max(len(names), 1)}">\n'
        '<p class="bar">'
        '<button type="button" data-go="-1">previous</button> '
        '<button type="button" data-go="1">next</button> '
        '<button type="button" data-go="all" aria-pressed="false">unfold all</button> '
        '<span class="keys">← → step through the race, ↑ ↓ step by step</span></p>\n'
        f'<div class="heads" aria-hidden="true"><span></span>{heads}</div>\n'
        '<div class="track"><svg class="joins" aria-hidden="true"></svg>\n'
        f'<ol class="steps">\n{"".join(_items(trace, breaks))}</ol></div>\n'
        f'{ended}<p class="hint lines" role="status">\n</p></div>'
    )
    data = {"pairs": racing(trace), "stops": stops(trace)}
    return Live(html, "race.js", data)


def _items(trace: tuple[TraceStep, ...], breaks: int | None) -> Iterator[str]:
    racers = partners(trace)
    before: tuple[int, int] | None = None
    for at in folded(trace):
        numbers = [at] if isinstance(at, int) else [*at]
        first = trace[numbers[0]]
        if before != (first.thread, first.i):
            yield f'<li class="op" style="--t:{first.thread}"><b>{escape(first.op)}</b></li>\n'
            before = (first.thread, first.i)
        if isinstance(at, int):
            yield _item(trace, at, racers.get(at, ()), breaks=at == breaks)
            continue
        half = _MOST // 2
        listed = numbers if len(numbers) <= _MOST else [*numbers[:half], *numbers[-half:]]
        inside = "".join(_item(trace, number, (), breaks=False) for number in listed)
        left = len(numbers) - len(listed)
        note = f"; {left:,} of them only in the JSON document" if left else ""
        yield (
            f'<li class="fold"><details style="--t:{first.thread}"><summary>'
            f"<span>{len(numbers):,} more steps of {escape(first.name)}{note}</span></summary>\n"
            f'<ol class="steps">\n{inside}</ol></details></li>\n'
        )


def _item(
    trace: tuple[TraceStep, ...], number: int, others: tuple[int, ...] | list[int], *, breaks: bool
) -> str:
    step = trace[number]
    races = "".join(
        f'<span class="with">races with step {other} of {escape(trace[other].name)}</span>'
        for other in others
    )
    hint = _hint(step, number, others, trace, breaks=breaks)
    style = "breaks" if breaks else "racing" if others else "plain"
    mark = '<span class="with">breaks the rule</span>' if breaks else ""
    function = f'<span class="in">{escape(step.function)}</span>' if step.function else ""
    return (
        f'<li class="step" style="--t:{step.thread}"><span class="no" aria-hidden="true">{number}'
        f'</span><button type="button" class="{style}" data-step="{number}" title="{escape(hint)}">'
        f"{function}<span>{escape(f'{step.kind} {step.object}'.rstrip())}</span>"
        f'<span class="word">{escape(word(step))}</span>{races}{mark}</button></li>\n'
    )


def _hint(
    step: TraceStep,
    number: int,
    others: tuple[int, ...] | list[int],
    trace: tuple[TraceStep, ...],
    *,
    breaks: bool,
) -> str:
    lines = [f"step {number}, thread {step.name}, {step.op}", explained(step)]
    if step.before or step.after:
        lines.append(word(step))
    lines += [
        f"Races with step {other}, {trace[other].function or trace[other].op} of thread"
        f" {trace[other].name}: one of the two changes the word, so their order matters."
        for other in others
    ]
    lines += ["This step breaks the rule."] if breaks else []
    return "\n".join(lines)
