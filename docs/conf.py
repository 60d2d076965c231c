"""The site: Markdown through MyST, built by `make docs`."""

import re
from importlib.metadata import version as _version
from pathlib import Path

import mmcore
from mmcore._cli import app as _application

project = "mmcore"
author = "the mmcore authors"
release = version = _version("mmcore-linux")

# myst_nb reads all pages, as myst_parser does, and runs those that are notebooks.
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
html_theme = "furo"
html_title = "mmcore"
exclude_patterns = ["_build", "jupyter_execute"]
# Headings can be linked to as on GitHub, where these files are read as well.
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Attributes stand in the class's own description; their annotations are not repeated.
napoleon_use_ivar = True
napoleon_attr_annotations = False


def _commands():
    """The help of every command."""
    text = _application().generate_docs(output_format="markdown", heading_level=1)
    # The table of contents of the site lists the commands already.
    return text[text.index("## mmcore ") :]


def _counters():
    """Each counter with its meaning, as the core's source has it."""
    source = (Path(__file__).parent.parent / "rust/core/src/stat.rs").read_text(encoding="utf-8")
    rows = re.findall(r"^ +/// (.*)\n +\w+ = \"(\w+)\",$", source, re.MULTILINE)
    return _table(("counter", "counts"), ((f"`{name}`", meaning) for meaning, name in rows))


def _fields():
    """Each field of a profile: meaning, values, presets and source."""
    rows = []
    for row in mmcore.profiles().table:
        values = ", ".join(f"{kernel}: {value}" for kernel, value in row["values"].items())
        meaning = row["meaning"].replace("|", "\\|")
        rows.append((f"`{row['field']}`", meaning, row["accepts"], values, row["source"]))
    return _table(("field", "meaning", "values", "presets", "source"), rows)


def _table(titles, rows):
    lines = ["| " + " | ".join(cells) + " |" for cells in (titles, ["---"] * len(titles), *rows)]
    return "\n".join(lines)


#: Pages that the build completes, each with what it adds.
_GENERATED = {"command-line": _commands, "counters": _counters, "profile-fields": _fields}


def _complete(_sphinx, page, source):
    if page in _GENERATED:
        source[0] += f"\n{_GENERATED[page]()}\n"


def setup(sphinx):
    sphinx.connect("source-read", _complete)
