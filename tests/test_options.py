"""The options of a comparison: the library, the command line and the core agree."""

import inspect
import json
from dataclasses import fields

import pytest

import mmcore
from mmcore import _mmcore
from mmcore._cli.verbs import explore, hunt
from mmcore._comparison.options import MOST_THREADS, Options
from mmcore._exploration.hunting import BUDGET
from mmcore.errors import InputError


def test_migrators_are_limited_as_in_the_core():
    config = {
        "load": "storm",
        "kernel": "6.12",
        "profile": {},
        "migrators": MOST_THREADS + 1,
        "nodes": [{"bytes": 1 << 21, "latency_ns": 100.0}] * 2,
        "copy": True,
        "seed": 1,
        "alone": True,
    }
    with pytest.raises(ValueError, match=r"migrators|mutators"):
        _mmcore.LoadRig(json.dumps(config))
    with pytest.raises(InputError, match=f"from 1 to {MOST_THREADS}"):
        Options(threads=MOST_THREADS + 1)


def test_the_help_names_the_limits_that_searches_begin_with():
    """The command line reads the help from a docstring, which cannot take the numbers from code."""
    helped = {verb: inspect.getdoc(verb) for verb in (explore.explore, hunt.hunt)}
    drawn = f"the number of schedules, {_mmcore.DEFAULT_SCHEDULES} if left out"
    assert drawn in helped[explore.explore]
    assert f"find one defect, {BUDGET} if left out" in helped[hunt.hunt]


def test_defaults_of_the_call_are_those_of_the_options():
    parameters = inspect.signature(mmcore.compare).parameters
    for field in fields(Options):
        # A kernel that is left out leaves room for a whole profile.
        default = None if field.name == "kernel" else field.default
        assert parameters[field.name].default == default, field.name
