"""The README: its code runs, its commands print what it shows, its pictures are those of `plot`."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import mmcore

ROOT = Path(__file__).parent.parent
_spec = importlib.util.spec_from_file_location("links", ROOT / ".ci" / "absolute_links.py")
links = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(links)
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
CONSOLE = re.findall(r"^```console\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PICTURES = ROOT / "docs" / "pictures"
SVG = "{http://www.w3.org/2000/svg}"

#: Commands that are only parsed (tests/test_documented_commands.py): they build, or take long.
LONG = re.compile(r"make|mmcore compare|valgrind")


def shown():
    """The short commands of the README, each with the lines that the README shows under it."""
    for block in CONSOLE:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.splitlines()
            if not LONG.match(command):
                yield command.partition("   #")[0], lines


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_of_python_runs(number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(BLOCKS[number], f"README.md, block {number + 1}", "exec"), names)
    # Hypothesis has wrapped what the block defines.
    for name, test in names.items():
        if name.startswith("test_"):
            test()
    assert "assert " in BLOCKS[number] or ".check()" in BLOCKS[number]
    capsys.readouterr()


def test_there_are_three_blocks():
    assert len(BLOCKS) == 3


def test_the_commands_print_the_consoles_of_the_readme(tmp_path):
    commands = list(shown())
    assert len(commands) >= 5
    assert any(lines for _, lines in commands)
    for command, lines in commands:
        words = command.replace("mmcore ", f"{sys.executable} -m mmcore ", 1)
        done = subprocess.run(
            ["bash", "-c", words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        found = 1 if "--mutation" in command else 0
        assert done.returncode == found, done.stderr
        # The numbers of steps change with the core.
        printed = re.sub(r"[\d,]+", "N", done.stdout)
        for line in lines:
            assert re.sub(r"[\d,]+", "N", line) in printed
    assert "<h1>content is what was last written</h1>" in (tmp_path / "race.html").read_text()
    assert "miss ratio" in (tmp_path / "curves.html").read_text()


def links_of(text):
    return [found[3].partition("#")[0] for found in links.LINK.finditer(text)]


def test_every_link_leads_to_a_file():
    address = links.repository()
    found = links_of(README)
    assert len(found) > 20
    if address is not None:
        # The page of the package has no repository around it (docs/releasing.md).
        assert [each for each in found if not each.startswith(f"{address}/")] == []
        found = [each.removeprefix(f"{address}/").split("/", 2)[2] for each in found]
    assert [each for each in found if not (ROOT / each).is_file()] == []


def test_links_become_absolute_once():
    text = "![a](docs/a.svg) [b](docs/b.md#c) [d](https://d.org) [e](#e)"
    made = links.absolute(text, "https://x.org/y")
    assert made == (
        "![a](https://x.org/y/raw/HEAD/docs/a.svg) [b](https://x.org/y/blob/HEAD/docs/b.md#c)"
        " [d](https://d.org) [e](#e)"
    )
    assert links.absolute(made, "https://x.org/y") == made
    assert not any(each.startswith("docs") for each in links_of(links.absolute(README, "z:")))


def test_the_front_page_leads_to_the_guides():
    pages = {each.name for each in (ROOT / "docs").glob("*.md")}
    # Pages that the build of the site completes, or that are about the project itself.
    inner = {"index.md", "command-line.md", "counters.md", "profile-fields.md", "recordings.md"}
    named = {Path(each).name for each in links_of(README)}
    assert pages - named - inner == set()


def classes(path):
    return [each.get("class") for each in ET.parse(path).getroot().iter()]


def test_the_picture_of_the_race_is_the_drawing_of_that_race(tmp_path):
    program = mmcore.Program.load(PICTURES / "race.mm")
    found = mmcore.explore(program, mutation="copy-after-restore").counterexample
    found.plot(tmp_path / "race.svg")
    # Steps and their numbers change with the core; `make pictures` draws them anew.
    ours, now = (PICTURES / "race.svg").read_text(), (tmp_path / "race.svg").read_text()
    style = re.search(r"<style>.*?</style>", now, re.DOTALL)[0]
    assert style in ours
    for each in ("head", "race", "breaks", "join"):
        kept, made = classes(PICTURES / "race.svg"), classes(tmp_path / "race.svg")
        assert kept.count(each) == made.count(each) > 0
    for each in ("thread A", "thread B", "move r0 node=1", "read r0"):
        assert f">{each}</text>" in ours


def test_the_picture_of_the_comparison_has_what_its_plot_has():
    text = (PICTURES / "comparison.svg").read_text(encoding="utf-8")
    for each in ("split", "putback", "packed", "Throughput", "Latency", "Operations"):
        assert each in text


def test_the_pictures_are_small():
    pictures = sorted(PICTURES.glob("*.svg"))
    assert {f"docs/pictures/{each.name}" for each in pictures} <= {
        *re.findall(r"\]\(([^)]+\.svg)\)", README)
    }
    assert [each.name for each in pictures] == ["comparison.svg", "race.svg"]
    assert all(each.stat().st_size < 60_000 for each in pictures)
