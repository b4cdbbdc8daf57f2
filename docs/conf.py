"""Sphinx settings. What is drawn from the code at each build, and formulas, are in `_ext`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # the pages of Python calls import what they describe

import funnel  # noqa: E402  # of this checkout, not of what is installed

project, author, release = "funnel", "the funnel developers", funnel.__version__
copyright = "2026, the funnel developers"  # noqa: A001  # Sphinx's name
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.doctest",
    "mathml",
    "schema_reference",
    "command_reference",
]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 4
myst_dmath_double_inline = True
exclude_patterns = ["_build", "_ext", "pictures", "*_tables.md"]  # the tables are parts of other pages
default_role = "literal"  # docstrings write code as Markdown does
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
smartquotes_action = "q"  # dashes begin options
html_theme = "furo"
html_title = f"funnel {release}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
