"""The choices that a profile is made of, and what two kernels choose differently."""

from __future__ import annotations

import json
import shlex
import textwrap
from dataclasses import dataclass
from typing import Any

from mmcore._mmcore import Profile
from mmcore.environment import document
from mmcore.errors import InputError

__all__ = ["ProfileField", "Profiles", "as_text", "profiles"]

#: Columns of what is printed.
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class ProfileField:
    """One choice.

    Attributes:
        name: as `Profile` and the `machine` line of a program take it.
        values: what each preset chooses.
        accepts: what it may be.
        meaning: what is chosen.
        source: where the values come from: `lifecycle` and its sections, recordings of real kernels
            as `NAME/STEP`.
    """

    name: str
    values: dict[str, str | int | bool]
    accepts: str
    meaning: str
    source: str


@dataclass(frozen=True, slots=True)
class Profiles:
    """The fields of profiles, or those in which two presets differ: `print` it, or take its parts.

    Attributes:
        presets: the presets shown, oldest first or as they were asked for.
        fields: the fields, in documentation order.
        compared: only fields that differ are there.
    """

    presets: tuple[str, ...]
    fields: tuple[ProfileField, ...]
    compared: bool

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row a field, as plain data."""
        return [
            {
                "field": field.name,
                "values": field.values,
                "accepts": field.accepts,
                "meaning": field.meaning,
                "source": field.source,
            }
            for field in self.fields
        ]

    def to_json(self) -> str:
        """One object with `"schema": 1`."""
        # All presets are those that nobody named.
        named = () if self.presets == tuple(Profile.PRESETS) else self.presets
        data = document("profiles", shlex.join(["mmcore", "profiles", *named]))
        data |= {"presets": self.presets, "compared": self.compared, "fields": self.table}
        return json.dumps(data, indent=2)

    def __str__(self) -> str:
        if not self.fields:
            return f"{' and '.join(self.presets)} do not differ"
        return "\n".join(line for field in self.fields for line in self._lines(field))

    def _lines(self, field: ProfileField) -> list[str]:
        chosen = (f"{preset} {as_text(value)}" for preset, value in field.values.items())
        lines = [f"{field.name}: {', '.join(chosen)}"]
        for part in (field.meaning, f"Accepts {field.accepts}.", f"From {field.source}."):
            lines += textwrap.wrap(
                part,
                _WIDTH,
                initial_indent="    ",
                subsequent_indent="    ",
                break_on_hyphens=False,
            )
        return lines


def profiles(first: str | None = None, second: str | None = None) -> Profiles:
    """All fields of a profile with what each preset chooses; or where two presets differ.

    Args:
        first: a preset; left out: all of them.
        second: another preset: only the fields in which the two differ are shown.

    Raises:
        InputError: if there is no such preset.
    """
    if first is None and second is not None:
        raise InputError("a second preset is compared with a first: name both")
    named = tuple(name for name in (first, second) if name is not None) or tuple(Profile.PRESETS)
    chosen = {preset: Profile(kernel=preset) for preset in named}
    fields = (_field(name, chosen) for name in Profile())
    kept = (field for field in fields if second is None or _differs(field))
    return Profiles(named, tuple(kept), compared=second is not None)


def _field(name: str, chosen: dict[str, Profile]) -> ProfileField:
    meaning, source = Profile.describe(name)
    values = {preset: profile[name] for preset, profile in chosen.items()}
    return ProfileField(name, values, Profile.accepts(name), meaning.strip(), source)


def _differs(field: ProfileField) -> bool:
    return len(set(map(as_text, field.values.values()))) > 1


def as_text(value: str | int | bool) -> str:
    """A value as it is said in a program: truth values as the core writes them."""
    return str(value).lower() if isinstance(value, bool) else str(value)
