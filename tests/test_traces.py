"""Each step of a trace names its thread, the function of the core, and the object."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import mmcore
from mmcore._exploration import hunting

CORE = Path(__file__).parents[1] / "rust" / "core" / "src"
MINIMA = {defect.name: defect.minimum for defect in hunting.defects()}


@pytest.fixture(scope="module")
def traces():
    """The trace of the smallest race of each mutation."""
    return {
        name: mmcore.replay(minimum.program, minimum.schedule, mutation=name).trace
        for name, minimum in MINIMA.items()
    }


#: The files of the core that make and search the areas of a forked child.
AREAS = {"map/area.rs", "map/fork.rs", "map/mmap.rs"}


def unnamed(trace):
    """The steps without the name of an object, except for words of an area that a thread forks.

    The child is gone after the schedule, and with it the names of its areas. Such a word is touched
    for the first time at or after the fork, where areas are made or searched.
    """
    first = {}
    for at, step in enumerate(trace):
        first.setdefault(step.object, (at, step.place.partition(":")[0]))
    forked = next((at for at, step in enumerate(trace) if step.op.startswith("fork")), len(trace))
    children = {word for word, (at, file) in first.items() if at >= forked and file in AREAS}
    return [
        f"{step.op}: {step.object} in {step.function} ({step.place})"
        for step in trace
        if step.kind != "fence"
        and (not step.object or ("unnamed" in step.object and step.object not in children))
    ]


def test_each_step_names_what_it_touches(traces):
    assert {name: found for name, trace in traces.items() if (found := unnamed(trace))} == {}


def test_a_fork_does_not_excuse_the_other_steps_of_its_trace(traces):
    trace = traces["fork-keeps-migration-writable"]
    assert any(step.op.startswith("fork") for step in trace)
    for at in (0, len(trace) - 1):
        for name in ("", "unnamed word 99"):
            changed = replace(trace[at], object=name, kind="load", place="lru/batch.rs:1")
            assert len(unnamed([*trace[:at], changed, *trace[at + 1 :]])) == 1


def test_each_step_names_the_function_and_the_line_that_took_it(traces):
    for name, trace in traces.items():
        for step in trace:
            file, _, line = step.place.partition(":")
            function = step.function.rpartition("::")[2]
            lines = (CORE / file).read_text(encoding="utf-8").splitlines()[: int(line)]
            begun = [text for text in lines if re.search(r"\bfn \w+", text)]
            assert re.search(rf"\bfn {function}\b", begun[-1]), f"{name}: {step}"


def test_an_unlock_names_the_function_that_took_the_lock(traces):
    for name, trace in traces.items():
        taken = {}
        for step in trace:
            key = (step.thread, step.object)
            took = (step.function, step.place)
            if step.kind in {"lock", "read-lock"} or (step.kind, step.after) == (
                "try-lock",
                "held",
            ):
                taken[key] = took
            elif step.kind in {"unlock", "read-unlock"}:
                # No thread begins with a lock: each unlock follows the step that took the lock.
                assert taken.pop(key, None) == took, f"{name}: {step}"


def test_the_table_has_the_functions():
    minimum = MINIMA["dirty-before-flush"]
    found = mmcore.replay(minimum.program, minimum.schedule, mutation="dirty-before-flush")
    assert "Tlb::flush" in str(found)
    assert "Tlb::flush (map/tlb.rs:" in found.to_html()
