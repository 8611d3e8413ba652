"""Intervals of agreement, by a bootstrap that draws the nights of a subject together."""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...cautions import catch_warnings

N_DRAWS = 2000
"""Number of draws of the bootstrap."""
SEED = 0
"""Seed of the bootstrap, so that the same nights give the same intervals."""
FEW_SUBJECTS = 10
"""Number of subjects below which intervals are doubtful."""
_LEVELS = (0.025, 0.975)
_BLOCK = 250
"""Number of draws at once, which bounds memory."""


def score_counts(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Compute scores of confusion matrices, all at once.

    Parameters
    ----------
    counts : array, shape (..., n_stages, n_stages)
        Number of epochs of each stage by the reference and by the other scorer.

    Returns
    -------
    scores : dict of str to array
        The scores of :meth:`yasa.EpochByEpochAgreement.get_agreement` by name, shape (...), and
        those by stage of :meth:`yasa.EpochByEpochAgreement.get_agreement_bystage`, shape
        (..., n_stages), equal to YASA's; NaN where they are 0/0, as ``mcc`` is where kappa is.

    Notes
    -----
    YASA computes scores from epochs, which would take minutes for thousands of draws.

    Examples
    --------
    >>> scores = score_counts(np.array([[8.0, 2.0], [4.0, 6.0]]))
    >>> float(scores["accuracy"]), float(scores["kappa"].round(2)), scores["recall"].tolist()
    (70.0, 0.4, [80.0, 60.0])
    """
    agreed = np.diagonal(counts, axis1=-2, axis2=-1)
    by_reference, by_other = counts.sum(-1), counts.sum(-2)
    n = counts.sum((-2, -1))
    occurs = (by_reference + by_other) > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        share = by_reference / n[..., None]
        recall, precision = agreed / by_reference, agreed / by_other
        # As in scikit-learn, one of 0/0 makes F1 0 if the stage occurs at all.
        f1 = np.where(occurs, 2 * agreed / (by_reference + by_other), np.nan)
        rest = n[..., None] - by_reference
        wrongly = by_other - agreed
        by_chance = (by_reference * by_other).sum(-1) / n**2
        accuracy = agreed.sum(-1) / n
        spread = (1 - (by_reference**2).sum(-1) / n**2) * (1 - (by_other**2).sum(-1) / n**2)
        # 0, as in scikit-learn, if one scorer gave a single stage; NaN, as kappa, if both the same.
        mcc = np.where(spread > 0, (accuracy - by_chance) / np.sqrt(spread), 0.0)
        mcc = np.where(by_chance == 1, np.nan, mcc)
        return {
            "accuracy": 100 * accuracy,
            "balanced_acc": 100 * np.nansum(recall, -1) / (by_reference > 0).sum(-1),
            "kappa": (accuracy - by_chance) / (1 - by_chance),
            "mcc": mcc,
            "weighted_precision": 100 * np.nansum(share * precision, -1),
            "weighted_f1": 100 * np.nansum(share * f1, -1),
            "fbeta": 100 * f1,
            "precision": 100 * precision,
            "recall": 100 * recall,
            "specificity": 100 * (rest - wrongly) / rest,
            "npv": 100 * (rest - wrongly) / (n[..., None] - by_other),
        }


def bootstrap(
    counts: NDArray[np.int64], subjects: Sequence[object]
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Bootstrap scores by subject.

    Parameters
    ----------
    counts : array, shape (n_nights, n_stages, n_stages)
        The confusion matrix of each night.
    subjects : sequence of length n_nights
        The subject of each night. Nights of a subject are drawn together.

    Returns
    -------
    intervals : dict of str to (array, array)
        The 2.5th and 97.5th percentile of each score of :func:`score_counts`, over draws in which
        it is not 0/0; NaN if there is only one subject.
    """
    codes = pd.factorize(np.asarray(subjects, dtype=object))[0]
    n_subjects = codes.max() + 1
    by_subject = np.zeros((n_subjects, *counts.shape[1:]))
    np.add.at(by_subject, codes, counts)
    if n_subjects == 1:
        return {
            name: (np.full_like(score, np.nan), np.full_like(score, np.nan))
            for name, score in score_counts(by_subject[0]).items()
        }
    rng = np.random.default_rng(SEED)
    blocks = []
    for _ in range(N_DRAWS // _BLOCK):
        times = rng.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), _BLOCK)
        blocks.append(score_counts(np.tensordot(times.astype(float), by_subject, 1)))
    intervals = {}
    with catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice encountered", RuntimeWarning)
        for name in blocks[0]:
            drawn = np.concatenate([block[name] for block in blocks])
            low, high = np.nanquantile(drawn, _LEVELS, axis=0)
            intervals[name] = (low, high)
    return intervals
