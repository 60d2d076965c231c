"""Judges calls: the exceptions and results that a call may have. Any other one is a failure."""

import traceback
from dataclasses import dataclass

import mmcore
from fuzz.callbacks import LOUD, DeliberateError

#: Exceptions that the documentation allows a call, whatever its arguments.
DOCUMENTED = (
    mmcore.errors.KernelError,
    mmcore.errors.MisuseError,
    mmcore.errors.InputError,
    mmcore.errors.MissingExtraError,
    TypeError,
    ValueError,
    LookupError,
    OverflowError,
    BufferError,
    TimeoutError,
    MemoryError,
    NotImplementedError,  # the bytes of a region cannot be deleted
)

#: Exceptions of mmcore whose text must be one line, and not an empty one.
OURS = (mmcore.errors.KernelError, mmcore.errors.MisuseError, mmcore.errors.InputError)

#: Calls that raise the finding of their object. The call that made the object was judged for it.
TELL = ("Audit.raise_for_findings", "Exploration.check")

#: Plain data classes that users construct. Their constructors check types alone; wrong values raise
#: when the object is printed.
USERS = ("Boot", "MachineSpec", "Op", "Program", "Schedule", "Selection", "Thread", "Trace")

#: Parameters that name a file: a call with one may raise an OSError of the system.
PATHS = {"path", "trace", "recordings", "what", "checkpoint"}

#: The rule that `run` reports as broken if a program makes no progress for `patience` seconds.
PATIENCE = "no thread waits for ever"

#: The rule that drawn owners break on purpose.
RAISES = "an owner's callback does not raise"

#: Operations that take a lock or a handle. Other operations of the program may wait for it for
#: ever, so a deadlock of such a program is no finding.
HOLDING = {"lock", "begin_writeback", "freeze", "isolate"}

#: A program of more operations may need more than the default number of steps of a schedule.
LONG = 40

#: The longest text of an exception that is taken for one line; mmcore's own lines are much shorter.
LONGEST = 4000


class Alarm(KeyboardInterrupt):
    """Ctrl-C at a drawn moment."""


@dataclass(frozen=True)
class Failure:
    """A failure that the fuzzer has found.

    Attributes:
        kind: `panic`, `exception`, `finding`, `leak`, `swallowed`, `text`, `abort`, `hang`.
        where: the call, or the file's format.
        detail: the evidence, several lines perhaps.
    """

    kind: str
    where: str
    detail: str


def raised(entry, error, *, setting=False):
    """Judges the exception of a call; returns a failure or None."""
    if type(error).__name__ == "PanicException":
        return Failure("panic", entry.key, told(error))
    if isinstance(error, (DeliberateError, Alarm, *LOUD)):
        return None
    if isinstance(error, (mmcore.errors.FindingError, mmcore.errors.RaceError)):
        # `TELL`: the call that returned the object was judged for the finding, or had a mutation.
        return None if entry.key in TELL else Failure("finding", entry.key, told(error))
    allowed = DOCUMENTED
    if setting or not entry.compiled:
        allowed += (AttributeError,)
    if any(parameter.name in PATHS for parameter in entry.parameters):
        allowed += (OSError,)
    if not isinstance(error, allowed):
        return Failure("exception", entry.key, told(error))
    if isinstance(error, OURS):
        text = str(error)
        if not text.strip() or "\n" in text.strip() or len(text) > LONGEST:
            return Failure(
                "text", entry.key, f"not one line: {type(error).__name__}: {text[:2000]!r}"
            )
    return None


def returned(entry, result, way="call"):
    """Judges the result of a call; returns a failure or None.

    An object that came another way (`way`), such as out of a container, is named by its class.
    """
    if entry.makes and entry.name not in USERS:
        # Plain data with arbitrary fields holds no findings, and may fail to print.
        return None
    called = way in ("call", "set")
    owner = type(result) if entry.owner is None else entry.owner
    what = entry.key if called else f"the {way} of a {owner.__name__}"
    try:
        repr(result)
        str(result)
    except Exception as error:
        # Data of a user need not be a program.
        if not (isinstance(error, mmcore.errors.ProgramError) and (entry.makes or not called)):
            return Failure("exception", f"str of {what}", told(error))
    found = findings(result)
    return Failure("finding", entry.key, found[:3000]) if found else None


def findings(result):
    """The broken rules in a result without a mutation, as text; empty if there are none."""
    match result:
        case mmcore.results.Audit():
            return "; ".join(map(str, result))
        case mmcore.Exploration(counterexample=mmcore.Replay() as race):
            return findings(race)
        case mmcore.Replay(mutation=None, rule=str(rule)):
            # A given bound may be lower than a program needs, and a long program needs more than
            # the default.
            asked = result.max_steps is not None or len(result.program.ops) > LONG
            holds = any(op.name in HOLDING for op in result.program.ops)
            if rule == RAISES and "DeliberateError" in str(result.detail):
                return ""
            if (asked and rule == "step bound") or (holds and rule == "deadlock"):
                return ""
            return f"{rule}: {result.detail}: {result.line}"
        case mmcore.results.RunResult(findings=found):
            # Programs that wait for ever are drawn too, and their patience is short.
            broken = [finding for finding in found if finding["rule"] != PATIENCE]
            return f"{broken}: {result.program!r}" if broken else ""
        case mmcore.results.StressResult(found=mmcore.results.RunResult() as found):
            return findings(found)
        case mmcore.results.StepDiff(findings=found) if any(found):
            return f"{found}: {result.program!r}"
    return ""


def told(error):
    lines = traceback.format_exception(error)
    return "".join(lines)[-2500:]
