"""Docstrings of the stub: those of the built module, so that editors show them.

`make stubs-write` writes them anew; tests/test_stub.py fails if one differs.
"""

import ast
import inspect
import sys
import textwrap
from pathlib import Path

from mmcore import _mmcore

STUB = Path(_mmcore.__file__).with_name("_mmcore.pyi")


def documented(tree):
    """The nodes of the stub that have a docstring, each with that of the module."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            thing = getattr(_mmcore, node.name)
            yield node, node.name, _cleaned(thing)
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                # Special methods are described by their class; a setter by its property.
                if not isinstance(member, ast.FunctionDef) or member.name.startswith("__"):
                    continue
                if any(isinstance(each, ast.Attribute) for each in member.decorator_list):
                    continue
                found = inspect.getattr_static(getattr(_mmcore, node.name), member.name)
                yield member, f"{node.name}.{member.name}", _cleaned(found)


def _cleaned(thing):
    thing = getattr(thing, "__func__", thing)
    return inspect.cleandoc(thing.__doc__ or "").strip()


def differences(text):
    """The names whose docstring in the stub is not that of the module."""
    return [
        name
        for node, name, doc in documented(ast.parse(text))
        if (ast.get_docstring(node) or "").strip() != doc
    ]


def written(text):
    """The stub's text with the docstrings of the module."""
    lines = text.splitlines()
    for node, _, doc in sorted(documented(ast.parse(text)), key=lambda each: -each[0].lineno):
        first = node.body[0]
        indent = " " * (node.col_offset + 4)
        had = ast.get_docstring(node) is not None
        if isinstance(node, ast.ClassDef):
            at, end = first.lineno - 1, first.end_lineno if had else first.lineno - 1
            if not had and getattr(first, "decorator_list", None):
                at = end = first.decorator_list[0].lineno - 1
        else:
            # The body is `...` behind the colon, or a docstring of its own lines.
            at, end = first.lineno - 1, first.end_lineno
            if not had:
                lines[at] = lines[at].removesuffix(" ...")
                at = end
        said = textwrap.indent(f'"""{doc}"""', indent, lambda line: bool(line.strip()))
        lines[at:end] = said.splitlines() if doc else []
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    stub = STUB.read_text(encoding="utf-8")
    STUB.write_text(written(stub), encoding="utf-8")
    sys.stdout.write(f"{STUB}: {len(differences(stub))} docstrings written\n")
