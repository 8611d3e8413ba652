"""Agreement of each subject before and after, and the interval of the difference."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ..cohorts import Evaluation
from ..cohorts.comparison.intervals import score_counts
from ..cohorts.identity import Person
from ..cohorts.nights import identify_person

SCORES = ("kappa", "accuracy", "f1")
"""What is compared: Cohen's kappa, accuracy (%), and the mean of the stages' F1 (%)."""
_BATCH = 200
"""Resamples whose confusion matrices are in memory at once."""


def compute_scores(counts: NDArray) -> dict[str, NDArray[np.float64]]:
    """Compute scores from confusion matrices, as scikit-learn does from the stages.

    Parameters
    ----------
    counts : array of int, shape (..., n_stages, n_stages)
        Number of epochs of each stage by the scorer (rows) and by the network (columns).

    Returns
    -------
    scores : dict of str to array, shape (...)
        ``kappa``, ``accuracy`` (%) and ``f1`` (%), the mean over the stages that occur; NaN where
        one is not defined.

    Examples
    --------
    >>> {name: float(score.round(3)) for name, score in compute_scores([[20, 5], [10, 15]]).items()}
    {'kappa': 0.4, 'accuracy': 70.0, 'f1': 69.697}
    """
    scores = score_counts(np.asarray(counts, dtype=np.float64))
    f1 = scores["fbeta"]  # NaN for stages that do not occur
    with np.errstate(invalid="ignore"):
        mean = np.nansum(f1, -1) / np.isfinite(f1).sum(-1)
    return {"kappa": scores["kappa"], "accuracy": scores["accuracy"], "f1": mean}


def count_by_subject(found: Evaluation) -> dict[Person, NDArray[np.int64]]:
    """Add up the confusion matrices of each subject's nights.

    Parameters
    ----------
    found : Evaluation
        Agreement from a single subset of each night's signals.

    Returns
    -------
    counts : dict of (str, str) to array of int, shape (n_stages, n_stages)
        Dataset and subject, as they are compared -> number of epochs.
    """
    counts: dict[Person, NDArray[np.int64]] = {}
    for row in found.by_night.itertuples():
        matrix = found.confusion_by_night.loc[(row.dataset, row.subset, row.night)].to_numpy()
        person = identify_person(str(row.dataset), str(row.subject))
        counts[person] = counts.get(person, 0) + matrix
    return counts


def tabulate_subjects(
    facts: Mapping[Person, Mapping[str, Any]],
    before: Mapping[Person, NDArray],
    after: Mapping[Person, NDArray],
) -> pd.DataFrame:
    """Tabulate the scores of each subject side by side.

    Parameters
    ----------
    facts : mapping of (str, str) to mapping
        What the first columns say of each subject, in the order of the rows.
    before, after : mapping of (str, str) to array of int, shape (n_stages, n_stages)
        The confusion matrices of the initial and of the adapted weights.

    Returns
    -------
    by_subject : pandas.DataFrame
        A row per subject: the facts, ``epochs``, each score of :data:`SCORES` as ``_zero_shot`` and
        ``_adapted``, and ``difference``, that of kappa.
    """
    rows = []
    for person, fact in facts.items():
        row: dict[str, Any] = {**fact, "epochs": int(before[person].sum())}
        pair = [compute_scores(counts[person]) for counts in (before, after)]
        for name in SCORES:
            old, new = (float(scores[name]) for scores in pair)
            row |= {f"{name}_zero_shot": old, f"{name}_adapted": new}
            if name == "kappa":
                row["difference"] = new - old
        rows.append(row)
    return pd.DataFrame(rows)


def summarize_pairs(
    by_subject: pd.DataFrame, before: NDArray, after: NDArray, seed: int
) -> pd.DataFrame:
    """Summarize the scores of all subjects, with the interval of the difference.

    Parameters
    ----------
    by_subject : pandas.DataFrame
        From :func:`tabulate_subjects`.
    before, after : array of int, shape (n_subjects, n_stages, n_stages)
        The confusion matrices, in the order of the rows.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    summary : pandas.DataFrame
        By ``over`` (``"subjects"``, the mean of their scores, or ``"epochs"``, the score of all
        epochs together) and ``score``: ``zero_shot``, ``adapted``, their ``difference``, its 95%
        interval from ``low`` to ``high`` (percentile bootstrap over subjects, NaN for fewer than
        two), and the number of ``subjects``. Subjects for whom a score is not defined are left out
        of its mean.
    """
    rows = {}
    for name in SCORES:
        pair = by_subject[[f"{name}_zero_shot", f"{name}_adapted"]].dropna().to_numpy()
        gains = pair[:, 1] - pair[:, 0]
        interval = find_interval(gains, np.mean, seed)
        means = pair.mean(axis=0) if gains.size else (np.nan, np.nan)
        rows["subjects", name] = (*means, means[1] - means[0], *interval, gains.size)
    for name in SCORES:

        def gain(chosen: NDArray, axis: int = -1, name: str = name) -> Any:
            """Compute the gain in the pooled score of chosen subjects."""
            new, old = (compute_scores(one[chosen].sum(axis - 2))[name] for one in (after, before))
            return new - old

        old, new = (float(compute_scores(one.sum(0))[name]) for one in (before, after))
        interval = find_interval(np.arange(len(before)), gain, seed)
        rows["epochs", name] = (old, new, new - old, *interval, len(before))
    table = pd.DataFrame.from_dict(
        rows,
        orient="index",
        columns=["zero_shot", "adapted", "difference", "low", "high", "subjects"],
    )
    table.index = pd.MultiIndex.from_tuples(table.index, names=["over", "score"])
    return table.astype({"subjects": int})


def find_interval(values: NDArray, statistic: Callable[..., Any], seed: int) -> tuple[float, float]:
    """Find the 95% interval of a statistic, by a percentile bootstrap.

    Parameters
    ----------
    values : array, shape (n,)
        What is resampled.
    statistic : callable
        Of an array of resamples and an ``axis``, as :func:`scipy.stats.bootstrap` calls it.
    seed : int
        Seed of the resamples.

    Returns
    -------
    low, high : float
        The interval; NaN for fewer than two values.

    Examples
    --------
    >>> low, high = find_interval(np.array([0.02, 0.05, 0.11, 0.04]), np.mean, 0)
    >>> round(low, 2), round(high, 2)
    (0.03, 0.09)
    """
    if len(values) < 2:
        return np.nan, np.nan
    found = stats.bootstrap(
        (values,), statistic, vectorized=True, method="percentile", batch=_BATCH, rng=seed
    )
    low, high = found.confidence_interval
    return float(low), float(high)


def describe_gain(summary: pd.DataFrame) -> str:
    """Describe the gain in kappa of the mean subject in a sentence.

    Parameters
    ----------
    summary : pandas.DataFrame
        From :func:`summarize_pairs`.

    Returns
    -------
    text : str
        The sentence.
    """
    row = summary.loc[("subjects", "kappa")]
    n = int(row["subjects"])
    text = (
        f"Mean kappa of {n} subject{'s' * (n != 1)}: {row['zero_shot']:.3f} zero-shot, "
        f"{row['adapted']:.3f} adapted, difference {row['difference']:+.3f}"
    )
    if np.isnan(row["low"]):
        return f"{text} (an interval needs two subjects)."
    return f"{text} (95% interval {row['low']:+.3f} to {row['high']:+.3f})."


def join_counts(persons: Sequence[Person], counts: Mapping[Person, NDArray]) -> NDArray[np.int64]:
    """Stack the confusion matrices of subjects, shape (n_subjects, n_stages, n_stages)."""
    return np.stack([counts[person] for person in persons])
