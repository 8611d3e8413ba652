"""Scores of arms on the same nights, their differences, and intervals of both."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from results import Result
from study import Study

from mne_wav2sleep.cohorts.comparison.intervals import N_DRAWS, SEED

_LEVELS = (0.025, 0.975)
HIGHER, LOWER, SAME = "higher", "lower", "not significantly different"
"""What an interval says of a difference."""


def bootstrap_mean(values: NDArray[np.float64]) -> tuple[float, float]:
    """Find the 95% interval of a mean over seeds and subjects.

    Parameters
    ----------
    values : array, shape (n_seeds, n_subjects)
        A score, or a difference of two.

    Returns
    -------
    low, high : float
        Percentile bootstrap, in which subjects and seeds are both drawn with replacement, so that
        it covers other people and, with enough seeds, other runs. One seed says nothing of
        others, and two say too little. NaN for fewer than two subjects.

    Examples
    --------
    Two seeds and subjects that all agree leave no doubt:

    >>> bootstrap_mean(np.full((2, 5), 0.3))
    (0.3, 0.3)
    """
    n_seeds, n_subjects = values.shape
    if n_subjects < 2:
        return np.nan, np.nan
    rng = np.random.default_rng(SEED)
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), N_DRAWS) / n_seeds
    subjects = rng.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), N_DRAWS)
    means = np.einsum("ds,sn,dn->d", seeds, values, subjects / n_subjects)
    low, high = np.quantile(means, _LEVELS)
    return round(float(low), 6), round(float(high), 6)


def claim(low: float, high: float) -> str:
    """Say what the interval of a difference shows.

    Parameters
    ----------
    low, high : float
        The interval.

    Returns
    -------
    text : str
        ``"higher"``, ``"lower"`` or ``"not significantly different"``; empty if there is no
        interval.

    Examples
    --------
    >>> claim(0.01, 0.2), claim(-0.2, -0.01), claim(-0.1, 0.1)
    ('higher', 'lower', 'not significantly different')
    """
    if np.isnan(low):
        return ""
    return HIGHER if low > 0 else LOWER if high < 0 else SAME


def format_difference(row: Mapping[str, Any]) -> str:
    """Format a difference with its interval.

    Parameters
    ----------
    row : mapping
        ``difference``, ``difference low`` and ``difference high``.

    Returns
    -------
    text : str
        The difference and its interval.

    Examples
    --------
    >>> format_difference({"difference": 0.1, "difference low": 0, "difference high": 0.2})
    '+0.100, +0.000 to +0.200'
    """
    low, high = row["difference low"], row["difference high"]
    return f"{row['difference']:+.3f}, {low:+.3f} to {high:+.3f}"


def compare_scores(
    values: NDArray[np.float64], others: NDArray[np.float64]
) -> dict[str, float | str]:
    """Compare the scores of an arm with those of another one on the same nights.

    Parameters
    ----------
    values, others : array, shape (n_seeds, n_subjects)
        The scores of both.

    Returns
    -------
    row : dict of str to float or str
        ``difference``, ``difference low``, ``difference high`` and ``claim``.
    """
    difference = values - others
    low, high = bootstrap_mean(difference)
    return {
        "difference": float(difference.mean()) if difference.size else np.nan,
        "difference low": low,
        "difference high": high,
        "claim": claim(low, high),
    }


def describe_differences(
    rows: pd.DataFrame, column: str, reference: str, place: str
) -> Iterator[str]:
    """Say what the intervals of some differences from one reference show.

    Parameters
    ----------
    rows : pandas.DataFrame
        The differences, each with what it shows (``claim``).
    column : str
        The column that says of what each is.
    reference : str
        What the reference is called.
    place : str
        What comes before the values of the column.

    Yields
    ------
    text : str
        The end of a sentence for each kind of claim.
    """
    for kind in (HIGHER, LOWER, SAME):
        some = rows[rows["claim"] == kind]
        if some.empty:
            continue
        shown = "; ".join(f"{r[column]} ({format_difference(r)})" for _, r in some.iterrows())
        preposition = "from" if kind == SAME else "than"
        yield f"kappa is **{kind}** {preposition} that of {reference}{place} {shown}."


def collect_scores(results: Sequence[Result]) -> pd.DataFrame:
    """Collect the scores of all runs.

    Parameters
    ----------
    results : sequence of Result
        The results of a study.

    Returns
    -------
    scores : pandas.DataFrame
        A row for each ``arm``, ``seed``, ``cohort``, ``subject`` and ``subset``: ``kappa`` and
        ``accuracy``.
    """
    rows = [
        {"arm": one.arm, "seed": one.seed} | night.model_dump(exclude={"confusion"})
        for one in results
        for night in one.nights
    ]
    return pd.DataFrame(rows).astype({"kappa": float, "accuracy": float})


def find_seeds(results: Sequence[Result], study: Study) -> list[int]:
    """Find the seeds with which all arms were run.

    Raises
    ------
    ValueError
        If there are none.
    """
    by_arm = [{one.seed for one in results if one.arm == arm} for arm in study.arms]
    seeds = sorted(set.intersection(*by_arm))
    if not seeds:
        counts = ", ".join(f"{a} {len(s)}" for a, s in zip(study.arms, by_arm, strict=True))
        raise ValueError(
            f"No seed has results of all arms ({counts} results). Run the study to its end."
        )
    return seeds


def spread_scores(
    scores: pd.DataFrame, arm: str, column: str, seeds: Sequence[int]
) -> pd.DataFrame:
    """Spread the scores of an arm from one subset.

    Parameters
    ----------
    scores : pandas.DataFrame
        From :func:`collect_scores`, of one subset.
    arm : str
        The arm.
    column : str
        The score.
    seeds : sequence of int
        The seeds.

    Returns
    -------
    spread : pandas.DataFrame
        A row for each seed, a column for each subject.
    """
    some = scores[(scores["arm"] == arm) & scores["seed"].isin(seeds)]
    # The mean of a subject's nights, so that each subject counts the same.
    means = some.groupby(["seed", "cohort", "subject"])[column].mean()
    return means.unstack(["cohort", "subject"])


def keep_common(kappas: Mapping[Any, pd.DataFrame]) -> dict[Any, pd.DataFrame]:
    """Keep the subjects with a kappa in all seeds of all arms, since some nights have none."""
    kept = pd.concat(kappas.values()).dropna(axis=1, how="any").columns
    return {arm: kappa[kept] for arm, kappa in kappas.items()}


def _compare_arms(scores: pd.DataFrame, study: Study, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Compare the arms on nights of one subset."""
    arms = [name for name in study.arms if name in set(scores["arm"])]
    # Kappa is not defined for some nights of a single stage: they are left out for all arms.
    kappas = keep_common({arm: spread_scores(scores, arm, "kappa", seeds) for arm in arms})
    rows = []
    for arm in arms:
        kept, values = kappas[arm].columns, kappas[arm].to_numpy()
        low, high = bootstrap_mean(values)
        row = {
            "arm": arm,
            "kappa": values.mean() if values.size else np.nan,
            "low": low,
            "high": high,
            "accuracy": spread_scores(scores, arm, "accuracy", seeds)[kept].to_numpy().mean(),
            "sd of seeds": values.mean(1).std(ddof=1) if len(seeds) > 1 else np.nan,
        }
        if arm != study.reference and study.reference in arms:
            row |= compare_scores(values, kappas[study.reference].to_numpy())
        rows.append(row | {"seeds": len(seeds), "subjects": len(kept)})
    return rows


def compare_arms(results: Sequence[Result], study: Study) -> pd.DataFrame:
    """Compare the arms of a study on the same nights, with the same seeds.

    Parameters
    ----------
    results : sequence of Result
        Its results.
    study : Study
        The study.

    Returns
    -------
    table : pandas.DataFrame
        A row for each ``cohort`` (or all together), ``subset`` and ``arm``: mean ``kappa`` over
        seeds and subjects with its interval from ``low`` to ``high``, ``accuracy`` (%), the SD of
        the mean over seeds, the ``difference`` of kappa from the reference with its interval and
        what that shows (``claim``), numbers of ``seeds`` and ``subjects``, and mean CPU time of
        training (``cpu_s``).
    """
    seeds = find_seeds(results, study)
    scores = collect_scores(results)
    for name, arm in study.arms.items():
        if arm.subsets is not None:
            scores = scores[(scores["arm"] != name) | scores["subset"].isin(arm.subsets)]
    cpu = pd.DataFrame([{"arm": r.arm, "cpu_s": r.cpu_s} for r in results if r.seed in seeds])
    mean_cpu = cpu.groupby("arm")["cpu_s"].mean()
    together = "+".join(sorted(set(scores["cohort"])))
    groups = scores.groupby("cohort") if study.by_cohort else [(together, scores)]
    rows = []
    for cohort, some in groups:
        # The smallest subset first.
        for subset in sorted(set(some["subset"]), key=lambda one: (one.count("+"), one)):
            if study.subsets is None or subset in study.subsets:
                compared = _compare_arms(some[some["subset"] == subset], study, seeds)
                rows += [{"cohort": cohort, "subset": subset, **row} for row in compared]
    table = pd.DataFrame(rows)
    return table.assign(cpu_s=table["arm"].map(mean_cpu))
