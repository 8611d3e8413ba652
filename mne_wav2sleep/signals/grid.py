"""From a recorded channel to the network's time grid."""

import numpy as np
from numpy.typing import NDArray

from ..modalities import EPOCH_S


def is_constant(data: NDArray[np.floating]) -> bool:
    """Say whether a signal is flat but for rounding.

    Parameters
    ----------
    data : array, shape (n_samples,)
        A signal in any unit, finite.

    Returns
    -------
    constant : bool
        Whether its range is under 1e-12 of its largest absolute value.

    Examples
    --------
    >>> is_constant(np.array([0.1, 0.1 + 1e-16])), is_constant(np.array([0.1, 0.1 + 1e-6]))
    (True, False)
    """
    low, high = data.min(), data.max()
    return bool(high - low <= 1e-12 * max(abs(low), abs(high)))


def interpolate_to_grid(
    data: NDArray[np.floating], sfreq: float, samples_per_epoch: int, n_epochs: int
) -> NDArray[np.float64]:
    """Put a recorded signal on the network's time grid.

    Sample ``k`` of the result, counted from 1, is the signal at ``k * 30 / samples_per_epoch``
    seconds, interpolated linearly between the two samples around it and without an anti-alias
    filter, because that is how the released weights were trained.

    Parameters
    ----------
    data : array, shape (n_samples,)
        The signal at its own recorded rate, in any unit; sample ``i`` was taken at ``i / sfreq``
        seconds. Must be finite.
    sfreq : float
        Sampling rate in Hz.
    samples_per_epoch : int
        Grid samples per 30-s epoch.
    n_epochs : int
        Epochs of the result.

    Returns
    -------
    grid : array, shape (n_epochs * samples_per_epoch,)
        The signal on the grid, in its own unit. Past the end of the recording it holds the mean
        of ``data``.

    Raises
    ------
    ValueError
        If ``data`` is empty.

    Examples
    --------
    >>> interpolate_to_grid(np.arange(61.0), sfreq=1.0, samples_per_epoch=4, n_epochs=2)
    array([ 7.5, 15. , 22.5, 30. , 37.5, 45. , 52.5, 60. ])
    """
    if not data.size:
        raise ValueError(
            "A signal without samples has no place on the grid. Leave the channel out."
        )
    grid = np.full(n_epochs * samples_per_epoch, data.mean(), dtype=np.float64)
    position = np.arange(1, grid.size + 1) * (EPOCH_S / samples_per_epoch * sfreq)
    position = position[: np.searchsorted(position, data.size - 1, side="right")]
    left = np.minimum(position.astype(np.int64), max(data.size - 2, 0))
    weight = position - left
    if position.size:
        grid[: position.size] = data[left] * (1 - weight) + data[left + 1] * weight
    return grid


def zscore(grid: NDArray[np.float64]) -> NDArray[np.float32]:
    """Subtract the mean and divide by the unbiased standard deviation, padding included.

    Parameters
    ----------
    grid : array, shape (n_samples,)
        A signal on the network's grid, in any unit.

    Returns
    -------
    z : array of float32, shape (n_samples,)
        The network's input, without a unit.

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
            f"A constant signal, {grid[0]:g} throughout, cannot be z-scored. Leave it out."
        )
    centred = grid - grid.mean()
    # Squares of very small or very large units would leave the range of float64.
    centred /= np.abs(centred).max()
    return (centred / centred.std(ddof=1)).astype(np.float32)
