"""The two sides of `mmcore.diff`: the names and profiles that its arguments ask for."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

from mmcore._choices import as_text
from mmcore._chosen import chosen, set_options
from mmcore._errors import InputError
from mmcore._mmcore import Profile
from mmcore.program import FieldSetting, MachineSpec, Program
from mmcore.reporting import Grid, Result
from mmcore.reporting._parts import columns

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mmcore._chosen import Chosen
    from mmcore.typing import Kernel, Status

__all__ = ["PerSide", "Side", "Sides", "TwoSides", "make_sides"]

_T = TypeVar("_T")

#: The status of a result for each verdict of a comparison.
_STATUS: dict[str, Status] = {"same": "clean", "differs": "finding", "inconclusive": "inconclusive"}


class PerSide(NamedTuple, Generic[_T]):
    """One value for each side of a comparison.

    Attributes:
        first: the value of the first side.
        second: the value of the second side.
    """

    first: _T
    second: _T


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: its changes of the `machine` line of the program.

    Attributes:
        label: the name of the side in the report: `6.12`, or `pagevec=15`.
        kernel: the preset that replaces the program's; None to keep the program's.
        fields: fields of the profile that override preset and program, sorted by name.
    """

    label: str
    kernel: Kernel | None
    fields: tuple[FieldSetting, ...]

    @property
    def line(self) -> str:
        """The changes as the `machine` line of a program."""
        spec = MachineSpec(kernel=self.kernel, profile=self.fields)
        return Program(machine=spec).text

    def profile(self, program: Program) -> dict[str, str]:
        """Returns the profile under which this side runs the program: every field, values as text.

        Raises:
            InputError: if the program names a preset, field or value that no profile has.
        """
        spec = program.machine or MachineSpec()
        fields: dict[str, str | int | bool] = {**dict(spec.profile), **dict(self.fields)}
        profile = Profile(kernel=self.kernel or cast("Kernel | None", spec.kernel), **fields)
        return {name: as_text(profile[name]) for name in profile}

    def with_field(self, name: str, value: str) -> Side:
        """Returns this side with one more field."""
        fields = {**dict(self.fields), name: value}
        return Side(self.label, self.kernel, FieldSetting.from_dict(fields))


@dataclass(frozen=True, slots=True)
class Sides:
    """Both sides of a comparison, and the options that name them.

    Attributes:
        first: the first side. `mmcore.results.Difference` was made for recordings: its attribute
            `recorded` holds the value of this side.
        second: the second side. The attribute `replayed` of a `Difference` holds its value.
        words: the options of `mmcore diff` that name these sides.
    """

    first: Side
    second: Side
    words: tuple[str, ...]

    @property
    def labels(self) -> PerSide[str]:
        """The names of the two sides."""
        return PerSide(self.first.label, self.second.label)

    def fields(self, program: Program) -> dict[str, PerSide[str]]:
        """Returns the fields in which the profiles of the two sides differ, with both values.

        Args:
            program: the program, whose `machine` line sets fields of both sides.
        """
        first, second = self.first.profile(program), self.second.profile(program)
        both = {name: PerSide(first[name], second[name]) for name in first}
        return {name: values for name, values in both.items() if values.first != values.second}

    def command(self, *options: str) -> str:
        """Returns the command line that repeats the comparison of a program in `PROGRAM.mm`."""
        return shlex.join(["mmcore", "diff", "PROGRAM.mm", *self.words, *options])


@dataclass(frozen=True, slots=True)
class TwoSides(Result):
    """The attributes that the two classes of results of `mmcore.diff` share.

    Attributes:
        labels: the names of the two sides.
        fields: the fields in which the profiles differ, with both values.
        command: the command line that repeats the comparison, for the program in a file.
        program: the text of the program.
    """

    labels: PerSide[str]
    fields: Mapping[str, PerSide[str]]
    command: str
    program: str

    @property
    def status(self) -> Status:
        """`clean` for `same`, `finding` for `differs`, else `inconclusive`."""
        return _STATUS[self.verdict]

    def profiles(self, causes: Collection[str] = ()) -> Grid:
        """The fields in which the profiles differ, as a table; `causes` are marked."""
        first, second = self.labels
        titles = ("field of the profile", first, second, *(["a cause"] if causes else []))
        rows = tuple(
            (name, *values, *(["yes" if name in causes else ""] if causes else []))
            for name, values in self.fields.items()
        )
        return Grid(columns(*titles), rows, "the two profiles")

    def content(self) -> dict[str, Any]:
        """The program, the names of the sides, and the fields in which their profiles differ."""
        return {
            "program": self.program,
            "sides": list(self.labels),
            "fields": {name: list(values) for name, values in self.fields.items()},
        }


def make_sides(
    kernel: str | tuple[str, str] | None,
    vary: str | None,
    profile: Chosen | None,
    program: Program,
) -> Sides:
    """Makes the two sides from the arguments of `mmcore.diff`.

    Args:
        kernel: two presets as a tuple or as "6.1,6.12"; with `vary` one preset or None.
        vary: "FIELD=a,b", the field that differs and its two values; None to compare two presets.
        profile: fields of both sides; with `vary` also a whole `Profile` in place of a preset.
        program: the program, whose `machine` line a whole profile overrides.

    Raises:
        InputError: if the arguments name no two different profiles.
    """
    named = kernel.split(",") if isinstance(kernel, str) else list(kernel or ())
    # An unknown kernel is refused below, where `Profile` is made of it.
    kernels = [cast("Kernel", name.strip()) for name in named]
    if isinstance(profile, Profile):
        if vary is None:
            raise InputError("with a whole profile, name the field that differs: --vary FIELD=a,b")
        preset, both = chosen(kernels[0] if kernels else None, profile, program)
        kernels = [] if preset is None else [preset]
        both.pop(vary.partition("=")[0].strip(), None)
    else:
        both = chosen(None, profile)[1]
    words = set_options(both)
    if kernels:
        words.insert(0, f"--kernel={','.join(kernels)}")
    if vary is None:
        if len(kernels) != 2:
            raise InputError(
                "name what to compare: two kernels (--kernel 6.1,6.12), or two values of a field"
                " (--vary FIELD=a,b)"
            )
        first, second = (_side(name, name, both) for name in kernels)
        return _sides(first, second, words)
    if len(kernels) > 1:
        raise InputError(
            "two kernels and --vary cannot be combined: name one kernel, or leave --vary out"
        )
    name, equals, values = vary.partition("=")
    name, pair = name.strip(), [value.strip() for value in values.split(",")]
    if not equals or not name or len(pair) != 2 or not all(pair):
        raise InputError(f"--vary takes FIELD=a,b, not {vary!r}")
    if name == "kernel":
        raise InputError(
            "kernel is no field of a profile: compare two kernels with --kernel 6.1,6.12"
        )
    if name in both:
        raise InputError(
            f"the field {name} is varied and set: leave it out of --vary, or out of --set"
        )
    words.append(f"--vary={name}={','.join(pair)}")
    base = kernels[0] if kernels else None
    first, second = (_side(f"{name}={value}", base, {**both, name: value}) for value in pair)
    return _sides(first, second, words)


def _side(label: str, kernel: Kernel | None, fields: Mapping[str, str]) -> Side:
    # Refuses an unknown kernel, field or value here, before the program runs.
    Profile(kernel=kernel, **fields)
    return Side(label, kernel, FieldSetting.from_dict(fields))


def _sides(first: Side, second: Side, words: list[str]) -> Sides:
    if first == second:
        raise InputError(f"both sides are {first.label}: name two that differ")
    return Sides(first, second, tuple(words))
