"""The drawing of a schedule: one column for each thread, time downward, races as arrows."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from mmcore._exploration.explained import explained, partners
from mmcore._exploration.races import folded, racing, word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmcore._exploration.step import TraceStep
    from mmcore.program import Program

__all__ = ["timeline"]

#: The style sheet. Every rule names the class `timeline`, so that it does not style the rest of an
#: HTML page.
_STYLE = """
.timeline { background: #fff; }
.timeline text { font: 12px ui-monospace, monospace; fill: #1b1f24; }
.timeline .number { text-anchor: end; }
.timeline .number, .timeline .fold { fill: #57606a; }
.timeline .head, .timeline .op { font-weight: 600; }
.timeline .lane { stroke: #d5d9de; }
.timeline .on { fill: #eaf2fb; }
.timeline .race { fill: #fff1d6; }
.timeline .breaks { fill: #fbdcdc; }
.timeline .join { stroke: #c96a12; stroke-width: 1.5; fill: none; marker-end: url(#to); }
@media (prefers-color-scheme: dark) {
.timeline { background: #15181d; }
.timeline text { fill: #e6e9ee; }
.timeline .number, .timeline .fold { fill: #a4adb8; }
.timeline .lane { stroke: #3a414b; }
.timeline .on { fill: #1f2c3d; }
.timeline .race { fill: #3d3019; }
.timeline .breaks { fill: #4d2323; }
}
"""

#: The height of a line, the width of a character and of the step numbers, in pixels.
_LINE, _CHARACTER, _NUMBERS = 17, 7.3, 40

#: The most characters of a line in a column. The two columns of a race then fit on a screen.
_WIDEST = 52


def timeline(
    program: Program, trace: tuple[TraceStep, ...], rule: str | None, *, at_end: bool
) -> str:
    """Draws a trace as an SVG element; long runs of a thread are folded to one line.

    Args:
        program: the program; each of its threads is a column.
        trace: the steps.
        rule: the broken rule; None if no rule broke.
        at_end: whether the rule broke after all threads had ended; otherwise the last step broke
            it, and is marked.
    """
    return _Sheet(program, trace, rule if at_end else None, breaks=bool(rule) and not at_end).svg()


class _Sheet:
    """The lines of a drawing, from the top down."""

    def __init__(
        self,
        program: Program,
        trace: tuple[TraceStep, ...],
        at_end: str | None,
        *,
        breaks: bool,
    ) -> None:
        self.names = [thread.name for thread in program.threads]
        self.trace, self.at_end, self.breaks = trace, at_end, breaks
        shown = [trace[at] for at in folded(trace) if isinstance(at, int)]
        longest = max((len(line) for step in shown for line in _lines(step)), default=0)
        self.column = max(longest, 26) * _CHARACTER + 20
        self.height: dict[int, float] = {}
        self.y: float = _LINE

    def svg(self) -> str:
        drawn = [
            _label(self._left(thread) + 8, self.y, "head", f"thread {name}")
            for thread, name in enumerate(self.names)
        ]
        drawn += self._steps()
        drawn += [self._join(first, second) for first, second in racing(self.trace)]
        if self.at_end is not None:
            self.y += _LINE * 1.6
            drawn.append(_label(_NUMBERS + 8, self.y, "op", f"all threads ended: {self.at_end}"))
        lanes = [
            f'<line class="lane" x1="{x:.0f}" x2="{x:.0f}" y1="4" y2="{self.y + 6:.0f}"/>'
            for x in map(self._left, range(len(self.names)))
        ]
        arrow = (
            '<defs><marker id="to" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="6" '
            'markerHeight="6" orient="auto"><path d="M0 0L6 3L0 6z" fill="#c96a12"/>'
            "</marker></defs>"
        )
        width = _NUMBERS + self.column * len(self.names)
        size = f'width="{width:.0f}" height="{self.y + _LINE:.0f}"'
        box = f'viewBox="0 0 {width:.0f} {self.y + _LINE:.0f}"'
        namespace = 'xmlns="http://www.w3.org/2000/svg"'
        inside = f"<style>{_STYLE}</style>{arrow}{''.join([*lanes, *drawn])}"
        return f'<svg class="timeline" {size} {box} {namespace}>{inside}</svg>'

    def _steps(self) -> Iterator[str]:
        racers = partners(self.trace)
        before: tuple[int, int] | None = None
        for at in folded(self.trace):
            number = at if isinstance(at, int) else at[0]
            step = self.trace[number]
            x = self._left(step.thread)
            if before != (step.thread, step.i):
                self.y += _LINE * 1.4
                yield _label(x + 8, self.y, "op", _clipped(step.op))
                before = (step.thread, step.i)
            if not isinstance(at, int):
                self.y += _LINE
                yield _label(x + 8, self.y, "fold", f"· · · {len(at)} more steps")
                continue
            lines = _lines(step)
            breaks = self.breaks and number == len(self.trace) - 1
            style = "breaks" if breaks else "race" if number in racers else "on"
            self.height[number] = self.y + _LINE * 0.75
            box = f'x="{x:.0f}" y="{self.y + 4:.0f}" width="{self.column - 8:.0f}"'
            yield f'<rect class="{style}" {box} height="{_LINE * len(lines)}"/>'
            yield _label(_NUMBERS - 8, self.y + _LINE, "number", str(number))
            for line in lines:
                self.y += _LINE
                yield _label(x + 8, self.y, "", line, hint=explained(step))

    def _left(self, thread: int) -> float:
        return _NUMBERS + self.column * thread

    def _join(self, first: int, second: int) -> str:
        x1, x2 = (self._left(self.trace[number].thread) for number in (first, second))
        y1, y2 = self.height[first], self.height[second]
        # The arrow connects the facing edges of the two columns.
        x1, x2 = (x1 + self.column - 8, x2) if x1 < x2 else (x1, x2 + self.column - 8)
        bend = 18 if x1 < x2 else -18
        curve = f"{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
        return f'<path class="join" d="M{x1:.0f} {y1:.0f}C{curve}"/>'


def _lines(step: TraceStep) -> list[str]:
    """The function and the access; then the word, if the step changes it."""
    place = f"{step.function}: " if step.function else ""
    lines = [f"{place}{step.kind} {step.object}".rstrip()]
    if step.before != step.after:
        change = f"  {word(step)}"
        # Both values of a long change stay in sight.
        halves = [f"  {step.before}", f"  → {step.after}"]
        lines += [change] if len(change) <= _WIDEST else halves
    return [_clipped(line) for line in lines]


def _clipped(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _label(x: float, y: float, style: str, text: str, hint: str = "") -> str:
    named = f' class="{style}"' if style else ""
    shown = f"{f'<title>{escape(hint)}</title>' if hint else ''}{escape(text)}"
    return f'<text{named} x="{x:.0f}" y="{y:.0f}" xml:space="preserve">{shown}</text>'
