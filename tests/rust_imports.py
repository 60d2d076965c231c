"""Reads which modules of a Rust crate each of its files names, without compiling it.

A file names a module by `use crate::a::{b, c::d}`, by a path in code (`crate::a::f()`), or by
`super::` and `self::`. Code that exists for tests alone does not count. A name that a module hands
on by `pub use` counts as one of the file that defines it.
"""

import re
from collections.abc import Container, Iterator
from pathlib import Path
from typing import TypeAlias

Module: TypeAlias = tuple[str, ...]

#: Comments, strings, and characters that look like the beginning of one: they are no code.
_NO_CODE = re.compile(r'''//[^\n]*|/\*.*?\*/|'\\?["'/]'|b?"(?:\\.|[^"\\])*"''', re.DOTALL)
_TESTS = re.compile(r"#\[cfg\((?:all\()?test\b[^\]]*\]\s*(?:pub(?:\([^)]*\))?\s+)?mod \w+ \{")
_TEST_FILE = re.compile(r"#\[cfg\((?:all\()?test\b[^\]]*\]\s*mod (\w+);")
_USE = re.compile(r"\buse\s+((?:crate|super|self)::[^;]+);")
_VISIBILITY = re.compile(r"\bpub\(in [^)]*\)")
_REEXPORT = re.compile(r"\bpub\s+use\s+([^;]+);")
_RESTRICTED = re.compile(r"\bpub\([^)]*\)")
_DEFINITION = r"\b(?:struct|enum|trait|fn|type|const|static|union|mod|macro_rules!)\s+{}\b"
_PATH = re.compile(r"\b(?:crate|super|self)(?:::\w+)+")


def modules(source: Path) -> dict[Module, Path]:
    """All modules of a crate but those for its tests. The crate itself is the empty path."""
    found: dict[Module, Path] = {}
    for file in source.rglob("*.rs"):
        parts = file.relative_to(source).with_suffix("").parts
        found[() if parts == ("lib",) else parts] = file
    tests = {
        (*module, name)
        for module, file in found.items()
        for name in _TEST_FILE.findall(file.read_text())
    }
    return {
        module: file
        for module, file in sorted(found.items())
        if not any(module[: len(test)] == test for test in tests)
    }


def imports(module: Module, text: str) -> set[Module]:
    """The paths, from the crate's root, that the text of `module` names."""
    code = _VISIBILITY.sub("pub", code_of(text))
    paths: set[Module] = set()
    for use in _USE.findall(code):
        paths.update(_absolute(module, path) for path in _expanded("".join(use.split())))
    for path in _PATH.findall(_USE.sub("", code)):
        paths.add(_absolute(module, path))
    return paths


def code_of(text: str) -> str:
    """The text with blanks in place of comments, strings and test modules; lines stay."""
    code = _NO_CODE.sub(_blank, text)
    while found := _TESTS.search(code):
        end = _end_of_block(code, found.end())
        code = code[: found.start()] + _blank(code[found.start() : end]) + code[end:]
    return code


def resolved(path: Module, known: Container[Module]) -> Module:
    """The module that holds a path: its longest beginning that is a module."""
    while path not in known:
        path = path[:-1]
    return path


class Definitions:
    """The modules that define what paths name, also behind `pub use` of other modules."""

    def __init__(self, files: dict[Module, str]) -> None:
        self._known = {*files, ()}
        self._code = {module: code_of(text) for module, text in files.items()}
        #: For each module the names that it hands on, with their paths; `*` hands on all names.
        self._handed_on: dict[Module, list[tuple[str, Module]]] = {}
        for module, code in self._code.items():
            for use in _REEXPORT.findall(_RESTRICTED.sub("pub", code)):
                for path in _expanded("".join(re.sub(r"\s+as\s+", "@", use).split())):
                    self._add(module, *path.partition("@")[::2])

    def _add(self, module: Module, path: str, name: str) -> None:
        first = path.split("::")[0]
        if first not in ("crate", "self", "super"):
            # A path of the module's own child, or of another crate.
            if (*module, first) not in self._known:
                return
            path = f"self::{path}"
        target = _absolute(module, path)
        handed = "*" if path.endswith("*") else name or target[-1]
        self._handed_on.setdefault(module, []).append((handed, target))

    def home(self, path: Module, depth: int = 8) -> Module:
        """The module whose file defines the first name of the path behind its module."""
        module = resolved(path, self._known)
        rest = path[len(module) :]
        if not rest or not depth:
            return module
        for name, target in self._handed_on.get(module, []):
            if name == rest[0]:
                return self.home((*target, *rest[1:]), depth - 1)
            if name == "*":
                home = self.home((*target, *rest), depth - 1)
                definition = re.compile(_DEFINITION.format(re.escape(rest[0])))
                if definition.search(self._code.get(home, "")):
                    return home
        return module


def _blank(text: str | re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", text if isinstance(text, str) else text[0])


def _end_of_block(code: str, at: int) -> int:
    """The end of the block whose opening brace stands before `at`."""
    depth = 1
    while depth:
        depth += {"{": 1, "}": -1}.get(code[at], 0)
        at += 1
    return at


def _expanded(use: str) -> Iterator[str]:
    """The single paths of a use tree without blanks: `a::{b,c::{d}}` is `a::b` and `a::c::d`."""
    head, brace, rest = use.partition("{")
    if not brace:
        yield use.partition("as")[0] if re.search(r"\bas\b", use) else use
        return
    for part in _parts(rest[: rest.rindex("}")]):
        yield from (head + tail for tail in _expanded(part))


def _parts(tree: str) -> Iterator[str]:
    """Splits a tree at the commas that stand in no inner braces."""
    depth, start = 0, 0
    for at, sign in enumerate(tree):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if sign == "," and not depth:
            yield tree[start:at]
            start = at + 1
    if tree[start:]:
        yield tree[start:]


def _absolute(module: Module, path: str) -> Module:
    first, *rest = path.split("::")
    match first:
        case "crate":
            base: Module = ()
        case "self":
            base = module
        case _:
            base = module[:-1]
    while rest and rest[0] == "super":
        base, rest = base[:-1], rest[1:]
    return (*base, *(name for name in rest if name not in ("*", "self")))
