"""Odd calls of the library's functions: each refuses in words, or does what it was asked."""

import faulthandler
import inspect
import json

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import mmcore
import test_machine_misuse
from mmcore import comparison
from simulated_rig import SimulatedBackend

#: Longer than any example takes: what hangs ends with every thread's stack.
HANGS = 300

# What a wrong call may raise. A panic is none of these, and neither is a finding.
ALLOWED = (
    mmcore.InputError,
    mmcore.MisuseError,
    mmcore.KernelError,
    TypeError,
    ValueError,
    AttributeError,  # what is used as something that it is not
    LookupError,
    OverflowError,
    FileNotFoundError,
    IsADirectoryError,
)

PROGRAM = "map r0 anon 1\nwrite r0\ndrain\nthread A\n  move r0 node=1\nthread B\n  write r0\n"
STEPS = "map r0 anon 1\nwrite r0\nmove r0 node=1\n"
INTEGERS = st.integers(-2, 3) | st.sampled_from([255, 2**16, 2**31, 2**32, 2**63, 2**64, -(2**63)])
WORDS = ["", " ", "\0", "\n", "é", "nonsense", "6.12", "6.1,6.12", "1MiB,4MiB", "passes=1,2"]
WORDS += ["release=split,packed", "no/such/file", ".", "two_list,clock", "exhaustive", "all"]
WORDS += [PROGRAM, STEPS, "A:0 B:1", "storm", "tiering", "-1", "machine kernel=5.0"]
ODD = st.one_of(
    INTEGERS,
    st.none(),
    st.booleans(),
    st.sampled_from([float("nan"), float("inf"), -0.0, 1e300, 1e-300, 0.5]),
    st.sampled_from(WORDS),
    st.text(max_size=8),
    st.binary(max_size=4),
    st.lists(INTEGERS | st.sampled_from(WORDS), max_size=3),
    st.dictionaries(st.sampled_from(WORDS), INTEGERS | st.sampled_from(WORDS), max_size=2),
    st.sampled_from([print, object(), mmcore.Program.parse(STEPS)]),
)

#: What bounds an example's time: made odd by tests of their own.
BOUNDED = {"program": PROGRAM, "schedules": 50, "seconds": 1.0}
TRACE = mmcore.Trace(range(300), [True] * 300)
OP = mmcore.Op.parse("write r0")

#: Calls that end soon.
CALLS = {
    "explore": BOUNDED | {"shrink": 5},
    "replay": {"program": PROGRAM, "schedule": "A B"},
    "shrink": {"program": PROGRAM, "schedule": "A B"},
    "diff": BOUNDED | {"kernel": "6.1,6.12"},
    "run": {"program": PROGRAM, "patience": 1.0},
    "stress": {"program": PROGRAM, "patience": 1.0, "seconds": 0.01},
    "policies": {"trace": TRACE, "policy": "lru", "size": 64},
    "profiles": {},
    "conformance": {"recordings": []},
    "Trace": {"pages": [1, 2], "writes": [0, 1]},
}
#: What makes programs and schedules, and what a program's text is then made from.
DATA = {
    mmcore.Op: ("name",),
    mmcore.Op.parse: ("text",),
    mmcore.Selection: ("of", "pages"),
    mmcore.Thread: ("name", "ops", "cpu"),
    mmcore.MachineSpec: ("nodes", "pages", "cpus", "kernel", "profile"),
    mmcore.Boot: ("ballast",),
    mmcore.Program: ("setup", "threads", "finally_", "machine", "boot"),
    mmcore.Program.parse: ("text",),
    mmcore.Program.from_json: ("text",),
    mmcore.Schedule: ("threads",),
    mmcore.Schedule.parse: ("text",),
    mmcore.Profile: ("kernel", "release", "nonsense"),
}


@pytest.fixture(autouse=True)
def guard():
    faulthandler.dump_traceback_later(HANGS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def parameters(name):
    return [
        each for each in inspect.signature(getattr(mmcore, name)).parameters if each != "fields"
    ]


def check_result(work):
    """Does it, unless it is refused in words; what comes of it can be shown."""
    refused = None
    try:
        result = work()
    except ALLOWED as error:
        refused = str(error)
    if refused is not None:
        assert refused
        return
    str(result)
    if hasattr(result, "to_json"):
        json.loads(result.to_json())


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=100)
@given(data=st.data())
def test_a_function_refuses_an_odd_argument_or_uses_it(name, data):
    known = parameters(name)
    odd = data.draw(st.dictionaries(st.sampled_from([*known, "nonsense"]), ODD, max_size=2))
    if "seconds" in odd and "schedules" in odd:
        del odd["seconds"]  # one of the two has to end the search
    if name in ("run", "stress") and {"seconds", "patience"} & odd.keys():
        assume(not any(isinstance(each, float) and each > 1 for each in odd.values()))
        assume(not any(isinstance(each, int) and each > 1 for each in odd.values()))
    check_result(lambda: getattr(mmcore, name)(**{**CALLS[name], **odd}))


@settings(max_examples=300)
@given(maker=st.sampled_from(list(DATA)), data=st.data())
def test_what_is_no_program_or_schedule_is_refused(maker, data):
    some = st.sampled_from([OP, mmcore.Thread("A", (OP,)), mmcore.MachineSpec(), mmcore.Boot()])
    value = ODD | some | st.lists(some, max_size=2).map(tuple)
    named = data.draw(st.dictionaries(st.sampled_from(DATA[maker]), value, max_size=2))
    first = DATA[maker][0]

    def work():
        made = maker(*[named.pop(first)] if first in named else (), **named)
        if isinstance(made, mmcore.Selection):
            made = mmcore.Op("write", pages=made)
        if isinstance(made, mmcore.Op):
            made = mmcore.Program(setup=(made,))
        if isinstance(made, mmcore.Thread):
            made = mmcore.Program(threads=(made,))
        if isinstance(made, mmcore.MachineSpec):
            made = mmcore.Program(machine=made)
        if isinstance(made, mmcore.Program):
            assert mmcore.Program.parse(made.text).text == made.text

    check_result(work)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    odd=st.dictionaries(
        st.sampled_from([*parameters("compare"), "nonsense"]), ODD, min_size=1, max_size=2
    )
)
def test_compare_refuses_an_odd_option_or_uses_it(monkeypatch, odd):
    monkeypatch.setattr(comparison, "_mmcore", SimulatedBackend())
    options = {"seconds": 0.1, "vary": "release=split,packed", "trace": TRACE, **odd}
    if isinstance(options["seconds"], int | float) and options["seconds"] > 1:
        options["seconds"] = 0.1  # simulated seconds, but each of them is work
    check_result(lambda: mmcore.compare(**options))


def test_every_public_call_is_called_oddly():
    """A name that is new in the package is to be added to one of the tests of odd calls."""
    elsewhere = set(test_machine_misuse.CLASSES)
    made = {getattr(maker, "__self__", maker) for maker in DATA}
    for name in mmcore.__all__:
        thing = getattr(mmcore, name)
        if not callable(thing) or name in CALLS or name == "compare":
            continue
        known = thing in elsewhere or thing in made or name in RESULTS
        assert known or issubclass(thing, BaseException), name


#: What calls return and take from each other, and what has no arguments.
RESULTS = {
    "Audit",
    "Comparison",
    "Conformance",
    "Counterexample",
    "Event",
    "Exploration",
    "Finding",
    "Holder",
    "Migrated",
    "MovableOps",
    "OutcomeDiff",
    "PageState",
    "Policies",
    "PolicyOutcome",
    "ProfileField",
    "Profiles",
    "RunResult",
    "Signal",
    "StepDiff",
    "StressResult",
    "build_info",
}
