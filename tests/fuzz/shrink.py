"""Removes steps that a failure does not need: halves first, then smaller parts."""

import time

from fuzz.driver import Job, play, signature
from fuzz.judge import Failure

#: Seconds spent on one failure.
BUDGET = 60


def fails(found, keep, *, hang):
    """True if the steps that are kept still fail in the same way."""
    repeat = found.failure.where == "memory"
    job = Job(found.kind, (found.seed,), keep=tuple(keep), repeat=repeat, hang=hang)
    return any(
        signature(Failure(*said["failure"])) == signature(found.failure)
        for said in play(job)
        if "failure" in said
    )


def shrunk(found, length, *, budget=BUDGET):
    """Returns the numbers of the steps that are needed; None if the failure does not show again."""
    if found.failure.where == "exit":
        return None
    end = time.monotonic() + budget
    hang = 15 if found.failure.kind == "hang" else 60
    steps = list(range(length))
    # A failure that depends on timing gets three tries.
    if not any(fails(found, steps, hang=hang) for _ in range(3)):
        return None
    size = max(length // 2, 1)
    while size and time.monotonic() < end:
        for start in range(0, len(steps), size):
            if time.monotonic() > end:
                break
            fewer = steps[:start] + steps[start + size :]
            if fewer != steps and fails(found, fewer, hang=hang):
                steps = fewer
                break
        else:
            size //= 2
    return steps
