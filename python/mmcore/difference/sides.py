"""The two profiles that are held against each other."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmcore._mmcore import Profile
from mmcore.choices import as_text
from mmcore.errors import InputError
from mmcore.program import MachineSpec, Program

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Side", "Sides", "make_sides"]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: what it changes of the machine that a program asks for.

    Attributes:
        label: its name in the report.
        kernel: the preset, instead of the program's.
        fields: fields of the profile over it.
    """

    label: str
    kernel: str | None
    fields: tuple[tuple[str, str], ...]

    @property
    def line(self) -> str:
        """The same as the `machine` line of a program."""
        spec = MachineSpec(kernel=self.kernel, profile=self.fields)
        return Program(machine=spec).text

    def profile(self, program: Program) -> dict[str, str]:
        """Every field of the profile that a program then runs under."""
        spec = program.machine or MachineSpec()
        fields: dict[str, str | int | bool] = {**dict(spec.profile), **dict(self.fields)}
        profile = Profile(kernel=self.kernel or spec.kernel, **fields)
        return {name: as_text(profile[name]) for name in profile}

    def with_field(self, name: str, value: str) -> Side:
        """The same side with one field more."""
        fields = {**dict(self.fields), name: value}
        return Side(self.label, self.kernel, tuple(sorted(fields.items())))


@dataclass(frozen=True, slots=True)
class Sides:
    """The two, and the words that said so.

    Attributes:
        first: the one that recordings would be on the left of.
        second: the other.
        words: options of `mmcore diff`.
    """

    first: Side
    second: Side
    words: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, str]:
        """Their names."""
        return self.first.label, self.second.label

    def fields(self, program: Program) -> dict[str, tuple[str, str]]:
        """The fields in which they differ for a program, with both values."""
        first, second = self.first.profile(program), self.second.profile(program)
        return {name: (first[name], second[name]) for name in first if first[name] != second[name]}

    def command(self, *options: str) -> str:
        """What repeats the comparison, for the program in a file."""
        return shlex.join(["mmcore", "diff", "PROGRAM.mm", *self.words, *options])


def make_sides(
    kernel: str | tuple[str, str] | None,
    vary: str | None,
    profile: Mapping[str, str | int | bool],
) -> Sides:
    """Reads the words; the arguments are those of `mmcore.diff`."""
    kernels = kernel.split(",") if isinstance(kernel, str) else list(kernel or ())
    kernels = [name.strip() for name in kernels]
    both = {name: as_text(value) for name, value in profile.items()}
    if "kernel" in both:
        raise InputError("kernel is no field of a profile: say which kernels are compared")
    words = [f"--set={name}={value}" for name, value in both.items()]
    if kernels:
        words.insert(0, f"--kernel={','.join(kernels)}")
    if vary is None:
        if len(kernels) != 2:
            raise InputError("say what differs: two kernels (6.1,6.12), or FIELD=a,b to vary")
        first, second = (_side(name, name, both) for name in kernels)
        return _sides(first, second, words)
    if len(kernels) > 1:
        raise InputError("vary a field under one kernel, or compare two kernels: not both")
    name, equals, values = vary.partition("=")
    name, pair = name.strip(), [value.strip() for value in values.split(",")]
    if not equals or not name or len(pair) != 2 or not all(pair):
        raise InputError(f"--vary takes FIELD=a,b, not {vary!r}")
    if name == "kernel":
        raise InputError("kernel is no field of a profile: compare two kernels (6.1,6.12)")
    if name in both:
        raise InputError(f"{name} is varied and set: leave one of them out")
    words.append(f"--vary={name}={','.join(pair)}")
    base = kernels[0] if kernels else None
    first, second = (_side(f"{name}={value}", base, {**both, name: value}) for value in pair)
    return _sides(first, second, words)


def _side(label: str, kernel: str | None, fields: Mapping[str, str]) -> Side:
    # Refuses what is no profile, here and in one line.
    Profile(kernel=kernel, **fields)
    return Side(label, kernel, tuple(sorted(fields.items())))


def _sides(first: Side, second: Side, words: list[str]) -> Sides:
    if first == second:
        raise InputError(f"{first.label} is compared with itself: name two that differ")
    return Sides(first, second, tuple(words))
