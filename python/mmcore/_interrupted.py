"""The partial result of an interrupted call of the core."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["keeping", "partial"]


@contextmanager
def keeping(make: Callable[[Any], Any]) -> Iterator[None]:
    """Stores the result so far as `partial` in the exception that a signal handler raises.

    The core stores its partial report, as JSON, in the exception that ends its call.

    Args:
        make: makes the result from the decoded report.

    Yields:
        None; the block makes the call of the core.
    """
    try:
        yield
    except BaseException as error:
        text = getattr(error, "_partial", None)
        if text is not None:
            # The core has added `_partial` to an exception of any class; no class declares it.
            del error._partial  # type: ignore[attr-defined]
            error.partial = make(json.loads(text))  # type: ignore[attr-defined]
        raise


def partial(error: BaseException) -> Any:
    """Returns the partial result in an exception; None if it has none."""
    return getattr(error, "partial", None)
