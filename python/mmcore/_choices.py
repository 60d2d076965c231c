"""The fields of a profile with the value of each preset, and the fields in which two differ."""

from __future__ import annotations

import shlex
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mmcore._errors import InputError
from mmcore._mmcore import Profile
from mmcore.reporting import Grid, Listed, Result
from mmcore.reporting._parts import columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmcore.reporting import Part
    from mmcore.typing import FieldValue, Kernel, Status

__all__ = ["ProfileField", "Profiles", "as_text", "profiles"]

#: Characters in a printed line.
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class ProfileField:
    """One field of a profile.

    Attributes:
        name: the field's name in `Profile` and in the `machine` line of a program.
        values: the field's value in each preset.
        accepts: the values allowed, in words.
        meaning: the behaviour that the field selects.
        source: the source of the values: `lifecycle` and its sections, or steps of recordings of
            real kernels, as `NAME/STEP`.
    """

    name: str
    values: dict[Kernel, FieldValue]
    accepts: str
    meaning: str
    source: str


@dataclass(frozen=True, slots=True)
class Profiles(Result):
    """The fields of profiles, or those in which two presets differ: `print` it, or take its parts.

    Attributes:
        presets: the presets shown, in the order of the call; oldest first if it named none.
        fields: the fields, in documentation order.
        compared: whether `fields` has only the fields in which two presets differ.
    """

    kind: ClassVar[str] = "profiles"

    presets: tuple[Kernel, ...]
    fields: tuple[ProfileField, ...]
    compared: bool

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row per field, as plain data for JSON."""
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

    @property
    def command(self) -> str:
        """The command line that shows the same fields."""
        # A command without a preset shows all of them.
        named = () if self.presets == tuple(Profile.PRESETS) else self.presets
        return shlex.join(["mmcore", "profiles", *named])

    @property
    def verdict(self) -> str:
        """The number of fields, or of fields in which the two presets differ, as a sentence."""
        named = " and ".join(self.presets)
        if not self.compared:
            return f"{len(self.fields)} fields of {named}"
        count = f"differ in {len(self.fields)} fields" if self.fields else "do not differ"
        return f"{named} {count}"

    @property
    def status(self) -> Status:
        """Always `clean`: a difference between two kernels is no finding."""
        return "clean"

    def content(self) -> dict[str, Any]:
        """The presets and the fields, as plain data for JSON."""
        return {"presets": list(self.presets), "compared": self.compared, "fields": self.table}

    def parts(self) -> Iterator[Part]:
        """One paragraph per field; on a page a table."""
        if not self.fields:
            yield self.verdict
        rows = tuple(
            (
                field.name,
                *map(as_text, field.values.values()),
                field.meaning,
                field.accepts,
                field.source,
            )
            for field in self.fields
        )
        titles = ("field", *dict.fromkeys(self.presets), "meaning", "values", "source")
        lines = [line for field in self.fields for line in self._lines(field)]
        yield Listed("\n".join(lines), (Grid(columns(*titles), rows, "fields of a profile"),))

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


def profiles(first: Kernel | None = None, second: Kernel | None = None) -> Profiles:
    """Lists the fields of a profile in each preset, or those in which two presets differ.

    Args:
        first: a preset; left out: all presets.
        second: another preset; given, only the fields in which the two differ are listed.

    Raises:
        InputError: if a preset is unknown, or only `second` is given.
    """
    if first is None and second is not None:
        raise InputError(
            "name two presets to compare them, one to list its values, or none for all presets"
        )
    named = tuple(name for name in (first, second) if name is not None) or tuple(Profile.PRESETS)
    chosen = {preset: Profile(kernel=preset) for preset in named}
    fields = (_field(name, chosen) for name in Profile())
    kept = (field for field in fields if second is None or _differs(field))
    return Profiles(named, tuple(kept), compared=second is not None)


def _field(name: str, chosen: dict[Kernel, Profile]) -> ProfileField:
    meaning, source = Profile.describe(name)
    values = {preset: profile[name] for preset, profile in chosen.items()}
    return ProfileField(name, values, Profile.accepts(name), meaning, source)


def _differs(field: ProfileField) -> bool:
    return len(set(map(as_text, field.values.values()))) > 1


def as_text(value: FieldValue) -> str:
    """A value in the spelling of a `machine` line: `true` and `false` for truth values."""
    return str(value).lower() if isinstance(value, bool) else str(value)
