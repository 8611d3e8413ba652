"""Converting the network's logits to probabilities and to a yasa.Hypnogram."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd
import torch
import yasa
from numpy.typing import NDArray
from torch import Tensor

from ..calibration import Calibration


def find_temperatures(calibration: Calibration, measured: pd.DataFrame) -> NDArray[np.float64]:
    """Look up the temperature of each epoch.

    Parameters
    ----------
    calibration : Calibration
        Temperatures for subsets of the modalities.
    measured : pandas.DataFrame of bool, shape (n_epochs, n_modalities)
        Whether each of the modalities that are used was measured in each epoch.

    Returns
    -------
    temperatures : array, shape (n_epochs, 1)
        Temperature for the modalities that were measured in each epoch.

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
    """Convert logits to probabilities.

    Parameters
    ----------
    logits : Tensor, shape (n_epochs, n_stages)
        The network's output for one recording, without the padded epochs.
    temperatures : float or array, shape (n_epochs, 1)
        Temperatures, by which the logits are divided.

    Returns
    -------
    proba : array, shape (n_epochs, n_stages)
        Probability of each stage for each 30-s epoch; every row sums to 1.

    Raises
    ------
    RuntimeError
        If the network returned NaN.

    Examples
    --------
    >>> to_proba(torch.tensor([[0.0, 0.0], [1000.0, 0.0]])).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    # To the CPU first, since MPS has no float64, and users may have set another default device.
    divisors = torch.as_tensor(temperatures, dtype=torch.float64, device="cpu")
    scaled = logits.cpu().double() / divisors
    proba = torch.softmax(scaled, dim=-1).numpy()
    if np.isnan(proba).any():
        raise RuntimeError(
            "The network returned NaN, so there is no hypnogram. Try precision='float32', and "
            "check the weights with `mne-wav2sleep weights verify`."
        )
    return proba


def name_stages(proba: NDArray[np.float64], stage_names: Sequence[str]) -> pd.DataFrame:
    """Label probabilities with the names of the stages, as YASA expects them.

    Parameters
    ----------
    proba : array, shape (n_epochs, n_stages)
        Probabilities; NaN in epochs in which nothing was measured.
    stage_names : sequence of str
        YASA's names of the columns.

    Returns
    -------
    frame : pandas.DataFrame, shape (n_epochs, n_stages) or (n_epochs, n_stages + 1)
        Probabilities of the stages. If nothing was measured in some epochs, there is a column
        ``UNS``, 1 in these epochs and 0 in all others.

    Examples
    --------
    >>> name_stages(np.array([[0.8, 0.2], [np.nan, np.nan]]), ["WAKE", "SLEEP"]).to_dict("list")
    {'WAKE': [0.8, 0.0], 'SLEEP': [0.2, 0.0], 'UNS': [0.0, 1.0]}
    """
    frame = pd.DataFrame(proba, columns=list(stage_names)).rename_axis(index="Epoch")
    unmeasured = np.isnan(proba).any(axis=1)
    if unmeasured.any():
        frame[unmeasured] = 0.0
        frame["UNS"] = unmeasured.astype(float)
    return frame


def to_hypnogram(proba: pd.DataFrame, start: datetime | None, scorer: str) -> yasa.Hypnogram:
    """Make a hypnogram of the most probable stage of each epoch.

    Parameters
    ----------
    proba : pandas.DataFrame, shape (n_epochs, n_stages) or (n_epochs, n_stages + 1)
        Probabilities, from :func:`name_stages`.
    start : datetime or None
        Start of the first epoch.
    scorer : str
        Name of the scorer.

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


def compute_certainty(hyp: yasa.Hypnogram) -> pd.Series:
    """Compute the probability of the most probable stage.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram, with its probabilities.

    Returns
    -------
    certainty : pandas.Series
        One value for each epoch that has a stage, by its number.
    """
    staged = (hyp.hypno != "UNS").to_numpy()
    return hyp.proba.drop(columns="UNS", errors="ignore").max(axis=1)[staged]
