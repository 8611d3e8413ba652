"""Pairs of hypnograms of the same nights, and their agreement as YASA computes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import yasa
from numpy.typing import NDArray

UNKNOWN = ("UNS", "ART")
"""YASA's labels of epochs without a stage."""


@dataclass(frozen=True)
class Pair:
    """A night by two scorers.

    Attributes
    ----------
    facts : mapping of str to object
        What a table by night says of it, its ``night`` first, which is its own.
    reference, staged : yasa.Hypnogram
        The stages of the same epochs by the reference, and by the scorer that is compared with it.
    in_bed : slice or None
        The epochs of which sleep statistics are; None for all of them.
    """

    facts: Mapping[str, Any]
    reference: yasa.Hypnogram
    staged: yasa.Hypnogram
    in_bed: slice | None = None


def find_known(reference: yasa.Hypnogram, staged: yasa.Hypnogram) -> NDArray[np.bool_]:
    """Find the epochs that have a stage in both hypnograms.

    Parameters
    ----------
    reference, staged : yasa.Hypnogram
        The hypnograms, with the same epochs.

    Returns
    -------
    known : array of bool, shape (n_epochs,)
        Where both have one.
    """
    known = [~hyp.hypno.isin(UNKNOWN).to_numpy() for hyp in (reference, staged)]
    return np.asarray(known[0] & known[1])


def list_stages(pairs: Sequence[Pair]) -> list[str]:
    """List the stages that are compared, in YASA's order.

    Parameters
    ----------
    pairs : sequence of Pair
        The nights.

    Returns
    -------
    stages : list of str
        The stages, whether they occur or not.
    """
    return [stage for stage in pairs[0].reference.labels if stage not in UNKNOWN]


def pool_pairs(pairs: Sequence[Pair]) -> yasa.EpochByEpochAgreement:
    """Compare all nights as if they were one.

    Parameters
    ----------
    pairs : sequence of Pair
        The nights.

    Returns
    -------
    agreement : yasa.EpochByEpochAgreement
        YASA's comparison of a single pair.
    """
    return yasa.EpochByEpochAgreement(
        [_concatenate([one.reference for one in pairs])],
        [_concatenate([one.staged for one in pairs])],
    )


def _concatenate(hyps: Sequence[yasa.Hypnogram]) -> yasa.Hypnogram:
    """Concatenate nights, for statistics of all epochs together."""
    stages = [stage for hyp in hyps for stage in hyp.hypno]
    return yasa.Hypnogram(stages, n_stages=hyps[0].n_stages, scorer=hyps[0].scorer)


def count_confusion(agreement: yasa.EpochByEpochAgreement, stages: Sequence[str]) -> pd.DataFrame:
    """Count the epochs of each stage by both scorers.

    Parameters
    ----------
    agreement : yasa.EpochByEpochAgreement
        YASA's comparison of a single pair.
    stages : sequence of str
        The stages.

    Returns
    -------
    confusion : pandas.DataFrame, shape (n_stages, n_stages)
        Stages of the reference (rows) and of the other scorer (columns).
    """
    # YASA leaves out stages that do not occur.
    matrix = agreement.get_confusion_matrix()
    return matrix.reindex(index=list(stages), columns=list(stages), fill_value=0)


def count_nights(pairs: Sequence[Pair]) -> NDArray[np.int64]:
    """Count the epochs of each stage by both scorers, for each night.

    Parameters
    ----------
    pairs : sequence of Pair
        The nights.

    Returns
    -------
    counts : array, shape (n_nights, n_stages, n_stages)
        Number of epochs; those without a stage do not count.
    """
    stages = list_stages(pairs)
    counts = np.zeros((len(pairs), len(stages), len(stages)), dtype=np.int64)
    for one, found in zip(pairs, counts, strict=True):
        codes = [
            pd.Index(stages).get_indexer(hyp.hypno.to_numpy(dtype=object))
            for hyp in (one.reference, one.staged)
        ]
        known = (codes[0] >= 0) & (codes[1] >= 0)
        np.add.at(found, (codes[0][known], codes[1][known]), 1)
    return counts


def name_f1(f1: pd.Series) -> dict[str, float]:
    """Name the F1 of each stage, for a row of a table.

    Parameters
    ----------
    f1 : pandas.Series
        The F1 by stage.

    Returns
    -------
    named : dict of str to float
        Column -> F1.
    """
    return {f"F1 {stage}": value for stage, value in f1.items()}


def compare_nights(
    pairs: Sequence[Pair], subjects: Sequence[str] | None = None
) -> yasa.EpochByEpochAgreement:
    """Compare nights one by one.

    Parameters
    ----------
    pairs : sequence of Pair
        The nights.
    subjects : sequence of str or None
        The subject of each night, for YASA's summary; None if all of them differ.

    Returns
    -------
    agreement : yasa.EpochByEpochAgreement
        YASA's comparison, which numbers the nights from 1.
    """
    return yasa.EpochByEpochAgreement(
        [one.reference for one in pairs], [one.staged for one in pairs], subjects=subjects
    )


def score_nights(
    pairs: Sequence[Pair], agreement: yasa.EpochByEpochAgreement | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute the agreement of each night.

    Parameters
    ----------
    pairs : sequence of Pair
        The nights.
    agreement : yasa.EpochByEpochAgreement or None
        From :func:`compare_nights`, if there is one already.

    Returns
    -------
    scores : pandas.DataFrame
        One row per night: what is known of it, ``epochs``, ``kappa``, ``accuracy`` (%), and the F1
        (%) of each stage, NaN if it occurs in neither hypnogram.
    confusion : pandas.DataFrame
        Number of epochs by ``night`` and ``scored`` stage (rows), and ``staged`` (columns).
    """
    stages = list_stages(pairs)
    agreement = agreement or compare_nights(pairs)
    scores, by_stage = agreement.get_agreement(), agreement.get_agreement_bystage()
    if len(pairs) == 1:  # of a single night, YASA gives tables of another shape
        scores, f1 = scores.to_frame(1).T, by_stage[["fbeta"]].T.set_axis([1])
    else:
        f1 = by_stage["fbeta"].unstack("stage")
    f1 = f1.reindex(columns=stages)
    n_epochs = agreement.data.groupby(level="sleep_id").size()
    rows, matrices = [], {}
    for number, one in enumerate(pairs, start=1):
        row = {
            "epochs": n_epochs[number],
            "kappa": scores.at[number, "kappa"],
            "accuracy": scores.at[number, "accuracy"],
            **name_f1(f1.loc[number]),
        }
        rows.append({**one.facts, **row})
    counts = count_nights(pairs)
    for one, matrix in zip(pairs, counts, strict=True):
        matrices[one.facts["night"]] = pd.DataFrame(matrix, index=stages, columns=stages)
    confusion = pd.concat(matrices, names=["night", "scored"]).rename_axis(columns="staged")
    return pd.DataFrame(rows), confusion


def compute_sleep_stats(
    pairs: Sequence[Pair], scorers: tuple[str, str] = ("scored", "staged")
) -> pd.DataFrame:
    """Compute YASA's sleep statistics of each night by both scorers.

    Parameters
    ----------
    pairs : sequence of Pair
        The nights.
    scorers : tuple of (str, str)
        Names of the two.

    Returns
    -------
    statistics : pandas.DataFrame
        One row per ``scorer`` and ``night``, of the epochs in bed. Epochs that have no stage by one
        of them have none by the other either.
    """
    found = {}
    for one in pairs:
        unknown = ~find_known(one.reference, one.staged)
        in_bed = one.in_bed or slice(None)
        for name, hyp in zip(scorers, (one.reference, one.staged), strict=True):
            stages = np.where(unknown, "UNS", hyp.hypno.to_numpy(dtype=str))
            alike = yasa.Hypnogram(stages[in_bed], n_stages=hyp.n_stages, scorer=name)
            found[name, one.facts["night"]] = alike.sleep_statistics()
    return pd.DataFrame.from_dict(found, orient="index").rename_axis(["scorer", "night"])
