"""Sleep statistics with intervals, from nights drawn at random from the probabilities.

The network gives the probability of each stage in each epoch, but not the dependence between its
errors. If epochs were drawn independently, errors would average out over a night and the intervals
would be too narrow. So a stage is drawn as the largest of ``log(probability) + noise`` with Gumbel
noise, which gives each stage exactly its probability, and the noise of each stage is correlated
across epochs: one part is constant over the night, and one changes slowly from epoch to epoch (a
Gaussian copula: normal, AR(1), then transformed to Gumbel by quantiles). The share of the first and
the autocorrelation of the second are fitted to scored nights.
"""

import numpy as np
import pandas as pd
import yasa
from numpy.typing import NDArray
from scipy import signal, special

from ..calibration import Calibration
from ..cautions import warn
from ..modalities import EPOCH_S
from ..verbosity import check_type

LONGEST_NIGHT_H = 16
"""Hours above which a recording is more than one night; even long sleepers sleep about 12 h."""

N_DRAWS = 500
"""Nights that are drawn for the intervals of sleep statistics."""

_N_AT_A_TIME = 50
"""Nights that are drawn at a time, which limits the memory for recordings of days."""


def draw_stages(
    proba: NDArray[np.float64],
    calibration: Calibration,
    n_draws: int,
    rng: np.random.Generator,
) -> NDArray[np.int8]:
    """Draw nights at random from the probabilities of their epochs.

    Parameters
    ----------
    proba : array, shape (n_epochs, n_stages)
        Probabilities; every row sums to 1.
    calibration : Calibration
        Dependence between errors: ``night_share`` and ``epoch_correlation``.
    n_draws : int
        Number of nights to draw.
    rng : numpy.random.Generator
        Random number generator.

    Returns
    -------
    stages : array of int8, shape (n_draws, n_epochs)
        Drawn stages, as indices of the columns of ``proba``.

    Examples
    --------
    >>> stages = draw_stages(np.full((1000, 4), 0.25), Calibration(), 10, np.random.default_rng(0))
    >>> bool(np.mean(stages[:, 1:] == stages[:, :-1]) > 0.5)  # 0.25 if independent
    True
    """
    n_epochs, n_stages = proba.shape
    share, step = calibration.night_share, calibration.epoch_correlation
    log_proba = np.log(np.maximum(proba, np.finfo(float).tiny))
    stages = np.empty((n_draws, n_epochs), dtype=np.int8)
    for first in range(0, n_draws, _N_AT_A_TIME):
        n = min(_N_AT_A_TIME, n_draws - first)
        night = rng.standard_normal((n, 1, n_stages))
        steps = rng.standard_normal((n, n_epochs, n_stages))
        steps[:, 1:] *= np.sqrt(1 - step**2)
        slow = signal.lfilter([1.0], [1.0, -step], steps, axis=1)
        normal = np.sqrt(share) * night + np.sqrt(1 - share) * slow
        # From normal to Gumbel by quantiles; log_ndtr is accurate in the tails.
        gumbel = -np.log(-special.log_ndtr(normal))
        stages[first : first + n] = (log_proba + gumbel).argmax(axis=2)
    return stages


def check_ci(ci: float) -> None:
    """Check the coverage of an interval.

    Parameters
    ----------
    ci : float
        Coverage.

    Raises
    ------
    TypeError, ValueError
        If it is not a number between 0 and 1.
    """
    check_type(ci, "numeric", "ci")
    if not 0 < ci < 1:
        raise ValueError(f"ci must be between 0 and 1, such as 0.95, got {ci!r}.")


UNCALIBRATED = (
    "The weights do not say how their errors go together: the intervals of sleep statistics use "
    "the dependence of the bundled weights on simulated nights. Calibrate the weights on scored "
    "nights."
)
"""Warning of weights without a calibration."""


def warn_of_statistics(hyp: yasa.Hypnogram, calibration: Calibration) -> None:
    """Warn about limitations of sleep statistics and their intervals.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram.
    calibration : Calibration
        Dependence between errors.
    """
    if not calibration.n_nights:
        warn(UNCALIBRATED)
    if unscored := int((hyp.hypno == "UNS").sum()):
        minutes = unscored * EPOCH_S / 60
        warn(
            f"{unscored} of {hyp.n_epochs} epochs are UNS, as nothing was measured in them. YASA's "
            "statistics count them as time in bed (TIB) but not as a stage: TST and the minutes of "
            f"the stages may be too low by up to {minutes:g} min, SE too low, and latencies too "
            "long."
        )
    if (hours := hyp.n_epochs * EPOCH_S / 3600) > LONGEST_NIGHT_H:
        warn(
            f"The sleep statistics are of {hours:.1f} h as if they were one night: latencies, "
            "WASO and SE are meaningless across days. Give lights=, crop the recording "
            "(raw.crop), or take the statistics of each night from sleep_periods()."
        )


def statistics_with_intervals(
    hyp: yasa.Hypnogram,
    calibration: Calibration,
    ci: float,
    *,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute YASA's sleep statistics with intervals.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram, with its probabilities.
    calibration : Calibration
        Dependence between errors.
    ci : float
        Coverage of the intervals, between 0 and 1.
    n_draws : int
        Number of nights to draw.
    seed : int
        Seed of the random number generator.

    Returns
    -------
    statistics : pandas.DataFrame
        One row per statistic, to two decimals: its ``value`` in the hypnogram, its interval
        (``low``, ``high``) over the drawn nights, and its ``unit``. Unscored epochs are unscored in
        all of them. The interval is NaN if less than half of the nights have the statistic, such as
        a latency of REM, and for ``SFI``.
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
    draws["SFI"] = np.nan  # drawn nights have more stage shifts than real ones
    table.insert(1, "low", draws.quantile((1 - ci) / 2))
    table.insert(2, "high", draws.quantile((1 + ci) / 2))
    return table.round(2)


def tabulate_statistics(hyp: yasa.Hypnogram) -> pd.DataFrame:
    """Compute YASA's sleep statistics, as a table with units.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram.

    Returns
    -------
    statistics : pandas.DataFrame
        One row per statistic, with the columns ``value``, to two decimals, and ``unit``.

    Examples
    --------
    >>> tabulate_statistics(yasa.Hypnogram(["WAKE"] + 3 * ["N2"], n_stages=5)).loc[["TST", "SE"]]
         value unit
    TST    1.5  min
    SE    75.0    %
    """
    # All others are in minutes (documentation of yasa.Hypnogram.sleep_statistics).
    units = {"SE": "%", "SME": "%", "SFI": "per h"}
    table = pd.Series(hyp.sleep_statistics(), name="value").to_frame().round(2)
    table["unit"] = ["%" if name[0] == "%" else units.get(name, "min") for name in table.index]
    return table
