"""From the network's logits to a yasa.Hypnogram, and to what is written and printed of it."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import numpy as np
import pandas as pd
import torch
import yasa
from numpy.typing import NDArray
from torch import Tensor

from ..network.config import Calibration

STAGE_NAMES: dict[int, tuple[str, ...]] = {
    4: ("WAKE", "LIGHT", "DEEP", "REM"),
    5: ("WAKE", "N1", "N2", "N3", "REM"),
}
"""YASA's names of the stages, in the order of the released networks' outputs."""


def find_temperatures(calibration: Calibration, measured: pd.DataFrame) -> NDArray[np.float64]:
    """Find what to divide the logits of each epoch by.

    Parameters
    ----------
    calibration : Calibration
        The temperatures of subsets of the modalities.
    measured : pandas.DataFrame of bool, shape (n_epochs, n_modalities)
        Which of the modalities that are used were measured in which epochs.

    Returns
    -------
    temperatures : array, shape (n_epochs, 1)
        Those of the modalities that were measured in each epoch.

    Examples
    --------
    >>> measured = pd.DataFrame({"ECG": [True, True], "THX": [True, False]})
    >>> find_temperatures(Calibration({"ECG": 1.5, "ECG+THX": 2.0}), measured).tolist()
    [[2.0], [1.5]]
    """
    found = np.ones((len(measured), 1))
    for there, rows in measured.reset_index(drop=True).groupby(list(measured.columns)):
        found[rows.index] = calibration.temperature(measured.columns[list(there)])
    return found


def to_proba(
    logits: Tensor, temperatures: NDArray[np.float64] | float = 1.0
) -> NDArray[np.float64]:
    """Turn logits into probabilities.

    Parameters
    ----------
    logits : Tensor, shape (n_epochs, n_stages)
        The network's output for one recording, without the padded epochs.
    temperatures : float or array, shape (n_epochs, 1)
        What the logits are divided by.

    Returns
    -------
    proba : array, shape (n_epochs, n_stages)
        Probability of each stage for each 30-s epoch; every row sums to 1.

    Raises
    ------
    RuntimeError
        If the network gave something that is not a number.
    """
    # First to the CPU: MPS has no float64.
    scaled = logits.cpu().double() / torch.as_tensor(temperatures, dtype=torch.float64)
    proba = torch.softmax(scaled, dim=-1).numpy()
    if np.isnan(proba).any():
        raise RuntimeError(
            "The network gave NaN, so there is no hypnogram. Try precision='float32', and check "
            "the weights with `mne-wav2sleep weights verify`."
        )
    return proba


def name_stages(proba: NDArray[np.float64], stage_names: Sequence[str]) -> pd.DataFrame:
    """Put probabilities in YASA's terms.

    Parameters
    ----------
    proba : array, shape (n_epochs, n_stages)
        Probabilities; NaN in epochs in which nothing was measured.
    stage_names : sequence of str
        What the columns stand for, in YASA's names.

    Returns
    -------
    frame : pandas.DataFrame, shape (n_epochs, n_stages) or (n_epochs, n_stages + 1)
        Probabilities by stage. If nothing was measured in some epoch, there is a column ``UNS``, 1
        in these epochs and 0 in all others.
    """
    frame = pd.DataFrame(proba, columns=list(stage_names)).rename_axis(index="Epoch")
    unmeasured = np.isnan(proba).any(axis=1)
    if unmeasured.any():
        frame[unmeasured] = 0.0
        frame["UNS"] = unmeasured.astype(float)
    return frame


def to_hypnogram(proba: pd.DataFrame, start: datetime | None, scorer: str) -> yasa.Hypnogram:
    """Take the most probable stage of each epoch.

    Parameters
    ----------
    proba : pandas.DataFrame, shape (n_epochs, n_stages) or (n_epochs, n_stages + 1)
        Probabilities, from :func:`name_stages`.
    start : datetime or None
        When the first epoch begins.
    scorer : str
        Who scored.

    Returns
    -------
    hyp : yasa.Hypnogram
        The hypnogram, with its probabilities.
    """
    return yasa.Hypnogram(
        proba.idxmax(axis=1).to_numpy(dtype=object),
        n_stages=proba.columns.difference(["UNS"]).size,
        freq="30s",
        start=start,
        scorer=scorer,
        proba=proba,
    )


def change_hypnogram(
    hyp: yasa.Hypnogram, *, start: datetime | None = None, scorer: str | None = None
) -> yasa.Hypnogram:
    """Give a hypnogram another start or scorer, and leave all else as it is.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram, which stays as it is.
    start : datetime or None
        When its first epoch begins; None to keep it.
    scorer : str or None
        Who scored; None to keep it.

    Returns
    -------
    changed : yasa.Hypnogram
        A copy, with its probabilities.

    Examples
    --------
    >>> change_hypnogram(yasa.Hypnogram(["WAKE", "N2"]), scorer="expert").scorer
    'expert'
    """
    return yasa.Hypnogram(
        hyp.hypno.to_numpy(dtype=object),
        n_stages=hyp.n_stages,
        freq=hyp.freq,
        start=hyp.start if start is None else start,
        scorer=hyp.scorer if scorer is None else scorer,
        proba=hyp.proba,
    )


@contextmanager
def allow_absent_stages() -> Iterator[None]:
    """Keep scikit-learn, behind YASA's agreement, from warning of stages that were never scored."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        warnings.filterwarnings("ignore", "A single label was found")
        warnings.filterwarnings("ignore", "`y1`, `y2` and `labels` have only one label in common")
        yield


def tabulate_statistics(hyp: yasa.Hypnogram) -> pd.DataFrame:
    """Tabulate YASA's sleep statistics with their units.

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
    # YASA's own list of what is not in minutes.
    units = {"SE": "%", "SME": "%", "SFI": "per h"}
    table = pd.Series(hyp.sleep_statistics(), name="value").to_frame().round(2)
    table["unit"] = ["%" if name[0] == "%" else units.get(name, "min") for name in table.index]
    return table
