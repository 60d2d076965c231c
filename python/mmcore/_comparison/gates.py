"""Gates: promises asked of a comparison, and the check of each.

The gate `work` compares counts, which are the same in every run: one operation more than allowed
closes it. The gate `time` judges the whole interval and never its middle: it opens if the interval
lies within the allowed slowdown, closes if the interval lies beyond it, and is inconclusive
otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from mmcore._arguments import nearest
from mmcore._comparison import work
from mmcore._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmcore._comparison.figures import Figures

__all__ = ["AT_MOST", "Gate", "Gates", "Outcome", "make_gates"]

#: The name of a gate.
Gate: TypeAlias = Literal["work", "time"]

#: The slowdown that the gate `time` allows if none is given.
AT_MOST = 0.03

_NONE: dict[str, float] = {}


@dataclass(frozen=True)
class Outcome:
    """The outcome of one gate for one variant.

    Attributes:
        gate: the name of the gate.
        variant: the label of the variant.
        result: "fine", "worse" or "inconclusive".
        why: the finding, in words.
    """

    gate: Gate
    variant: str
    result: Literal["fine", "worse", "inconclusive"]
    why: str

    def __str__(self) -> str:
        return f"gate {self.gate}: {self.variant}: {self.result}: {self.why}"

    def as_dict(self) -> dict[str, Any]:
        """The outcome as plain data for JSON."""
        names = ("gate", "variant", "result", "why")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Gates:
    """The gates of a comparison.

    Attributes:
        names: the gates; empty if nothing is judged.
        at_most: the slowdown that the gate `time` allows, as a fraction.
        allow: for counts by their names, how many more the gate `work` allows.
        expected: the counts of a file; None to compare with the baseline.
    """

    names: tuple[Gate, ...] = ()
    at_most: float = AT_MOST
    allow: Mapping[str, float] = field(default_factory=dict)
    expected: work.Expected | None = None

    def judge(self, comparison: Figures) -> list[Outcome]:
        """The outcome of each gate for each variant."""
        judges = {"work": self._work, "time": self._time}
        return [outcome for name in self.names for outcome in judges[name](comparison)]

    def _work(self, comparison: Figures) -> list[Outcome]:
        plan, operations = comparison.plan, comparison.measurement.operations
        labels = comparison.labels
        judged = range(len(labels)) if self.expected is not None else plan.compared
        found = []
        for index in judged:
            here = work.counts(operations[index])
            if self.expected is not None:
                # A count that the file lacks is new, and nobody has agreed to it.
                listed = self.expected.variants[labels[index]]
                whose, base = self.expected.path, {**dict.fromkeys(here, 0.0), **listed}
            else:
                baseline = plan.baseline(index)
                whose, base = labels[baseline], work.counts(operations[baseline])
            excess = work.more(here, base, self.allow)
            fewer = work.more(base, here, _NONE)
            if excess:
                why = f"{'; '.join(map(str, excess))} than {whose}"
            elif fewer:
                names = ", ".join(each.name for each in fewer)
                hint = "; --update writes it anew" if self.expected is not None else ""
                why = f"fewer {names} than {whose}{hint}"
            else:
                why = f"the counts of {whose}" if here == base else f"within what {whose} allows"
            found.append(Outcome("work", labels[index], "worse" if excess else "fine", why))
        return found

    def _time(self, comparison: Figures) -> list[Outcome]:
        found = []
        for index in comparison.plan.compared:
            interval = comparison.interval(index)
            least = 1 / (1 + self.at_most)
            limit = f"a slowdown of {100 * self.at_most:g} %"
            ends = f"{100 * (interval.low - 1):+.1f} % to {100 * (interval.high - 1):+.1f} %"
            result: Literal["fine", "worse", "inconclusive"] = "inconclusive"
            if not interval.known:
                why = f"there is no interval to compare with {limit}"
            elif interval.low >= least:
                result, why = "fine", f"the interval, {ends}, is within {limit}"
            elif interval.high < least:
                result, why = "worse", f"the interval, {ends}, is beyond {limit}"
            else:
                why = f"the interval, {ends}, has {limit} inside: give more --seconds"
            found.append(Outcome("time", comparison.labels[index], result, why))
        return found


def make_gates(
    gate: Gate | Sequence[Gate] | None,
    at_most: float,
    allow: Mapping[str, float] | None,
) -> Gates:
    """Checks the gates of a comparison; `Gates.expected` is read when there is a plan.

    Raises:
        InputError: if a gate or a count is unknown, or a number is out of its limits; the message
            names it.
    """
    names: tuple[Gate, ...] = (gate,) if isinstance(gate, str) else tuple(gate or ())
    for name in names:
        if name not in get_args(Gate):
            raise InputError(f"gate {name!r} is not one of {', '.join(get_args(Gate))}")
    if not _is_number(at_most) or not 0 <= at_most < 1:
        raise InputError(f"at_most must be a fraction from 0 to less than 1, not {at_most!r}"[:200])
    allowed = {}
    for said, count in dict(allow or {}).items():
        plain = str(said).replace("_", " ").replace("-", " ")
        if plain not in work.NAMES:
            counts = f"counts: {', '.join(work.NAMES)}{nearest(plain, work.NAMES)}"
            raise InputError(f"allow: no count {said!r}; {counts}")
        if not _is_number(count) or not 0 <= count < 1e9:
            raise InputError(f"allow: {said} must be a number from 0, not {count!r}"[:200])
        allowed[plain] = float(count)
    return Gates(tuple(dict.fromkeys(names)), float(at_most), allowed)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
