"""The other build of a comparison: a process that builds and runs machines as it is asked.

`against` sends this source to another interpreter, which runs it with the build of mmcore that is
installed there. The source therefore imports nothing of this build, and uses only the names that
builds of all versions have. Each question is a line of JSON, and so is its answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

__all__ = ["commit_of", "facts"]


def commit_of(package: str) -> str | None:
    """The commit that a package was built from, if its folder or its installer tells.

    Args:
        package: the folder of the package.
    """

    def git(*words: str) -> str:
        command = ["git", "-C", package, *words]
        return subprocess.run(  # noqa: S603 - the words are those below
            command, capture_output=True, text=True, check=True, timeout=30
        ).stdout.strip()

    try:
        # A virtual environment may lie in the work tree of another project.
        git("ls-files", "--error-unmatch", "__init__.py")
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        # Without git, or outside of a work tree, only the installer can tell.
        return _installed_from()


def _installed_from() -> str | None:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        text = distribution("mmcore-linux").read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    origin = json.loads(text or "{}").get("vcs_info", {})
    commit = origin.get("commit_id")
    return None if commit is None else str(commit)[:12]


def facts() -> dict[str, Any]:
    """The version, build and interpreter of the mmcore that this process has."""
    import mmcore

    package = str(Path(mmcore.__file__).parent)
    return {
        "version": mmcore.__version__,
        "commit": commit_of(package),
        "build": mmcore.build_info(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "executable": sys.executable,
        "package": package,
    }


class _Builder:
    """Answers questions; each public method is a word of the protocol."""

    def __init__(self) -> None:
        self.rigs: dict[int, Any] = {}
        self.arrays: Any = None

    def hello(self) -> dict[str, Any]:
        return facts()

    def trace(self, files: list[str]) -> None:
        import numpy as np

        self.arrays = tuple(np.load(file) for file in files)

    def count_ops(self, config: str, *, traced: bool) -> str:
        from mmcore import _mmcore

        return _mmcore.count_ops(config, self.arrays if traced else None)

    def count_hits(self, config: str) -> str:
        from mmcore import _mmcore

        # Builds of earlier commits do not count the hits.
        count = getattr(_mmcore, "count_hits", None)
        return "null" if count is None else str(count(config, self.arrays))

    def build(self, number: int, config: str, *, traced: bool) -> None:
        from mmcore import _mmcore

        self.rigs[number] = _mmcore.LoadRig(config, self.arrays if traced else None)

    def run(self, number: int, seed: int, seconds: float) -> str:
        return str(self.rigs[number].run(seed, seconds))

    def finish(self, number: int) -> str:
        return str(self.rigs.pop(number).finish())

    def processor_seconds(self) -> float:
        return time.process_time()


def _kind(error: Exception) -> str:
    """Returns the kind of an error, for the process that sent the request.

    That process treats bad input and findings as it treats those of its own build. Any other error
    means that this build lacks something that the request needs, such as mmcore itself.
    """
    if isinstance(error, ValueError | OverflowError | MemoryError):
        return "refused"
    return "finding" if isinstance(error, RuntimeError) else "unable"


def _serve(asked: IO[str], answers: IO[str]) -> None:
    builder = _Builder()
    for line in asked:
        words = json.loads(line)
        answer: dict[str, Any]
        try:
            answer = {"value": getattr(builder, words.pop("ask"))(**words)}
        except Exception as error:  # noqa: BLE001 - raised again by the process that asked
            answer = {"error": str(error) or type(error).__name__, "kind": _kind(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    # The answers have a descriptor of their own: a library that prints must not disturb them.
    _answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _serve(sys.stdin, _answers)
