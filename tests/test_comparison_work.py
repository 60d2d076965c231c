"""The verdict about work, the gates, and the files of counts."""

import json
import re
from dataclasses import replace

import pytest

import mmcore
from mmcore._cli import run as command
from mmcore._comparison import Comparison, Options, work
from mmcore._comparison.gates import make_gates
from mmcore._comparison.plan import Variant, make_plan
from mmcore._comparison.protocol import Operations
from mmcore._comparison.runner import measure
from mmcore.errors import InputError
from simulated_rig import SimulatedBackend

#: A load of the machine itself that counts in a moment.
QUICK = ["compare", "--load", "storm", "--no-copy", "--nodes", "8MiB,8MiB"]
DESIGNS = ["--vary", "release=split,putback"]


def compared(*, gate=(), at_most=0.03, allow=None, planted=None, seconds=6.0, **backend):
    variants = [Variant("split", {}), Variant("other", {}, planted or {})]
    plan = make_plan(None, Options(load="storm", seconds=seconds), variants=variants)
    simulated = SimulatedBackend(**backend)
    measured = measure(plan, simulated, clock=simulated.clock)
    return Comparison(measured, make_gates(gate, at_most, allow))


def operations(**more):
    counts = {"rmw": 20.0, "lruvec_locks": 0.5, "pagevec_inserts": 1.0, "batch_locks": 1.0}
    return Operations({**counts, "list_ops": 4.0, "fences": 1.0, **more}, {})


@pytest.mark.parametrize(
    ("found", "phrase"),
    [
        ({}, "packed does the work of split, operation for operation, on every machine"),
        ({"rmw": 20.1}, "the work of split, within 1% or 0.01 operations, on"),
        ({"rmw": 25.0}, "25% more atomics (25.00, not 20.00); on every machine"),
        ({"rmw": 17.0}, "15% fewer atomics (17.00, not 20.00)"),
        ({"lruvec_locks": 3.05}, "6.1 times the lruvec locks (3.05, not 0.50)"),
        ({"pagevec_inserts": 2.0}, "twice the pagevec insertions (2.00, not 1.00)"),
        ({"lruvec_locks": 0.25}, "half the lruvec locks (0.25, not 0.50)"),
        ({"list_ops": 0.0}, "no list operations (0.00, not 4.00)"),
        ({"batch_locks": 2.0}, "twice the batch locks (2.00, not 1.00)"),
        ({"fences": 9.0}, "operation for operation"),
        ({"lruvec_locks": 0.508}, "within 1% or 0.01 operations"),
    ],
)
def test_work_is_told_in_words_of_the_kernel(found, phrase):
    said = work.sentence("packed", "split", operations(**found), operations())
    assert phrase in said


def test_the_largest_difference_comes_first_and_batch_locks_only_alone():
    found = operations(rmw=25.0, lruvec_locks=3.0, batch_locks=2.0)
    said = work.sentence("putback", "split", found, operations())
    assert said.index("lruvec locks") < said.index("atomics")
    assert "batch" not in said


def test_a_count_that_only_one_build_knows_is_not_compared():
    older = operations()
    newer = operations(tlb_flushes=0.03)
    assert "operation for operation" in work.sentence("a", "b", newer, older)
    assert work.more(work.counts(newer), work.counts(older), {}) == []


def test_the_verdict_has_the_certain_part_first():
    result = compared()
    kinds = [line.partition(": ")[0] for line in result.verdict.splitlines()]
    assert kinds == ["work", "time"]
    assert result.work == [
        "other does the work of split, operation for operation, on every machine"
    ]


# --- The gates ------------------------------------------------------------------------------------


def test_one_planted_atomic_closes_the_gate_on_every_machine():
    for weather in ("calm", "heavy", "neighbour"):
        result = compared(gate="work", planted={"atomics": 1}, weather=weather)
        (outcome,) = result.outcomes
        assert (outcome.result, result.status) == ("worse", "finding")
        assert "1.0000 atomics a page more (12.0000, not 11.0000)" in outcome.why


def test_an_allowed_excess_opens_the_gate():
    planted = {"atomics": 1}
    assert compared(gate="work", planted=planted, allow={"atomics": 1.0}).status == "clean"
    assert compared(gate="work", planted=planted, allow={"atomics": 0.9}).status == "finding"
    assert compared(gate="work", planted=planted, allow={"list operations": 9}).status == "finding"


def test_alike_variants_never_close_the_gate_of_work():
    for seed in range(20):
        assert compared(gate="work", weather="heavy", seed=seed).status == "clean"


@pytest.mark.parametrize(
    ("slowdown", "at_most", "sigma", "result"),
    [
        (0.0, 0.03, 0.03, "fine"),
        (0.10, 0.03, 0.03, "worse"),
        (0.03, 0.03, 0.03, "inconclusive"),
        (0.0, 0.03, 3.0, "inconclusive"),
        (0.10, 0.20, 0.03, "fine"),
    ],
)
def test_the_gate_of_time_judges_the_whole_interval(slowdown, at_most, sigma, result):
    found = compared(
        gate="time", at_most=at_most, planted={"slowdown": slowdown}, sigma=sigma, seconds=20.0
    )
    (outcome,) = found.outcomes
    assert outcome.result == result, outcome
    status = {"fine": "clean", "worse": "finding", "inconclusive": "inconclusive"}
    assert found.status == status[result]


def test_too_few_rounds_open_no_gate():
    assert compared(gate="time", seconds=0.01).status == "inconclusive"


@pytest.mark.parametrize(
    ("others", "why"),
    [
        (1.9, "this machine was too busy"),
        (0.0, "its rounds differ too much"),
        (None, "its rounds differ too much"),
    ],
)
def test_a_wide_interval_is_no_result_and_a_busy_machine_is_named(others, why):
    result = Comparison(replace(compared(sigma=8.0).measurement, others=others))
    (line, advice) = result.time
    assert line.startswith(f"other: inconclusive: {why}")
    assert "--seconds" in advice
    assert result.status == "inconclusive"


def test_a_missed_precision_is_inconclusive():
    variants = [Variant("a", {}), Variant("b", {})]
    for precision, status in ((0.05, "clean"), (0.0001, "inconclusive"), (None, "clean")):
        options = Options(load="storm", seconds=6.0, precision=precision)
        plan = make_plan(None, options, variants=variants)
        backend = SimulatedBackend()
        result = Comparison(measure(plan, backend, clock=backend.clock))
        assert result.status == status, result.verdict
        assert ("--precision asks for: b" in result.verdict) == (status == "inconclusive")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gate": "speed"}, "'speed' is not one of work, time"),
        ({"gate": "time", "at_most": 1.5}, "at_most must be a fraction"),
        ({"gate": "time", "at_most": "3%"}, "at_most must be a fraction"),
        ({"gate": "work", "allow": {"puts": 1}}, "no count 'puts'; counts: atomics"),
        ({"gate": "work", "allow": {"atomics": -1}}, "atomics must be a number"),
        ({"allow": {"atomics": 1}}, "allow is for the gate work"),
        ({"gate": "work", "at_most": 0.1}, "at_most is for the gate time"),
        ({"update": True}, "--update needs the file"),
        ({"gate": "time", "work": "w.json"}, "add --gate work"),
        ({"work": "w.json", "against": "python3"}, "leave out --work or --against"),
        ({"gate": "work", "vary": "release=split"}, "needs two variants"),
        ({"gate": "work", "load": "tiering", "vary": {"policy": [None, print]}}, "policies"),
        ({"work": "no-such-file.json"}, "no-such-file.json: No such file"),
    ],
)
def test_a_gate_that_cannot_be_judged_is_refused_in_one_line(options, message):
    with pytest.raises(InputError) as refused:
        mmcore.compare(**{"load": "storm", **options})
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


# --- The machine itself, and files ----------------------------------------------------------------


def test_a_file_of_counts_is_small_sorted_and_holds_its_own_build(tmp_path, capsys):
    file = tmp_path / "counts.json"
    options = [*QUICK, *DESIGNS, "--work", str(file)]
    assert command(options) == 2, "there is no file yet"
    assert "--update" in capsys.readouterr().err
    assert command([*options, "--update"]) == 0
    text = file.read_text()
    assert command([*options, "--update"]) == 0
    assert file.read_text() == text, "every run counts the same"
    data = json.loads(text)
    assert list(data["variants"]) == ["putback", "split"]
    assert list(data["variants"]["split"]) == sorted(data["variants"]["split"])
    assert data["variants"]["split"]["atomics"] < data["variants"]["putback"]["atomics"]
    assert len(text) < 2000
    assert command(options) == 0
    shown = capsys.readouterr().out
    assert "counted, not timed" in shown
    assert f"gate work: putback: fine: the counts of {file}" in shown


def test_a_file_with_fewer_counts_closes_the_gate(tmp_path, capsys):
    file = tmp_path / "counts.json"
    options = [*QUICK, *DESIGNS, "--work", str(file)]
    command([*options, "--update"])
    data = json.loads(file.read_text())
    data["variants"]["split"]["atomics"] -= 1.0
    file.write_text(json.dumps(data))
    capsys.readouterr()
    assert command(options) == 1
    assert "gate work: split: worse: 1.0000 atomics a page more" in capsys.readouterr().out
    assert command([*options, "--allow", "atomics=+1"]) == 0
    data["variants"]["split"]["atomics"] += 3.0
    file.write_text(json.dumps(data))
    capsys.readouterr()
    assert command(options) == 0, "less work is no fault"
    assert "fewer atomics" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(load="tiering"), "was counted with load 'tiering'"),
        (lambda data: data.update(more=1), "was counted with more 1, this run has None"),
        (lambda data: data["variants"].pop("putback"), "has no counts of putback"),
        (lambda data: data.update(variants=[]), "no file of counts"),
        (lambda data: data["variants"]["split"].update(atomics="11"), "no file of counts"),
    ],
)
def test_another_file_of_counts_is_refused(change, message, tmp_path, capsys):
    file = tmp_path / "counts.json"
    options = [*QUICK, *DESIGNS, "--work", str(file)]
    command([*options, "--update"])
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))
    capsys.readouterr()
    assert command(options) == 2
    complaint = capsys.readouterr().err
    assert message in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"variants": {"split": 1}}'])
def test_a_damaged_file_of_counts_is_refused(text, tmp_path, capsys):
    file = tmp_path / "counts.json"
    file.write_text(text)
    assert command([*QUICK, *DESIGNS, "--work", str(file)]) == 2
    assert "no file of counts" in capsys.readouterr().err


def test_the_gate_of_work_says_of_two_designs_which_is_worse(tmp_path, capsys):
    gated = [*QUICK, *DESIGNS, "--gate", "work"]
    summary, file = tmp_path / "summary.md", tmp_path / "work.md"
    summary.write_text("before\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("GITHUB_STEP_SUMMARY", str(summary))
        assert command([*gated, "--markdown", str(file)]) == 1
    shown = capsys.readouterr().out
    assert "work: putback takes, beside split and for each migrated page," in shown
    assert re.search(r"twice the pagevec insertions \(1\.\d\d, not 0\.\d\d\)", shown)
    assert "time: " not in shown
    assert "### mmcore compare: worse than allowed" in file.read_text()
    assert summary.read_text() == f"before\n{file.read_text()}"
    twice = [*QUICK, "--vary", "release=split,split", "--gate", "work"]
    assert command(twice) == 0


def test_the_command_repeats_what_was_judged():
    result = mmcore.compare(
        load="storm", copy=False, nodes="8MiB,8MiB", gate="work", allow={"atomics": 0.5}
    )
    assert result.command.endswith("--gate work --allow atomics=+0.5")
    assert command([*result.command.split()[1:]]) == 1
    document = json.loads(result.to_json())
    assert document["status"] == "finding"
    assert document["stopped"] == "counted"
    assert {gate["variant"] for gate in document["gates"]} == set(result.labels[1:])
    assert "worse" in {gate["result"] for gate in document["gates"]}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--at-most", "three"], "a slowdown such as 3%"),
        (["--allow", "atomics"], "COUNT=+N"),
        (["--gate", "speed"], "speed"),
        (["--markdown", "no/such/folder/x.md"], "no file can be made"),
    ],
)
def test_a_wrong_word_is_one_line(words, message, capsys):
    assert command([*QUICK, *words]) == 2
    complaint = capsys.readouterr().err
    assert message in complaint
    assert complaint.count("\n") == 1


def test_a_planted_atomic_is_found_on_the_machine_itself():
    variants = [Variant("split", {}), Variant("planted", {}, {"atomics": 1})]
    plan = make_plan(
        None, Options(load="storm", copy=False, nodes="8MiB,8MiB"), variants=variants, timed=False
    )
    from mmcore import _mmcore

    result = Comparison(measure(plan, _mmcore), make_gates("work", 0.03, None))
    (outcome,) = result.outcomes
    assert outcome.result == "worse"
    assert outcome.why.startswith("1.0000 atomics a page more")
