"""The steps of zram and zsmalloc in the recordings: each result is the kernel's, to the byte.

The scripts were recorded on a guest with a third node, and compact memory in between, which moves
pages and changes no count of the pool. So the steps on the device are replayed by themselves.
"""

import json
from pathlib import Path

import pytest

from mmcore import _mmcore
from mmcore._recordings.compare import first_differences
from mmcore._recordings.reading import expand, read, release_of

SHIPPED = Path(__file__).parent / "recordings"
SCRIPTS = [path for path in expand([SHIPPED]) if path.name.startswith("z")]


def of_the_device(recording):
    return [step for step in recording["steps"] if step["op"].startswith("zs_")]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_step_on_a_device_is_the_kernels(path):
    recording = read(path)
    steps = of_the_device(recording)
    if not steps:
        pytest.skip("this script has no steps on a device")
    script = "\n".join(step["op"] for step in steps)
    machine = f"machine kernel={release_of(recording)} pages=65536,65536,3840"
    replay = json.loads(_mmcore.replay_program(script, machine))
    assert len(replay["steps"]) == len(steps), replay
    # Once a script traces moves, its recording counts the calls of owners alone.
    traced = {step["i"] for step in recording["steps"] if step["op"].startswith("trace moves")}
    for at, (theirs, ours) in enumerate(zip(steps, replay["steps"], strict=True)):
        path_of = f"steps[{theirs['i']}]."
        chance = [each.replace(path_of, "steps[0].") for each in recording["nondet"]]
        skipped = ["steps[0].calls"] if any(begun < theirs["i"] for begun in traced) else []
        found = first_differences([theirs], [ours], [*chance, *skipped])
        assert not found, (at, found)


def test_the_recordings_have_steps_of_every_kind():
    steps = [step["op"].split()[0] for path in SCRIPTS for step in of_the_device(read(path))]
    kinds = ("zs_open", "zs_put", "zs_del", "zs_check", "zs_stat", "zs_compact", "zs_close")
    assert {kind: steps.count(kind) > 30 for kind in kinds} == dict.fromkeys(kinds, True)
    assert len(steps) == 434
