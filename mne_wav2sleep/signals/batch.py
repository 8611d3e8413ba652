"""From recorded signals to the padded, z-scored batch that the network reads."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..cautions import warn
from ..modalities import EPOCH_S, MODALITIES, N_EPOCHS_TRAINED
from .grid import interpolate_to_grid, is_constant, zscore
from .validity import MEASURED, Signal


def make_batch(
    signals: Mapping[str, Signal],
    device: torch.device | str = "cpu",
    *,
    padded_epochs: int = N_EPOCHS_TRAINED,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Prepare one recording for the network, as the released weights were trained.

    Parameters
    ----------
    signals : mapping of str to Signal
        Modality -> the signal at its own recorded rate, with what is to be said of its epochs.
    device : torch.device or str
        Where the batch goes.
    padded_epochs : int
        Epochs to which shorter recordings are padded; by default the 1200 (10 h) on which the
        released weights were trained. Longer recordings are not padded.

    Returns
    -------
    x : dict of str to Tensor of float32, shape (1, S * samples_per_epoch)
        z-scored signals by modality, padding included; S is the larger of the epochs recorded and
        ``padded_epochs``. Modalities without a measured epoch are left out, and those that are
        constant on the grid, with a warning; it may be empty.
    available : dict of str to Tensor of bool, shape (1, S)
        Where each modality was measured; not named where it was throughout. Padding counts as
        measured, as it did in training.

    """
    x, available = {}, {}
    for name, signal in signals.items():
        measured = signal.epochs == MEASURED
        if not measured.any():
            continue
        samples = MODALITIES[name].samples_per_epoch
        n_padded = max(measured.size, padded_epochs)
        grid = interpolate_to_grid(signal.data, signal.sfreq, samples, n_padded)
        # Not the padding: it holds the mean, which a single glitch between grid points moves.
        n_recorded = max(int((signal.data.size - 1) / signal.sfreq / EPOCH_S * samples), 1)
        if is_constant(grid[:n_recorded]):
            warn(f"{name} is left out: its channel is constant at the network's sampling times.")
            continue
        x[name] = torch.from_numpy(zscore(grid)).unsqueeze(0).to(device)
        if not measured.all():
            whole = np.pad(measured, (0, n_padded - measured.size), constant_values=True)
            available[name] = torch.from_numpy(whole).unsqueeze(0).to(device)
    return x, available
