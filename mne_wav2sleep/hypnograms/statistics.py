"""How sure sleep statistics are: nights drawn from the probabilities, neighbours going together.

The network says how probable each stage is in each epoch, not how its errors go together; if every
epoch were drawn on its own, errors would cancel over a night and intervals come out too narrow. So
a stage is drawn as the largest of ``log(probability) + noise``, with Gumbel's noise, which gives
each stage its probability exactly; and the noise of a stage is one value for the night and one that
changes slowly from epoch to epoch (a Gaussian copula: normal, AR(1), then Gumbel's by quantiles).
How large the first is, and how slow the second, is fitted to nights that somebody scored.
"""

import numpy as np
import pandas as pd
import yasa
from mne.utils import _validate_type
from numpy.typing import NDArray
from scipy import signal, special

from ..cautions import warn
from ..modalities import EPOCH_S
from ..network.config import Calibration
from .probabilities import tabulate_statistics

_LONGEST_NIGHT_H = 16
"""From how many hours on statistics are not those of one night; who sleeps long sleeps 12 h."""

_TOGETHER = 50
"""Nights that are drawn together, so that days take little memory."""


def draw_stages(
    proba: NDArray[np.float64],
    calibration: Calibration,
    n_draws: int,
    rng: np.random.Generator,
) -> NDArray[np.int8]:
    """Draw nights from the probabilities of their epochs.

    Parameters
    ----------
    proba : array, shape (n_epochs, n_stages)
        Probabilities, in every row summing to 1.
    calibration : Calibration
        How errors go together.
    n_draws : int
        How many nights.
    rng : numpy.random.Generator
        Source of all chance.

    Returns
    -------
    stages : array of int8, shape (n_draws, n_epochs)
        Columns of ``proba``.

    Examples
    --------
    >>> stages = draw_stages(np.full((1000, 4), 0.25), Calibration(), 10, np.random.default_rng(0))
    >>> bool(np.mean(stages[:, 1:] == stages[:, :-1]) > 0.5)  # 0.25 if drawn one by one
    True
    """
    n_epochs, n_stages = proba.shape
    share, step = calibration.night_share, calibration.epoch_correlation
    log_proba = np.log(np.maximum(proba, np.finfo(float).tiny))
    stages = np.empty((n_draws, n_epochs), dtype=np.int8)
    for first in range(0, n_draws, _TOGETHER):
        n = min(_TOGETHER, n_draws - first)
        night = rng.standard_normal((n, 1, n_stages))
        steps = rng.standard_normal((n, n_epochs, n_stages))
        steps[:, 1:] *= np.sqrt(1 - step**2)
        slow = signal.lfilter([1.0], [1.0, -step], steps, axis=1)
        normal = np.sqrt(share) * night + np.sqrt(1 - share) * slow
        # Gumbel's quantile of the normal's probability; log_ndtr keeps its digits in the tails.
        gumbel = -np.log(-special.log_ndtr(normal))
        stages[first : first + n] = (log_proba + gumbel).argmax(axis=2)
    return stages


def check_ci(ci: float) -> None:
    """Refuse what is no probability of an interval."""
    _validate_type(ci, "numeric", "ci")
    if not 0 < ci < 1:
        raise ValueError(f"ci must be between 0 and 1, as 0.95, got {ci!r}.")


def warn_of_statistics(hyp: yasa.Hypnogram, calibration: Calibration) -> None:
    """Warn of statistics that are not those of a night, and of intervals that are borrowed.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram.
    calibration : Calibration
        How errors go together.
    """
    if not calibration.n_nights:
        warn(
            "The weights do not say how their errors go together: the intervals of sleep "
            "statistics take it from the bundled weights on simulated nights."
        )
    if unscored := int((hyp.hypno == "UNS").sum()):
        minutes = unscored * EPOCH_S / 60
        warn(
            f"{unscored} of {hyp.n_epochs} epochs are UNS, as nothing was measured in them, and "
            f"YASA's statistics count them as time in bed (TIB) but as no stage: TST and the "
            f"minutes of the stages may be too low by up to {minutes:g} min, SE with them, and "
            "latencies too long."
        )
    if (hours := hyp.n_epochs * EPOCH_S / 3600) > _LONGEST_NIGHT_H:
        warn(
            f"The sleep statistics are of {hours:.1f} h as if they were one night: latencies, "
            "WASO and SE mean nothing across days. Crop the recording (raw.crop), or the "
            "hypnogram (hyp.crop), to each night."
        )


def statistics_with_intervals(
    hyp: yasa.Hypnogram,
    calibration: Calibration,
    ci: float,
    *,
    n_draws: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Tabulate YASA's sleep statistics with intervals.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram, with its probabilities.
    calibration : Calibration
        How errors go together.
    ci : float
        Probability that an interval holds, between 0 and 1.
    n_draws : int
        How many nights are drawn.
    seed : int
        Seed of all chance.

    Returns
    -------
    statistics : pandas.DataFrame
        One row per statistic, to two decimals: its ``value`` in the hypnogram, its interval
        (``low``, ``high``) over the nights that were drawn, and its ``unit``. Epochs of no stage
        have none in all of them. No interval where less than half of the nights have the
        statistic, such as a latency of REM, and none of ``SFI``.
    """
    check_ci(ci)
    table = tabulate_statistics(hyp)
    stages = hyp.proba.columns.difference(["UNS"], sort=False)
    proba = hyp.proba[stages].to_numpy(copy=True)
    unknown = (hyp.hypno == "UNS").to_numpy()
    proba[unknown] = 1 / stages.size
    names = np.array(stages, dtype=object)
    rows = []
    for drawn in draw_stages(proba, calibration, n_draws, np.random.default_rng(seed)):
        one = names[drawn]
        one[unknown] = "UNS"
        rows.append(yasa.Hypnogram(one, n_stages=hyp.n_stages, freq=hyp.freq).sleep_statistics())
    draws = pd.DataFrame(rows).reindex(columns=table.index)
    draws.loc[:, draws.notna().mean() < 0.5] = np.nan
    draws["SFI"] = np.nan  # drawn nights change stage more often than real ones
    table.insert(1, "low", draws.quantile((1 - ci) / 2))
    table.insert(2, "high", draws.quantile((1 + ci) / 2))
    return table.round(2)
