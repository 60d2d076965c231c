"""Recordings of real kernels are replayed: the machine must do what the kernel did."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmcore
from mmcore._cli import run
from mmcore._recordings import compare
from mmcore._recordings.passes import replay_passes
from mmcore._recordings.reading import expand, read, release_of

SHIPPED = Path(__file__).parent / "recordings"
#: The recordings that match, by kernel. Each of them must go on matching.
MATCHING = SHIPPED / "matching.json"

#: Recordings that part from the machine before their end, each for a reason that
#: docs/conformance.md tells.
_BOTH = frozenset(
    {"z12-swap"} | {"c20-kernel-pages", "c30-huge-from-holes", "c32-huge-pinned", "c35-huge-defer"}
)
DIFFERING = {
    "6.1": _BOTH | {"h31-compact-zsmalloc", "l41-huge-move", "o13-kernel-zone-longterm"},
    "6.12": _BOTH | {"l73-large-swap", "l74-large-failure"},
}

#: Scripts that fill a node and are replayed by the suite.
_SHORT = ("c05-all-free", "c06-one-page", "c07-one-page-per-block")


def matching():
    return json.loads(MATCHING.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_every_recording_that_matched_matches(kernel):
    # Of the scripts that fill a node (`c*`) only the shortest; `mmcore conformance` replays all.
    names = [name for name in matching()[kernel] if not name.startswith("c") or name in _SHORT]
    assert len(names) > 150
    result = mmcore.conformance(SHIPPED / kernel / f"{name}.json" for name in names)
    assert result.verdict == "match", str(result)


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_every_other_recording_parts_for_a_known_reason(kernel):
    others = {path.stem for path in expand([SHIPPED / kernel])} - set(matching()[kernel])
    assert others == DIFFERING[kernel]
    result = mmcore.conformance(SHIPPED / kernel / f"{name}.json" for name in sorted(others))
    assert not any(row["matches"] for row in result.table)
    assert not result.unsupported


def test_an_unsupported_operation_ends_a_recording_without_fault_if_asked(tmp_path):
    recording = dict(read(SHIPPED / "6.12" / "h01-migrate-anon.json"))
    steps = list(recording["steps"])
    recording["steps"] = [*steps, {"i": len(steps), "op": "set stat_interval 1", "ret": 0}]
    recording["script"] = [*recording["script"], "set stat_interval 1"]
    path = tmp_path / "recording.json"
    path.write_text(json.dumps(recording), encoding="utf-8")
    result = mmcore.conformance(path)
    assert (result.verdict, result.table[0]["unsupported"]) == ("differs", "set stat_interval 1")
    assert mmcore.conformance(path, until_unsupported=True).verdict == "match"


def test_an_operation_that_programs_lack_ends_its_recording_and_no_other(tmp_path):
    recording = dict(read(SHIPPED / "6.12" / "h01-migrate-anon.json"))
    steps = list(recording["steps"])
    recording["steps"] = [*steps, {"i": len(steps), "op": "zs_compact node=1", "ret": 0}]
    recording["script"] = [*recording["script"], "zs_compact node=1"]
    path = tmp_path / "recording.json"
    path.write_text(json.dumps(recording), encoding="utf-8")
    result = mmcore.conformance([path, SHIPPED / "6.12" / "h01-migrate-anon.json"])
    first, second = result.table
    assert (result.verdict, first["unsupported"]) == ("differs", "zs_compact node=1")
    assert first["steps"] == len(steps)
    assert second["matches"]


def test_a_guest_that_is_not_built_is_named(tmp_path):
    recording = dict(read(SHIPPED / "6.12" / "o01-states.json"))
    recording["script"] = ["# machine=vast", *recording["script"][1:]]
    path = tmp_path / "recording.json"
    path.write_text(json.dumps(recording), encoding="utf-8")
    result = mmcore.conformance(path)
    assert result.verdict == "differs"
    assert "`vast`" in str(result)


#: Passes that cannot be compared: their layouts have no types of pageblocks.
UNCOMPARABLE = {
    "6.1": {("b04-migrate-twice", 9), ("z04-migrate", 4)},
    "6.12": {("b04-migrate-twice", 9)},
}


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_compaction_makes_every_recorded_move(kernel):
    seen = 0
    for path in expand([SHIPPED / kernel]):
        if not path.match("[bcz]*"):
            continue
        for each in replay_passes(read(path), kernel):
            if (path.stem, each.step) in UNCOMPARABLE[kernel]:
                assert "types of the pageblocks" in each.reason
                assert not each.matches
            else:
                assert each.matches, f"{path.stem}: {each}"
                seen += 1
    assert seen == {"6.1": 89, "6.12": 92}[kernel]


def test_a_move_that_the_kernel_did_not_make_is_named():
    recording = read(SHIPPED / "6.12" / "c01-every-second.json")
    first = recording["steps"][6]
    moves = [[575, 1537, 1, 0, 0], *first["info"]["moves"][1:]]
    info = {**first["info"], "moves": moves}
    (changed_pass, second) = replay_passes(changed(recording, 6, "info", info), "6.12")
    assert (changed_pass.matching, changed_pass.matches) == (0, False)
    assert changed_pass.differences[0].field == "moves.0"
    assert changed_pass.differences[0].replayed == [575, 1536]
    assert second.matches
    counted = changed(recording, 6, "vm", {**first["vm"], "pgmigrate_success": 40})
    counted["steps"][6]["info"] = {**first["info"], "vm": {}}
    assert [found.field for found in replay_passes(counted, "6.12")[0].differences] == [
        "vm.pgmigrate_success"
    ]
    # Another kernel takes its targets in another order.
    assert not replay_passes(recording, "6.1")[0].matches


def changed(recording, step, field, value):
    steps = [dict(each) for each in recording["steps"]]
    steps[step][field] = value
    return {**recording, "steps": steps}


def replayed(recording):
    program = "\n".join(recording["script"])
    machine = f"machine kernel={release_of(recording)}"
    return json.loads(mmcore._mmcore.replay_program(program, machine))


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("status", [[3, 1], [1, 0]], "status"),
        ("n1", {"nr_anon_pages": 3, "nr_inactive_anon": 4}, "n1"),
        ("calls", {}, "calls"),
        ("pages", {"r0": [{"p": "0-3", "pte": "-"}]}, "pages.pte"),
        ("ev", ["lru_cache_disable"], "ev"),
    ],
)
def test_the_first_step_that_differs_is_named_with_both_sides(field, value, named):
    recording = read(SHIPPED / "6.12" / "h01-migrate-anon.json")
    replay = replayed(recording)
    assert compare(recording, replay).verdict == "match"
    outcome = compare(changed(recording, 4, field, value), replay)
    first = outcome.differences[0]
    assert (outcome.verdict, first.step, first.op) == ("differs", 4, "move r0 node=1")
    assert first.name == named
    assert first.recorded != first.replayed


def test_fields_left_to_chance_are_not_compared():
    recording = read(SHIPPED / "6.12" / "h01-migrate-anon.json")
    replay = replayed(recording)
    other = changed(recording, 4, "n1", {"nr_anon_pages": 9})
    assert compare(other, replay).verdict == "differs"
    assert compare({**other, "nondet": ["steps[4].n1"]}, replay).verdict == "match"


def test_a_state_left_to_chance_is_unknown_until_it_is_told_anew():
    recording = read(SHIPPED / "6.12" / "h01-migrate-anon.json")
    replay = replayed(recording)
    told = [step["i"] for step in recording["steps"] if "pages" in step]
    steps = [dict(step) for step in recording["steps"]]
    del steps[told[2]]["pages"]  # as a recording leaves out fields that differed between runs
    other = {**recording, "steps": steps}
    assert compare(other, replay).verdict == "differs"
    other["nondet"] = [f"steps[{told[2]}].pages.r0"]
    assert compare(other, replay).verdict == "match"
    # States that the recording has again later are compared.
    last = dict(steps[told[-1]]["pages"]["r0"][0])
    steps[told[-1]]["pages"] = {"r0": [{**last, "ref": 99}]}
    assert told[-1] > told[2]
    assert compare(other, replay).verdict == "differs"


def test_the_kernels_differ_where_their_profiles_do():
    recording = read(SHIPPED / "6.1" / "h05-move-pages-errors.json")
    script = "\n".join(recording["script"])
    other = json.loads(mmcore._mmcore.replay_program(script, "machine kernel=6.12"))
    outcome = compare(recording, other)
    assert outcome.verdict == "differs"


def test_the_command_says_what_it_found(capsys, tmp_path):
    recording = read(SHIPPED / "6.12" / "h01-migrate-anon.json")
    assert run(["conformance", str(SHIPPED / "6.12" / "h01-migrate-anon.json")]) == 0
    assert "6.12 h01-migrate-anon: match" in capsys.readouterr().out
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(changed(recording, 4, "ret", 7)), encoding="utf-8")
    assert run(["conformance", str(path)]) == 1
    out = capsys.readouterr().out
    assert "step 4" in out
    assert "recorded 7, replayed 0" in out
    assert run(["conformance", "--json", str(path), "--set", "passes=10"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["status"] == "finding"
    assert data["recordings"][0]["differences"][0]["rule"] == "move-pages-statuses"
    assert run(["conformance", str(tmp_path / "none.json")]) == 2
    assert run(["conformance"]) == 2


def test_json_says_what_was_run_and_where():
    path = str(SHIPPED / "6.1" / "h05-move-pages-errors.json")
    data = json.loads(mmcore.conformance(path, until_unsupported=True).to_json())
    assert data["kind"] == "conformance"
    assert data["command"] == f"mmcore conformance {path} --until-unsupported"
    assert data["build"] == mmcore.build_info()


PLACES = ("script", "steps", "final", "nondet")
FIELDS = (
    "op",
    "status",
    "acc",
    "pages",
    "big",
    "child",
    "frames",
    "vm",
    "n0",
    "calls",
    "ev",
    "info",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 99) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    place=st.sampled_from(PLACES) | st.tuples(st.integers(0, 20), st.sampled_from(FIELDS)),
    value=JSON | st.fixed_dictionaries({"r0": JSON}),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_recording_that_is_wrong_somewhere_is_refused_or_differs(tmp_path, place, value):
    recording = dict(read(SHIPPED / "6.12" / "h05-move-pages-errors.json"))
    if isinstance(place, str):
        recording[place] = value
    else:
        number, field = place
        steps = [dict(step) for step in recording["steps"]]
        steps[number % len(steps)][field] = value
        recording["steps"] = steps
    path = tmp_path / "recording.json"
    path.write_text(json.dumps(recording), encoding="utf-8")
    refused = None
    try:
        result = mmcore.conformance(path)
    except mmcore.errors.InputError as error:
        refused = str(error)
    if refused is not None:
        assert "\n" not in refused
        assert path.name in refused
        return
    assert result.verdict in {"match", "differs"}
    assert str(result)
    json.loads(result.to_json())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"steps": []}, "the script has 20 operations, but there are 0 steps"),
        ({"script": ["map r0 anon 1"]}, "step 0 is"),
        ({"script": 7}, "'script' must be a text"),
        ({"final": None}, "'final' must be an object"),
        ({"nondet": [1]}, "'nondet' must be a list"),
    ],
)
def test_steps_that_are_not_the_script_s_are_refused(tmp_path, change, why):
    recording = {**read(SHIPPED / "6.12" / "h05-move-pages-errors.json"), **change}
    path = tmp_path / "recording.json"
    path.write_text(json.dumps(recording), encoding="utf-8")
    with pytest.raises(mmcore.errors.InputError, match=why):
        mmcore.conformance(path)


@pytest.mark.parametrize(
    "runs",
    [
        [[1, "-EAGAIN", 10**12, 1]],
        [[1, -11, 3, 1]],
        [[1, "-EAGAIN", 0, 1]],
        ["...", [1, "-EAGAIN"]],
        [["...", "-EAGAIN", 2]],
        "...",
    ],
)
def test_attempts_that_no_list_can_hold_are_refused(tmp_path, runs):
    recording = read(SHIPPED / "6.12" / "c01-every-second.json")
    recording["steps"][-1]["fails"] = runs
    path = tmp_path / "recording.json"
    path.write_text(json.dumps(recording), encoding="utf-8")
    with pytest.raises(mmcore.errors.InputError, match="fails"):
        mmcore.conformance(path)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("{}", "no recording"),
        ('{"format": 1}', "the key 'name' is missing"),
        ("[", "not JSON: Expecting value"),
    ],
)
def test_a_malformed_recording_is_refused(tmp_path, data, why):
    path = tmp_path / "recording.json"
    path.write_text(data, encoding="utf-8")
    with pytest.raises(mmcore.errors.InputError, match=why):
        mmcore.conformance(path)


def test_a_kernel_without_a_profile_is_refused():
    recording = {**read(SHIPPED / "6.12" / "h01-migrate-anon.json"), "kernel": "5.0.1-amd64"}
    with pytest.raises(mmcore.errors.InputError, match="no profile for the kernel"):
        release_of(recording)


def test_free_blocks_that_are_no_list_are_refused(tmp_path):
    """Found by the fuzzer (files, seeds 238 and 301)."""
    recording = json.loads((SHIPPED / "6.12" / "c01-every-second.json").read_text("utf-8"))
    step = next(step for step in recording["steps"] if "buddy_DMA32" in step)
    step["buddy_DMA32"] = 7
    path = tmp_path / "recording.json"
    path.write_text(json.dumps(recording), encoding="utf-8")
    with pytest.raises(mmcore.errors.InputError, match="buddy_DMA32"):
        mmcore.conformance(path)


def _shortest_with_each_field():
    """The shortest recording that has a field of a step or of its `info`, with the step."""
    found = {}
    for path in expand([SHIPPED / "6.12"]):
        steps = read(path)["steps"]
        for number, step in enumerate(steps):
            inner = [("info", name) for name in step.get("info", {})]
            for field in [(name,) for name in step if name not in {"i", "op"}] + inner:
                if field not in found or len(steps) < found[field][2]:
                    found[field] = (path, number, len(steps))
    return found


def test_a_field_of_another_type_is_refused_or_differs(tmp_path):
    """The fuzzer (files, seed 4974) ended conformance with a TypeError: `nonlru` was a number."""
    path = tmp_path / "recording.json"
    for field, (shipped, number, _) in _shortest_with_each_field().items():
        for value in (7, {"a": "b"}, [[1, 2]]):
            recording = json.loads(json.dumps(dict(read(shipped))))
            place = recording["steps"][number]
            for part in field[:-1]:
                place = place[part]
            place[field[-1]] = value
            path.write_text(json.dumps(recording), encoding="utf-8")
            with contextlib.suppress(mmcore.errors.InputError):
                mmcore.conformance(path)
