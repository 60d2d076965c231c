"""A counterexample as one self-contained page: columns of threads, time downward, races joined."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from mmcore.exploration.result import Counterexample

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmcore.exploration.result import Exploration, TraceStep

__all__ = ["page", "racing"]

_STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
pre, code, svg text { font-family: ui-monospace, monospace; font-size: 12px }
pre { background: #f4f4f4; padding: 1em; overflow-x: auto }
.rule { color: #a00; font-weight: 600 }
.lane { stroke: #ddd } .number { fill: #999; text-anchor: end } .word { fill: #666 }
.head, .op { font-weight: 600 }
.on { fill: #eef4fb } .race { fill: #fff1d6 } .breaks { fill: #f9d0d0 }
.join { stroke: #d08000; stroke-width: 1.5; fill: none; marker-end: url(#to) }
"""

#: Height of a line, width of a character, width of the step numbers; in pixels.
_LINE, _CHARACTER, _NUMBERS = 17, 7.3, 44


def page(result: Exploration | Counterexample) -> str:
    """The page."""
    found = result if isinstance(result, Counterexample) else result.counterexample
    title = found.rule if found and found.rule else "no violation"
    body = [f"<h1>{escape(title)}</h1>"]
    if not isinstance(result, Counterexample):
        searched = f"{result.schedules:,} schedules, {result.steps:,} steps"
        body.append(f"<p>{searched}: {escape(result.covered)}</p>")
        body += [f"<p>{escape(note)}</p>" for note in result.notes]
    program = (found or result).program
    if found is None:
        body.append(f"<pre>{escape(program.text)}</pre>")
    else:
        body.append(f'<p class="rule">{escape(found.detail)}</p>')
        body.append(f"<pre>{escape(program.text)}</pre>")
        body.append(f"<p>schedule <code>{escape(str(found.schedule))}</code></p>")
        body.append(f"<pre>{escape(found.command)}</pre>")
        body += [f"<p>{escape(found.limit)}</p>"] if found.limit else []
        body.append(_timeline(found))
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n"
        f"<style>{_STYLE}</style>\n{''.join(body)}\n</html>\n"
    )


def racing(trace: tuple[TraceStep, ...]) -> list[tuple[int, int]]:
    """Pairs of steps that race: by two threads, on one thing, in succession, one a change.

    Locks are left out: they meet because they are to.
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


def _timeline(found: Counterexample) -> str:
    names = [thread.name for thread in found.program.threads]
    pairs = racing(found.trace)
    marked = {number for pair in pairs for number in pair}
    last = len(found.trace) - 1
    lines = [_text(step) for step in found.trace]
    longest = max((len(line) for line in lines), default=10)
    column = max(longest, 24) * _CHARACTER + 24
    width = _NUMBERS + column * len(names)

    def left(thread: int) -> float:
        return _NUMBERS + column * thread

    drawn: list[str] = []
    at: dict[int, float] = {}
    y: float = _LINE
    drawn += [_label(left(t) + 8, y, "head", f"thread {name}") for t, name in enumerate(names)]
    before: tuple[int, int] | None = None
    for number, step in enumerate(found.trace):
        x = left(step.thread)
        if before != (step.thread, step.i):
            y += _LINE * 1.4
            drawn.append(_label(x + 8, y, "op", step.op))
            before = (step.thread, step.i)
        y += _LINE
        at[number] = y - _LINE / 3
        breaks = bool(found.rule) and not found.at_end and number == last
        style = "breaks" if breaks else "race" if number in marked else "on"
        box = f'x="{x:.0f}" y="{y - _LINE + 4:.0f}" width="{column - 8:.0f}" height="{_LINE}"'
        drawn.append(f'<rect class="{style}" {box}/>')
        drawn.append(_label(_NUMBERS - 8, y, "number", str(number)))
        where = f"{step.function} ({step.place})" if step.function else step.place
        drawn.append(_label(x + 8, y, "", lines[number], hint=where))
    for first, second in pairs:
        drawn.append(
            _join(found.trace[first], found.trace[second], at[first], at[second], left, column)
        )
    if found.rule and found.at_end:
        y += _LINE * 1.6
        drawn.append(_label(_NUMBERS + 8, y, "op", f"all threads have ended: {found.rule}"))
    lanes = [
        f'<line class="lane" x1="{left(t):.0f}" x2="{left(t):.0f}" y1="4" y2="{y + 6:.0f}"/>'
        for t in range(len(names))
    ]
    arrow = (
        '<defs><marker id="to" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="6" '
        'markerHeight="6" orient="auto"><path d="M0 0L6 3L0 6z" fill="#d08000"/></marker></defs>'
    )
    size = f'width="{width:.0f}" height="{y + _LINE:.0f}"'
    return f"<svg {size} xmlns='http://www.w3.org/2000/svg'>{arrow}{''.join(lanes + drawn)}</svg>"


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
    # From the nearer edge of one column to the nearer edge of the other.
    x1, x2 = (x1 + column - 8, x2) if x1 < x2 else (x1, x2 + column - 8)
    bend = 18 if x1 < x2 else -18
    path = f"M{x1:.0f} {y1:.0f}C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
    return f'<path class="join" d="{path}"/>'
