"""The house of `docs/design.md` and the habits of `CONTRIBUTING.md`, enforced.

Each check takes texts and returns what breaks its rule. It runs over the repository, and over a
planted text that breaks the rule: a check that sees nothing fails there.
"""

import ast
import importlib
import re
import tomllib
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TypeVar

import pytest

import mmcore
from rust_imports import Definitions, Module, code_of, imports, modules

ROOT = Path(__file__).parents[1]
CORE = ROOT / "rust" / "core" / "src"
PACKAGE = ROOT / "python" / "mmcore"
#: Lines of a file: one idea rarely needs more.
LINES = 600
#: Columns of a line, comments too, by the ending of the file.
COLUMNS = {".rs": 110, ".py": 100}

Name = TypeVar("Name")


def design() -> str:
    return (ROOT / "docs" / "design.md").read_text()


# --- The drawing ----------------------------------------------------------------------------------


def floors(text: str) -> dict[Module, int]:
    """The floor of each name in the drawing of the rooms; the lowest is 0."""
    section = text.split("## Rooms, and arrows that point down")[1]
    lines = [re.sub(r"\(.*", "", line) for line in section.split("```")[1].strip().splitlines()]
    return {
        tuple(name.split("/")): floor
        for floor, line in enumerate(reversed(lines))
        for name in line.split()
    }


def floor_of(module: Module, drawn: dict[Module, int]) -> int | None:
    """The floor of a module: that of the longest drawn name which it begins with."""
    while module:
        if module in drawn:
            return drawn[module]
        module = module[:-1]
    return None


def undrawn(rooms: Iterable[Module], drawn: dict[Module, int]) -> list[str]:
    return sorted("/".join(room) for room in rooms if floor_of(room, drawn) is None)


def arrows(files: dict[Module, str]) -> dict[Module, set[Module]]:
    """The modules that each module names, by the files that define the names."""
    definitions = Definitions(files)
    return {
        module: {definitions.home(path) for path in imports(module, text)} - {module, ()}
        for module, text in files.items()
    }


def upward(files: dict[Module, str], drawn: dict[Module, int]) -> list[str]:
    """Imports of a room on a higher floor."""
    found = []
    for module, others in arrows(files).items():
        own = floor_of(module, drawn)
        for other in others:
            floor = floor_of(other, drawn)
            if own is not None and floor is not None and floor > own:
                found.append(f"{'/'.join(module)} names {'/'.join(other)}")
    return sorted(found)


def circle(graph: dict[Name, set[Name]]) -> list[Name]:
    """One circle of a graph, with its first node again at the end; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def between_folders(files: dict[Module, str]) -> dict[Module, set[Module]]:
    """The arrows between files, verbs too.

    A file and the files of its folder are one idea in parts: `pub use` in the file, `super` in the
    parts. Their arrows are left out.
    """
    return {
        module: {
            other
            for other in others
            if other[: len(module)] != module and module[: len(other)] != other
        }
        for module, others in arrows(files).items()
    }


def core() -> dict[Module, str]:
    """The texts of the core's modules; `lib.rs` names them all, and stands for none."""
    return {m: file.read_text() for m, file in modules(CORE).items() if m}


def test_arrows_point_down():
    found = upward(core(), floors(design()))
    assert not found, "\n".join(found)


def test_an_arrow_that_points_up_is_found():
    drawn = {("map",): 1, ("map", "area"): 0, ("page",): 0}
    assert upward({("page",): "use crate::{map::Area};", ("map",): ""}, drawn) == ["page names map"]
    files = {("map", "area"): "fn f() { super::verb(); }", ("map",): "use self::area::Area;"}
    assert upward(files, drawn) == ["map/area names map"]
    tests = "#[cfg(test)]\nmod tests { use crate::map::{self}; }\n// crate::map"
    assert upward({("page",): tests, ("map",): ""}, drawn) == []


def test_every_room_is_drawn_and_every_drawn_room_is_there():
    drawn, known = floors(design()), modules(CORE)
    assert not undrawn([module for module in known if module], drawn)
    assert not [name for name in drawn if name not in known]
    assert undrawn([("page",), ("attic",)], {("page",): 0}) == ["attic"]


def test_files_of_the_core_form_no_circle():
    found = circle(between_folders(core()))
    assert not found, " - ".join(map("/".join, found))
    knot = {
        ("a",): "use crate::b::B;",
        ("b",): "use crate::machine;",
        ("machine",): "crate::a::f()",
    }
    assert circle(between_folders(knot))
    parts = {("a",): "pub use self::b::B;", ("a", "b"): "use super::C;"}
    assert not circle(between_folders(parts))
    behind_a_face = {
        ("release",): "use crate::map::X;",
        ("map",): "mod x; pub(crate) use self::x::X;",
        ("map", "x"): "use crate::release::Release; pub struct X;",
    }
    assert circle(between_folders(behind_a_face))
    siblings = {
        ("a",): "mod b; mod c; pub use b::B; pub use c::*;",
        ("a", "b"): "use super::C; pub struct B;",
        ("a", "c"): "use super::B; pub struct C;",
    }
    assert circle(between_folders(siblings))


# --- Python ---------------------------------------------------------------------------------------


def python_arrows(
    files: dict[str, str], homes: dict[str, str] | None = None
) -> dict[str, set[str]]:
    """The modules of the package that each imports: at its start, in a function, for types.

    A name of the package itself, such as `mmcore.Machine`, counts as the module in `homes`.
    """
    homes = homes or {}
    return {
        name: {
            module
            for imported in _imported(ast.parse(text))
            if (module := _known(homes.get(imported, imported), files)) not in (None, name)
        }
        for name, text in files.items()
    }


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=module, names=names, level=level):
                assert not level, f"line {node.lineno}: a relative import hides its module"
                yield from (f"{module}.{name.name}" for name in names)
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.Attribute(value=ast.Name(id="mmcore"), attr=attribute):
                yield f"mmcore.{attribute}"


def lazy_homes(text: str) -> dict[str, str]:
    """The module of each name that the package loads when it is first used."""
    calls = [each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.Call)]
    table = next(call.args[1] for call in calls if getattr(call.func, "id", "") == "lazily")
    return {
        f"mmcore.{name}": module
        for module, names in ast.literal_eval(table).items()
        for name in names
    }


def _known(name: str, files: dict[str, str]) -> str | None:
    while name and name not in files:
        name = name.rpartition(".")[0]
    return name or None


def package() -> dict[str, str]:
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = file.read_text()
    # The package itself names all that is public, for its users alone.
    del found["mmcore"]
    return found


def test_modules_of_python_form_no_circle():
    homes = lazy_homes((PACKAGE / "__init__.py").read_text())
    found = circle(python_arrows(package(), homes))
    assert not found, " - ".join(found)
    lazy = {"mmcore._a": "from mmcore import run", "mmcore._b": "import mmcore._a"}
    assert circle(python_arrows(lazy, {"mmcore.run": "mmcore._b"}))
    used = {"mmcore._a": "import mmcore\nmmcore.run()", "mmcore._b": "import mmcore._a"}
    assert circle(python_arrows(used, {"mmcore.run": "mmcore._b"}))
    with pytest.raises(AssertionError, match="relative"):
        python_arrows({"a": "from .b import c"})
    assert circle(python_arrows({"a.b": "from a.c import C", "a.c": "import a.b"}))
    assert circle(python_arrows({"a": "import b", "b": "def f():\n    import a"}))
    assert not circle(python_arrows({"a": "import b", "b": "import c", "c": ""}))


# --- Habits ---------------------------------------------------------------------------------------


def written() -> list[Path]:
    """All sources in Rust and Python, tests too. Documents have no limit of lines."""
    folders = [ROOT / "rust", PACKAGE, ROOT / "tests", ROOT / "benches"]
    return [p for folder in folders for kind in ("*.rs", "*.py") for p in folder.rglob(kind)]


#: Text that does not count for the width: rows of tables in comments, words for tools, and strings
#: in code. A comment can be broken anywhere, also in what it quotes.
COMMENT = re.compile(r"\s*(?://|#)")
TABLE = re.compile(r"\s*//[/!]? \|")
UNBROKEN = re.compile(r'"(?:\\.|[^"\\])*(?:"|\\?$)|  # (?:type:|noqa).*')


def too_wide(text: str, columns: int) -> list[int]:
    def counted(line: str) -> str:
        if COMMENT.match(line):
            return "" if TABLE.match(line) else line
        return UNBROKEN.sub("", line)

    return [n for n, line in enumerate(text.splitlines(), 1) if len(counted(line)) > columns]


def test_lines_are_short():
    found = [
        f"{path.relative_to(ROOT)}:{n}"
        for path in written()
        for n in too_wide(path.read_text(), COLUMNS[path.suffix])
    ]
    assert not found, f"{len(found)} lines of more than {COLUMNS} columns"
    assert too_wide("x" * 110 + "\n" + "// " + "x" * 110, 110) == [2]
    assert too_wide(f'// "{"x" * 110}"\nlet long = "{"x" * 110}";\n/// | {"x" * 110} |', 110) == [1]


def test_formatters_and_the_guide_have_the_same_columns():
    """The width is written in four places; a second number would let one of them contradict."""
    rustfmt = tomllib.loads((ROOT / "rustfmt.toml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert rustfmt["max_width"] == COLUMNS[".rs"]
    assert project["tool"]["ruff"]["line-length"] == COLUMNS[".py"]
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    # The third width is that of a commit's subject.
    assert set(re.findall(r"(\d+) columns", guide)) == {"110", "72"}
    assert "110 columns of Rust or 100 of Python" in guide
    assert "110 columns in Rust, 100 in Python" in guide


def test_files_hold_one_idea():
    long = [path for path in written() if len(path.read_text().splitlines()) > LINES]
    assert not long, f"more than {LINES} lines: {[str(p.relative_to(ROOT)) for p in long]}"


#: An atomic operation up to its ordering; for one that can fail, the ordering of a success. Or the
#: import of an ordering, which the whole file then uses by its bare name.
ATOMIC = re.compile(
    r"\b(?:use\b[^;]*?\bOrdering::(?=\w+[;}])|"
    r"(?:load|store|swap|fetch_\w+|compare_exchange(?:_weak)?|fence)\((?:[^;{}]|\{\})*?\bOrdering::)"
    r"(Relaxed|Acquire|Release|AcqRel|SeqCst)\b"
)
#: The lines above an atomic operation in which its reason may stand.
ABOVE = 8


def orderings_without_a_reason(text: str) -> list[int]:
    """The lines with an ordering that no comment in the lines above names."""
    comment = re.compile(r"//.*")
    lines, code = text.splitlines(), code_of(text)
    found = []
    for operation in ATOMIC.finditer(code):
        at = code.count("\n", 0, operation.start())
        near = " ".join(
            " ".join(comment.findall(line)) for line in lines[max(0, at - ABOVE) : at + 1]
        )
        if not re.search(rf"\b{operation[1]}\b", near):
            found.append(at + 1)
    return found


def test_each_ordering_has_its_reason():
    sources = [path for path in (ROOT / "rust").glob("*/src/**/*.rs") if path.stem != "tests"]
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources
        for line in orderings_without_a_reason(path.read_text())
    ]
    assert not found, "\n".join(found)
    bare = "fn f() {\n    word.store(\n        1,\n        Ordering::Release,\n    );\n}"
    assert orderings_without_a_reason(bare) == [2]
    assert orderings_without_a_reason(bare.replace("1,", "1, // Relaxed: a count.")) == [2]
    assert not orderings_without_a_reason(f"// Release pairs with the Acquire of `g`.\n{bare}")
    assert not orderings_without_a_reason(f"#[cfg(test)]\nmod tests {{ {bare} }}")


def dependencies() -> set[str]:
    """All that Cargo.toml and pyproject.toml ask for, mmcore's own crates left out."""
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["dependencies"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for group in (project["project"]["optional-dependencies"], project["dependency-groups"]):
        asked += [one for several in group.values() for one in several]
    names = {re.split(r"[<>=!~\[; ]", one)[0] for one in asked}
    return names | {name for name in cargo if not name.startswith("mmcore")}


def without_a_reason(names: Iterable[str], text: str) -> list[str]:
    """The dependencies of which no row of a table, and no sentence on tools, says the purpose."""
    reasons = dict(re.findall(r"^\| ([^|]+) \|(.*)", text, re.MULTILINE))
    rows = {word for names, why in reasons.items() if why.strip(" |-") for word in _words(names)}
    tools = _words(text.partition("## Tools")[2])
    aliases = {"myst-parser": "myst"}
    known = rows | tools
    return sorted(name for name in names if aliases.get(name, name).lower() not in known)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[\w-]+", text.lower()))


def test_each_dependency_has_its_reason():
    text = (ROOT / "docs" / "dependencies.md").read_text()
    found = without_a_reason(dependencies(), text)
    assert not found, ", ".join(found)
    text = "We never use leftpad.\n| NumPy | always | batches |\n## Tools\nruff checks the code."
    assert without_a_reason(["numpy", "leftpad", "ruff"], text) == ["leftpad"]


#: The modules that users import.
PUBLIC = (
    *("errors", "handles", "program", "reporting", "results", "searches", "testing"),
    "typing",
)
#: pytest loads it by its name; it has hooks and fixtures, which nobody imports.
PLUGIN = "pytest_plugin"


def unmarked(modules: Iterable[str]) -> list[str]:
    """The modules that look public: no part of their name begins with an underscore."""
    return sorted(name for name in modules if "._" not in name)


def test_modules_that_are_not_public_have_an_underscore():
    assert unmarked(package()) == sorted(f"mmcore.{name}" for name in (*PUBLIC, PLUGIN))
    assert unmarked(["mmcore._a.b", "mmcore.reporting.page"]) == ["mmcore.reporting.page"]


def public() -> list[str]:
    """The full public names. A thing that several modules have counts under the first of them."""
    homes: dict[tuple[str, int], str] = {}
    for module in map(importlib.import_module, ["mmcore", *(f"mmcore.{name}" for name in PUBLIC)]):
        for name in module.__all__:
            homes.setdefault((name, id(getattr(module, name))), f"{module.__name__}.{name}")
    return list(homes.values())


def undocumented(names: Iterable[str], text: str) -> list[str]:
    """The full names, such as `mmcore.results.Move`, without an entry of their own."""
    entries = set(re.findall(r"^\.\. (?:auto|py:)\w+:: (mmcore[\w.]*)$", text, re.MULTILINE))
    return sorted(name for name in names if name not in entries)


def test_each_public_name_is_in_the_documents():
    found = undocumented(public(), (ROOT / "docs" / "api.md").read_text())
    assert not found, ", ".join(found)
    assert {"mmcore.Machine", "mmcore.testing.explore", "mmcore.typing.Mode"} <= set(public())
    entry = ".. autoclass:: mmcore.Page"
    assert undocumented(["mmcore.Page", "mmcore.handles.Page"], entry) == ["mmcore.handles.Page"]
    with pytest.raises(AttributeError):
        _ = mmcore.Attic
