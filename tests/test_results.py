"""Results all alike: rows, verdict, JSON that its schema describes, a page, a text."""

import json
import re
import shlex
from html.parser import HTMLParser
from importlib.resources import files
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft202012Validator

import every_result
from mmcore._cli import app, run
from mmcore._cli.showing import CODES
from mmcore.errors import InputError
from mmcore.reporting import KINDS, Drawing, Grid, Listed, Result, head, schema
from mmcore.reporting._image import save
from schema_errors import SCHEMAS, errors


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(params=every_result.RESULTS)
def result(request, folder):
    return every_result.result(request.param, folder)


def subclasses(of):
    for each in of.__subclasses__():
        yield each
        yield from subclasses(each)


def test_every_class_of_results_is_among_them(folder):
    made = {type(every_result.result(name, folder)) for name in every_result.RESULTS}
    # By name: a dataclass with slots is made twice, and its first class remains a subclass.
    assert {each.__name__ for each in subclasses(Result) if hasattr(each, "kind")} == {
        each.__name__ for each in made
    }
    kinds = {kind for kind, _ in every_result.RESULTS.values()}
    assert kinds | {"environment"} == set(KINDS)


def test_a_result_has_rows_a_verdict_and_a_status(result):
    assert isinstance(result.table, list)
    assert all(isinstance(row, dict) for row in result.table)
    assert result.verdict
    assert result.status in CODES
    assert result.command.startswith("mmcore")
    assert result.seed is None or isinstance(result.seed, int)


def test_its_json_is_what_its_schema_says(result, tmp_path):
    text = result.to_json(tmp_path / "result.json")
    assert (tmp_path / "result.json").read_text(encoding="utf-8") == f"{text}\n"
    document = json.loads(text)
    assert errors(document) == []
    assert document["kind"] == result.kind
    assert (document["status"], document["verdict"]) == (result.status, result.verdict)
    assert list(document)[:6] == list(head("run", ""))


def test_its_schema_refuses_a_key_that_is_missing_unknown_or_of_another_type(result):
    document = json.loads(result.to_json())
    # Two rows of each list will do, as the whole document is checked twice for every key.
    document |= {key: rows[:2] for key, rows in document.items() if isinstance(rows, list)}
    for key in document:
        without = {name: value for name, value in document.items() if name != key}
        if key != "kind":
            assert errors(without), f"{key} may be missing"
            assert errors({**document, key: object()}), f"{key} may be anything"
    assert errors({**document, "more": 1})


class Outline(HTMLParser):
    """The tags that are opened and closed, and the files that would be fetched."""

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.seen = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in ("meta", "br", "input"):
            self.open.append(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_its_page_is_whole_and_needs_no_other_file(result, tmp_path):
    page = result.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    # A drawing of matplotlib refers to itself alone.
    drawn = '<svg class="drawn".*?</svg>'
    outline = Outline(re.sub(drawn, "", page, flags=re.DOTALL))
    assert (outline.open, outline.fetched) == ([], [])
    assert outline.seen.count("h1") == 1
    parts = [part for part in result.parts() if isinstance(part, Drawing)]
    assert outline.seen.count("figure") == len(parts)
    assert re.search(r"<(link|iframe)", page) is None
    # A page to step through has a script of its own, and fetches none.
    live = [part for part in parts if part.live is not None]
    assert outline.seen.count("script") == 2 * len(live)
    assert len(re.findall(drawn, page, re.DOTALL)) == len(parts) - len(live)


def test_under_every_picture_of_its_page_is_a_table(result):
    page = result.to_html()
    for after in page.split("</figure>")[1:]:
        # A caption may come between them, and a map once more in letters.
        rest = re.sub(r"<p.*?</p>|<div[^>]*><pre.*?</pre></div>", "", after, flags=re.DOTALL)
        assert re.match(r'\s*<div class="scroll"[^>]*><table>', rest)


def test_a_result_is_plotted_or_says_that_it_has_no_drawing(result, tmp_path):
    path = tmp_path / "drawing.svg"
    # Maps have coloured cells in their page, and a drawing for files alone.
    assert {type(part) for part in result.drawings()} <= {Drawing}
    if not result.drawings():
        with pytest.raises(InputError, match="the result has no drawing"):
            result.plot(path)
        return
    result.plot(path)
    image = ET.parse(path).getroot()
    assert image.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(list(image.iter())) > 5
    result.plot(tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == path.read_bytes()
    with pytest.raises(InputError, match=r"the name .*must end in .*\.svg"):
        result.plot(tmp_path / "drawing.gif")


def test_the_results_with_drawings_are_those_with_plots_maps_or_steps(folder):
    kinds = {"comparison", "map", "map-change", "map-steps", "replay", "counterexample", "policies"}
    drawn = {kind for name, (kind, _) in every_result.RESULTS.items() if _draws(name, folder)}
    # An exploration and a hunt draw the race that they found.
    assert drawn == kinds | {"exploration", "hunt"}


def _draws(name, folder):
    return bool(every_result.result(name, folder).drawings())


def test_several_drawings_stand_one_below_the_other(tmp_path):
    image = '<svg width="{}" height="30" xmlns="http://www.w3.org/2000/svg"><rect/></svg>'
    drawings = [Drawing(lambda: image.format(10)), Drawing(lambda: image.format(20))]
    save(drawings, tmp_path / "both.svg")
    root = ET.parse(tmp_path / "both.svg").getroot()
    assert (root.get("width"), root.get("height")) == ("20", "60")
    assert [each.get("y") for each in root] == ["0", "30"]


def test_a_notebook_shows_its_tables_and_no_drawing(result):
    shown = result._repr_html_()
    assert "<svg" not in shown
    grids = sum(isinstance(part, Grid) for part in result.parts())
    listed = [part for part in result.parts() if isinstance(part, Listed)]
    grids += sum(bool(grid.rows) for part in listed for grid in part.tables)
    assert Outline(shown).seen.count("table") == grids


def test_its_text_has_what_its_page_has(result):
    text, page = str(result), result._repr_html_()
    for part in result.parts():
        if isinstance(part, Grid):
            for row in part.rows:
                assert all(cell in text for cell in row)
            assert page.count("<tr>") >= len(part.rows)
        elif isinstance(part, str):
            assert part in text
        elif isinstance(part, Listed):
            assert part.text in text


@pytest.mark.parametrize(
    ("name", "titles", "cells"),
    [
        ("conformance", ["recordings"], ["6.12 h01-migrate-anon", "match"]),
        ("conformance that differs", ["recordings", "what differs"], ["ret", "7", "0"]),
        ("conformance with a damaged file", ["recordings"], ["could not be compared"]),
        ("outcome diff", ["outcomes of one side alone", "the two profiles"], ["only under"]),
        ("step diff", ["what differs", "the two profiles"], ["kpageflags_ksm", "yes", "faults"]),
        ("profiles of two", ["fields of a profile"], ["pagevec", "15", "31"]),
    ],
)
def test_pages_of_lines_have_tables(name, titles, cells, folder):
    page = every_result.result(name, folder).to_html()
    captions = re.findall("<caption>(.*?)</caption>", page)
    assert set(titles) <= set(captions)
    for cell in cells:
        assert f">{cell}</t" in page
    # Each fact stands once: the lines of the text are not on the page as well.
    assert "recorded 7, replayed 0" not in page


@pytest.mark.parametrize(
    ("words", "name", "code"),
    [
        (["run", "PROGRAM"], "run of threads", 0),
        (["explore", "PROGRAM", "--mutation", every_result.RACE], "exploration with a race", 1),
        (["replay", "PROGRAM", "0x3", "--max-steps", "5000"], "replay", 0),
        (["diff", "PROGRAM", "--kernel", "6.1,6.12", "--preemptions", "0"], "outcome diff", 1),
        (["profiles", "6.1", "6.12"], "profiles of two", 0),
        (["hunt", "--list"], "mutations", 0),
        (["hunt", every_result.RACE], "hunt of one", 0),
        (["soak", "--schedules", "300", "--seed", "5"], "soak", 0),
        (["conformance", str(every_result.RECORDING)], "conformance", 0),
    ],
)
def test_the_command_shows_the_same_and_its_json_is_valid(words, name, code, folder, capsys):
    program = folder / "program.mm"
    program.write_text(every_result.PROGRAM)
    words = [str(program) if word == "PROGRAM" else word for word in words]
    assert run(words) == code
    shown = capsys.readouterr().out
    seconds = r"\d+\.\d s"
    told = re.sub(seconds, "s", str(every_result.result(name, folder)))
    assert re.sub(seconds, "s", shown).endswith(f"{told}\n")
    assert run([*words, "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert errors(document) == []
    assert CODES[document["status"]] == code


def test_the_json_of_other_commands_is_valid(folder, capsys):
    program = folder / "program.mm"
    program.write_text(every_result.MOVE)
    trace = folder / "trace.npz"
    every_result.trace().save(trace)
    for words in (
        ["env"],
        ["run", str(program), "--stress", "0.05"],
        ["diff", str(program), "--vary", "pagevec=15,31"],
        ["policies", str(trace), "--policy", "lru", "--size", "16"],
        ["standard", "--matching", "movable 1: release", "--release", "split"],
        ["compare", "--load", "storm", "--nodes", "8MiB,8MiB", "--seconds", "0.1"],
    ):
        run([*words, "--json"])
        assert errors(json.loads(capsys.readouterr().out)) == []


def test_the_command_of_a_result_can_be_typed(result):
    if result.command.startswith("mmcore."):
        return  # a call: what is compared are Python's callables
    words = shlex.split(result.command)
    assert words[0] == "mmcore"
    app().parse_args(words[1:], exit_on_error=False, print_error=False)


def test_each_kind_has_a_schema_of_its_name_and_each_schema_a_kind():
    shipped = {path.name for path in files("mmcore").joinpath("data", "schemas").iterdir()}
    assert shipped == {f"{kind}.json" for kind in (*KINDS, "head")}
    for kind, each in SCHEMAS.items():
        Draft202012Validator.check_schema(each)
        assert each["$id"] == f"urn:mmcore:{kind}:1"
        assert each["title"]
    with pytest.raises(InputError, match="choose one of comparison"):
        schema("nothing")


def test_numbers_that_json_has_not_are_refused():
    from mmcore.reporting._document import as_json

    with pytest.raises(ValueError, match="JSON compliant"):
        as_json({"ratio": float("nan")})


def test_a_page_that_cannot_be_written_names_the_file(folder):
    for write in ("to_json", "to_html"):
        with pytest.raises(OSError, match="No such file"):
            getattr(every_result.result("run", folder), write)("no/such/folder")
