"""Prepared nights as batches for the network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..modalities import MODALITIES
from ..signals.grid import is_constant, zscore
from .nights import PreparedNight

Batch = dict[str, Any]

_ZERO = 1e-9
"""Standard deviations below which a sample of a prepared night is its mean, but for rounding."""
_SHORTEST_FILL = 8
"""Successive samples with the mean from which on they were filled in: 1 s of a belt."""


def _refill(piece: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill in what was not measured with the mean of the window, instead of that of the night."""
    filled = np.abs(piece) < _ZERO
    edges = np.flatnonzero(np.diff(np.r_[False, filled, False])).reshape(-1, 2)
    for begin, end in edges:
        filled[begin:end] = end - begin >= _SHORTEST_FILL
    if filled.any() and not filled.all():
        piece[filled] = piece[~filled].mean(dtype=np.float64)
    return piece


def _find_last(night: PreparedNight, name: str, piece: NDArray[np.float32], last: int) -> float:
    """Find the sample at the end of some epochs, which padding holds."""
    end = night.ends[night.modalities.index(name)] if last >= night.n_epochs else 0.0
    # What was not measured was filled in, in these epochs with their own mean.
    return float(piece[-1]) if abs(end) < _ZERO else end


def read_item(
    night: PreparedNight,
    names: Sequence[str],
    n_stages: int,
    *,
    first: int = 0,
    last: int | None = None,
    length: int,
    refill: bool = False,
    padding: str = "mean",
) -> dict[str, Any]:
    """Read some epochs of a night as the network's input.

    Parameters
    ----------
    night : PreparedNight
        The night.
    names : sequence of str
        The modalities to read, which the night must have.
    n_stages : int
        Number of stages that the network knows, 4 or 5.
    first : int
        First epoch to read.
    last : int or None
        The one after the last epoch to read; None for as many as the item has.
    length : int
        Number of epochs of the item, which is padded if fewer are read.
    refill : bool
        Whether samples that were not measured, and padding with the mean, hold the mean of these
        epochs, as when a window of a recording is staged, instead of that of the night.
    padding : str
        What the padding holds, as the weights' preprocessing says: ``"mean"``, or ``"last"``, the
        last sample of the recording, or of these epochs if it goes on after them.

    Returns
    -------
    item : dict
        ``signals``: modality -> z-scored array of float32, shape (length * samples_per_epoch,);
        ``measured``: modality -> array of bool, shape (length,), True in the padding, as when a
        recording is staged; ``stages``: array of int64, shape (length,), -1 where unscored,
        not measured or padded; ``name``: name of the night, for error messages; ``dataset``: its
        dataset.
    """
    last = first + length if last is None else min(last, first + length)
    stages = np.full(length, -1, dtype=np.int64)
    scored = night.read_stages(n_stages)[first:last]
    stages[: scored.size] = scored
    signals, measured = {}, {}
    for name, piece in night.read_signals(names, first, last - first).items():
        piece = _refill(piece) if refill else piece
        if padding == "last":
            fill = _find_last(night, name, piece, last)
        else:
            fill = piece.mean(dtype=np.float64) if refill else 0.0  # the mean of the night
        grid = np.full(length * MODALITIES[name].samples_per_epoch, fill)
        grid[: piece.size] = piece
        # A constant piece becomes zeros, since its standard deviation is 0.
        signals[name] = grid.astype(np.float32) if is_constant(grid) else zscore(grid)
        measured[name] = np.ones(length, dtype=bool)
        there = night.read_measured(name)[first:last]
        measured[name][: there.size] = there
    # Epochs in which no sensor measured anything do not count.
    stages[~np.any(list(measured.values()), axis=0)] = -1
    return {
        "signals": signals,
        "measured": measured,
        "stages": stages,
        "name": night.name,
        "dataset": night.dataset,
    }


def collate(items: Sequence[dict[str, Any]]) -> Batch:
    """Combine nights with different signals into one batch.

    Parameters
    ----------
    items : sequence of dict
        B items from :func:`read_item`.

    Returns
    -------
    batch : dict
        ``x``: modality -> Tensor, shape (B_with_it, T), of the recordings that have it only;
        ``rows``: modality -> Tensor, shape (B_with_it,), the rows of these recordings;
        ``available``: modality -> Tensor of bool, shape (B, S), True where it was measured;
        ``stages``: Tensor, shape (B, S), -1 where unscored, not measured or padded; ``names``:
        names of the nights, for error messages; ``datasets``: their datasets.
    """
    n_epochs = max(item["stages"].size for item in items)
    stages = torch.full((len(items), n_epochs), -1, dtype=torch.long)
    for row, item in enumerate(items):
        stages[row, : item["stages"].size] = torch.from_numpy(item["stages"])
    x, rows, available = {}, {}, {}
    for name in sorted({name for item in items for name in item["signals"]}):
        rows[name] = torch.tensor([i for i, item in enumerate(items) if name in item["signals"]])
        shape = len(rows[name]), n_epochs * MODALITIES[name].samples_per_epoch
        x[name] = torch.zeros(shape, dtype=torch.float32)  # whatever a user's default is
        available[name] = torch.zeros(len(items), n_epochs, dtype=torch.bool)
        for x_T, i in zip(x[name], rows[name], strict=True):
            signal, measured = items[i]["signals"][name], items[i]["measured"][name]
            x_T[: signal.size] = torch.from_numpy(signal)
            available[name][i] = True
            available[name][i, : measured.size] = torch.from_numpy(measured)
    return {
        "x": x,
        "rows": rows,
        "available": available,
        "stages": stages,
        "names": [item["name"] for item in items],
        "datasets": [item["dataset"] for item in items],
    }
