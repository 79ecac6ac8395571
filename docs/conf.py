"""How `make docs` builds the site: Sphinx, MyST and furo over the pages of this folder."""

from __future__ import annotations

import kvcodec

project = "kvcodec"
author = "kvcodec contributors"
copyright = f"2026, {author}"  # noqa: A001 - the name that Sphinx reads
version = release = kvcodec.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
autodoc_default_options = {"members": True, "inherited-members": "object,BaseException"}
autodoc_preserve_defaults = True  # `time.time`, as it is written, and not what it prints as
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 160  # it counts qualified names

html_theme = "furo"
html_title = "kvcodec"
html_static_path = ["_static"]
html_css_files = ["site.css"]
pygments_style = "friendly"
pygments_dark_style = "monokai"
