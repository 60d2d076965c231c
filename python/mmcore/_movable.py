"""Callbacks in Python for the owner of movable pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mmcore.typing import Mode

__all__ = ["MovableOps"]


class MovableOps:
    """The callbacks of the owner of movable pages; a subclass overrides some of them.

    An owner belongs to a `PagePool` of a machine (`Machine.page_pool`), or to the pages that
    `movable m0 ...` makes in an explored program (`explore(..., owners={"m0": owner})`).

    The methods here agree to every request. The page lock is held in every method but `released`
    and `held`. On a machine, a call that waits for pages could wait forever: such calls raise
    `MisuseError`. A method refuses by raising `OSError`; any other exception refuses too, and is
    reported through `sys.unraisablehook`. An exception that is no `Exception`, such as
    `KeyboardInterrupt`, refuses too; the call that led to the callback asks for no other page and
    raises it, or the first of several.

    On a machine the pages are `Page` objects. In an explored program they are `ExploredPage`
    objects, each schedule gets a deep copy (`copy.deepcopy`) of the owner as the set-up left it,
    and a callback is part of one step, so no other thread runs meanwhile. An exception that is no
    `OSError` breaks a rule there ("an owner's callback does not raise"), and the search reports the
    schedule that led to it. An exception that is no `Exception` ends the search, which raises it.
    The answers of an owner may depend only on its own state and its arguments: if they differ when
    a schedule runs again, `InputError` names the call.
    """

    def isolate(self, page: Any) -> bool:  # noqa: ARG002 - overridden by owners
        """Returns whether the page can be isolated from its owner for a migration."""
        return True

    def migrate(self, source: Any, target: Any, mode: Mode) -> bool | None:
        """Allows the migration of an isolated page by returning, or refuses it by an exception.

        After the return the pool copies the page, unless its owner released it meanwhile. After a
        refusal `putback` is called.

        Args:
            source: the page to move.
            target: the new page.
            mode: the mode of the migration.

        Returns:
            True if the owner has copied the content itself (`ExploredPage.copy_from`); then the
            pool does not copy it.

        Raises:
            BlockingIOError: to refuse with EAGAIN; the migration calls the method again.
            OSError: to refuse with another errno.
        """

    def putback(self, page: Any) -> None:
        """Called when an isolated page was not migrated and belongs to its owner again."""

    def released(self, page: Any) -> None:
        """Called when the last reference of a released page is put.

        Only release designs whose put looks for the mark of movable pages make this call, for
        example `hook`; see `docs/design.md`.
        """

    def held(self) -> Iterable[Any] | None:
        """Returns the pages (or their frame numbers) that are not isolated, or None.

        An audit compares them with the pages of the pool: the rule is "an owner accounts for its
        pages". None, the default, means that the owner keeps no account. The audit has the machine
        alone: a call of the machine raises `MisuseError` here.
        """
        return None
