"""Tables of agreement between two scorers of many nights: YASA's figures, with intervals."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import yasa

from ...cautions import catch_warnings, warn
from .intervals import N_DRAWS, SEED, bootstrap
from .pairs import UNKNOWN, Pair, count_confusion, count_nights, list_stages, name_f1, pool_pairs

_FEWEST = 2
"""Fewest nights of which YASA can compute limits of agreement."""
_FEWEST_SUBJECTS = 3
"""Fewest subjects with several nights for YASA's mixed model."""
_BY_STAGE = {"fbeta": "f1", **{one: one for one in ("recall", "precision", "specificity", "npv")}}
"""YASA's names of scores by stage, and ours."""


@contextmanager
def _quiet_yasa() -> Iterator[None]:
    """Hide YASA's log, which tells of statistics that are the same for both scorers."""
    logger = logging.getLogger("yasa")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def describe_pairs(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Describe the agreement of all epochs of some nights, in a row.

    Parameters
    ----------
    pairs : sequence of Pair
        The nights.

    Returns
    -------
    row : dict of str to object
        ``nights``, ``subjects``, ``epochs``, ``kappa`` and ``accuracy`` (%) with ``_low`` and
        ``_high``, and the F1 (%) of each stage.
    """
    together = pool_pairs(pairs)
    scores = together.get_agreement()
    subjects = [one.facts["subject"] for one in pairs]
    intervals = bootstrap(count_nights(pairs), subjects)
    row: dict[str, Any] = {
        "nights": len(pairs),
        "subjects": len(set(subjects)),
        "epochs": len(together.data),
    }
    for name in ("kappa", "accuracy"):
        low, high = (float(bound) for bound in intervals[name])
        row |= {name: scores[name], f"{name}_low": low, f"{name}_high": high}
    f1 = together.get_agreement_bystage()["fbeta"].reindex(list_stages(pairs))
    return row | name_f1(f1)


def tabulate_pooled(
    pairs: Sequence[Pair], agreement: yasa.EpochByEpochAgreement
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Tabulate the agreement of all epochs of all nights.

    Parameters
    ----------
    pairs : sequence of Pair
        The nights.
    agreement : yasa.EpochByEpochAgreement
        From :func:`~mne_wav2sleep.cohorts.comparison.pairs.compare_nights`.

    Returns
    -------
    pooled, by_stage, confusion : pandas.DataFrame
        As in :class:`Comparison`.
    """
    stages = list_stages(pairs)
    together = pool_pairs(pairs)
    subjects = [one.facts["subject"] for one in pairs]
    intervals = bootstrap(count_nights(pairs), subjects)
    # By stage, YASA calls scores "precision" that, over all stages, are weighted means.
    ours = {"precision": "weighted_precision", "f1": "weighted_f1"}
    scores = together.get_agreement()
    bounds = {name: intervals[ours.get(name, name)] for name in scores.index}
    pooled = pd.DataFrame(
        {
            "value": scores,
            "low": {name: float(low) for name, (low, _) in bounds.items()},
            "high": {name: float(high) for name, (_, high) in bounds.items()},
        }
    )
    if pd.isna(scores["kappa"]):
        pooled.loc["mcc", "value"] = np.nan
    pooled = pooled.loc[scores.index].rename_axis("metric").join(_average(agreement))
    found = together.get_agreement_bystage()
    # With some versions of pandas, YASA leaves out scores that are 0/0 for all stages.
    found = found.reindex(index=stages, columns=["support", *_BY_STAGE])
    by_stage = found[["support"]].rename(columns={"support": "epochs"}).fillna(0).astype(int)
    for name, label in _BY_STAGE.items():
        low, high = intervals[name]
        by_stage[label] = found[name]
        is_known = found[name].notna()  # YASA leaves out stages that do not occur
        by_stage[f"{label}_low"] = np.where(is_known, low, np.nan)
        by_stage[f"{label}_high"] = np.where(is_known, high, np.nan)
    return pooled, by_stage.rename_axis("stage"), count_confusion(together, stages)


def _average(agreement: yasa.EpochByEpochAgreement) -> pd.DataFrame:
    """Average the scores of nights by subject, and these over subjects, with YASA."""
    columns = ["mean", "std", "subjects", "mean_low", "mean_high"]
    if agreement.n_subjects == 1:
        return pd.DataFrame(columns=columns, dtype=float)
    # A night of one stage has no kappa; scikit-learn's correlation is 0, also if all agree. YASA
    # summarizes the table that it has returned.
    scores = agreement.get_agreement()
    scores.loc[scores["kappa"].isna(), "mcc"] = np.nan
    with _quiet_yasa():
        summary = agreement.summary(
            ci_method="boot",
            bootstrap_kwargs={"method": "percentile", "n_resamples": N_DRAWS, "rng": SEED},
            func=["mean", "std", "count"],
        )
    return summary.set_axis(columns, axis=1)


@dataclass(frozen=True)
class StatsAgreement:
    """Agreement of sleep statistics by YASA.

    Attributes
    ----------
    agreement : yasa.SleepStatsAgreement or None
        YASA's object; None for too few nights, or if all statistics are the same.
    ci_method : str or None
        How YASA computes intervals; None for none.
    """

    agreement: yasa.SleepStatsAgreement | None
    ci_method: str | None = "auto"

    def summarize(self) -> pd.DataFrame:
        """Give YASA's summary, its two levels of columns joined by a dot."""
        if self.agreement is None:
            return pd.DataFrame()
        with _quiet_yasa(), catch_warnings():
            summary = self.agreement.summary(ci_method=self.ci_method)
        return summary.set_axis([".".join(one) for one in summary.columns], axis=1)

    def report(self) -> pd.DataFrame:
        """Give YASA's table for a paper."""
        if self.agreement is None:
            return pd.DataFrame()
        with _quiet_yasa(), catch_warnings():
            return self.agreement.report(
                bias_method="param", loa_method="param", ci_method=self.ci_method, decimals=1
            )


def compare_statistics(statistics: pd.DataFrame, subjects: Mapping[str, str]) -> StatsAgreement:
    """Compare the sleep statistics of two scorers.

    Parameters
    ----------
    statistics : pandas.DataFrame
        One row per scorer and night, the reference first.
    subjects : mapping of str to str
        Night -> subject.

    Returns
    -------
    found : StatsAgreement
        The comparison. Without statsmodels, several nights of a subject have no intervals, which is
        warned of.
    """
    names = list(statistics.index.get_level_values("scorer").unique())
    reference, other = (statistics.loc[name] for name in names)
    reference = reference.drop(columns=list(UNKNOWN), errors="ignore")
    other = other[reference.columns]
    # A latency to REM sleep, for example, takes a night with REM sleep by both.
    n_valid = (reference.notna() & other.notna()).sum()
    usable = n_valid.index[n_valid > 0]
    if len(reference) < _FEWEST or not (other - reference)[usable].fillna(0).to_numpy().any():
        return StatsAgreement(None)
    of_nights = pd.Series([subjects[night] for night in reference.index], index=reference.index)
    is_repeated = of_nights.nunique() < of_nights.size
    settings = {
        "ref_scorer": names[0],
        "obs_scorer": names[1],
        "bootstrap_kwargs": {"method": "percentile", "rng": SEED},
    }
    with _quiet_yasa(), catch_warnings():
        if is_repeated and of_nights.nunique() >= _FEWEST_SUBJECTS:
            try:
                return StatsAgreement(
                    yasa.SleepStatsAgreement(
                        reference[usable], other[usable], subjects=of_nights, **settings
                    )
                )
            except ImportError:
                pass
        found = yasa.SleepStatsAgreement(reference[usable], other[usable], **settings)
    if is_repeated:
        warn(
            "Bias and limits of agreement of the sleep statistics have no intervals, because "
            "subjects have several nights, for which YASA needs statsmodels and "
            f"{_FEWEST_SUBJECTS} subjects. Run `pip install 'yasa[stats]'`."
        )
    return StatsAgreement(found, None if is_repeated else "auto")
