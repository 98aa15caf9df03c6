"""How Sphinx builds these pages; nothing is fetched."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

project = "lossatlas"
author = "The lossatlas developers"
copyright = author
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "lossatlas"
exclude_patterns = ["_build"]
autodoc_typehints = "none"  # the arguments' shapes and units stand in the text
autodoc_member_order = "alphabetical"
autodoc_default_options = {"members": True, "exclude-members": "__init__, __new__"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
copybutton_exclude = ".linenos, .gp"
default_role = "literal"  # `name` in docstrings


def _plain_bars(app, what, name, obj, options, lines):
    """Keep |x| in docstrings from being read as a substitution."""
    lines[:] = [line.replace("|", r"\|") for line in lines]


def setup(app):
    """Connect what reads the docstrings."""
    app.connect("autodoc-process-docstring", _plain_bars)
