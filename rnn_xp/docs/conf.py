"""How the pages are built (`make docs`): every page is run, and a warning is an error."""

import os
import sys
from functools import partialmethod
from pathlib import Path

from nbclient import NotebookClient

import rnn_xp

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "rnn_xp"
author = project_copyright = "the rnn_xp authors"
release = rnn_xp.__version__
html_title = f"rnn_xp {release}"
html_theme = "furo"
html_copy_source = False
html_static_path, html_css_files = ["_static"], ["pages.css"]
extensions = ["mathml", "myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
exclude_patterns = ["_extensions", "_static"]

# Pages are notebooks: each runs in a Python and a folder of its own. One that fails is a warning, which shows
# the cell and its error; with -W the build then fails, after all other pages have had their turn.
nb_execution_mode = "force"
nb_execution_show_tb = True
nb_execution_in_temp = True
nb_execution_timeout = 120
nb_render_markdown_format = "myst"
# What a cell prints is one piece, however it arrived.
NotebookClient.__init__ = partialmethod(NotebookClient.__init__, coalesce_streams=True)
myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 3
os.environ.update(
    OMP_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    RNN_XP_BACKEND="numpy",
    KERAS_BACKEND="torch",
    COLUMNS="100",
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
)

# The reference is written by the docstrings. Their types are words and shapes, so no type is a link.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
nitpicky = True
