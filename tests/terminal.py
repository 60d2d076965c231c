"""Commands on a terminal of a given width."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios

__all__ = ["on_terminal"]

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(*words, width=80, pipe=False):
    """Runs a command whose standard error is a terminal, and its standard output too, or a pipe.

    Returns:
        The text on the terminal without control sequences, the text in the pipe, the exit code.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, width, 0, 0))
    env = {**os.environ, "TERM": "xterm"}
    # The program would take these for the size of the terminal.
    for name in ("COLUMNS", "LINES"):
        env.pop(name, None)
    with subprocess.Popen(
        [sys.executable, "-m", "mmcore", *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if pipe else theirs,
        stderr=theirs,
        env=env,
    ) as process:
        os.close(theirs)
        text = {ours: b"", process.stdout.fileno() if pipe else -1: b""}
        left = {ours, process.stdout.fileno()} if pipe else {ours}
        while left:
            for each in select.select(list(left), [], [], 60)[0]:
                try:
                    read = os.read(each, 1 << 16)
                except OSError:
                    # The other end of a terminal that is closed gives EIO.
                    read = b""
                text[each] += read
                if not read:
                    left.discard(each)
    os.close(ours)
    shown, piped = text.values() if pipe else (text[ours], b"")
    return CONTROL.sub("", shown.decode()), piped.decode(), process.returncode
