"""The worker process: runs cases in turn, under limits of memory and time. The driver starts it.

The worker prints JSON objects, one a line: the beginning of each case, its results, and its
failures. If a case ends the process, the driver blames the last case whose beginning it has read.
"""

import contextlib
import faulthandler
import gc
import json
import os
import resource
import sys
import tempfile
import threading
from pathlib import Path
from random import Random

from fuzz import calls, files, growth

KINDS = {"calls": calls.Case, "files": files.Case}

#: One case in `REPEATED` is run `TIMES` times more: the leak of one run is too small to be seen.
REPEATED, TIMES = 12, 6

#: The first size of the process is taken after the case of this number: the cases before it import
#: modules and fill caches, which would look like a leak.
WARM = 5


def main(argv):
    job = json.loads(argv[0])
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        resource.setrlimit(limit, (job["memory"], job["memory"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.chdir(folder)
        Batch(job, out, Path(folder)).run()


class Batch:
    def __init__(self, job, out, folder):
        self.job, self.out, self.folder = job, out, folder
        self.kind = KINDS[job["kind"]]

    def say(self, **what):
        self.out.write(json.dumps(what) + "\n")

    def fail(self, seed, failure):
        self.say(failure=[failure.kind, failure.where, failure.detail], seed=seed)

    def run(self):
        job, first = self.job, None
        for number, seed in enumerate(job["seeds"]):
            self.begin(seed)
            tasks = growth.tasks()
            case = self.kind.draw(seed)
            self.one(case)
            self.check(seed, growth.settled(tasks))
            if job["repeat"] or (number % REPEATED == REPEATED - 1 and job["keep"] is None):
                self.repeat(case)
            gc.collect()
            if number == WARM:
                first = growth.Size.now()
        if first is not None:
            self.check(job["seeds"][-1], growth.batch(first, growth.Size.now()))
        if job["exit"]:
            self.exit()

    def begin(self, seed):
        self.say(begin=seed)
        sys.stderr.write(f"\n=== {seed} ===\n")
        sys.stderr.flush()
        faulthandler.dump_traceback_later(self.job["hang"], exit=True)

    def one(self, case, *, quiet=False):
        found = case.run(self.folder, self.job["keep"])
        if quiet:
            return
        for failure in found.failures:
            self.fail(case.seed, failure)
        self.say(
            done=case.seed,
            calls=found.calls,
            called=sorted(found.called),
            back=sorted(found.came_back),
        )

    def repeat(self, case):
        """Runs a case `TIMES` times, so that a leak adds up, and compares the sizes in between."""
        sizes = []
        for _ in range(TIMES):
            faulthandler.dump_traceback_later(self.job["hang"], exit=True)
            self.one(case, quiet=True)
            gc.collect()
            sizes.append(growth.Size.now())
        self.check(case.seed, growth.repeated(sizes))

    def check(self, seed, failure):
        if failure is not None:
            self.fail(seed, failure)

    def exit(self):
        """Starts threads that call the library for ever, and returns: the interpreter then ends."""
        seed = self.job["seeds"][-1]
        self.say(begin=seed, exits=True)
        runner = calls.Runner(calls.World(seed, self.folder), forks=False)
        random = Random(f"exit {seed}")

        def forever():
            while True:
                # The exceptions of calls are judged in the cases, not here.
                with contextlib.suppress(BaseException):
                    runner.again(random.randrange(1 << 32))
                runner.failures.clear()

        for _ in range(3):
            threading.Thread(target=forever, daemon=True).start()
        threading.Event().wait(random.choice((0.0, 0.01, 0.1)))


if __name__ == "__main__":
    main(sys.argv[1:])
