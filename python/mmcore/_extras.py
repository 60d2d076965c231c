"""Imports of optional dependencies at their first use, with one error if one is missing."""

from __future__ import annotations

import importlib
from typing import Any

from mmcore._errors import MissingExtraError

#: The extra of the distribution that installs each optional top-level module.
EXTRAS = {
    "cyclopts": "cli",
    "rich": "cli",
    "matplotlib": "report",
    "zstandard": "report",
    "hypothesis": "testing",
    "distributed": "dask",
    "nanoarrow": "arrow",
}


def need(module: str, feature: str) -> Any:
    """Imports a module of an optional dependency, and returns it.

    Args:
        module: the module's dotted name; its first part is a key of `EXTRAS`.
        feature: the feature that uses the module; the error message begins with it.

    Raises:
        MissingExtraError: if the package, or this module of it, is not installed; the message
            names its extra.
        ModuleNotFoundError: if the package is installed, but a package that it imports is not.
    """
    top = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A package that is there but broken shows its own error: installing the extra again would
        # not mend it.
        if error.name is None or error.name.partition(".")[0] != top:
            raise
        raise MissingExtraError(feature, EXTRAS[top]) from None
