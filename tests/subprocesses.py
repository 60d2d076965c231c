"""Runs scripts in interpreters of their own, so that a crash or hang does not end the tests."""

import os
import subprocess
import sys

#: Seconds after which a script is ended as hanging: longer than any takes on a busy machine.
LIMIT = 120


def run(script, *, arguments=()):
    """Runs a script to its end; returns the exit code, and its output with errors."""
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
    """Runs a script several times: each run must exit with 0 and print nothing."""
    ends = [run(script) for _ in range(times)]
    assert ends == [(0, "")] * times, next(end for end in ends if end != (0, ""))
