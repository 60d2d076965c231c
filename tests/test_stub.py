"""What editors and the reference show: a docstring for everything public, with what is raised."""

import ast
import inspect
import re
import textwrap

import pytest

import stub_docstrings as stub
from fuzz import surface

TEXT = stub.STUB.read_text(encoding="utf-8")

#: Everything public that is called: its entry, and the thing itself.
CALLED = {
    key: surface.package_names()[entry.name]
    if entry.owner is None
    else inspect.getattr_static(entry.owner, entry.name)
    for key, entry in surface.entries().items()
    if entry.kind == "call" and not entry.name.startswith("__")
}


def test_the_stub_has_the_docstrings_of_the_module():
    assert not stub.differences(TEXT), "make stubs-write"


def test_a_docstring_that_differs_is_seen_and_written_anew():
    changed = TEXT.replace("The frame's number.", "A number.").replace('"""Reads ', '"""Eats ')
    assert {"Page.pfn"} <= set(stub.differences(changed))
    bare = re.sub(r'\n +"""The frame\'s number\."""', " ...", TEXT)
    assert stub.differences(bare) == ["Page.pfn"]
    assert stub.written(bare) == stub.written(changed) == stub.written(TEXT)


@pytest.mark.parametrize("key", surface.entries())
def test_everything_public_has_a_docstring(key):
    entry = surface.entries()[key]
    if entry.name.startswith("__"):
        return
    owner, thing = entry.owner, CALLED.get(key)
    if entry.kind == "attribute":
        thing = inspect.getattr_static(owner, entry.name)
        if not isinstance(thing, property) and not inspect.isgetsetdescriptor(thing):
            # A field of plain data: its class describes it.
            bases = [base for base in owner.__mro__ if base.__module__.startswith("mmcore")]
            described = "\n".join(inspect.getdoc(base) or "" for base in bases)
            assert entry.name in described, key
            return
    assert inspect.cleandoc(getattr(thing, "__doc__", None) or ""), key


def raised_in(function):
    """The exceptions of mmcore that a function raises itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            name = getattr(node.exc.func, "id", "")
            if name.endswith("Error"):
                yield name


@pytest.mark.parametrize("key", CALLED)
def test_docstrings_name_what_is_raised(key):
    thing = getattr(CALLED[key], "__func__", CALLED[key])
    doc = inspect.getdoc(thing) or ""
    section = doc.partition("Raises:")[2]
    # An error that is told of has its line there.
    for name in re.findall(r"`(\w+Error)` (?:\(E|if )", doc):
        assert f"{name}:" in section, f"{key}: {name}"
    if inspect.isfunction(thing) and not thing.__name__.startswith("_"):
        for name in raised_in(thing):
            assert f"{name}:" in section, f"{key}: {name}"
