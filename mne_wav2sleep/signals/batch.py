"""Preprocess recorded signals into the padded, z-scored arrays that the network reads."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..cautions import warn
from ..modalities import EPOCH_S, MODALITIES
from .grid import interpolate_to_grid, is_constant, zscore
from .validity import Reason, Signal


def make_batch(
    signals: Mapping[str, Signal], *, padded_epochs: int, padding: str = "mean"
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.bool_]]]:
    """Preprocess one recording for the network.

    Parameters
    ----------
    signals : mapping of str to Signal
        Modality -> its signal at the recorded rate.
    padded_epochs : int
        Number of epochs to which shorter recordings are padded, from the preprocessing of the
        weights. Longer recordings are not padded.
    padding : str
        What the padding holds, from the same preprocessing: ``"mean"``, the mean of the signal, or
        ``"last"``, its last sample. Samples that were not measured hold the mean with both.

    Returns
    -------
    x : dict of str to array of float32, shape (1, S * samples_per_epoch)
        Modality -> z-scored signal including the padding, where S is the larger of the number of
        recorded epochs and ``padded_epochs``. Modalities without a measured epoch are left out, as
        are, with a warning, modalities that are constant on the grid. The dict may be empty.
    available : dict of str to array of bool, shape (1, S)
        Modality -> the epochs in which it was measured, for modalities that were not measured
        throughout. Padding counts as measured, as in training.
    """
    x, available = {}, {}
    for name, signal in signals.items():
        measured = signal.epochs == Reason.MEASURED
        if not measured.any():
            continue
        n_padded = max(measured.size, padded_epochs)
        grid = resample_signal(name, signal.data, signal.sfreq, n_padded, padding)
        if grid is None:
            continue
        x[name] = zscore(grid)[np.newaxis]
        if not measured.all():
            whole = np.pad(measured, (0, n_padded - measured.size), constant_values=True)
            available[name] = whole[np.newaxis]
    return x, available


def resample_signal(
    name: str,
    data: NDArray[np.floating],
    sfreq: float,
    n_epochs: int,
    padding: str = "mean",
) -> NDArray[np.float64] | None:
    """Resample a signal to the network's grid.

    Parameters
    ----------
    name : str
        The modality.
    data : array, shape (n_samples,)
        The signal at its recorded rate, in any unit.
    sfreq : float
        Its sampling rate in Hz.
    n_epochs : int
        Number of epochs; those after the end of the signal are padded.
    padding : str
        What the padding holds: ``"mean"``, the mean of the signal, or ``"last"``, its last sample.

    Returns
    -------
    grid : array, shape (n_epochs * samples_per_epoch,), or None
        The signal on the grid; None, with a warning, if it is constant there.
    """
    samples = MODALITIES[name].samples_per_epoch
    grid = interpolate_to_grid(data, sfreq, samples, n_epochs, padding=padding)
    # Without the padding, which may hold the mean: a single glitch between grid points changes it.
    n_recorded = max(int((data.size - 1) / sfreq / EPOCH_S * samples), 1)
    if is_constant(grid[:n_recorded]):
        warn(
            f"{name} is left out, because its channel is constant at the network's sampling "
            "times. Check the sensor, or map another channel."
        )
        return None
    return grid
