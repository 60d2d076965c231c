"""The verdict about work: the operations of each variant, counted where nothing disturbs them.

The counting build runs a load on one thread, so that every run on every machine counts the same
numbers. They are compared to `PLACES` decimals, and a file of them can be committed and reviewed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmcore import _output
from mmcore._comparison.protocol import NOUNS
from mmcore._errors import InputError
from mmcore._input import parse_json, path_text, read_text

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from mmcore._comparison.plan import Plan
    from mmcore._comparison.protocol import Operations

__all__ = ["NAMES", "Expected", "More", "counts", "more", "sentence", "write"]

#: Decimals to which counts are compared and written: one operation in ten thousand pages.
PLACES = 4

#: The least difference that is named, both as a share and as a number for each page: two designs do
#: not move the very same pages.
NAMED_FROM = 0.01

#: The names of counts: operations per migrated page, and those of the other threads per access.
NAMES = (*NOUNS.values(), *(f"{noun} per access" for noun in NOUNS.values()))

#: The key of a file under which the counts of each variant are.
VARIANTS = "variants"


@dataclass(frozen=True)
class More:
    """An operation of which a variant does more than it should.

    Attributes:
        name: the operation, one of `NAMES`.
        found: its number per migrated page or access.
        expected: the number that it is compared with.
    """

    name: str
    found: float
    expected: float

    def __str__(self) -> str:
        each = "an access" if self.name.endswith(" per access") else "a page"
        excess = self.found - self.expected
        return (
            f"{excess:.{PLACES}f} {self.name.removesuffix(' per access')} {each} more"
            f" ({self.found:.{PLACES}f}, not {self.expected:.{PLACES}f})"
        )


def counts(operations: Operations) -> dict[str, float]:
    """The counts of a variant by their names, to `PLACES` decimals."""
    return {
        f"{noun}{suffix}": round(of[operation], PLACES)
        for of, suffix in ((operations.per_page, ""), (operations.per_access, " per access"))
        for operation, noun in NOUNS.items()
        if operation in of
    }


def more(
    found: Mapping[str, float], expected: Mapping[str, float], allow: Mapping[str, float]
) -> list[More]:
    """The operations of which there are more than expected and allowed.

    A count of one side only is not compared: an older build may lack it.
    """
    return [
        More(name, found[name], expected[name])
        for name in found.keys() & expected.keys()
        # Both are decimals of `PLACES` places; their difference as floats is not.
        if round(found[name] - expected[name] - allow.get(name, 0.0), PLACES) > 0
    ]


def sentence(label: str, baseline: str, found: Operations, base: Operations) -> str:
    """Says which operations a variant does more or less often; the sentence has no full stop."""
    here, there = counts(found), counts(base)
    both = [name for name in here if name in there]
    if all(here[name] == there[name] for name in both):
        return f"{label} does the work of {baseline}, operation for operation, on every machine"
    # The kernel has no batch locks: they are named only if nothing else differs.
    names = [
        name
        for name in both
        if _share(here[name], there[name]) >= NAMED_FROM
        and abs(here[name] - there[name]) >= NAMED_FROM
    ]
    names = [name for name in names if not name.startswith("batch locks")] or names
    if not names:
        within = f"within {NAMED_FROM:.0%} or {NAMED_FROM} operations"
        return f"{label} does the work of {baseline}, {within}, on every machine"
    names.sort(key=lambda name: -_share(here[name], there[name]))
    more = ", ".join(_phrase(name, here[name], there[name]) for name in names)
    return f"{label} takes, beside {baseline} and for each migrated page, {more}; on every machine"


def _share(found: float, base: float) -> float:
    """The distance of two counts, as a share of the smaller one."""
    least, most = sorted((found, base))
    if least == most:
        return 0.0
    return most / least - 1 if least > 0 else float("inf")


def _phrase(name: str, found: float, base: float) -> str:
    if base == 0:
        return f"{found:.2f} {name} (not one)"
    numbers = f"({found:.2f}, not {base:.2f})"
    ratio = found / base
    if round(ratio, 1) == 2.0:
        return f"twice the {name} {numbers}"
    if ratio >= 2:
        return f"{ratio:.2g} times the {name} {numbers}"
    if round(ratio, 2) == 0.5:
        return f"half the {name} {numbers}"
    if found == 0:
        return f"no {name} {numbers}"
    return f"{abs(ratio - 1):.0%} {'more' if ratio > 1 else 'fewer'} {name} {numbers}"


# --- Files ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expected:
    """The counts of a file.

    Attributes:
        path: the name of the file.
        variants: the counts of each variant, by its label.
    """

    path: str
    variants: Mapping[str, Mapping[str, float]]

    @classmethod
    def read(cls, path: str | os.PathLike[str], plan: Plan) -> Expected:
        """Reads a file that `write` wrote for the same plan.

        Raises:
            InputError: if the file cannot be read, is of another kind, was counted with other
                options, or lacks a variant.
        """
        name = path_text(path)
        again = "; --update writes it anew"
        try:
            text = read_text(name)
        except InputError as error:
            raise InputError(f"{error}{again}") from None
        try:
            data = parse_json(text)
        except InputError as error:
            raise InputError(f"{name}: no file of counts: {error}"[:300]) from None
        variants = data.pop(VARIANTS, None) if isinstance(data, dict) else None
        if not isinstance(variants, dict) or not _are_counts(variants):
            raise InputError(f"{name}: no file of counts, which `--work FILE --update` writes")
        wanted = _options(plan)
        for option in sorted(wanted.keys() | data.keys()):
            if data.get(option) != wanted.get(option):
                raise InputError(
                    f"{name} was counted with {option} {data.get(option)!r}, this run has"
                    f" {wanted.get(option)!r}: give the same options{again}"
                )
        for variant in plan.variants:
            if variant.label not in variants:
                raise InputError(f"{name} has no counts of {variant.label}{again}")
        return cls(name, variants)


def _are_counts(variants: dict[str, Any]) -> bool:
    return all(
        isinstance(one, dict) and all(type(count) in (int, float) for count in one.values())
        for one in variants.values()
    )


def _options(plan: Plan) -> dict[str, Any]:
    """The options that change the counts, beside the variants themselves."""
    options = plan.options
    return {
        "load": options.load,
        "kernel": options.kernel,
        "profile": dict(plan.fields),
        "alone": options.alone,
        "nodes": plan.nodes_text if plan.nodes else None,
        "copy": options.copy,
        "seed": options.seed,
        "trace": None if plan.trace is None else plan.trace.digest,
    }


def write(path: str | os.PathLike[str], plan: Plan, operations: tuple[Operations, ...]) -> None:
    """Writes the counts of a plan: one line a number, sorted, for reviews of their changes.

    Raises:
        OSError: if the file cannot be written.
    """
    variants = {
        variant.label: counts(each) for variant, each in zip(plan.variants, operations, strict=True)
    }
    text = json.dumps({**_options(plan), VARIANTS: variants}, indent=1, sort_keys=True)
    _output.write(path, f"{text}\n")
