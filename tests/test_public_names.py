"""The public names: where each is, and what it costs to have them."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import mmcore

PUBLIC = (
    "mmcore",
    "mmcore.errors",
    "mmcore.handles",
    "mmcore.program",
    "mmcore.results",
    "mmcore.searches",
    "mmcore.typing",
)
LAZY = ("mmcore", "mmcore.errors", "mmcore.results")


def loaded_by(statement):
    """The modules of mmcore, and NumPy, that a statement loads in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    return {name for name in modules if name.partition(".")[0] == "mmcore"} | modules & {"numpy"}


def test_the_package_alone_loads_nothing():
    assert loaded_by("import mmcore") == {"mmcore", "mmcore._lazy"}


def test_a_machine_loads_neither_explorer_nor_comparison():
    loaded = loaded_by("from mmcore import Machine\nMachine(nodes=['1MiB'])")
    assert "mmcore._mmcore" in loaded
    assert not {name for name in loaded if name.startswith(("mmcore._exploration", "mmcore._comp"))}


def test_the_explorer_loads_no_more_than_a_search_needs():
    # Each of these loads a dozen others, and costs as many milliseconds.
    large = {"importlib.metadata", "importlib.resources", "secrets", "fractions", "tempfile"}
    code = "import numpy, sys\nbefore = set(sys.modules)\nimport mmcore\nmmcore.explore\n"
    code += "print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "mmcore._exploration.searching" in loaded
    assert loaded & (large | {"mmcore._exploration.hunting"}) == set()
    assert len(loaded) < 70


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_that_a_module_says_it_has_is_there(name):
    module = importlib.import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    for each in module.__all__:
        assert getattr(module, each) is not None
    assert set(module.__all__) <= set(dir(module))


def test_each_public_name_is_in_one_module():
    names = [each for name in PUBLIC for each in importlib.import_module(name).__all__]
    again = {name for name in names if names.count(name) > 1}
    # A program is what users begin with, and the module of its parts would be odd without it.
    assert again <= {"Program", "MmcoreError"}


def test_users_begin_with_few_names():
    assert len(mmcore.__all__) <= 28


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'mmcore' has no attribute 'Maschine'"):
        mmcore.Maschine  # noqa: B018 - it raises
    assert not hasattr(mmcore, "KernelError")


@pytest.mark.parametrize("name", LAZY)
def test_type_checkers_see_the_names_that_are_imported_late(name):
    tree = ast.parse(Path(importlib.import_module(name).__file__).read_text(encoding="utf-8"))
    (branch,) = [node for node in tree.body if isinstance(node, ast.If)]
    static = {}
    for statement in branch.body:
        assert isinstance(statement, ast.ImportFrom)
        names = {alias.name for alias in statement.names}
        if statement.module != name:
            static[statement.module] = names
    (table,) = [node for node in ast.walk(branch) if isinstance(node, ast.Dict)]
    late = {home: set(names) for home, names in ast.literal_eval(table).items()}
    assert static == late


def test_all_exceptions_have_one_base():
    for name in mmcore.errors.__all__:
        error = getattr(mmcore.errors, name)
        assert issubclass(error, Warning if name.endswith("Warning") else mmcore.MmcoreError)


@pytest.mark.parametrize("name", PUBLIC)
def test_classes_say_the_module_that_users_find_them_in(name):
    module = importlib.import_module(name)
    for each in module.__all__:
        thing = getattr(module, each)
        # Only classes of the compiled core: a class in Python names the file that it is written in.
        if inspect.isclass(thing) and getattr(mmcore._mmcore, each, None) is thing:
            assert thing.__module__ == name
