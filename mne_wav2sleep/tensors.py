"""From recorded signals to the padded, z-scored batch that the network reads."""

from collections.abc import Mapping

import numpy as np
import torch
from mne.utils import warn
from numpy.typing import NDArray
from torch import Tensor

from .modalities import EPOCH_S, MODALITIES, N_EPOCHS_TRAINED
from .signals import interpolate_to_grid, is_constant, zscore


def make_batch(
    signals: Mapping[str, tuple[NDArray[np.floating], float]],
    n_epochs: int,
    device: torch.device | str = "cpu",
    *,
    padded_epochs: int = N_EPOCHS_TRAINED,
) -> dict[str, Tensor]:
    """Prepare one recording for the network, as the released weights were trained.

    Parameters
    ----------
    signals : mapping of str to (array, float)
        Modality -> the signal at its own recorded rate, shape (n_samples,) in any unit, and that
        rate in Hz.
    n_epochs : int
        Complete 30-s epochs of the recording.
    device : torch.device or str
        Where the batch goes.
    padded_epochs : int
        Epochs to which shorter recordings are padded; by default the 1200 (10 h) on which the
        released weights were trained. Longer recordings are not padded.

    Returns
    -------
    x : dict of str to Tensor of float32, shape (1, S * samples_per_epoch)
        z-scored signals by modality, padding included; S is the larger of ``n_epochs`` and
        ``padded_epochs``. Modalities that are constant on the grid are left out, with a warning.

    Raises
    ------
    ValueError
        If all modalities are constant.
    """
    n_padded = max(n_epochs, padded_epochs)
    x = {}
    for name, (data, sfreq) in signals.items():
        samples = MODALITIES[name].samples_per_epoch
        grid = interpolate_to_grid(data, sfreq, samples, n_padded)
        # Not the padding: it holds the mean, which a single glitch between grid points moves.
        n_recorded = max(int((data.size - 1) / sfreq / EPOCH_S * samples), 1)
        if is_constant(grid[:n_recorded]):
            warn(f"{name} is left out: its channel is constant at the network's sampling times.")
            continue
        x[name] = torch.from_numpy(zscore(grid)).unsqueeze(0).to(device)
    if not x:
        raise ValueError(
            f"None of the signals ({', '.join(signals)}) varies, so there is nothing to stage. "
            "Check the recording, or name other channels."
        )
    return x
