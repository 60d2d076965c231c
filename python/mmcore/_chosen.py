"""The profile of a call, from its arguments: a preset, fields over it, or a whole `Profile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from mmcore._choices import as_text
from mmcore._errors import InputError
from mmcore._mmcore import Profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmcore.program import Program
    from mmcore.typing import FieldValue, Kernel, Release

__all__ = ["DESIGNS", "Chosen", "chosen", "profile_text", "python_text", "set_options"]

#: All release designs except `mine`: this design is the user's own, and a copy of `split` until
#: the user changes it.
DESIGNS: tuple[Release, ...] = ("putback", "split", "hook", "hook_late", "packed")

#: The argument `profile` of a call: a whole profile, or fields that override a preset.
Chosen: TypeAlias = "Profile | Mapping[str, FieldValue]"


def chosen(
    kernel: Kernel | None, profile: Chosen | None, program: Program | None = None
) -> tuple[Kernel | None, dict[str, str]]:
    """Returns the preset and the fields over it for the machine of a program.

    A whole profile decides every field. It becomes the most similar preset, the fields that differ
    from this preset, and the fields that the `machine` line of the program sets. Without these last
    fields, the line would override the profile.

    Args:
        kernel: the preset; None if the caller named none.
        profile: a whole profile, fields over the preset, or None.
        program: the program whose `machine` line is overridden; None for no program.

    Raises:
        InputError: if both a preset and a whole profile are given, or `profile` has a name that
            is no field, or a value that the field does not accept.
    """
    if profile is None:
        return kernel, {}
    if not isinstance(profile, Profile):
        fields = {name: as_text(value) for name, value in dict(profile).items()}
        if "kernel" in fields:
            raise InputError("kernel is no field of a profile: choose the preset with --kernel")
        # Refuses an unknown field or value here, before any work.
        Profile(kernel=None, **fields)
        return kernel, fields
    if kernel is not None:
        raise InputError("give a kernel or a whole profile, not both")
    set_by_program = () if program is None or program.machine is None else program.machine.profile
    own = {name for name, _ in set_by_program}
    return min(
        ((preset, _over(preset, profile, own)) for preset in Profile.PRESETS),
        key=lambda choice: len(choice[1]),
    )


def _over(preset: Kernel, profile: Profile, own: set[str]) -> dict[str, str]:
    base = Profile(kernel=preset)
    said = (name for name in profile if name in own or profile[name] != base[name])
    return {name: as_text(profile[name]) for name in said}


def set_options(fields: Mapping[str, str]) -> list[str]:
    """Returns fields of a profile as the options `--set=FIELD=VALUE` of a command line."""
    return [f"--set={name}={value}" for name, value in fields.items()]


def python_text(kernel: str | None, fields: Mapping[str, str]) -> str:
    """Returns preset and fields as the arguments of a call in Python."""
    if not fields:
        return f"kernel={kernel!r}"
    return f"profile={profile_text(kernel, fields)}"


def profile_text(kernel: str | None, fields: Mapping[str, str]) -> str:
    """Returns a `Profile` call in Python; without a preset the fields as a dict."""
    if kernel is None:
        return repr(dict(fields))
    said = ", ".join(f"{name}={value!r}" for name, value in {"kernel": kernel, **fields}.items())
    return f"mmcore.Profile({said})"
