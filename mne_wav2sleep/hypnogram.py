"""From the network's logits to a yasa.Hypnogram."""

from collections.abc import Sequence
from datetime import datetime

import pandas as pd
import torch
import yasa
from torch import Tensor

STAGE_NAMES: dict[int, tuple[str, ...]] = {
    4: ("WAKE", "LIGHT", "DEEP", "REM"),
    5: ("WAKE", "N1", "N2", "N3", "REM"),
}
"""YASA's names of the stages, in the order of the released networks' outputs."""


def to_proba(logits: Tensor, stage_names: Sequence[str]) -> pd.DataFrame:
    """Turn logits into probabilities.

    Parameters
    ----------
    logits : Tensor, shape (n_epochs, n_stages)
        The network's output for one recording, without the padded epochs.
    stage_names : sequence of str
        What its columns stand for, in YASA's names.

    Returns
    -------
    proba : pandas.DataFrame, shape (n_epochs, n_stages)
        Probability of each stage for each 30-s epoch; every row sums to 1.

    Raises
    ------
    RuntimeError
        If the network gave something that is not a number.
    """
    # First to the CPU: MPS has no float64.
    proba = torch.softmax(logits.cpu().double(), dim=-1).numpy()
    frame = pd.DataFrame(proba, columns=list(stage_names))
    if frame.isna().to_numpy().any():
        raise RuntimeError(
            "The network gave NaN, so there is no hypnogram. Try precision='float32', and check "
            "the weights with `mne-wav2sleep weights verify`."
        )
    frame.index.name = "Epoch"
    return frame


def to_hypnogram(proba: pd.DataFrame, start: datetime | None, scorer: str) -> yasa.Hypnogram:
    """Take the most probable stage of each epoch.

    Parameters
    ----------
    proba : pandas.DataFrame, shape (n_epochs, n_stages)
        Probabilities, from :func:`to_proba`.
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
        n_stages=proba.shape[1],
        freq="30s",
        start=start,
        scorer=scorer,
        proba=proba,
    )
