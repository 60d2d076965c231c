"""Waits until the main thread is at work in a call of the library."""

import sys
import threading
import time

__all__ = ["wait_for_a_call"]

#: The main thread is in a call after so many looks at one place of its Python code in a row.
SAME = 30
#: A call that executes Python code all the time, as a soak does, has begun after so many looks in a
#: row that find no import.
NO_IMPORT = 200


def position():
    """The place of the main thread in Python code; None while it imports a module."""
    top = sys._current_frames()[threading.main_thread().ident]
    frame = top
    while frame is not None:
        if "importlib" in frame.f_code.co_filename:
            return None
        frame = frame.f_back
    return id(top), top.f_lasti


def wait_for_a_call():
    """Waits until the main thread has executed no Python code, or imported nothing, for a while.

    A call of the library may import modules first, which takes long on a busy host: a signal then
    would find no result so far. Looks are counted, not seconds: a process that gets no processor
    does not look either.
    """
    before, same, no_import = None, 0, 0
    while same < SAME and no_import < NO_IMPORT:
        time.sleep(0.01)
        now = position()
        same = same + 1 if now is not None and now == before else 0
        no_import = 0 if now is None else no_import + 1
        before = now
