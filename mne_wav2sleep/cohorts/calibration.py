"""How far to believe a network's probabilities, by nights that it has not learnt from."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mne.utils import _pl, logger
from numpy.typing import NDArray
from scipy import optimize
from sklearn.calibration import calibration_curve
from torch.nn import functional

from ..hypnograms.probabilities import find_temperatures, to_proba
from ..hypnograms.statistics import draw_stages
from ..network.backends import Subset
from ..network.config import Calibration
from ..network.model import Wav2Sleep
from ..network.registry import load_model
from ..progress import track
from .evaluation import Said, run_night
from .nights import PreparedNight

_MOST_NIGHTS = 200
"""Nights that a calibration is fitted on at most, evenly spaced; a few numbers need no more."""
_FEW_NIGHTS = 10
_RARE = 0.02
"""Share of the epochs below which a stage says nothing of how errors go together."""
_DRAWS = 50
_STEPS = 12
_PIECE = 20
"""Epochs, 10 min, over which errors that go together add up, before those of a night do."""

_Night = tuple[dict[Subset, Said], NDArray[np.int64]]


def calibrate(nights: Sequence[PreparedNight], model: Wav2Sleep) -> Calibration:
    """Fit how far to believe a network.

    Parameters
    ----------
    nights : sequence of PreparedNight
        Scored nights that the network has not learnt from.
    model : Wav2Sleep
        The network.

    Returns
    -------
    calibration : Calibration
        One temperature for every subset of the signals, at which the stages that were scored are
        most probable (Guo et al. 2017, ICML); and how errors go together, so that in nights drawn
        from the probabilities the counts of stages, in pieces of 10 min and in whole nights, are
        off by as much as in those that were scored.

    Notes
    -----
    With fewer than ten nights, how errors go together is not fitted, but kept as the network came
    with it: it comes from the scatter of as many values as there are nights. It is fitted to all
    signals that a night has, and serves their subsets as well. Where validation nights have chosen
    the network, it looks a little better on them than it is.
    """
    chosen = np.unique(np.linspace(0, len(nights) - 1, min(len(nights), _MOST_NIGHTS)).astype(int))
    n_classes = model.config.n_classes
    model = model.eval()
    found: list[_Night] = []
    for i in track(chosen, "Calibrating", "night"):
        found.append((run_night(model, nights[i], "all"), nights[i].read_stages(n_classes)))
    temperatures = {}
    for subset in sorted({subset for said, _ in found for subset in said}):
        logits, stages = _gather(found, subset)
        if stages.size:
            temperatures["+".join(subset)] = round(_fit_temperature(logits, stages), 4)
    calibration = replace(model.calibration, temperatures=temperatures)
    whole = [_whole(said, stages, calibration) for said, stages in found]
    whole = [(proba, scored) for proba, scored in whole if scored.size]
    if len(whole) < _FEW_NIGHTS:
        logger.info(
            f"{len(whole)} night{_pl(whole)} can say too little of how errors go together; what "
            "the network came with is kept."
        )
        return calibration
    return replace(_fit_errors(whole, calibration), n_nights=len(whole))


def _gather(found: Sequence[_Night], subset: Subset) -> tuple[NDArray, NDArray[np.int64]]:
    """Logits and scores of the epochs in which all of a subset was measured."""
    logits, scores = [], []
    for said, stages in found:
        if subset in said:
            known = (stages >= 0) & said[subset].measured.all(axis=1).to_numpy()
            logits.append(said[subset].logits[known])
            scores.append(stages[known])
    return np.concatenate(logits), np.concatenate(scores)


def _fit_temperature(logits: NDArray, stages: NDArray[np.int64]) -> float:
    """Find the temperature at which what was scored is most probable."""
    x, y = torch.from_numpy(logits).double(), torch.from_numpy(stages)

    def surprise(log_temperature: float) -> float:
        loss = functional.cross_entropy(x / np.exp(log_temperature), y).item()
        # Few epochs say little: temperatures are within a factor of 1.6 of 1, more likely than not.
        return loss * len(y) / _PIECE + 0.5 * (log_temperature / 0.5) ** 2

    # From a tenth to ten; a network further off than that is no use.
    found = optimize.minimize_scalar(surprise, bounds=(-2.3, 2.3), method="bounded")
    return float(np.exp(found.x))


def _whole(
    said: dict[Subset, Said], stages: NDArray[np.int64], calibration: Calibration
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities from all signals of a night, and the scores, of epochs that have both."""
    everything = max(said, key=len)
    measured = said[everything].measured
    known = (stages >= 0) & measured.any(axis=1).to_numpy()
    logits = torch.from_numpy(said[everything].logits)
    return to_proba(logits, find_temperatures(calibration, measured))[known], stages[known]


def _scatter(
    stages: NDArray[np.integer], proba: NDArray[np.float64], length: int
) -> NDArray[np.float64]:
    """Sum, by stage, the squares of by how much its counts in pieces of a night are off.

    For one night, shape (n_epochs,), or the mean over several, shape (n_draws, n_epochs).
    """
    starts = np.arange(0, len(proba), length)
    off = [
        np.add.reduceat((stages == stage) - expected, starts, axis=-1)
        for stage, expected in enumerate(proba.T)
    ]
    return np.array([np.square(counts).sum(-1).mean() for counts in off])


def _fit_errors(
    nights: Sequence[tuple[NDArray[np.float64], NDArray[np.int64]]], calibration: Calibration
) -> Calibration:
    """Fit how errors go together: over minutes and over the night, each in turn."""
    longest = max(len(proba) for proba, _ in nights)
    n_stages = nights[0][0].shape[1]
    common = np.concatenate([proba for proba, _ in nights]).mean(axis=0) >= _RARE

    def too_narrow(candidate: Calibration, length: int) -> bool:
        drawn, true = np.zeros(n_stages), np.zeros(n_stages)
        for i, (proba, scored) in enumerate(nights):
            # The same chance for every candidate, so that what they give changes smoothly.
            some = draw_stages(proba, candidate, _DRAWS, np.random.default_rng(i))
            drawn += _scatter(some, proba, length)
            true += _scatter(scored, proba, length)
        # Stages count alike, but for those that hardly come, of which one epoch would decide.
        ratio = (true[common] + 1) / (drawn[common] + 1)
        return bool(np.log(ratio).mean() > 0)

    for _ in range(3):
        for name, length, high in (
            ("epoch_correlation", _PIECE, 0.999),
            ("night_share", longest, 0.95),
        ):
            low = 0.0
            for _ in range(_STEPS):
                middle = round((low + high) / 2, 4)
                calibration = replace(calibration, **{name: middle})  # type: ignore[arg-type]
                low, high = (middle, high) if too_narrow(calibration, length) else (low, middle)
    return calibration


def measure_reliability(
    nights: Sequence[PreparedNight], weights: str | Path | Wav2Sleep, *, n_bins: int = 10
) -> pd.DataFrame:
    """Measure how often the most probable stage is right, by how probable it is.

    Parameters
    ----------
    nights : sequence of PreparedNight
        Scored nights, none that the weights have learnt from or were calibrated on.
    weights : str, Path or Wav2Sleep
        Name of weights, a model folder, or a network.
    n_bins : int
        Bins of equal numbers of epochs.

    Returns
    -------
    reliability : pandas.DataFrame
        A row per ``subset`` of the signals, ``calibrated`` (False, as the network says it; True,
        by the temperature of the subset) and bin: mean ``confidence``, the probability of the most
        probable stage, and the share of epochs in which it is right (``accuracy``).
    """
    model = weights if isinstance(weights, Wav2Sleep) else load_model(weights)
    model = model.eval()
    n_classes = model.config.n_classes
    found = [(run_night(model, n, "all"), n.read_stages(n_classes)) for n in nights]
    tables = []
    for subset in sorted({s for said, _ in found for s in said}, key=lambda s: (len(s), s)):
        logits, stages = _gather(found, subset)
        if not stages.size:  # its sensors were never on together where somebody scored
            continue
        for calibrated in (False, True):
            temperature = model.calibration.temperature(subset) if calibrated else 1.0
            proba = to_proba(torch.from_numpy(logits), temperature)
            accuracy, confidence = calibration_curve(
                proba.argmax(1) == stages, proba.max(1), n_bins=n_bins, strategy="quantile"
            )
            table = pd.DataFrame({"confidence": confidence, "accuracy": accuracy})
            table.insert(0, "calibrated", calibrated)
            table.insert(0, "subset", "+".join(subset))
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def plot_reliability(reliability: pd.DataFrame, subset: str, ax: Axes | None = None) -> Figure:
    """Draw the reliability of a subset of the signals, before and after calibration.

    Parameters
    ----------
    reliability : pandas.DataFrame
        From :func:`measure_reliability`.
    subset : str
        Such as ``"ECG+THX"``.
    ax : matplotlib.axes.Axes, optional
        Where; by default a new figure.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Accuracy against confidence; on the diagonal, one is the other.
    """
    if subset not in (there := reliability["subset"].unique()):
        raise ValueError(f"subset must be one of {', '.join(there)}, got {subset!r}.")
    if ax is None:
        _, ax = plt.subplots(figsize=(4, 4), layout="constrained")
    ax.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for calibrated, colour, label in (
        (False, "#d95f02", "as the network says it"),
        (True, "#1b6ca8", "calibrated"),
    ):
        rows = (reliability["subset"] == subset) & (reliability["calibrated"] == calibrated)
        table = reliability[rows]
        ax.plot(table["confidence"], table["accuracy"], "o-", color=colour, label=label)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="Confidence", ylabel="Accuracy")
    ax.set_title(subset, loc="left", parse_math=False)
    ax.legend(loc="upper left", frameon=False)
    return ax.figure.figure  # of a part of a figure, the whole
