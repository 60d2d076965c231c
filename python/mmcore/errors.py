"""What can go wrong, and what the command line does about it.

| raised | means | exit code |
|---|---|---|
| `InputError` | the input or an option is wrong; nothing was changed | 2 |
| `MissingExtraError` | the feature needs an optional dependency | 2 |
| `FindingError` | a rule of the machine is broken: that is what mmcore looks for | 1 |
"""

from __future__ import annotations

__all__ = ["FindingError", "InputError", "MissingExtraError"]


class InputError(ValueError):
    """The input is wrong. The message is one line and says what to change."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed. The message says how to get it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs: pip install 'mmcore-linux[{extra}]'")
        self.feature = feature
        self.extra = extra


class FindingError(Exception):
    """A machine broke a rule: an audit that is not clean, lost content, a lost page."""
