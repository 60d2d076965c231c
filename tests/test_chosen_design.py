"""`pytest --design DESIGN`, with which `make try` runs the tests of one design."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import DESIGNS

TESTS = Path(__file__).parent
FILES = ("test_machine_pages.py", "test_zsmalloc_threads.py")


def collected(*words):
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *words, *(str(TESTS / name) for name in FILES)],
        capture_output=True,
        text=True,
        check=False,
        cwd=TESTS.parent,
    )


@pytest.mark.parametrize("design", ["mine", "split"])
def test_the_tests_of_one_design_are_those_with_its_machine(design):
    done = collected("--design", design)
    assert done.returncode == 0
    names = re.findall(r"^tests/.*::.*$", done.stdout, re.MULTILINE)
    assert len(names) > 5
    # A name such as "determined" has the word too, but no machine of the design.
    everything = re.findall(r"^tests/.*::.*$", collected().stdout, re.MULTILINE)
    of_design = re.compile(rf"\[(.*-)?{design}(-.*)?\]$")
    assert [name for name in everything if of_design.search(name)] == names


def test_a_design_that_does_not_exist_is_refused():
    done = collected("--design", "minne")
    assert done.returncode == 4
    assert "--design minne: no such design" in done.stderr
    assert all(design in done.stderr for design in DESIGNS)
