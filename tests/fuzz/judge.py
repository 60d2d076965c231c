"""What a call may raise and return; all else is a failure."""

import traceback
from dataclasses import dataclass

import mmcore
from fuzz.callbacks import LOUD, DeliberateError

#: What the documentation lets a call raise, whatever the arguments.
DOCUMENTED = (
    mmcore.KernelError,
    mmcore.MisuseError,
    mmcore.InputError,
    mmcore.MissingExtraError,
    TypeError,
    ValueError,
    LookupError,
    OverflowError,
    BufferError,
    TimeoutError,
    MemoryError,
    NotImplementedError,  # the bytes of a region cannot be deleted
)

#: Errors of mmcore's own: one line that says something.
OURS = (mmcore.KernelError, mmcore.MisuseError, mmcore.InputError)

#: Calls that make an exception of a finding that they were given.
TELL = ("Audit.raise_for_findings", "Exploration.check")

#: Parameters that name a file: what the system says of it comes out of the call.
PATHS = {"path", "trace", "recordings", "what"}

#: What a runner says of a program that got nowhere for as long as it was to have patience.
PATIENCE = "no thread waits for ever"

#: Operations that hold something until the program gives it back: its others may wait for that.
HOLDING = {"lock", "begin_writeback", "freeze", "isolate"}

#: Operations of a program that ends within the usual number of steps.
LONG = 40

#: An exception's text is a line: this is far more than any line of ours.
LONGEST = 4000


class Alarm(KeyboardInterrupt):
    """Ctrl-C, at a moment drawn."""


@dataclass(frozen=True)
class Failure:
    """What the fuzzer has found.

    Attributes:
        kind: `panic`, `exception`, `finding`, `leak`, `swallowed`, `text`, `abort`, `hang`.
        where: the call, or the file's format.
        detail: what was seen, several lines perhaps.
    """

    kind: str
    where: str
    detail: str


def raised(entry, error, *, setting=False):
    """The failure that an exception out of a call is, or None."""
    if type(error).__name__ == "PanicException":
        return Failure("panic", entry.key, told(error))
    if isinstance(error, (DeliberateError, Alarm, *LOUD)):
        return None
    if isinstance(error, (mmcore.FindingError, mmcore.Race)):
        # The finding itself was a failure where it was made, unless a defect was asked for.
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


def returned(entry, result):
    """The failure that a result is, or None."""
    if entry.makes:
        # What is made of anything tells of nothing, and may have no text.
        return None
    try:
        repr(result)
        str(result)
    except Exception as error:
        return Failure("exception", f"str of {entry.key}", told(error))
    found = findings(result)
    return Failure("finding", entry.key, found[:3000]) if found else None


def findings(result):
    """Broken rules that a result tells of, though nobody asked for a defect; empty if none."""
    match result:
        case mmcore.Audit():
            return "; ".join(map(str, result))
        case mmcore.Exploration(counterexample=mmcore.Counterexample() as race):
            return findings(race)
        case mmcore.Counterexample(mutation=None, rule=str(rule)):
            # A bound that was asked for may be less than a program needs, and a long program needs
            # more than is usual.
            asked = result.max_steps is not None or len(result.program.ops) > LONG
            holds = any(op.name in HOLDING for op in result.program.ops)
            if (asked and rule == "step bound") or (holds and rule == "deadlock"):
                return ""
            return f"{rule}: {result.detail}: {result.line}"
        case mmcore.RunResult(findings=found):
            # Programs that wait for ever are drawn too, and patience is short here.
            broken = [finding for finding in found if finding["rule"] != PATIENCE]
            return f"{broken}: {result.program!r}" if broken else ""
        case mmcore.StressResult(found=mmcore.RunResult() as found):
            return findings(found)
        case mmcore.StepDiff(findings=found) if any(found):
            return f"{found}: {result.program!r}"
    return ""


def told(error):
    lines = traceback.format_exception(error)
    return "".join(lines)[-2500:]
