"""Everything public has a docstring, with its errors: editors and the reference show it."""

import ast
import inspect
import re
import textwrap
from pathlib import Path

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


def unnamed_parameters(text):
    """The parameters of public methods that the docstrings of the stub leave out."""
    for owner in ast.parse(text).body:
        if not isinstance(owner, ast.ClassDef) or owner.name not in surface.package_names():
            continue
        for method in owner.body:
            if not isinstance(method, ast.FunctionDef) or method.name.startswith("_"):
                continue
            # A setter is described by its property.
            if any(isinstance(each, ast.Attribute) for each in method.decorator_list):
                continue
            known = [*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs]
            doc = ast.get_docstring(method) or ""
            for name in (each.arg for each in known if each.arg not in ("self", "cls")):
                if not re.search(rf"`{name}\b|^\s*{name}:", doc, re.MULTILINE):
                    yield f"{owner.name}.{method.name}: {name}"


def test_docstrings_name_the_parameters():
    assert not list(unnamed_parameters(TEXT))
    bare = TEXT.replace("number: the number of the page within the region, from 0.", "")
    assert list(unnamed_parameters(bare)) == [
        f"Region.{name}: number" for name in ("page", "fault", "pin")
    ]


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
    # A method of the core in a shape of Python leads to one of the core, which has no source.
    if inspect.isfunction(inspect.unwrap(thing)) and not thing.__name__.startswith("_"):
        for name in raised_in(thing):
            assert f"{name}:" in section, f"{key}: {name}"


#: A function of the binding: what stands above it, its name, what it returns, its body.
FUNCTION = re.compile(
    r"((?: {4}///[^\n]*\n| {4}#\[[^\n]*\n(?: {8}[^\n]*\n| {4}\)\]\n)*)*)"
    r" {4}(?:pub(?:\(\w+\))? )?fn (\w+)[^{;]*?->\s*([^{]*?)\s*\{\n(.*?)\n {4}\}\n",
    re.DOTALL,
)
#: A call of the core in the binding, up to its arguments.
CORE_CALL = re.compile(r"\.(?:call|call_again|call_alone)\(")


def refuses(body, helpers):
    """True if a call of the core in this body can fail: its closure has a `?` or makes an `Err`."""
    for call in CORE_CALL.finditer(body):
        depth, end = 1, call.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(body[end], 0)
            end += 1
        if re.search(r"\?|\bErr\(", body[call.end() : end]):
            return True
    return any(re.search(rf"\b(?:self\.|Self::){name}\(", body) for name in helpers)


def silent_about_errors(source):
    """The methods of Python classes that pass errors of the core on, and have no `Raises:`.

    A special method is described by its class, a setter by its property.
    """
    functions = [found.groups() for found in FUNCTION.finditer(source)]
    helpers = set()
    for _ in range(3):
        helpers |= {name for above, name, _, body in functions if refuses(body, helpers)}
    public = "".join(re.findall(r"^#\[pymethods\]\n.*?^\}$", source, re.DOTALL | re.MULTILINE))
    for above, name, returned, body in (found.groups() for found in FUNCTION.finditer(public)):
        described = "///" in above and not re.search(r"#\[(getter|setter)", above)
        called = described and not name.startswith("__") and "PyResult" in returned
        if called and refuses(body, helpers) and "Raises:" not in above:
            yield name


SOURCES = sorted((Path(__file__).parents[1] / "rust" / "python" / "src").glob("*.rs"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_methods_that_pass_on_errors_of_the_core_say_so(source):
    assert list(silent_about_errors(source.read_text())) == []


def test_a_method_that_is_silent_about_its_errors_is_found():
    method = """
#[pymethods]
impl PagePool {
    /// Adds a page.
    fn add(&self, py: Python<'_>) -> PyResult<u32> {
        self.shared.call(py, Waits::Never, |shared| Ok(self.pool.add(&shared.machine)?.0))
    }
}
"""
    assert list(silent_about_errors(method)) == ["add"]
    told = method.replace("a page.\n", "a page.\n    ///\n    /// Raises:\n")
    assert list(silent_about_errors(told)) == []
    assert list(silent_about_errors(method.replace("?.0", ""))) == []
    by_helper = """
    fn pfn(&self, py: Python<'_>) -> PyResult<Pfn> {
        self.shared.call(py, Waits::Never, |_| Ok(self.pool.pfn()?))
    }

#[pymethods]
impl PagePool {
    /// The page.
    fn page(&self, py: Python<'_>) -> PyResult<Page> {
        Ok(Page::new(self.pfn(py)?))
    }
}
"""
    assert list(silent_about_errors(by_helper)) == ["page"]
