"""Another build of mmcore, run by another interpreter in a process of its own."""

from __future__ import annotations

import itertools
import json
import os
import selectors
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mmcore._comparison import worker
from mmcore._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mmcore._trace.arrays import TraceArrays

__all__ = ["Build", "Worker", "here", "running"]

#: Seconds, beside those of a turn, after which a worker that does not answer counts as hanging. A
#: count of a long trace takes the longest.
PATIENCE = 300.0

#: Seconds after which an interpreter that has not said hello counts as hanging.
START = 60.0

#: The most bytes of an answer: a histogram of a turn has some thousand.
LONGEST = 1 << 26


@dataclass(frozen=True)
class Build:
    """A build of mmcore.

    Attributes:
        version: its version.
        commit: the commit that it was built from, if its folder or its installer tells.
        build: profile, optimisation level, compiler and target of the extension module.
        python: the version of the interpreter.
        executable: the interpreter.
        package: the folder of the package.
    """

    version: str
    commit: str | None
    build: dict[str, str]
    python: str
    executable: str
    package: str

    def __str__(self) -> str:
        commit = "unknown commit" if self.commit is None else f"commit {self.commit}"
        profile = self.build.get("profile", "unknown")
        return (
            f"mmcore {self.version}, {commit}, {profile} build, CPython {self.python}"
            f" ({self.executable})"
        )

    @classmethod
    def of(cls, facts: object) -> Build:
        """Makes a build of the facts that a worker tells.

        Raises:
            ValueError: if they are not the facts of a build.
        """
        names = cls.__dataclass_fields__
        if not isinstance(facts, dict) or facts.keys() != names.keys():
            raise ValueError("no build of mmcore")
        texts = [facts[name] for name in names if name not in ("commit", "build")]
        build = facts["build"]
        if isinstance(build, dict):
            texts += build.values()
        known = facts["commit"] is None or isinstance(facts["commit"], str)
        if not known or not isinstance(build, dict) or not all(isinstance(t, str) for t in texts):
            raise ValueError("a build in another form")
        return cls(**facts)

    def as_dict(self) -> dict[str, Any]:
        """The build as plain data for JSON."""
        return asdict(self)


def here() -> Build:
    """The build of this process."""
    return Build(**worker.facts())


@contextmanager
def running(python: str) -> Iterator[Worker]:
    """Starts the other build, and ends its process with the block.

    Raises:
        InputError: if there is no such interpreter, it has no mmcore, or its mmcore cannot be
            compared with this one.
    """
    with tempfile.TemporaryDirectory(prefix="mmcore-") as folder:
        started = Worker(python, Path(folder))
        try:
            started.check(here())
            yield started
        finally:
            started.end()


class Worker:
    """The other build as a backend of the runner.

    Attributes:
        build: the facts of the build.
    """

    def __init__(self, python: str, folder: Path) -> None:
        self._python = python
        self._folder = folder
        self._numbers = itertools.count()
        self._traced: object = None
        self._rest = b""
        # Several threads verify the machines of a trial; each must get the answer to its question.
        self._asking = threading.Lock()
        self._complaints = folder / "stderr"
        source = files("mmcore").joinpath("_comparison", "worker.py").read_text(encoding="utf-8")
        try:
            with self._complaints.open("wb") as complaints:
                # -I isolates the interpreter: PYTHONPATH or the current folder would bring this
                # build into it.
                # A session of its own: Ctrl-C is for this process, which then ends the worker.
                self._process = subprocess.Popen(  # noqa: S603 - the user names the interpreter
                    [python, "-I", "-c", source],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=complaints,
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise InputError(f"--against {python}: {why}") from None
        try:
            self.build = self._hello()
        except BaseException:
            self.end()
            raise

    def _hello(self) -> Build:
        """The facts of the other build.

        Raises:
            InputError: if the interpreter has no mmcore, or tells something else.
        """
        try:
            facts = self.ask("hello", patience=START)
        except RuntimeError as error:
            raise self._refused(f"cannot use its mmcore: {error}") from None
        try:
            return Build.of(facts)
        except ValueError as error:
            raise self._refused(f"tells {error}") from None

    def check(self, mine: Build) -> None:
        """Refuses a build that cannot be compared with this one.

        Raises:
            InputError: if the major version, the build profile or the optimisation level differs;
                the message says how.
        """
        for what, own, other in (
            ("version", _major(mine.version), _major(self.build.version)),
            ("build profile", mine.build.get("profile"), self.build.build.get("profile")),
            ("optimisation", mine.build.get("opt_level"), self.build.build.get("opt_level")),
        ):
            if own != other:
                raise self._refused(f"cannot be compared: its {what} is {other}, here it is {own}")

    def LoadRig(  # noqa: N802 - as the binding has it
        self, config_json: str, trace: TraceArrays | None, policy: object = None, /
    ) -> _Rig:
        """Builds the machine of a configuration in the other process."""
        assert policy is None, "a plan with policies has no other build"
        number = next(self._numbers)
        self.ask("build", number=number, config=config_json, traced=self._send(trace))
        return _Rig(self, number)

    def count_ops(self, config_json: str, trace: TraceArrays | None, /) -> str:
        """Runs the load in the counting build of the other process."""
        return str(self.ask("count_ops", config=config_json, traced=self._send(trace)))

    def count_hits(
        self, config_json: str, trace: TraceArrays | None, policy: object = None, /
    ) -> str:
        """Replays a fixed number of accesses in the other process."""
        assert policy is None, "a plan with policies has no other build"
        self._send(trace)
        return str(self.ask("count_hits", config=config_json))

    def processor_seconds(self) -> float:
        """The processor seconds that the other process has used."""
        return float(self.ask("processor_seconds"))

    def end(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None, "both are pipes"
            # Closing flushes bytes that a dead process will not read.
            try:
                pipe.close()
            except OSError:
                continue

    def _send(self, trace: TraceArrays | None) -> bool:
        """Gives the other process the trace, once; returns whether there is one."""
        if trace is not None and self._traced is not trace:
            names = [str(self._folder / f"{number}.npy") for number in range(len(trace))]
            arrays = cast("tuple[NDArray[Any], ...]", trace)
            for name, array in zip(names, arrays, strict=True):
                np.save(name, array)
            self.ask("trace", files=names)
            self._traced = trace
        return trace is not None

    def ask(self, word: str, *, patience: float | None = None, **arguments: Any) -> Any:
        """Asks and waits for the answer.

        Args:
            word: the question, a method of the worker.
            patience: the seconds to wait; left out: `PATIENCE`, and the seconds of a turn.
            arguments: the arguments of the method.

        Raises:
            InputError: if the process has died, does not answer, or lacks what is asked for.
            ValueError: if the other build refuses the configuration.
            RuntimeError: if a machine of the other build broke a rule.
        """
        with self._asking:
            return self._answer(word, patience, arguments)

    def _answer(self, word: str, patience: float | None, arguments: dict[str, Any]) -> Any:
        asked = json.dumps({"ask": word, **arguments}).encode() + b"\n"
        stdin = self._process.stdin
        assert stdin is not None, "it is a pipe"
        try:
            stdin.write(asked)
            stdin.flush()
        except (OSError, ValueError):
            raise self._gone() from None
        if patience is None:
            patience = arguments.get("seconds", 0.0) + PATIENCE
        line = self._line(patience, word)
        try:
            answer = json.loads(line)
            if "value" in answer:
                return answer["value"]
            error, kind = str(answer["error"]), answer["kind"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise self._refused(f"answered to {word} with {line[:60]!r}") from None
        if kind == "unable":
            raise self._refused(f"cannot do {word}: {error}")
        raise RuntimeError(error) if kind == "finding" else ValueError(error)

    def _line(self, patience: float, word: str) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None, "it is a pipe"
        end = time.monotonic() + patience
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise self._refused(
                        f"has not answered to {word} for {patience:.0f} s and was ended"
                    )
                read = os.read(stdout.fileno(), 1 << 20)
                if not read:
                    raise self._gone()
                self._rest += read
                if len(self._rest) > LONGEST:
                    raise self._refused(f"answered to {word} without an end")
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _refused(self, why: str) -> InputError:
        """The error of a process with which no comparison is possible, in one line."""
        return InputError(f"--against {self._python}: its process {' '.join(why.split())}"[:500])

    def _gone(self) -> InputError:
        """The error of a process that has ended: its last words, or its signal."""
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return self._refused("has closed its pipes")
        words = self._complaints.read_text(encoding="utf-8", errors="replace").strip()
        last = words.splitlines()[-1][:200] if words else "without a word"
        how = f"ended by signal {-code}" if code < 0 else f"ended with code {code}"
        return self._refused(f"has {how}: {last}")


class _Rig:
    """A machine in the other process."""

    def __init__(self, owner: Worker, number: int) -> None:
        self._owner = owner
        self._number = number

    def run(self, round_seed: int, seconds: float, /) -> str:
        """Runs the load for about `seconds`."""
        return str(self._owner.ask("run", number=self._number, seed=round_seed, seconds=seconds))

    def finish(self) -> str:
        """Drains, verifies and audits the machine."""
        return str(self._owner.ask("finish", number=self._number))


def _major(version: str) -> str:
    return version.partition(".")[0]
