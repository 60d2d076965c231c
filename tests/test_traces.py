"""Each step of a trace names its thread, the function of the core, and the object."""

import re
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


def test_each_step_names_what_it_touches(traces):
    unnamed = {
        f"{name}: {step.op}: {step.object} in {step.function} ({step.place})"
        for name, trace in traces.items()
        for step in trace
        if step.kind != "fence"
        and (not step.object or "unnamed" in step.object)
        # A child that a thread forks is gone after the schedule, and with it the names of its
        # areas: traces with a fork are left out.
        and not any(each.op.startswith("fork") for each in trace)
    }
    assert not unnamed


def test_each_step_names_the_function_and_the_line_that_took_it(traces):
    for name, trace in traces.items():
        for step in trace:
            file, _, line = step.place.partition(":")
            function = step.function.rpartition("::")[2]
            lines = (CORE / file).read_text(encoding="utf-8").splitlines()[: int(line)]
            begun = [text for text in lines if re.search(r"\bfn \w+", text)]
            assert re.search(rf"\bfn {function}\b", begun[-1]), f"{name}: {step}"


def test_an_unlock_names_the_function_that_took_the_lock(traces):
    for trace in traces.values():
        taken = {}
        for step in trace:
            key = (step.thread, step.object)
            if step.kind in {"lock", "read-lock"}:
                taken[key] = step.place
            elif step.kind in {"unlock", "read-unlock"}:
                assert step.place == taken.get(key, step.place)


def test_the_table_has_the_functions():
    minimum = MINIMA["dirty-before-flush"]
    found = mmcore.replay(minimum.program, minimum.schedule, mutation="dirty-before-flush")
    assert "Tlb::flush" in str(found)
    assert "<title>Tlb::flush (map/tlb.rs:" in found.to_html()
