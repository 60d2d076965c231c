"""The site: Markdown through MyST, built by `make docs`."""

from importlib.metadata import version as _version

project = "mmcore"
author = "the mmcore authors"
release = version = _version("mmcore-linux")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "mmcore"
exclude_patterns = ["_build"]
# Headings can be linked to as on GitHub, where these files are read as well.
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Attributes stand in the class's own description; their annotations are not repeated.
napoleon_use_ivar = True
napoleon_attr_annotations = False
