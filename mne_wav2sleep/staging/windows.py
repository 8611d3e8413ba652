"""Overlapping windows of a night's length, for recordings of several days."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LONGEST = 1440
"""Epochs (12 h) up to which a recording is staged as one window."""
_LENGTH = 1200
"""Epochs of a window (10 h), on which the released weights were trained."""
_OVERLAP = 240
"""Epochs (2 h) that two successive windows share at least."""


def plan_windows(n_epochs: int) -> list[tuple[int, int]]:
    """Cover a recording with windows.

    Parameters
    ----------
    n_epochs : int
        30-s epochs of the recording.

    Returns
    -------
    windows : list of (int, int)
        First epoch of each window, and the one after its last.

    Examples
    --------
    >>> plan_windows(1440), plan_windows(2000)
    ([(0, 1440)], [(0, 1200), (800, 2000)])
    """
    if n_epochs <= LONGEST:
        return [(0, n_epochs)]
    count = int(np.ceil((n_epochs - _OVERLAP) / (_LENGTH - _OVERLAP)))
    starts = np.linspace(0, n_epochs - _LENGTH, count).round().astype(int)
    return [(int(start), int(start) + _LENGTH) for start in starts]


def blend(
    parts: Sequence[NDArray[np.float64]], windows: Sequence[tuple[int, int]]
) -> NDArray[np.float64]:
    """Average the probabilities of epochs that windows share.

    Parameters
    ----------
    parts : sequence of array, each of shape (n_epochs_of_window, n_stages)
        Probabilities of each window, NaN where nothing was measured.
    windows : sequence of (int, int)
        The windows, from :func:`plan_windows`.

    Returns
    -------
    proba : array, shape (n_epochs, n_stages)
        Averages, weighted by the distance of the epoch from the nearer edge of each window; NaN
        where all windows are NaN.
    """
    if len(parts) == 1:
        return parts[0]
    n_epochs = max(last for _, last in windows)
    total, weight = np.zeros((n_epochs, parts[0].shape[1])), np.zeros((n_epochs, 1))
    for part, (first, last) in zip(parts, windows, strict=True):
        distance = np.minimum(np.arange(last - first), np.arange(last - first)[::-1]) + 1.0
        distance[np.isnan(part).any(axis=1)] = 0.0
        total[first:last] += np.nan_to_num(part) * distance[:, None]
        weight[first:last] += distance[:, None]
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)


def divide(windows: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Assign each epoch to the window whose nearer edge is further away.

    Parameters
    ----------
    windows : sequence of (int, int)
        The windows, from :func:`plan_windows`.

    Returns
    -------
    parts : list of (int, int)
        For each window, the first epoch that is assigned to it, and the one after the last.

    Examples
    --------
    >>> divide([(0, 1200), (800, 2000)])
    [(0, 1000), (1000, 2000)]
    """
    middles = [(last + first) // 2 for (_, last), (first, _) in pairwise(windows)]
    return list(pairwise([0, *middles, windows[-1][1]]))


def join(parts: Sequence[pd.DataFrame], windows: Sequence[tuple[int, int]]) -> pd.DataFrame:
    """Join tables of windows, taking each epoch from the window that it is assigned to.

    Parameters
    ----------
    parts : sequence of pandas.DataFrame
        For each window, one row per epoch.
    windows : sequence of (int, int)
        The windows, from :func:`plan_windows`; :func:`divide` assigns epochs to them.

    Returns
    -------
    table : pandas.DataFrame
        One row per epoch of the recording.
    """
    pieces = [
        part.iloc[begin - first : end - first]
        for part, (first, _), (begin, end) in zip(parts, windows, divide(windows), strict=True)
    ]
    return pd.concat(pieces, ignore_index=True).rename_axis(index=parts[0].index.name)
