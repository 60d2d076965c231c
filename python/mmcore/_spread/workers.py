"""The executor of a call: one that the caller gives, or one that a function makes."""

from __future__ import annotations

import functools
import os
from concurrent.futures import Executor
from typing import TYPE_CHECKING, TypeAlias

from mmcore._arguments import number, shown
from mmcore._errors import InputError
from mmcore._mmcore import MAX_JOBS

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from typing import Any

__all__ = ["ExecutorChoice", "Workers", "workers_of"]

#: The argument `executor` of a call: an executor, or a function without arguments that makes one.
ExecutorChoice: TypeAlias = "Executor | Callable[[], Executor]"


class Workers:
    """An executor, with the knowledge whether it may be shut down and made anew.

    Args:
        given: an executor of the caller, which stays open; or a function that makes one.
    """

    def __init__(self, given: ExecutorChoice) -> None:
        self._make = None if isinstance(given, Executor) else given
        self._executor = given if isinstance(given, Executor) else None

    @property
    def renewable(self) -> bool:
        """True if a broken executor can be replaced."""
        return self._make is not None

    def submit(self, call: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Hands a call to the executor, which is made if there is none."""
        if self._executor is None:
            if self._make is None:
                raise RuntimeError("the executor of the caller was closed")
            made = self._make()
            if not isinstance(made, Executor):
                raise InputError(f"executor makes {shown(made)}, which is no executor")
            self._executor = made
        return self._executor.submit(call, *arguments)

    def close(self, *, wait: bool = True) -> None:
        """Shuts down the executor if mmcore made it; its calls were cancelled before."""
        if self._make is not None and self._executor is not None:
            # `wait` alone: not every executor can cancel its calls.
            self._executor.shutdown(wait=wait)
            self._executor = None


def workers_of(
    executor: ExecutorChoice | None, jobs: int | None = None, *, alone: bool = False
) -> Workers | None:
    """The workers for the arguments `executor` and `jobs` of a call.

    Args:
        executor: an executor, or a function that makes one.
        jobs: threads of this process.
        alone: whether a call without both does its parts itself, one after another; otherwise it
            has one thread for each processor.

    Raises:
        InputError: if both are given, or one of them is not valid.
    """
    jobs = number("jobs", jobs, most=MAX_JOBS)
    if executor is None:
        if alone and not jobs:
            return None
        # Imported here and not above: a search of one program needs no pool.
        from concurrent.futures import ThreadPoolExecutor

        threads = jobs or len(os.sched_getaffinity(0))
        return Workers(functools.partial(ThreadPoolExecutor, threads))
    if jobs is not None:
        raise InputError("give jobs or executor, not both: jobs are threads of this process")
    if not isinstance(executor, Executor) and not callable(executor):
        raise InputError(
            "executor must be an executor of concurrent.futures, or a function that makes one,"
            f" not {shown(executor)}"
        )
    return Workers(executor)
