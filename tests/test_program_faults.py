"""The word `fail`: a step of the next operation fails, in every runner, at the same place."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import mmcore
from mmcore import Program
from mmcore.errors import ProgramError
from mmcore.program import Op

#: An operation for each kind of fault, with its set-up, and the error that the fault gives it.
STRUCK = {
    "no_memory": ("map r0 anon 1\nwrite r0", "fork c1", "ENOMEM"),
    "copy_failure": ("map r0 anon 1\nwrite r0\npin g0 r0 longterm", "fork c1", "EHWPOISON"),
    "driver_error": ("map r0 file 1", "fread r0", "EIO"),
    "killed": ("map r0 anon 1\nwrite r0", "mlock r0", "EINTR"),
}


def performed(program: str) -> list[dict[str, Any]]:
    """The operations of a program that runs once, and breaks no rule."""
    result = mmcore.run(program)
    assert result.clean
    return result.steps


def outcomes(program: str) -> list[str | None]:
    """The errnos of the operations of a program."""
    return [step.get("errno") for step in performed(program)]


@pytest.mark.parametrize("kind", STRUCK)
def test_each_kind_makes_the_operation_after_it_fail(kind: str) -> None:
    setup, line, errno = STRUCK[kind]
    count = len(setup.splitlines())
    assert outcomes(f"{setup}\n{line}\n")[count] is None
    assert outcomes(f"{setup}\nfail {kind}\n{line}\n")[count:] == [None, errno]
    in_thread = f"{setup}\nthread A\n  fail {kind}\n  {line}\n"
    assert outcomes(in_thread)[count:] == [None, errno]
    found = mmcore.explore(in_thread, search="exhaustive", checks="all").check()
    assert [(refused.op, refused.errnos) for refused in found.refused] == [(line, (errno,))]


def test_every_kind_of_a_fault_on_purpose_is_one_or_is_refused() -> None:
    (operation,) = (each for each in mmcore.program.operations() if each.name == "fail")
    (fault,) = (each for each in operation.args if each.name == "fault")
    assert set(fault.syntax["choice"]) == STRUCK.keys()
    others = set(mmcore._mmcore.CHOICES["FaultKind"]) - STRUCK.keys()
    assert others == {"extra_pin", "poison", "spurious_wakeup"}
    for kind in others:
        with pytest.raises(ProgramError, match=f"`{kind}` should be one of no_memory, "):
            Program.parse(f"fail {kind}")


def test_a_fault_ends_with_its_operation() -> None:
    setup = "map r0 anon 1\nwrite r0\n"
    # The drain allocates nothing, and the fork after it is another operation.
    assert outcomes(f"{setup}fail no_memory\ndrain\nfork c1")[2:] == [None, None, None]
    # A second line replaces the first.
    assert outcomes(f"{setup}fail no_memory\nfail no_memory nth=200\nfork c1")[4] is None
    # At the end of a thread it is gone: the next thread of the same slot does not meet it.
    assert outcomes(f"{setup}thread A\n  fail no_memory\nfinally\n  fork c1")[3] is None


def test_a_fault_is_of_its_own_thread() -> None:
    """In no schedule does the fault of one thread strike the other."""
    program = """
    map r0 anon 1
    write r0
    thread A
      fail no_memory
      drain
      fork c1
    thread B
      fork c2
    """
    found = mmcore.explore(program, search="exhaustive", checks="all").check()
    (refused,) = found.refused
    assert refused.op == "fail no_memory"
    assert refused.why == "the operation after it never came to such a step"


def test_the_sites_of_an_operation_end() -> None:
    """Counted up, every step that can fail has failed once, and then none is left."""
    setup = "map r0 anon 2\nwrite r0\nmap r1 file 1\n"
    errors = []
    for nth in itertools.count(1):
        *_, error = outcomes(f"{setup}fail no_memory nth={nth}\nfork c1")
        errors.append(error)
        if error is None:
            break
    assert errors == ["ENOMEM"] * (len(errors) - 1) + [None]
    assert len(errors) > 2


def test_a_fault_strikes_several_times_in_a_row() -> None:
    setup = "movable m0 2\n"
    two = f"{setup}fail driver_error times={{}}\nisolate m0"
    assert performed(two.format(1))[-1]["status"] == [[1, "-EBUSY"], [1, 0]]
    assert performed(two.format(2))[-1]["status"] == [[2, "-EBUSY"]]


def test_a_migration_whose_copy_fails_for_good_leaves_its_page() -> None:
    # A migration that may wait tries a page a second time.
    for times, node in ((1, 1), (2, 0)):
        fault = f"fail copy_failure times={times}"
        program = f"map r0 anon 1\nwrite r0\n{fault}\nmove r0 node=1\nquery r0\nread r0"
        *_, found, read = performed(program)
        assert found["status"] == [[1, node]]
        assert read["acc"] == [[1, "ok"]]


def test_numbers_are_checked_in_text_and_in_json() -> None:
    for number in ("0", "256", "-1", "x"):
        with pytest.raises(ProgramError, match="should be a number from 1 to 255"):
            Program.parse(f"fail killed nth={number}")
        with pytest.raises(ProgramError, match="should be a number from 1 to 255"):
            Program.parse(f"fail killed times={number}")
    with pytest.raises(ProgramError, match="integer `0`"):
        mmcore.run(Program(setup=(Op("fail", fault="killed", nth=0),)))
    with pytest.raises(ProgramError, match="fail needs no_memory"):
        Program.parse("fail")
    program = Program.parse("fail no_memory times=3 nth=2\ndrain")
    assert program.text == "fail no_memory nth=2 times=3\ndrain\n"
    assert Program.from_json(program.to_json()) == program


def test_a_sync_that_failed_is_told_once_in_any_order() -> None:
    program = """
    map r0 file 1
    write r0
    thread A
      fail driver_error
      msync r0
    thread B
      msync r0
    finally
      msync r0
    """
    assert mmcore.explore(program, search="exhaustive", checks="all").check().is_exhaustive
