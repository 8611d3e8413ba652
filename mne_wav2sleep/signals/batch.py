"""Preprocess recorded signals into the padded, z-scored arrays that the network reads."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..cautions import warn
from ..modalities import EPOCH_S, MODALITIES
from .grid import interpolate_to_grid, is_constant, zscore
from .validity import Reason, Signal


def make_batch(
    signals: Mapping[str, Signal], *, padded_epochs: int
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.bool_]]]:
    """Preprocess one recording for the network.

    Parameters
    ----------
    signals : mapping of str to Signal
        Modality -> its signal at the recorded rate.
    padded_epochs : int
        Number of epochs to which shorter recordings are padded, from the preprocessing of the
        weights. Longer recordings are not padded.

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
        samples = MODALITIES[name].samples_per_epoch
        n_padded = max(measured.size, padded_epochs)
        grid = interpolate_to_grid(signal.data, signal.sfreq, samples, n_padded)
        # Without the padding, which holds the mean: a single glitch between grid points changes it.
        n_recorded = max(int((signal.data.size - 1) / signal.sfreq / EPOCH_S * samples), 1)
        if is_constant(grid[:n_recorded]):
            warn(
                f"{name} is left out, because its channel is constant at the network's sampling "
                "times. Check the sensor, or map another channel."
            )
            continue
        x[name] = zscore(grid)[np.newaxis]
        if not measured.all():
            whole = np.pad(measured, (0, n_padded - measured.size), constant_values=True)
            available[name] = whole[np.newaxis]
    return x, available
