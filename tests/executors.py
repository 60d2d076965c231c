"""Executors for tests: that end their calls in another order, lose them, or count them."""

import threading
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor

import mmcore


class Reversed(Executor):
    """Ends the calls of each handful in the reverse order of their submission."""

    def __init__(self, handful=3):
        self.handful = handful
        self.waiting = []
        self.lock = threading.Lock()

    def submit(self, call, /, *arguments):
        future = Future()
        with self.lock:
            self.waiting.append((future, call, arguments))
            full = len(self.waiting) >= self.handful
        # The last handful need not be full: a timer ends what is left.
        threading.Timer(0 if full else 0.05, self._end).start()
        return future

    def _end(self):
        with self.lock:
            ended, self.waiting = self.waiting[::-1], []
        for future, call, arguments in ended:
            if future.set_running_or_notify_cancel():
                future.set_result(call(*arguments))


class Moody(Executor):
    """Does calls at once, and loses those whose numbers are given.

    Args:
        lost: the numbers of the calls that are lost, from 0.
        broken: whether no call can be submitted after the first that is lost.
    """

    def __init__(self, lost=(), *, broken=False):
        self.lost = set(lost)
        self.broken = broken
        self.calls = 0
        self.is_broken = False

    def submit(self, call, /, *arguments):
        if self.is_broken:
            raise BrokenExecutor("a worker was killed")
        number, self.calls = self.calls, self.calls + 1
        future = Future()
        if number in self.lost:
            self.is_broken = self.broken
            future.set_exception(BrokenExecutor("a worker was killed"))
        else:
            future.set_result(call(*arguments))
        return future


class Plain(ThreadPoolExecutor):
    """Has no other arguments of `shutdown` than the oldest executors, as that of loky."""

    def shutdown(self, wait=True):
        super().shutdown(wait=wait)


class FreesTwice(mmcore.handles.MovableOps):
    """An owner with a mistake, in a module that workers can import."""

    def putback(self, page):
        page.put()


class Exits(mmcore.handles.MovableOps):
    """An owner that ends the program."""

    def isolate(self, _page):
        raise SystemExit(3)
