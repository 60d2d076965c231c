"""An owner of movable pages that raises at random."""

import random

import mmcore

#: Two refusals, and an error of the owner's own.
RAISED = (BlockingIOError, PermissionError, ZeroDivisionError)


class Moody(mmcore.handles.MovableOps):
    """Raises at random in each method.

    Attributes:
        calls: the number of calls.
        raised: the number of exceptions.
    """

    def __init__(self):
        self.calls = self.raised = 0
        self.random = random.Random(7)

    def mood(self):
        self.calls += 1
        kind = self.random.randrange(8)
        if kind < len(RAISED):
            self.raised += 1
            raise RAISED[kind]

    def isolate(self, *_):
        self.mood()
        return True

    def migrate(self, *_):
        self.mood()

    def putback(self, *_):
        self.mood()

    def released(self, *_):
        self.mood()
