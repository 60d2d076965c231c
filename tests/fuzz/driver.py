"""Starts many processes, each with a batch of cases, and collects their results."""

import collections
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.judge import Failure

HERE = Path(__file__).parent

#: The command of a process.
WORKER = ("-m", "fuzz.worker")

#: Bytes of address space of a process: enough for every sensible call.
MEMORY = 4 << 30

#: Seconds that one case may take, and seconds after which a process is killed whose watchdog did
#: not end it. The largest trace within the limits takes 12 s of one processor, which a machine with
#: ten busy processes gives it in two minutes.
HANG, KILLED = 240, 30
#: Factor on these seconds: a process prints nothing while it repeats a case.
TIMES = 8

#: Number of cases of one process.
BATCH = 40


@dataclass
class Found:
    """One kind of failure, with the number of times and the first case."""

    failure: Failure
    kind: str
    seed: int
    count: int = 1


@dataclass
class Summary:
    """The results of a run."""

    cases: int = 0
    calls: int = 0
    called: collections.Counter = field(default_factory=collections.Counter)
    came_back: set = field(default_factory=set)
    found: dict = field(default_factory=dict)
    stopped: bool = False

    def add(self, kind, seed, failure):
        key = (kind, signature(failure))
        if key in self.found:
            self.found[key].count += 1
        else:
            self.found[key] = Found(failure, kind, seed)
            return True
        return False


@dataclass(frozen=True)
class Job:
    """The work of one process."""

    kind: str
    seeds: tuple
    keep: tuple | None = None
    repeat: bool = False
    exit: bool = False
    hang: int = HANG
    memory: int = MEMORY

    @property
    def text(self):
        return json.dumps({**self.__dict__, "keep": None if self.keep is None else list(self.keep)})


def signature(failure):
    """A key that is equal for similar failures: numbers in the text do not count."""
    lines = [line for line in failure.detail.splitlines() if line.strip()] or [""]
    telling = next((line for line in lines if "panicked at" in line), None)
    if telling is None and failure.kind == "hang":
        telling = " ".join(sorted({line.split(" in ")[-1] for line in lines if " in " in line})[:4])
    if telling is None:
        telling = lines[0] if failure.kind in ("finding", "leak", "text") else lines[-1]
    telling = telling.partition("panicked at")[2] or telling
    # An audit reports every broken rule; the first one is the most telling.
    telling = telling.split(";")[0][:160]
    where = "" if failure.kind in ("panic", "finding") else failure.where
    return failure.kind, where, re.sub(r"0x[0-9a-f]+|\d+", "N", telling)


def play(job):
    """Runs one process; yields its messages, and the failure that ended it."""
    command = [sys.executable, *WORKER, job.text]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "RUST_BACKTRACE": "0"}
    # Each arena of the allocator takes 64 MiB of address space, which would look like a leak.
    environment["MALLOC_ARENA_MAX"] = "2"
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        last = {}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as process:
            watch = _Watch(process, job.hang + KILLED)
            try:
                for line in process.stdout:
                    said = json.loads(line)
                    # At the end of the interpreter its watchdog does not work any more.
                    watch.heard(1 if "exits" in said else TIMES)
                    last = said if "begin" in said else last
                    yield said
                status = process.wait()
            finally:
                watch.stop()
                # A caller that stops reading the messages leaves the process running.
                process.kill()
        errors.seek(0)
        text = errors.read()
    yield from _panics(text)
    where = "exit" if "exits" in last else ""
    if status:
        yield {"seed": last.get("begin"), "failure": _ended(status, text, where), "ended": True}


class _Watch:
    """Ends a process that prints nothing for too long, if the watchdog inside it could not."""

    def __init__(self, process, silence):
        self.process, self.silence, self.times = process, silence, TIMES
        self.last = time.monotonic()
        self.ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def heard(self, times):
        self.last, self.times = time.monotonic(), times

    def stop(self):
        self.ended.set()

    def _watch(self):
        while not self.ended.wait(1):
            if time.monotonic() - self.last > self.times * self.silence:
                self.process.kill()
                return


def _panics(text):
    """The panics on the standard error, by the case that ran."""
    parts = re.split(r"(?m)^=== (.*) ===$", text)
    for seed, part in zip(parts[1::2], parts[2::2], strict=True):
        for match in re.finditer(r"panicked at .*(\n.*)?", part):
            yield {"seed": int(seed), "failure": ["panic", "", match.group()]}


def _ended(status, text, where):
    tail = text.rpartition("===\n")[2][-3000:]
    if "Timeout (" in tail:
        return ["hang", where, tail]
    what = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"
    return ["abort", where, f"{tail}\nthe process ended with {what}"]


def batches(kind, seeds, *, exits, jobs):
    size = min(BATCH, -(-len(seeds) // jobs))
    for start in range(0, len(seeds), size):
        yield Job(kind, tuple(seeds[start : start + size]), exit=exits)


def run(kind, seeds, *, seconds=None, jobs=None, exits=True, tell=print):
    """Runs the cases of the seeds. After `seconds` no further batch begins."""
    summary = Summary()
    end = None if seconds is None else time.monotonic() + seconds

    def work(job):
        while job is not None:
            if end is not None and time.monotonic() > end:
                summary.stopped = True
                return
            job = _batch(job, summary, tell)

    jobs = jobs or len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(jobs) as pool:
        work_all = batches(kind, seeds, exits=exits, jobs=jobs)
        for done in [pool.submit(work, job) for job in work_all]:
            done.result()
    return summary


def _batch(job, summary, tell):
    """Runs one process; returns the rest of its job if a case has ended it."""
    last, ended = None, False
    for said in play(job):
        if "begin" in said:
            last = said["begin"]
        elif "done" in said:
            summary.cases += 1
            summary.calls += said["calls"]
            summary.called.update(said["called"])
            summary.came_back |= set(said["back"])
        else:
            failure = Failure(*said["failure"])
            ended = ended or "ended" in said
            if summary.add(job.kind, said["seed"], failure):
                tell(f"{job.kind} {said['seed']}: {failure.kind} {failure.where}: {failure.detail}")
    if not ended or last not in job.seeds:
        return None
    rest = job.seeds[job.seeds.index(last) + 1 :]
    return Job(job.kind, rest, exit=job.exit) if rest else None
