"""Calibration of a network: temperatures, correlation of errors, and reliability."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import optimize
from sklearn.calibration import calibration_curve
from torch.nn import functional

from ..calibration import Calibration, Source
from ..hypnograms.probabilities import find_temperatures, to_proba
from ..hypnograms.statistics import draw_stages
from ..network import Engine, LoadedWeights, load_weights
from ..network.backends import Subset
from ..progress import track
from ..showing import finish_figure
from ..verbosity import Verbosity, logger, pluralize, verbose
from .evaluation import NightOutput, run_night
from .identity import check_nights, warn_of_seen
from .nights import Night, PreparedNight
from .preparing import open_prepared

_MOST_NIGHTS = 200
"""Largest number of nights, evenly spaced, to fit a calibration on; few parameters are fitted."""
_FEW_NIGHTS = 10
"""Number of nights below which the correlation of errors is not fitted."""
_RARE = 0.02
"""Share of the epochs below which a stage is ignored when fitting the correlation of errors."""
_DRAWS = 50
"""Nights drawn for each night, to fit the correlation of errors."""
_STEPS = 12
"""Bisection steps for each of its parameters."""
_NARROW, _WIDE = 0.2, 0.5
"""Standard deviation of the logarithm of a temperature about that of the weights, or about 1 (or
the median of the others) if they have none."""
_PIECE = 20
"""Epochs (10 min) over which errors are summed to fit their correlation from epoch to epoch."""

_ScoredOutput = tuple[dict[Subset, NightOutput], NDArray[np.int64]]


@verbose
def calibrate(
    nights: Sequence[Night | PreparedNight],
    weights: str | Path | LoadedWeights,
    *,
    cache: str | Path | None = None,
    n_jobs: int = 1,
    device: str | torch.device = "auto",
    verbose: Verbosity = None,
) -> Calibration:
    """Fit temperatures and the correlation of errors.

    Parameters
    ----------
    nights : sequence of Night or PreparedNight
        Scored nights that the network was not trained on.
    weights : str, Path or LoadedWeights
        Name of weights, a model folder, or loaded weights.
    cache : str, Path or None
        Where to keep nights that are prepared here; None for a temporary folder.
    n_jobs : int
        Number of nights prepared in parallel, as in :func:`~mne_wav2sleep.cohorts.prepare_nights`.
    device : str or torch.device
        As in :class:`~mne_wav2sleep.SleepStagerW2S`.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    calibration : Calibration
        A temperature for every subset of the signals, at which the scored stages are most probable
        (Guo et al. 2017, ICML); and the correlation of errors, fitted so that stage counts, in
        pieces of 10 min and in whole nights, vary as much in nights drawn from the probabilities
        as the scored counts differ from the expected ones. What these nights do not have, such as
        a subset of signals, is kept from the calibration of the weights; ``source`` tells which.

    Raises
    ------
    TypeError
        If ``nights`` is not a sequence of nights.
    ValueError
        If there are no nights, or they cannot be used.

    See Also
    --------
    measure_reliability : Check a calibration on other nights.

    Notes
    -----
    With fewer than ten nights, the correlation of errors is not fitted but taken from the weights:
    each night contributes a single value to it. It is fitted with all signals of a night, and used
    for their subsets as well. If the network was selected on these nights, its calibration is
    slightly optimistic.

    A single night says little about a temperature, so a log-normal prior keeps it near that of the
    weights: 68% are within a factor of 1.2 (``benchmarks/few_nights.py`` compared several), or 1.6
    if the weights have none for the subset, in which case it is kept near their others, or 1.

    To use a calibration, put it into the weights, ``dataclasses.replace(load_weights(weights),
    calibration=calibration)``, which every ``weights=`` takes and ``save_weights`` writes.
    """
    check_nights(nights)
    if not nights:
        raise ValueError("There are no nights to calibrate on. Give scored nights.")
    loaded = load_weights(weights)
    engine = Engine(loaded.network, device)
    chosen = np.unique(np.linspace(0, len(nights) - 1, min(len(nights), _MOST_NIGHTS)).astype(int))
    some = [nights[i] for i in chosen]
    found: list[_ScoredOutput] = []
    with open_prepared(some, cache, n_jobs, loaded.modalities) as prepared:
        warn_of_seen(prepared, loaded)
        for night in track(prepared, "Calibrating", "night", is_long=True):
            found.append(_run_scored_night(loaded, engine, night))
    calibration = _update_temperatures(found, keep_calibration(loaded.calibration))
    whole = [_compute_proba(outputs, stages, calibration) for outputs, stages in found]
    whole = [(proba, scored) for proba, scored in whole if scored.size]
    if len(whole) < _FEW_NIGHTS:
        logger.info(
            f"{len(whole)} night{pluralize(whole)}, fewer than {_FEW_NIGHTS}, cannot show how "
            "errors are correlated; the values of the weights are kept."
        )
        return calibration
    n_nights, n_epochs = len(whole), sum(scored.size for _, scored in whole)
    return replace(
        _fit_errors(whole, calibration),
        n_nights=n_nights,
        correlation_source=Source("scored nights", n_nights, n_epochs),
    )


def keep_calibration(calibration: Calibration) -> Calibration:
    """Say of all values of a calibration that they are from before.

    Parameters
    ----------
    calibration : Calibration
        The calibration of initial weights.

    Returns
    -------
    calibration : Calibration
        The same values, with the origin "earlier calibration".
    """
    sources = {
        subset: replace(calibration.source(subset.split("+")), origin="earlier calibration")
        for subset in calibration.temperatures
    }
    known = calibration.correlation_source or Source("not stated", calibration.n_nights)
    source = replace(known, origin="earlier calibration") if calibration.n_nights else None
    return replace(calibration, sources=sources, correlation_source=source)


def _update_temperatures(found: Sequence[_ScoredOutput], earlier: Calibration) -> Calibration:
    """Fit the temperatures of the subsets that the nights have, and keep the others."""
    temperatures, sources = dict(earlier.temperatures), dict(earlier.sources)
    for subset in sorted({subset for outputs, _ in found for subset in outputs}):
        logits, stages = _collect_epochs(found, subset)
        if stages.size:
            name, center = "+".join(subset), earlier.temperature(subset)
            width = _NARROW if name in earlier.temperatures else _WIDE
            temperatures[name] = round(_fit_temperature(logits, stages, center, width), 4)
            n_nights = sum(bool(_collect_epochs([one], subset)[1].size) for one in found)
            sources[name] = Source("scored nights", n_nights, stages.size)
    return replace(earlier, temperatures=temperatures, sources=sources)


def _run_scored_night(
    weights: LoadedWeights, engine: Engine, night: PreparedNight
) -> _ScoredOutput:
    """Run a network on all subsets of a night, and read the scored stages."""
    outputs = run_night(weights, engine, night, "all")
    return outputs, night.read_stages(len(weights.stage_names))


def _collect_epochs(
    found: Sequence[_ScoredOutput], subset: Subset
) -> tuple[NDArray, NDArray[np.int64]]:
    """Collect logits and stages of scored epochs in which all of a subset was measured."""
    logits, scores = [], []
    for outputs, stages in found:
        if subset in outputs:
            known = (stages >= 0) & outputs[subset].measured.all(axis=1).to_numpy()
            logits.append(outputs[subset].logits[known])
            scores.append(stages[known])
    if not scores:
        return np.empty((0, 0)), np.empty(0, dtype=np.int64)
    return np.concatenate(logits), np.concatenate(scores)


def _fit_temperature(
    logits: NDArray, stages: NDArray[np.int64], center: float = 1.0, width: float = _WIDE
) -> float:
    """Find the temperature at which the scored stages are most probable.

    A log-normal prior, with its median at ``center``, decides where there are few epochs.
    """
    x, y = torch.from_numpy(logits).double(), torch.from_numpy(stages)

    def compute_loss(log_temperature: float) -> float:
        loss = functional.cross_entropy(x / np.exp(log_temperature), y).item()
        # Epochs are correlated, so that _PIECE of them count as one.
        return loss * len(y) / _PIECE + 0.5 * ((log_temperature - np.log(center)) / width) ** 2

    # From 0.1 to 10; a network further off than that is of no use.
    found = optimize.minimize_scalar(compute_loss, bounds=(-2.3, 2.3), method="bounded")
    return float(np.exp(found.x))


def _compute_proba(
    outputs: dict[Subset, NightOutput], stages: NDArray[np.int64], calibration: Calibration
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Compute probabilities from all signals of a night, for its scored and measured epochs."""
    everything = max(outputs, key=len)
    measured = outputs[everything].measured
    known = (stages >= 0) & measured.any(axis=1).to_numpy()
    logits = torch.from_numpy(outputs[everything].logits)
    return to_proba(logits, find_temperatures(calibration, measured))[known], stages[known]


def _sum_squared_errors(
    stages: NDArray[np.integer], proba: NDArray[np.float64], length: int
) -> NDArray[np.float64]:
    """Sum the squared errors of a stage's expected counts over pieces of a night, by stage.

    For one night, shape (n_epochs,), or the mean over several, shape (n_draws, n_epochs).
    """
    starts = np.arange(0, len(proba), length)
    errors = [
        np.add.reduceat((stages == stage) - expected, starts, axis=-1)
        for stage, expected in enumerate(proba.T)
    ]
    return np.array([np.square(counts).sum(-1).mean() for counts in errors])


def _fit_errors(
    nights: Sequence[tuple[NDArray[np.float64], NDArray[np.int64]]], calibration: Calibration
) -> Calibration:
    """Fit the correlation of errors: from epoch to epoch and over the night, in turn."""
    longest = max(len(proba) for proba, _ in nights)
    n_stages = nights[0][0].shape[1]
    common = np.concatenate([proba for proba, _ in nights]).mean(axis=0) >= _RARE

    def is_too_narrow(candidate: Calibration, length: int) -> bool:
        drawn, true = np.zeros(n_stages), np.zeros(n_stages)
        for i, (proba, scored) in enumerate(nights):
            # The same seeds for every candidate, so that the result varies smoothly with it.
            some = draw_stages(proba, candidate, _DRAWS, np.random.default_rng(i))
            drawn += _sum_squared_errors(some, proba, length)
            true += _sum_squared_errors(scored, proba, length)
        # Stages have equal weights, except rare ones, for which a single epoch would decide.
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
                low, high = (middle, high) if is_too_narrow(calibration, length) else (low, middle)
    return calibration


@verbose
def measure_reliability(
    nights: Sequence[Night | PreparedNight],
    weights: str | Path | LoadedWeights,
    *,
    n_bins: int = 10,
    cache: str | Path | None = None,
    n_jobs: int = 1,
    device: str | torch.device = "auto",
    verbose: Verbosity = None,
) -> pd.DataFrame:
    """Compare the probability of the most probable stage with how often it is right.

    Parameters
    ----------
    nights : sequence of Night or PreparedNight
        Scored nights that the weights were neither trained nor calibrated on.
    weights : str, Path or LoadedWeights
        Name of weights, a model folder, or loaded weights.
    n_bins : int
        Number of bins, each with the same number of epochs.
    cache : str, Path or None
        Where to keep nights that are prepared here; None for a temporary folder.
    n_jobs : int
        Number of nights prepared in parallel, as in :func:`~mne_wav2sleep.cohorts.prepare_nights`.
    device : str or torch.device
        As in :class:`~mne_wav2sleep.SleepStagerW2S`.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    reliability : pandas.DataFrame
        One row per ``subset`` of the signals, ``calibrated`` (whether logits are divided by the
        temperature of the subset) and bin: mean ``confidence``, the probability of the most
        probable stage, and ``accuracy``, the share of epochs in which it is right.

    See Also
    --------
    plot_reliability : Draw it.
    """
    loaded = load_weights(weights)
    engine = Engine(loaded.network, device)
    with open_prepared(nights, cache, n_jobs, loaded.modalities) as prepared:
        warn_of_seen(prepared, loaded)
        found = [_run_scored_night(loaded, engine, night) for night in prepared]
    tables = []
    for subset in sorted({s for outputs, _ in found for s in outputs}, key=lambda s: (len(s), s)):
        logits, stages = _collect_epochs(found, subset)
        if not stages.size:  # no scored epoch in which all of it was measured
            continue
        for calibrated in (False, True):
            temperature = loaded.calibration.temperature(subset) if calibrated else 1.0
            proba = to_proba(torch.from_numpy(logits), temperature)
            accuracy, confidence = calibration_curve(
                proba.argmax(1) == stages, proba.max(1), n_bins=n_bins, strategy="quantile"
            )
            table = pd.DataFrame({"confidence": confidence, "accuracy": accuracy})
            table.insert(0, "calibrated", calibrated)
            table.insert(0, "subset", "+".join(subset))
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def plot_reliability(
    reliability: pd.DataFrame, subset: str, ax: Axes | None = None, *, show: bool = True
) -> Figure:
    """Plot the reliability of a subset of the signals, before and after calibration.

    Parameters
    ----------
    reliability : pandas.DataFrame
        From :func:`measure_reliability`.
    subset : str
        Subset of the signals, such as ``"ECG+THX"``.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in; by default those of a new figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Accuracy against confidence; calibrated probabilities lie on the diagonal.

    Raises
    ------
    ValueError
        If there is no such subset in the table.
    """
    if subset not in (there := reliability["subset"].unique()):
        raise ValueError(f"subset must be one of {', '.join(there)}, got {subset!r}.")
    is_new = ax is None
    if ax is None:
        _, ax = plt.subplots(figsize=(4, 4), layout="constrained")
    ax.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for calibrated, color, label in (
        (False, "#d95f02", "uncalibrated"),
        (True, "#1b6ca8", "calibrated"),
    ):
        rows = (reliability["subset"] == subset) & (reliability["calibrated"] == calibrated)
        table = reliability[rows]
        ax.plot(table["confidence"], table["accuracy"], "o-", color=color, label=label)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="Confidence", ylabel="Accuracy")
    ax.set_title(subset, loc="left", parse_math=False)
    ax.legend(loc="upper left", frameon=False)
    # The figure of a subfigure is the one that contains it.
    return finish_figure(ax.figure.figure, show=show, close=is_new)
