"""What a call that was interrupted has by then."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["keeping", "partial"]


@contextmanager
def keeping(make: Callable[[Any], Any]) -> Iterator[None]:
    """Lets an exception of a signal's handler carry what the call has by then, as `partial`.

    Args:
        make: the result from the core's JSON.
    """
    try:
        yield
    except BaseException as error:
        text = getattr(error, "_partial", None)
        if text is not None:
            del error._partial  # type: ignore[attr-defined]
            error.partial = make(json.loads(text))  # type: ignore[attr-defined]
        raise


def partial(error: BaseException) -> Any:
    """What the call that raised it has; None if it has nothing."""
    return getattr(error, "partial", None)
