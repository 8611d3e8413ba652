"""Resample a channel to the network's time grid, and z-score it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..modalities import EPOCH_S


def is_constant(data: NDArray[np.floating]) -> bool:
    """Check whether a signal is constant apart from rounding errors.

    Parameters
    ----------
    data : array, shape (n_samples,)
        A finite signal in any unit.

    Returns
    -------
    constant : bool
        Whether its range is at most 1e-12 of its largest absolute value.

    Examples
    --------
    >>> is_constant(np.array([0.1, 0.1 + 1e-16])), is_constant(np.array([0.1, 0.1 + 1e-6]))
    (True, False)
    """
    low, high = data.min(), data.max()
    return bool(high - low <= 1e-12 * max(abs(low), abs(high)))


def interpolate_to_grid(
    data: NDArray[np.floating],
    sfreq: float,
    samples_per_epoch: int,
    n_epochs: int,
    *,
    padding: str = "mean",
) -> NDArray[np.float64]:
    """Interpolate a recorded signal to the network's time grid.

    Sample ``k`` of the grid, counted from 1, is at ``k * 30 / samples_per_epoch`` seconds. The
    interpolation is linear and without an anti-aliasing filter, because the released weights were
    trained with data preprocessed in this way.

    Parameters
    ----------
    data : array, shape (n_samples,)
        The signal as recorded, in any unit; sample ``i`` was taken at ``i / sfreq`` seconds. It
        must be finite.
    sfreq : float
        Sampling rate in Hz.
    samples_per_epoch : int
        Number of samples of the grid per 30-s epoch.
    n_epochs : int
        Number of epochs of the grid.
    padding : str
        What the grid holds after the end of the recording: ``"mean"``, the mean of ``data``, or
        ``"last"``, its last sample.

    Returns
    -------
    grid : array, shape (n_epochs * samples_per_epoch,)
        The signal on the grid, in the unit of ``data``, and its padding.

    Raises
    ------
    ValueError
        If ``data`` is empty.

    Examples
    --------
    >>> interpolate_to_grid(np.arange(61.0), sfreq=1.0, samples_per_epoch=4, n_epochs=2)
    array([ 7.5, 15. , 22.5, 30. , 37.5, 45. , 52.5, 60. ])
    >>> interpolate_to_grid(np.arange(31.0), 1.0, 2, 2, padding="last")
    array([15., 30., 30., 30.])
    """
    if not data.size:
        raise ValueError("A signal without samples cannot be interpolated. Leave the channel out.")
    step = EPOCH_S / samples_per_epoch * sfreq
    position = np.arange(1, n_epochs * samples_per_epoch + 1) * step
    outside: dict[str, Any] = {"mode": "constant", "cval": data.mean()}
    if padding == "last":
        outside = {"mode": "nearest"}
    return np.asarray(
        ndimage.map_coordinates(data, position[None], output=np.float64, order=1, **outside)
    )


def zscore(grid: NDArray[np.float64]) -> NDArray[np.float32]:
    """Subtract the mean, and divide by the unbiased standard deviation.

    Parameters
    ----------
    grid : array, shape (n_samples,)
        A signal on the network's grid, in any unit, including its padding.

    Returns
    -------
    z : array of float32, shape (n_samples,)
        The network's input, which is dimensionless.

    Raises
    ------
    ValueError
        If the signal is constant.

    Examples
    --------
    >>> zscore(np.array([3.0, 4.0, 5.0]))
    array([-1.,  0.,  1.], dtype=float32)
    """
    if is_constant(grid):
        raise ValueError(
            f"A constant signal ({grid[0]:g} throughout) cannot be z-scored. Leave the channel out."
        )
    centered = grid - grid.mean()
    # In very small or very large units, squares would leave the range of float64.
    centered /= np.abs(centered).max()
    return (centered / centered.std(ddof=1)).astype(np.float32)
