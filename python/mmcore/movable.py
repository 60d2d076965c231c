"""Owners of movable pages that are written in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmcore import Page

__all__ = ["MovableOps"]


class MovableOps:
    """An owner's side of the pages of a `PagePool`.

    Override what should not just say yes. The page lock is held in every method but `released`, so
    none may make a call that waits for pages: such calls raise `MisuseError`. An `OSError` is a
    refusal; any other exception is one too, and is reported through `sys.unraisablehook`.
    """

    def isolate(self, page: Page) -> bool:  # noqa: ARG002 - overridden by owners
        """May the page be taken off for a migration?"""
        return True

    def migrate(self, source: Page, target: Page, mode: str) -> None:
        """May the page move? The pool copies it when this returns, unless it was let go meanwhile.

        Raise `BlockingIOError` (EAGAIN) to be asked again, another `OSError` to refuse; then
        `putback` follows.
        """

    def putback(self, page: Page) -> None:
        """The page was taken off and is back where it was."""

    def released(self, page: Page) -> None:
        """The last reference of a page that was let go is gone; told if a put looks."""
