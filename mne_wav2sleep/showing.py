"""Size of figures, and whether they are shown or closed."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from mne.viz.utils import plt_show

WIDTH = 8.5
"""Width in inches. mne.Report shows 850 pixels at 100 dpi. Heights should be multiples of half an
inch, so that figures have whole numbers of pixels; others would be sheared."""


def finish_figure(figure: Figure, *, show: bool, close: bool = True) -> Figure:
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
    if show:
        plt_show(show)
    elif close:
        plt.close(figure)
    return figure
