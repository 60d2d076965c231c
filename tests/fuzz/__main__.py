"""`python -m fuzz` draws and runs cases, and shrinks and reports failures. `make fuzz` calls it."""

import argparse
import re
import sys
import time
from pathlib import Path

from fuzz import calls, driver, files, shrink
from fuzz.surface import entries

KINDS = {"calls": calls.Case, "files": files.Case}


def main(argv=None):
    arguments = _parser().parse_args(argv)
    if arguments.kind:
        return _again(arguments)
    begin = time.monotonic()
    clean = True
    for kind, cases in (("calls", -(-arguments.calls // calls.LENGTH)), ("files", arguments.files)):
        if not cases:
            continue
        left = None
        if arguments.seconds is not None:
            left = max(arguments.seconds - (time.monotonic() - begin), 0)
            left = left / 2 if kind == "calls" and arguments.files else left
        seeds = range(arguments.seed, arguments.seed + cases)
        print(f"{kind}: seeds {seeds.start} to {seeds.stop - 1}", flush=True)
        summary = driver.run(
            kind,
            seeds,
            seconds=left,
            jobs=arguments.jobs,
            exits=kind == "calls" and not arguments.no_exit,
            tell=_tell,
        )
        known = [
            key
            for key, found in summary.found.items()
            if re.search(arguments.known, " ".join(vars(found.failure).values()))
        ]
        if known:
            print(f"{len(known)} kinds of failures are known: left out")
        for key in known:
            del summary.found[key]
        clean &= _show(kind, summary, cases, shrinks=not arguments.no_shrink)
    print("clean" if clean else "failures: see above")
    return 0 if clean else 1


def _parser():
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000, help="drawn calls, about")
    parser.add_argument("--files", type=int, default=10_000, help="mutated files")
    parser.add_argument("--seconds", type=float, help="begin no further batch after so long")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first case")
    parser.add_argument("--jobs", type=int, help="processes at a time")
    parser.add_argument("--known", default="(?!)", help="a pattern of failures to leave out")
    parser.add_argument("--no-shrink", action="store_true", help="show failures as found")
    parser.add_argument("--no-exit", action="store_true", help="no process exits during a call")
    parser.add_argument("kind", nargs="?", choices=KINDS, help="one case again: calls or files")
    parser.add_argument("--keep", help="of one case: the numbers of the steps, N,N,...")
    parser.add_argument("--repeat", action="store_true", help="of one case: run it several times")
    parser.add_argument("--exit", action="store_true", help="of one case: then exit during calls")
    return parser


def _again(arguments):
    """Runs one case again."""
    keep = arguments.keep and tuple(int(word) for word in arguments.keep.split(","))
    case = KINDS[arguments.kind].draw(arguments.seed)
    _print_case(case, range(len(case.steps)) if keep is None else keep)
    job = driver.Job(
        arguments.kind, (arguments.seed,), keep, repeat=arguments.repeat, exit=arguments.exit
    )
    clean = True
    for said in driver.play(job):
        if "failure" in said:
            clean = False
            print(": ".join(said["failure"]))
    print("clean" if clean else "it fails")
    return 0 if clean else 1


def _print_case(case, keep):
    print(f"{type(case).__module__} {case.seed}: {case.shape}")
    for number in keep:
        print(f"  {number}: {case.steps[number]}")


def _tell(text):
    print(f"  {text[:400]}", file=sys.stderr, flush=True)


def _show(kind, summary, cases, *, shrinks):
    for found in summary.found.values():
        failure = found.failure
        print(f"\n{failure.kind} {failure.where} ({found.count} times): {failure.detail.strip()}")
        case = KINDS[kind].draw(found.seed)
        command = f"PYTHONPATH={_here()} {sys.executable} -m fuzz {kind} --seed {found.seed}"
        if failure.where == "memory":
            command += " --repeat"
        if failure.where == "exit":
            command += " --exit"
        steps = shrink.shrunk(found, len(case.steps)) if shrinks else None
        if steps is not None:
            _print_case(case, steps)
            command += f" --keep {','.join(map(str, steps))}" if steps else ""
        elif shrinks:
            print("not seen again by itself: it needs its time, or the cases before it")
        print(f"again: {command}", flush=True)
    print(f"\n{kind}: {summary.cases} of {cases} cases, {summary.calls} calls", end="")
    print(", stopped by time" if summary.stopped else "")
    if kind == "calls":
        for what, reached in (("called", summary.called.keys()), ("came back", summary.came_back)):
            print(f"never {what}: {_some(sorted(entries().keys() - reached), len(entries()))}")
    return not summary.found


def _some(names, of):
    """The first of some names, and how many there are: a short run calls a few of many hundred."""
    if not names:
        return "nothing"
    first = ", ".join(names[:12])
    return first if len(names) <= 12 else f"{len(names)} of {of}: {first}, ..."


def _here():
    return Path(__file__).parent.parent


if __name__ == "__main__":
    sys.exit(main())
