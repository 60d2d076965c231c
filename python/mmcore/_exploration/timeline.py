"""The drawing of a schedule: one column for each thread, time downward, races as arrows."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmcore._exploration.step import TraceStep
    from mmcore.program import Program

__all__ = ["racing", "timeline"]

#: The style sheet. Every rule names the class `timeline`, so that it does not style the rest of an
#: HTML page.
_STYLE = """
.timeline text { font: 12px ui-monospace, monospace; }
.timeline .lane { stroke: #ddd; } .timeline .number { fill: #999; text-anchor: end; }
.timeline .head, .timeline .op { font-weight: 600; }
.timeline .on { fill: #eef4fb; } .timeline .race { fill: #fff1d6; }
.timeline .breaks { fill: #f9d0d0; }
.timeline .join { stroke: #d08000; stroke-width: 1.5; fill: none; marker-end: url(#to); }
"""

#: The height of a line, the width of a character and of the step numbers, in pixels.
_LINE, _CHARACTER, _NUMBERS = 17, 7.3, 44


def racing(trace: tuple[TraceStep, ...]) -> list[tuple[int, int]]:
    """Finds races: successive accesses of two threads to one word, one of which changes it.

    Locks are left out: threads contend for a lock by design, and an arrow for each would hide the
    races.

    Returns:
        Pairs of step numbers, the earlier step first.
    """
    pairs = []
    touched: dict[str, int] = {}
    for number, step in enumerate(trace):
        if not step.object or " lock" in step.object:
            continue
        other = touched.get(step.object)
        if other is not None and trace[other].thread != step.thread:
            changed = (one.before != one.after for one in (trace[other], step))
            if any(changed):
                pairs.append((other, number))
        touched[step.object] = number
    return pairs


def timeline(
    program: Program, trace: tuple[TraceStep, ...], rule: str | None, *, at_end: bool
) -> str:
    """Draws a trace as an SVG element.

    Args:
        program: the program; each of its threads is a column.
        trace: the steps.
        rule: the broken rule; None if no rule broke.
        at_end: whether the rule broke after all threads had ended; otherwise the last step broke
            it, and is marked.
    """
    names = [thread.name for thread in program.threads]
    pairs = racing(trace)
    marked = {number for pair in pairs for number in pair}
    last = len(trace) - 1
    lines = [_text(step) for step in trace]
    longest = max((len(line) for line in lines), default=10)
    column = max(longest, 24) * _CHARACTER + 24
    width = _NUMBERS + column * len(names)

    def left(thread: int) -> float:
        return _NUMBERS + column * thread

    drawn: list[str] = []
    height: dict[int, float] = {}
    y: float = _LINE
    drawn += [_label(left(t) + 8, y, "head", f"thread {name}") for t, name in enumerate(names)]
    before: tuple[int, int] | None = None
    for number, step in enumerate(trace):
        x = left(step.thread)
        if before != (step.thread, step.i):
            y += _LINE * 1.4
            drawn.append(_label(x + 8, y, "op", step.op))
            before = (step.thread, step.i)
        y += _LINE
        height[number] = y - _LINE / 3
        breaks = bool(rule) and not at_end and number == last
        style = "breaks" if breaks else "race" if number in marked else "on"
        box = f'x="{x:.0f}" y="{y - _LINE + 4:.0f}" width="{column - 8:.0f}" height="{_LINE}"'
        drawn.append(f'<rect class="{style}" {box}/>')
        drawn.append(_label(_NUMBERS - 8, y, "number", str(number)))
        where = f"{step.function} ({step.place})" if step.function else step.place
        drawn.append(_label(x + 8, y, "", lines[number], hint=where))
    for first, second in pairs:
        drawn.append(
            _join(trace[first], trace[second], height[first], height[second], left, column)
        )
    if rule and at_end:
        y += _LINE * 1.6
        drawn.append(_label(_NUMBERS + 8, y, "op", f"all threads have ended: {rule}"))
    lanes = [
        f'<line class="lane" x1="{left(t):.0f}" x2="{left(t):.0f}" y1="4" y2="{y + 6:.0f}"/>'
        for t in range(len(names))
    ]
    arrow = (
        '<defs><marker id="to" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="6" '
        'markerHeight="6" orient="auto"><path d="M0 0L6 3L0 6z" fill="#d08000"/></marker></defs>'
    )
    size = f'width="{width:.0f}" height="{y + _LINE:.0f}"'
    namespace = 'xmlns="http://www.w3.org/2000/svg"'
    inside = f"<style>{_STYLE}</style>{arrow}{''.join(lanes + drawn)}"
    return f'<svg class="timeline" {size} {namespace}>{inside}</svg>'


def _text(step: TraceStep) -> str:
    changed = step.before if step.before == step.after else f"{step.before} → {step.after}"
    return f"{step.kind} {step.object} {changed}".rstrip()


def _label(x: float, y: float, style: str, text: str, hint: str = "") -> str:
    named = f' class="{style}"' if style else ""
    shown = f"{f'<title>{escape(hint)}</title>' if hint else ''}{escape(text)}"
    return f'<text{named} x="{x:.0f}" y="{y:.0f}" xml:space="preserve">{shown}</text>'


def _join(
    one: TraceStep,
    other: TraceStep,
    y1: float,
    y2: float,
    left: Callable[[int], float],
    column: float,
) -> str:
    x1, x2 = left(one.thread), left(other.thread)
    # The arrow connects the facing edges of the two columns.
    x1, x2 = (x1 + column - 8, x2) if x1 < x2 else (x1, x2 + column - 8)
    bend = 18 if x1 < x2 else -18
    path = f"M{x1:.0f} {y1:.0f}C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
    return f'<path class="join" d="{path}"/>'
