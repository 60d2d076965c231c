"""A case of a file: it is drawn, mutated, read, and used if it could be read."""

import contextlib
import io
import sys
import warnings
from dataclasses import dataclass, field
from random import Random

import mmcore
from fuzz import corpus, judge
from fuzz.judge import Failure
from fuzz.mutate import Mutation, tame
from fuzz.surface import entries
from mmcore._cli import run as run_command

#: Share of files that go through the command line, which is slower.
COMMANDS = 0.15

#: The exit code of a usage error, which must be one line.
USAGE = 2

SUFFIXES = {"program": "mm", "replay": "mm", "recording": "json", "gzip": "gz", "zstd": "zst"}


@dataclass
class Used:
    """The results of a case."""

    failures: list = field(default_factory=list)
    called: set = field(default_factory=set)
    came_back: set = field(default_factory=set)
    calls: int = 0


@dataclass(frozen=True)
class Case:
    seed: int
    item: corpus.Item = field(repr=False)
    steps: tuple = field(repr=False)
    command: bool
    use: int

    @classmethod
    def draw(cls, seed):
        random = Random(f"files {seed}")
        item = corpus.item(random)
        count = random.choice((0, 1, 1, 1, 2, 3, 6))
        steps = tuple(Mutation(f"{seed} {i}") for i in range(count))
        return cls(seed, item, steps, random.random() < COMMANDS, random.randrange(6))

    @property
    def shape(self):
        """A description in words."""
        return (
            f"{self.item.format}, {'command line' if self.command else 'library'}, use {self.use}"
        )

    def content(self, keep=None):
        data = self.item.data
        for number, step in enumerate(self.steps):
            if keep is None or number in keep:
                data = step.apply(self.item.format, data)
        return tame(data) if self.item.format in ("program", "replay", "line") else data

    def run(self, folder, keep=None):
        """Reads and uses the file."""
        used = Used()
        data = self.content(keep)
        path = folder / f"file.{SUFFIXES.get(self.item.format, self.item.format)}"
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.command:
                self._command(used, path)
            else:
                getattr(self, f"_{self.item.format}")(used, path)
        path.unlink()
        return used

    # --- the library ---

    def _program(self, used, path):
        text = _decoded(path)
        program = _call(used, "Program.parse", mmcore.Program.parse, text)
        if not isinstance(program, mmcore.Program):
            return
        again = _call(used, "Program.text", lambda: mmcore.Program.parse(program.text))
        if again != program:
            used.failures.append(Failure("finding", "Program.text", f"prints otherwise: {text!r}"))
        _call(used, "Program.from_json", lambda: mmcore.Program.from_json(program.to_json()))
        match self.use:
            case 0 | 1 | 2:
                # The search has few schedules, because a program may run without an end.
                options = {"schedules": 5, "jobs": 1, "shrink": 5}
                _call(used, "explore", mmcore.explore, program, **options)
            case 3:
                _call(used, "run", mmcore.run, program, patience=0.3)
            case 4:
                _call(used, "diff", mmcore.diff, program, kernel="6.1,6.12", schedules=5)
            case 5:
                _call(used, "stress", mmcore.stress, program, seconds=0.02, patience=0.3)

    def _recording(self, used, path):
        _call(used, "conformance", mmcore.conformance, [path], until_unsupported=self.use < 3)

    def _replay(self, used, path):
        _call(used, "Replay.load", mmcore.Replay.load, path)

    def _line(self, used, path):
        line = _decoded(path)
        if self.use < 2:
            _call(used, "Schedule.parse", mmcore.Schedule.parse, line.rpartition("@")[2])
        _call(used, "Replay.of_line", mmcore.Replay.of_line, line)

    def _trace(self, used, path):
        trace = _call(used, "Trace.load", mmcore.Trace.load, path)
        if isinstance(trace, mmcore.Trace) and len(trace) < 1 << 20:
            _call(used, "policies", mmcore.policies, trace, policy="lru", size=8)

    _lackey = _gzip = _zstd = _npz = _lines = _damon = _oracle = _trace

    # --- the command line ---

    def _command(self, used, path):
        line = self._words(path, _decoded(path))
        out, err = io.StringIO(), io.StringIO()
        used.calls += 1
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = run_command(line)
        except BaseException as error:
            kind = "panic" if type(error).__name__ == "PanicException" else "exception"
            text = f"{' '.join(line)}\n{judge.told(error)}"
            used.failures.append(Failure(kind, f"mmcore {line[0]}", text))
            return
        said = err.getvalue()
        bad = code not in (0, 1, USAGE, 3) or "Traceback" in said
        bad |= code == USAGE and (said.count("\n") != 1 or len(said) < len("mmcore: x"))
        if bad:
            text = f"exit code {code}: {said[-2000:]}\n{' '.join(line)}"
            used.failures.append(Failure("text", f"mmcore {line[0]}", text))
        if (
            code == 1
            and line[0] in ("run", "explore", "replay")
            and self._is_found(path, out.getvalue())
        ):
            text = f"{out.getvalue()[-2500:]}{said[-500:]}"
            used.failures.append(Failure("finding", f"mmcore {line[0]}", text))

    def _is_found(self, path, text):
        """True if a finding counts: a requested defect and an endless wait of a program do not."""
        return "# mutation" not in _decoded(path) and judge.PATIENCE not in text

    def _words(self, path, text):
        name = str(path)
        match self.item.format:
            case "program" if self.use < 3:
                return ["explore", name, "--schedules", "5", "--jobs", "1", "--shrink", "5"]
            case "program":
                return ["run", name, *([] if self.use < 5 else ["--json"])]
            case "recording":
                return ["conformance", name, *([] if self.use < 3 else ["--json"])]
            case "replay":
                return ["replay", name]
            case "line":
                return ["replay", text]
        return ["policies", name, "--policy", "lru", "--size", "8"]


def _decoded(path):
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _call(used, key, function, *arguments, **named):
    """Calls the function; None if it raised an exception."""
    entry = entries()[key]
    used.calls += 1
    used.called.add(key)
    try:
        result = function(*arguments, **named)
    except BaseException as error:
        found = judge.raised(entry, error)
        # Readers have limits: a file that is too large must be refused in words.
        if found is None and isinstance(error, (MemoryError, TypeError, LookupError)):
            found = Failure("exception", key, judge.told(error))
        if found is not None:
            used.failures.append(found)
        return None
    used.came_back.add(key)
    found = judge.returned(entry, result)
    if found is not None:
        used.failures.append(found)
    return result


def main():
    """Writes the file of a case to standard output: `python -m fuzz.files SEED [N,N,...]`."""
    seed, *keep = sys.argv[1:]
    kept = [int(word) for word in keep[0].split(",")] if keep else None
    sys.stdout.buffer.write(Case.draw(int(seed)).content(kept))


if __name__ == "__main__":
    main()
