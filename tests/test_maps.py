"""Maps: each frame has its letter, the pictures show it, and recorded layouts can be arranged."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcore
from mmcore._cli import run
from mmcore._cli.output import display
from mmcore._map import of_program
from mmcore._map.cells import COLORS, cell_letters, frames_per_cell
from mmcore._recordings.reading import expand, read
from mmcore.results import FRAME_KINDS, MapSteps

SHIPPED = Path(__file__).parent / "recordings"
#: Letters of kinds that can be arranged in any number.
LETTERS = sorted(set(FRAME_KINDS) - set("Awvq"))


def layouts(kernel, names="*"):
    """Every recorded layout, with its types, or with none where they were not recorded."""
    for path in expand([SHIPPED / kernel]):
        if not path.match(names):
            continue
        for number, step in enumerate(read(path)["steps"]):
            told = {**step.get("info", {}), **step}
            if step["op"].startswith("layout") and "layout" in told:
                letters, types = (
                    "".join(pattern * times for times, pattern in told.get(field, []))
                    for field in ("layout", "types")
                )
                yield f"{path.stem}/{number}", letters, types


def arranged(letters, types, kernel):
    """The letters and types that a node reads after it was arranged."""
    with mmcore.Machine(nodes=[4096 * len(letters)], backed=False, kernel=kernel) as machine:
        machine.arrange(letters, types=types or None)
        node = machine.map().nodes[0]
        machine.audit().raise_for_findings()
        return node.text, node.types


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_a_recorded_layout_reads_as_it_was_recorded(kernel):
    """The layouts of a few scripts; those of all take a minute."""
    seen = 0
    for name, letters, types in layouts(kernel, "c0[1-5]*"):
        text, kinds = arranged(letters, types, kernel)
        assert text == letters, name
        assert kinds == (types or "M" * len(kinds)), name
        seen += 1
    assert seen > 10


@pytest.fixture
def machine():
    with mmcore.Machine(nodes=["4MiB", "1MiB"]) as machine:
        yield machine


def test_a_fresh_machine_is_free(machine):
    first, second = machine.map().nodes
    assert (first.node, second.node) == (0, 1)
    assert first.totals == {".": 1024}
    assert first.free_blocks == (0,) * 10 + (1,)
    assert (first.free, first.free_pageblocks, first.types) == (1024, 2, "MM")
    assert second.free_blocks[8] == 1
    assert machine.map(1).nodes[0].text == second.text
    for none in (2, 2**64 - 1):
        with pytest.raises(mmcore.errors.KernelError, match=f"no node {none}"):
            machine.map(none)


def test_each_page_has_the_letter_of_what_it_is(machine):
    space = machine.address_space()
    region = space.mmap("16KiB")
    region[:] = bytes(4 * 4096)
    assert machine.map(0).nodes[0].totals["v"] == 4
    machine.drain()
    pages = [region.page(index) for index in range(4)]
    letters = machine.map(0).nodes[0].letters
    assert [chr(letters[page.pfn]) for page in pages] == ["a"] * 4
    region.mlock(0, 1)
    machine.drain()
    with pages[1].get(), pages[2].isolate():
        letters = machine.map(0).nodes[0].letters
        assert "".join(chr(letters[page.pfn]) for page in pages) == "Upia"
    pool = machine.page_pool()
    movable = pool.page(pool.add())
    node = machine.map(0).nodes[0]
    assert node.totals["m"] == 1
    assert list(node.pages_by_owner.values()) == [1]
    assert chr(node.letters[movable.pfn]) == "m"
    with machine.alloc(node=1, order=2):
        assert machine.map(1).nodes[0].totals["k"] == 4
    machine.soft_offline_page(pages[3])
    assert chr(machine.map(0).nodes[0].letters[pages[3].pfn]) == "H"


@given(st.text(LETTERS, min_size=1, max_size=64), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_node_can_be_arranged_and_cleared(letters, backed):
    with mmcore.Machine(nodes=[len(letters) * 4096], backed=backed) as machine:
        with machine.arrange(letters) as arrangement:
            assert machine.map().nodes[0].text == letters
            assert arrangement.damaged() is None
            machine.audit().raise_for_findings()
        assert machine.nodes[0].free == len(letters)
        machine.audit().raise_for_findings()


def test_a_layout_that_cannot_be_arranged_says_why(machine):
    letters = np.full(1024, ord("."), dtype=np.uint8)
    with machine.arrange(letters, types="UM") as arrangement:
        assert machine.map(0).nodes[0].types == "UM"
        assert repr(arrangement) == "<Arrangement node=0>"
        assert arrangement.node == 0
    assert machine.map(0).nodes[0].types == "MM"
    with pytest.raises(mmcore.errors.MisuseError, match="closed"):
        arrangement.damaged()
    for wrong, why in (
        ({"letters": "a"}, "a letter for each frame"),
        ({"letters": "!" * 1024}, "frame 0: ! is no letter"),
        ({"letters": "A" * 1024}, "cannot be arranged"),
        ({"letters": letters, "types": "M"}, "a type for each pageblock"),
        ({"letters": letters, "types": "MX"}, "X is no letter of a migratetype"),
        ({"letters": letters, "node": 7}, "no node 7"),
    ):
        with pytest.raises(mmcore.errors.KernelError, match=re.escape(why)):
            machine.arrange(**wrong)
    with pytest.raises(TypeError, match="letters are"):
        machine.arrange(7)
    with machine.alloc(), pytest.raises(mmcore.errors.KernelError, match="in use"):
        machine.arrange("a" * 1024)


def test_a_picture_shows_single_pages_of_a_large_node(machine):
    assert frames_per_cell(64) == 1
    assert frames_per_cell(65536) == 32
    machine.arrange("." * 1000 + "a" + "." * 23)
    node = machine.map(0).nodes[0]
    assert cell_letters(node, 8) == "." * 125 + "a" + ".."
    text = str(machine.map(0))
    assert text.count("\n") < 40
    assert "node 0: 1,023 of 1,024 frames are free" in text
    assert set(COLORS) == set(FRAME_KINDS)


def test_two_maps_stand_side_by_side(machine, tmp_path):
    before = machine.map()
    machine.arrange("a." * 512)
    change = before.beside(machine.map())
    assert change.verdict.splitlines()[0] == "node 0: 512 frames changed, 2 to 0 free pageblocks"
    assert {"node": 0, "letter": "a", "meaning": FRAME_KINDS["a"], "before": 0, "after": 512} in (
        change.table
    )
    row = next(line for line in str(change).splitlines() if line.lstrip().startswith("0  "))
    assert row.split() == ["0", "." * 64, "a." * 32]
    with pytest.raises(mmcore.errors.InputError, match="same nodes"):
        before.beside(machine.map(0))
    for result in (before, change):
        result.plot(tmp_path / "map.svg")
        svg = (tmp_path / "map.svg").read_text(encoding="utf-8")
        assert "free, in the buddy lists" in svg
        result.plot(tmp_path / "map.png")
        assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
        with pytest.raises(mmcore.errors.InputError, match="the name of a plot must end in one of"):
            result.plot(tmp_path / "map.txt")
    assert 'style="background:#2563eb;color:#fff">a</span>' in change.to_html()


def test_the_moves_of_a_run_make_the_map_after_it(machine, tmp_path):
    machine.arrange("aa" + "." * 1022)
    before = machine.map(0).nodes[0]
    steps = MapSteps.of(before, [(1, 1023), (0, 1022)])
    assert steps.after.text == "." * 1022 + "aa"
    assert steps.table[0] == {"move": 0, "source": 1, "target": 1023, "letter": "a"}
    assert steps.verdict == "2 moves, 1 to 1 free pageblocks"
    page = steps.to_html(tmp_path / "steps.html")
    assert "<script>" in page
    assert '"moves":[1,1023,0,1022]' in page
    assert not re.search(r"\b(src|href)=", page)
    assert MapSteps.of(before, [(0, 1030)]).moves == ()
    for moves, why in ([(0, 1)], "move 0, 0 to 1"), ([(5, 6)], "to a free one"):
        with pytest.raises(mmcore.errors.InputError, match=why):
            MapSteps.of(before, moves)


PROGRAM = "map r0 anon 3 node=1\nwrite r0\ndrain\nunmap r0:1\n"


def test_the_command_maps_a_program(tmp_path, capsys):
    program = tmp_path / "program.mm"
    program.write_text(PROGRAM)
    words = ["map", str(program), "--set", "pages=64"]
    assert run([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [node["node"] for node in document["nodes"]] == [0, 1]
    assert document["nodes"][1]["kinds"] == {".": 62, "a": 2}
    assert run([*words, "--node", "1", "--before-after", "drain", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["before"][0]["kinds"]["v"] == 3
    assert document["changed"] == {"1": 3}
    plot, html = tmp_path / "map.svg", tmp_path / "map.html"
    assert run([*words, "--plot", str(plot), "--html", str(html)]) == 0
    assert "node 1: 62 of 64 frames are free" in capsys.readouterr().out
    assert plot.exists()
    assert html.exists()
    assert run([*words, "--before-after", "compact"]) == 2
    assert "the program has no operation compact" in capsys.readouterr().err
    assert run([*words, "--node", "5"]) == 2
    assert "no node 5" in capsys.readouterr().err
    assert run([*words, "--plot", str(tmp_path / "map.txt")]) == 2


def test_a_program_with_threads_is_mapped_when_they_have_ended(tmp_path, capsys):
    program = tmp_path / "program.mm"
    program.write_text(
        "machine pages=64\nmap r0 anon 2\nwrite r0\ndrain\nthread A\n  move r0 node=1\n"
    )
    assert run(["map", str(program), "--before-after", "move", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["before"][0]["kinds"]["a"] == 2
    assert document["after"][0]["kinds"] == {".": 64}


def change(text, word):
    """The kinds of frames of node 0 before and after an operation."""
    program = mmcore.Program.parse(f"machine pages=64\n{text}")
    found = of_program(program, node=0, around=word)
    before, after = found.pairs[0]
    return before.totals, after.totals


def test_layouts_of_the_program_are_not_taken_for_the_maps_around_an_operation():
    own = "layout node=0\n"
    text = f"map r0 anon 2\n{own}write r0\ndrain\nunmap r0\n{own}"
    for begin, end in ("", ""), (own, own):
        before, after = change(f"{begin}{text}{end}", "drain")
        assert (before["v"], after["a"]) == (2, 2)
    maps = of_program(mmcore.Program.parse(f"machine pages=64\nlayout node=9\n{text}"))
    assert [node.totals for node in maps.nodes] == [{".": 64}] * 2


@pytest.mark.parametrize("threads", ["", "thread A\n  read r0\nthread B\n  read r0\n"])
def test_an_operation_in_finally_has_a_map_before_and_after(threads):
    text = f"map r0 anon 2\nwrite r0\n{threads}finally\n  drain\n  unmap r0\n"
    before, after = change(text, "drain")
    assert (before["v"], after["a"]) == (2, 2)
    before, after = change(text, "unmap")
    assert (before["a"], after) == (2, {".": 64})
    before, after = change(text, "write")
    assert (before, after["v"]) == ({".": 64}, 2)


SPARSE = "map r0 anon 32\nwrite r0\ndrain\n" + "".join(
    f"unmap r0:{page}\n" for page in range(0, 32, 2)
)


@pytest.mark.parametrize(
    "text",
    [
        f"{SPARSE}compact node=0\nthread A\n  compact node=0\n",
        f"{SPARSE}thread A\n  compact node=0\nfinally\n  compact node=0\n",
        f"{SPARSE}compact node=0\nfinally\n  compact node=0\n",
    ],
)
def test_the_moves_between_two_maps_begin_at_the_first(text):
    program = mmcore.Program.parse(f"machine pages=64 pageblock_order=3\n{text}")
    found = of_program(program, node=0, around="compact")
    before, after = found.pairs[0]
    assert before.text == ".a" * 16 + "." * 32
    assert found.moves
    # A moved page reads as one that waits in a batch, so that only its place can be compared.
    moved = found.steps(0).after.text.replace("a", "v")
    assert moved == after.text.replace("a", "v")


def test_an_operation_is_named_by_its_first_word():
    text = "map r0 anon 1\nwrite r0\nmigrate from=0 to=1\n"
    before, after = change(text, "migrate")
    assert (before["v"], after) == (1, {".": 64})


def test_a_picture_has_colours_on_a_terminal_alone(machine, capsys, monkeypatch):
    part = next(part for part in machine.map(1).parts() if not isinstance(part, str))
    display(part)
    assert "\x1b" not in capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    display(part)
    assert "\x1b[" in capsys.readouterr().out


def test_a_map_tells_what_its_program_did_not_do(tmp_path, capsys):
    path = tmp_path / "refused.mm"
    path.write_text("machine pages=64\nmap r0 anon 1\nwrite r0\nisolate r0\ncompact node=0\n")
    note = "note: setup: `isolate r0` was refused: EBUSY"
    for words in ([], ["--before-after", "compact"]):
        assert run(["map", str(path), *words]) == 0
        assert note in capsys.readouterr().out
        assert run(["map", str(path), *words, "--json"]) == 0
        (refused,) = json.loads(capsys.readouterr().out)["refused"]
        assert (refused["section"], refused["i"], refused["op"]) == ("setup", 2, "isolate r0")
    path.write_text("machine pages=64\ncompact node=0\nmap r0 anon 1\nwrite r0\nisolate r0\n")
    assert run(["map", str(path), "--before-after", "compact", "--json"]) == 0
    (refused,) = json.loads(capsys.readouterr().out)["refused"]
    assert refused["i"] == 3
