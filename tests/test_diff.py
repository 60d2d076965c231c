"""One program under two profiles: the first step that differs, or the outcomes of only one."""

import json

import pytest

import mmcore
from mmcore._cli import run

#: Fields that make both profiles show the same state under the same names.
SHOWN_ALIKE = {"call_names": "folios", "kpageflags_ksm": False}

HOLE = "map r0 anon 2\nwrite r0:0\nmove r0 node=1\n"


def test_two_kernels_part_where_a_recording_of_them_does():
    found = mmcore.diff(HOLE, kernel="6.1,6.12", profile=SHOWN_ALIKE)
    assert found.verdict == "differs"
    status = next(row for row in found.table if row["field"] == "status")
    assert (status["step"], status["op"]) == (2, "move r0 node=1")
    assert status["first"] == [[1, 1], [1, "-EFAULT"]]
    assert status["second"] == [[1, 1], [1, "-ENOENT"]]
    assert status["because"] == ["hole_status"]
    assert status["rule"] == "move-pages-statuses"


def test_a_difference_of_representation_counts_and_says_why():
    found = mmcore.diff(HOLE, kernel=("6.1", "6.12"))
    flags = found.differences[0]
    assert (flags.step, flags.field) == (1, "pages.r0.0.flags")
    assert found.causes[0] == ("kpageflags_ksm",)
    assert "--set kpageflags_ksm=true" in str(found)


def test_one_field_is_varied_under_the_programs_own_profile():
    program = f"machine kernel=6.1\n{HOLE}"
    found = mmcore.diff(program, vary="hole_status=efault,enoent")
    assert found.fields == {"hole_status": ("efault", "enoent")}
    assert found.fields["hole_status"].second == "enoent"
    assert found.labels.first == "hole_status=efault"
    assert found.findings.first == found.findings.second == ()
    assert [row["field"] for row in found.table] == ["status"]
    same = mmcore.diff("map r0 anon 2\nwrite r0\n", vary="hole_status=efault,enoent")
    assert (same.verdict, same.steps, same.differences) == ("same", 2, ())


def test_the_counters_of_a_disks_files_are_compared_too():
    program = "map r0 file 40\nread r0\ndrain\nunmap r0\n"
    found = mmcore.diff(program, vary="pagevec=15,31")
    assert found.differences[0].op == "read r0"
    assert {row["field"] for row in found.table} >= {"n0.nr_inactive_file"}


def test_a_diff_with_an_unsupported_operation_is_inconclusive():
    found = mmcore.diff("map r0 anon 1\nset stat_interval 1\n", kernel="6.1,6.12")
    assert (found.verdict, found.steps) == ("inconclusive", 1)
    assert found.unsupported == "set stat_interval 1"


BATCH = """machine nodes=2 pages=4
map r0 anon 1
thread A
  write r0
  move r0 node=1
thread B
  read r0
"""


def test_threads_reach_the_same_outcomes_where_nothing_they_do_differs():
    found = mmcore.diff(BATCH, vary="hole_status=efault,enoent", preemptions=1)
    assert found.verdict == "same", str(found)
    assert found.common == found.reached[0].outcomes == found.reached[1].outcomes
    assert all(side.is_exhaustive for side in found.reached)


def test_an_outcome_of_one_design_alone_is_shown_with_its_schedule():
    program = """machine nodes=2 pages=4
map r0 anon 2
write r0:0
thread A
  move r0 node=1
thread B
  write r0:1
"""
    found = mmcore.diff(program, vary="hole_status=efault,enoent", preemptions=1)
    assert found.verdict == "differs"
    assert {outcome.side for outcome in found.outcomes} == {
        "hole_status=efault",
        "hole_status=enoent",
    }
    assert found.common, "where B came first there is no hole"
    for outcome in found.outcomes:
        assert outcome.proven
        ((name, values),) = outcome.nearest.items()
        assert name == "A#0 move r0 node=1.status"
        assert {str(values.own), str(values.nearest)} == {
            "[[1, 1], [1, '-EFAULT']]",
            "[[1, 1], [1, '-ENOENT']]",
        }
        replayed = mmcore.replay(program, outcome.schedule, profile=dict([outcome.side.split("=")]))
        assert replayed.rule is None
    assert "the nearest under" in str(found)


def test_a_fault_that_waits_with_a_reference_makes_the_migration_fail():
    program = """machine nodes=2 pages=4
map r0 anon 1
write r0
drain
thread A
  move r0 node=1
thread B
  read r0
"""
    found = mmcore.diff(
        program,
        vary="migration_waiter_reference=false,true",
        profile={"passes": 1, "sync_passes": 1},
    )
    without, with_reference = found.reached
    assert (found.verdict, without.outcomes, with_reference.outcomes) == ("differs", 1, 2)
    (outcome,) = found.outcomes
    assert (outcome.side, outcome.proven) == ("migration_waiter_reference=true", True)
    # The page stays where it is, because the waiting fault of B holds a reference.
    assert outcome.nearest["r0:0.node"] == (0, 1)
    assert outcome.nearest["vm.pgmigrate_fail"] == (1, None)


def test_a_search_that_stopped_early_proves_nothing():
    found = mmcore.diff(BATCH, vary="pagevec=1,31", schedules=3)
    assert not any(side.is_exhaustive for side in found.reached)
    assert found.verdict == "inconclusive"
    assert not any(outcome.proven for outcome in found.outcomes)


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.mm"
    path.write_text(HOLE)
    return str(path)


def test_the_command_says_it_with_its_exit_code(program, capsys, tmp_path):
    alike = ["--set", "call_names=folios", "--set", "kpageflags_ksm=false"]
    assert run(["diff", program, "--kernel", "6.1,6.12", *alike]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith(
        "6.1 and 6.12 part at step 2, move r0 node=1 (rule move-pages-statuses)"
    )
    assert "because of hole_status" in shown
    assert run(["diff", program, "--vary", "passes=3,4", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["kind"], data["status"], data["verdict"]) == ("step-diff", "clean", "same")
    assert data["command"] == "mmcore diff PROGRAM.mm --vary=passes=3,4"
    threads = tmp_path / "threads.mm"
    threads.write_text(BATCH)
    assert run(["diff", str(threads), "--vary", "pagevec=1,31", "--schedules", "3"]) == 3
    assert "inconclusive" in capsys.readouterr().out
    assert (
        run(["diff", str(threads), "--vary", "hole_status=efault,enoent", "--preemptions", "1"])
        == 0
    )
    assert "both: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name what to compare"),
        (["--kernel", "6.1"], "name what to compare"),
        (["--kernel", "6.1,5.0"], "no profile"),
        (["--kernel", "6.1,6.1"], "both sides are 6.1"),
        (["--vary", "pagevec=1"], "--vary takes FIELD=a,b"),
        (["--vary", "pagevec=1,2,3"], "--vary takes FIELD=a,b"),
        (["--vary", "pagevecs=1,2"], "pagevec"),
        (["--vary", "pagevec=0,2"], "1 to 31"),
        (["--vary", "pagevec=1,2", "--kernel", "6.1,6.12"], "cannot be combined"),
        (["--vary", "pagevec=1,2", "--set", "pagevec=3"], "varied and set"),
        (["--kernel", "6.1,6.12", "--set", "pagevec"], "FIELD=VALUE"),
        (["--kernel", "6.1,6.12", "--preemptions", "some"], "some"),
    ],
)
def test_bad_input_is_one_line_and_2(program, arguments, message, capsys):
    assert run(["diff", program, *arguments]) == 2
    complaint = capsys.readouterr().err
    assert message in complaint
    assert complaint.startswith("mmcore: ")
    assert complaint.count("\n") == 1


def test_a_missing_file_or_a_wrong_program_is_one_line_and_2(tmp_path, capsys):
    assert run(["diff", str(tmp_path / "none.mm"), "--kernel", "6.1,6.12"]) == 2
    assert "No such file" in capsys.readouterr().err
    path = tmp_path / "wrong.mm"
    path.write_text("mvoe r0\n")
    assert run(["diff", str(path), "--kernel", "6.1,6.12"]) == 2
    assert "did you mean" in capsys.readouterr().err
    path.write_text("map r0 anon 1\nfinally\n  write r0\n")
    assert run(["diff", str(path), "--kernel", "6.1,6.12"]) == 2
    assert "take them out" in capsys.readouterr().err
