"""Settings of Sphinx; build with ``sphinx-build -W docs docs/_build``."""

import os
import warnings

import matplotlib as mpl

import mne_wav2sleep

mpl.use("agg")
# Examples show what they are about, not that there is no display.
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

project = "mne-wav2sleep"
author = "the mne-wav2sleep developers"
version = release = mne_wav2sleep.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/*.ipynb"]
html_static_path = ["_static"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_title = "mne-wav2sleep"
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}
html_sidebars = {"**": ["sidebar-nav-bs"]}
nitpicky = True  # a reference that leads nowhere fails
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
numpydoc_validation_checks = {
    "all",
    "ES01",  # no extended summary where the summary says all
    "EX01",  # an example where one helps
    "SA01",  # see also where there is more to see
    "SS06",
    "GL01",
    "GL08",
    "RT02",  # what is returned has a name here, as in SciPy
}
# Made by us, never by users.
numpydoc_validation_exclude = {
    r"\.Audit$",
    r"\.Cohort$",
    r"\.DiaryEntry$",
    r"\.Comparison$",
    r"\.CrossValidation$",
    r"\.Evaluation$",
    r"\.FINE_TUNING$",
    r"\.LoadedWeights$",
    r"\.PreparedNight$",
    r"\.TimeInBed$",
}
# Without a network, links to other projects are plain text: DOCS_OFFLINE=1.
offline = bool(os.environ.get("DOCS_OFFLINE"))
nitpick_ignore_regex = (
    [("py:.*", r"(dataclasses|matplotlib|mne|numpy|pandas|pooch|torch|yasa)\..*")]
    if offline
    else []
)
intersphinx_mapping = (
    {}
    if offline
    else {
        "matplotlib": ("https://matplotlib.org/stable", None),
        "mne": ("https://mne.tools/stable", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "pandas": ("https://pandas.pydata.org/docs", None),
        "pooch": ("https://www.fatiando.org/pooch/latest", None),
        "python": ("https://docs.python.org/3", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "yasa": ("https://yasa-sleep.org", None),
    }
)
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "/plot_",
    "abort_on_example_error": True,
    "show_memory": False,
    "within_subsection_order": "FileNameSortKey",
    "remove_config_comments": True,
}
