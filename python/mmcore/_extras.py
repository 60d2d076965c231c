"""Optional dependencies: imported at the moment of use, and missed in one way."""

from __future__ import annotations

import importlib
from typing import Any

from mmcore.errors import MissingExtraError

#: Which extra of the distribution brings which top-level module.
EXTRAS = {
    "cyclopts": "cli",
    "rich": "cli",
    "matplotlib": "report",
    "zstandard": "report",
    "hypothesis": "testing",
    "distributed": "dask",
}


def need(module: str, feature: str) -> Any:
    """Imports `module`, or says which extra brings it.

    Args:
        module: the dotted name of a module of an optional dependency.
        feature: what the caller wanted, as the beginning of the error message.
    """
    top = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # Only the absence of the package itself: a broken install shows its own error.
        if error.name is None or error.name.partition(".")[0] != top:
            raise
        raise MissingExtraError(feature, EXTRAS[top]) from None
