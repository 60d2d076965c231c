"""The text language from Python, and its reference page."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore
from mmcore import Program
from mmcore.errors import ProgramError
from mmcore.program import (
    Boot,
    FieldSetting,
    MachineSpec,
    Op,
    PageRange,
    Selection,
    Thread,
    operations,
)

PAGE = (Path(__file__).parent.parent / "docs" / "programs.md").read_text(encoding="utf-8")

TEXT = """\
# own-boot no-ballast
machine nodes=2 pages=8,16 cpus=2 kernel=6.12 pagevec=15 release=split
map r0 anon 4 node=1
thread A cpu=1
  move r0:0-1,3+zero0 node=1 pid=c0 all
thread B
finally
  audit
"""

PROGRAM = Program(
    boot=Boot(ballast=False),
    machine=MachineSpec(2, (8, 16), 2, "6.12", (("pagevec", "15"), ("release", "split"))),
    setup=(Op("map", region="r0", backing="anon", pages=4, node=1),),
    threads=(
        Thread(
            "A",
            (
                Op(
                    "move",
                    pages=(Selection("r0", ((0, 1), (3, 3))), Selection("zero0")),
                    node=1,
                    options=("pid=c0", "all"),
                ),
            ),
            cpu=1,
        ),
        Thread("B"),
    ),
    finally_=(Op("audit"),),
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_text_becomes_data_and_data_becomes_text() -> None:
    assert Program.parse(TEXT) == PROGRAM
    assert PROGRAM.text == str(PROGRAM) == TEXT
    assert [op.name for op in PROGRAM.ops] == ["map", "move", "audit"]


def test_json_is_read_as_it_is_written() -> None:
    assert json.loads(PROGRAM.to_json())["schema"] == 1
    assert Program.from_json(PROGRAM.to_json()) == PROGRAM


def test_programs_are_values() -> None:
    assert hash(Program.parse(TEXT)) == hash(PROGRAM)
    assert pickle.loads(pickle.dumps(PROGRAM)) == PROGRAM
    assert copy.deepcopy(PROGRAM) == PROGRAM
    assert eval(repr(PROGRAM)) == PROGRAM
    with pytest.raises(AttributeError):
        PROGRAM.setup[0].name = "unmap"


def test_an_operation_alone() -> None:
    op = Op.parse("move r0:0-1 node=1 all")
    assert op.text == "move r0:0-1 node=1 all"
    assert op["node"] == 1
    assert op.get("options") == ("all",)
    assert op.is_system_call
    assert not Op("audit").is_system_call
    for text in ("", "drain\ndrain", "thread A\n drain", "drain\nfinally\n drain"):
        with pytest.raises(ProgramError, match="exactly one operation"):
            Op.parse(text)


def test_options_left_out_make_no_difference() -> None:
    assert Op("move", node=1, pages=(), options=()) == Op("move", pages=None, node=1)
    assert Op.parse("map r0 anon 1").get("node") is None
    with pytest.raises(KeyError):
        Op.parse("map r0 anon 1")["node"]


def test_a_selection_gives_its_pages() -> None:
    assert list(Selection("r0", ((7, 7), (0, 2))).indices(4)) == [7, 0, 1, 2]
    assert list(Selection("r0").indices(3)) == [0, 1, 2]
    assert str(Selection("r0", ((7, 7), (0, 2)))) == "r0:7,0-2"
    assert str(Selection("r0")) == "r0"


def test_the_parts_of_a_program_have_names() -> None:
    plain = Selection("r0", ((0, 1),))
    assert plain.pages is not None
    assert (plain.pages[0].first, plain.pages[0].last) == (0, 1)
    assert plain == Selection("r0", (PageRange(0, 1),))
    machine = MachineSpec(profile=(("pagevec", "15"),))  # type: ignore[arg-type]
    assert machine.profile == FieldSetting.from_dict({"pagevec": "15"})
    assert (machine.profile[0].field, machine.profile[0].value) == ("pagevec", "15")
    assert [arg.name for arg in Op.parse("move r0 node=1").args] == ["node", "pages"]
    for each in (plain, machine):
        assert pickle.loads(pickle.dumps(each)) == each


def test_a_mistake_in_the_text_names_its_place() -> None:
    with pytest.raises(ProgramError) as caught:
        Program.parse("drain\n  map r0 heap 4")
    error = caught.value
    assert (error.line, error.column) == (2, 10)
    assert str(error).startswith("line 2, column 10: `heap` should be one of anon, shm, ")
    assert isinstance(error, ValueError)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.line) == (str(error), 2)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (Program((Op("jump"),)), "unknown variant `jump`"),
        (Program((Op("fillnode"),)), "missing field `node`"),
        (Program((Op("fillnode", node=-1),)), "expected u32"),
        (Program((Op("fillnode", node=2**70),)), "expected u32"),
        (Program((Op("fillnode", node=True),)), "expected u32"),
        (Program((Op("drain", node=1),)), "unknown field `node`"),
        (Program((Op("fork", child="\ud800"),)), "hex escape"),
        (Program((Op("fork", child="c0\ndrain"),)), "is not a name such as c0"),
        (Program(threads=(Thread("A"), Thread("A"))), "a thread A already"),
        (Program(threads=(Thread("A", cpu=-1),)), "expected u32"),
        (Program(machine=MachineSpec(nodes=2, pages=(1, 2, 3))), "3 sizes for 2 nodes"),
    ],
)
def test_data_that_is_no_program_is_refused(program: Program, message: str) -> None:
    for use in (lambda: program.text, program.to_json):
        with pytest.raises(ProgramError, match=message) as caught:
            use()
        assert caught.value.line is None
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Program(boot=3), r"Program\.boot must be a Boot or None, not 3"),
        (lambda: Program(machine="6.12"), r"Program\.machine must be a MachineSpec or None"),
        (lambda: Program([Op("drain")]), r"Program\.setup must be a tuple of Op, not \["),
        (lambda: Program((1,)), r"Program\.setup must be a tuple of Op, not \(1,\)"),
        (lambda: Program(finally_=("audit",)), r"Program\.finally_ must be a tuple of Op"),
        (lambda: Program(threads=(Op("drain"),)), r"Program\.threads must be a tuple of Thread"),
        (lambda: Thread(1), r"Thread\.name must be a str, not 1"),
        (lambda: Thread("A", (None,)), r"Thread\.ops must be a tuple of Op"),
        (lambda: Thread("A", cpu="0"), r"Thread\.cpu must be an int or None, not '0'"),
        (lambda: MachineSpec(nodes="2"), r"MachineSpec\.nodes must be an int or None"),
        (lambda: MachineSpec(pages=8), r"MachineSpec\.pages must be a tuple of int, not 8"),
        (lambda: MachineSpec(kernel=6.12), r"MachineSpec\.kernel must be a str or None"),
        (lambda: MachineSpec(profile=(("pagevec", 15),)), r"must be a tuple of pairs of str"),
        (lambda: MachineSpec(profile=("pagevec",)), r"must be a tuple of pairs of str"),
        (lambda: Boot(None), r"Boot\.ballast must be a bool, not None"),
        (lambda: Selection(0), r"Selection\.of must be a str, not 0"),
        (lambda: Selection("r0", ((0,),)), r"Selection\.pages must be a tuple of pairs of int"),
        (lambda: Op(7), r"Op\.name must be a str, not 7"),
        (lambda: Op("fillnode", node=float("nan")), r"node of an Op must be .*, not nan"),
        (lambda: Op("fork", child={1}), r"child of an Op must be .*, not \{1\}"),
        (lambda: Op("move", pages=(Selection("r0"), "r1")), r"pages of an Op must be"),
    ],
)
def test_a_value_of_another_type_is_refused_where_it_is_given(make, message: str) -> None:
    with pytest.raises(TypeError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_no_way_of_making_a_program_leaves_out_the_check() -> None:
    broken = copy.copy(PROGRAM)
    object.__setattr__(broken, "boot", 3)
    stream = pickle.dumps(broken)
    ways = (
        lambda: dataclasses.replace(PROGRAM, boot=3),
        lambda: copy.copy(broken),
        lambda: copy.deepcopy(broken),
        lambda: pickle.loads(stream),
    )
    for way in ways:
        with pytest.raises(TypeError, match="boot must be a Boot or None"):
            way()
    for wrong in (3, True, [], "own-boot", {"ballast": 3}):
        text = json.dumps({**json.loads(PROGRAM.to_json()), "boot": wrong})
        with pytest.raises(ProgramError, match="not a program in JSON"):
            Program.from_json(text)


def test_misuse_raises() -> None:
    with pytest.raises(ProgramError, match="surrogate") as caught:
        Program.parse("drain\nset x \udc80")
    assert (caught.value.line, caught.value.column) == (2, 7)
    with pytest.raises(ProgramError, match="schema"):
        Program.from_json("{}")
    with pytest.raises(ProgramError, match="surrogate"):
        Program.from_json('{"\udc80":1}')
    with pytest.raises(ProgramError, match="there is no operation 'jump'"):
        _ = Op("jump").is_system_call
    with pytest.raises(TypeError):
        Program.parse(b"drain")
    with pytest.raises(TypeError, match="cannot hold a value of type Op"):
        _ = Program((Op("drain", op="sync"),)).text


@given(st.text())
def test_any_text_is_a_program_or_a_program_error(text: str) -> None:
    try:
        program = Program.parse(text)
    except ProgramError:
        return
    assert Program.parse(program.text) == program


def test_the_page_shows_programs() -> None:
    programs = [Program.parse(text) for text in blocks("text")]
    assert len(programs) >= 4
    assert all(Program.parse(program.text) == program for program in programs)


def test_the_page_shows_python_that_runs() -> None:
    for source in blocks("python"):
        exec(compile(source, "docs/programs.md", "exec"), {"mmcore": mmcore})


def test_the_page_shows_json_as_it_is_written() -> None:
    (example,) = blocks("json")
    assert json.loads(Program.from_json(example).to_json()) == json.loads(example)


@pytest.mark.parametrize(("heading", "system_call"), [("System calls", True), ("Steps", False)])
def test_the_page_lists_every_operation(heading: str, system_call: bool) -> None:
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `(.*)` \| (.*) \|$", section, re.MULTILINE)
    rows = [row for row in operations() if row.system_call is system_call]
    assert [(text.replace("\\|", "|"), doc) for text, doc in listed] == [
        (row.usage, row.doc) for row in rows
    ]
