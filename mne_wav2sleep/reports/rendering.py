"""Parts of the HTML of reports: text from files escaped, tables, lists, citations."""

import html
from collections.abc import Sequence

import pandas as pd

from ..showing import escape_hidden

CITATIONS = """<ul>
<li>Carter &amp; Tarassenko (2024). wav2sleep: A Unified Multi-Modal Approach to Sleep Stage
Classification from Physiological Signals. Machine Learning for Health. arXiv:2411.04644</li>
<li>Vallat &amp; Walker (2021). An open-source, high-performance tool for automated sleep staging.
eLife 10:e70092</li>
<li>Gramfort et al. (2013). MEG and EEG data analysis with MNE-Python. Frontiers in Neuroscience
7:267</li>
</ul>"""

# Without this, which mne.Report lacks, a phone shows a page of 980 pixels in small.
JS = """
document.head.insertAdjacentHTML(
  "beforeend", '<meta name="viewport" content="width=device-width, initial-scale=1">');
"""
# On a phone, a table of contents at the side would take half of the width: it goes to the top.
CSS = """
@media (max-width: 700px) {
  #toc { position: static !important; height: auto !important; width: 100%; }
  #toc, #toc-navbar { padding-bottom: 0 !important; }
  #toc-navbar { flex-direction: row !important; }
  #toc-navbar > a { width: auto; padding: 0.3rem 0.6rem; }
  #content { margin: 1rem 0 0 !important; width: 100%; }
}
"""


def escape_html(text: str) -> str:
    """Escape text for HTML, and characters that act on what shows it or that UTF-8 lacks.

    Parameters
    ----------
    text : str
        Text that may come from a file.

    Returns
    -------
    text : str
        The text, for HTML.

    Examples
    --------
    >>> escape_html("<b>")
    '&lt;b&gt;'
    """
    return html.escape(escape_hidden(text))


def render_table(frame: pd.DataFrame) -> str:
    """Render a table in Bootstrap's style, which mne.Report includes; it scrolls if it is wide.

    Parameters
    ----------
    frame : pandas.DataFrame
        The table, whose texts are escaped.

    Returns
    -------
    html : str
        The table.
    """
    frame = frame.rename_axis(index=None).rename(columns=_escape_hidden, index=_escape_hidden)
    frame = frame.map(_escape_hidden)
    classes = "table table-sm table-striped"
    body = frame.to_html(border=0, classes=classes, na_rep="", justify="left")
    return f'<div style="overflow-x: auto">{body}</div>'


def _escape_hidden(value: object) -> object:
    """Escape a text; leave other values as they are."""
    return escape_hidden(value) if isinstance(value, str) else value


def render_paragraphs(*texts: str) -> str:
    """Render texts as paragraphs.

    Parameters
    ----------
    *texts : str
        The texts, which are escaped.

    Returns
    -------
    html : str
        The paragraphs.
    """
    return "".join(f"<p>{escape_html(text)}</p>" for text in texts)


def render_list(texts: Sequence[str]) -> str:
    """Render texts as a list.

    Parameters
    ----------
    texts : sequence of str
        The texts, which are escaped.

    Returns
    -------
    html : str
        The list.
    """
    return "<ul>" + "".join(f"<li>{escape_html(text)}</li>" for text in texts) + "</ul>"
