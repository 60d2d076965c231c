"""Scripts in interpreters of their own: what ends or hangs there does so without the tests."""

import os
import subprocess
import sys

#: Longer than any script takes on a busy machine: what hangs ends.
LIMIT = 120


def run(script, *, arguments=()):
    """Runs a script to its end: the exit code, and what it has printed, errors included."""
    command = [sys.executable, "-X", "faulthandler", "-c", script, *arguments]
    ended = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT,
        check=False,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore::DeprecationWarning"},
    )
    return ended.returncode, ended.stdout


def runs_clean(script, *, times=1):
    """Runs a script some times: each must exit with 0 and print nothing."""
    ends = [run(script) for _ in range(times)]
    assert ends == [(0, "")] * times, next(end for end in ends if end != (0, ""))
