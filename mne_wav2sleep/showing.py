"""How things are shown: sizes of figures, text without control characters, nested values."""

import re
import textwrap
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 8.5
"""Width in inches. mne.Report shows 850 pixels at 100 dpi. Heights should be multiples of half an
inch, so that figures have whole numbers of pixels; others would be sheared."""

_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
"""Controls of a terminal, controls of the writing direction, line ends, and characters that UTF-8
does not have (Python's stand-ins for the bytes of a file name that is not UTF-8)."""


def escape_hidden(text: str) -> str:
    r"""Escape the characters of a text that act on what shows it, instead of being shown.

    Parameters
    ----------
    text : str
        Text that may come from a file: the label of a channel, a file name, a subject. It may set
        the title of a terminal, reverse the rest of a line, or be impossible to encode.

    Returns
    -------
    text : str
        The text on one line, in which these characters are written as in Python, ``\x1b``.

    Examples
    --------
    >>> print(escape_hidden("ECG\x1b[2J"), escape_hidden("心電図"))
    ECG\x1b[2J 心電図
    """
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def escape_lone(value: Any) -> Any:
    r"""Escape the characters of a text that no file in UTF-8 can have.

    Parameters
    ----------
    value : object
        A text, such as a file name that is not UTF-8, for whose bytes Python has stand-ins; or
        anything else.

    Returns
    -------
    value : object
        The text, in which they are written as in Python, or the same object.

    Examples
    --------
    >>> print(escape_lone("n\udcff.edf"), escape_lone("Nächte"))
    n\udcff.edf Nächte
    """
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def wrap_name(name: str, width: int) -> str:
    """Wrap a name from a file, for a figure.

    Parameters
    ----------
    name : str
        The name of a channel or a scorer.
    width : int
        Number of characters of a line.

    Returns
    -------
    name : str
        Its lines, without control characters.

    Examples
    --------
    >>> wrap_name("ECG of the patient", 10).splitlines()
    ['ECG of the', 'patient']
    """
    return textwrap.fill(escape_hidden(name), width)


def flatten(values: Mapping[str, Any], *, keep_mappings: bool = False) -> dict[str, Any]:
    """Give nested values by their names, with dots.

    Parameters
    ----------
    values : mapping of str to object
        Values, among which may be dataclasses and mappings.
    keep_mappings : bool
        Whether mappings within ``values`` are values, not only empty ones.

    Returns
    -------
    flat : dict of str to object
        The values that are not taken apart.

    Examples
    --------
    >>> flatten({"a": 1, "b": {"c": {"d": 2}, "e": {}}})
    {'a': 1, 'b.c.d': 2, 'b.e': {}}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner: Mapping[str, Any] = {}
        if is_dataclass(value):
            inner = {one.name: getattr(value, one.name) for one in fields(value)}
        elif isinstance(value, Mapping) and not keep_mappings:
            inner = value
        found = flatten(inner, keep_mappings=keep_mappings)
        flat |= {f"{name}.{key}": one for key, one in found.items()} if inner else {name: value}
    return flat


def finish_figure(figure: "Figure", *, show: bool, close: bool = True) -> "Figure":
    """Show a figure, or close it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    show : bool
        Whether to show the figure, if the backend of matplotlib is interactive.
    close : bool
        Whether to close a figure that is not shown. It can still be saved, but pyplot does not show
        it later, and does not keep it in memory.

    Returns
    -------
    figure : matplotlib.figure.Figure
        The same figure.
    """
    import matplotlib.pyplot as plt
    from mne.viz.utils import plt_show

    if show:
        plt_show(show)
    elif close:
        plt.close(figure)
    return figure
