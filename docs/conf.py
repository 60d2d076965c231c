"""The site: Markdown through MyST, built by `make docs`."""

from importlib.metadata import version as _version

from mmcore._cli import app as _commands

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


def _with_commands(_sphinx, page, source):
    """Adds the help of every command to the page of the command line."""
    if page == "command-line":
        text = _commands().generate_docs(output_format="markdown", heading_level=1)
        # The table of contents of the site lists the commands already.
        first = text.index("## mmcore ")
        source[0] += "\n" + text[first:]


def setup(sphinx):
    sphinx.connect("source-read", _with_commands)
