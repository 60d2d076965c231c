"""`mmcore profiles`: lists the fields of a profile, or where two presets differ."""

from __future__ import annotations

import mmcore
from mmcore._cli import showing
from mmcore.typing import Kernel  # noqa: TC001 - the command line reads the annotations


def profiles(
    first: Kernel | None = None,
    second: Kernel | None = None,
    /,
    *,
    view: showing.View | None = None,
) -> int:
    """List the fields of a profile, or those in which two presets differ.

    Args:
        first: a preset such as 6.1; left out: all presets.
        second: another preset; only the fields in which the two differ are listed.
        view: the options by which the result is printed and saved.
    """
    view = view or showing.View()
    view.check()
    return showing.finish(mmcore.profiles(first, second), view)
