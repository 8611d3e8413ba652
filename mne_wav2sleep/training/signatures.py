"""Signs in the scores of a trained network that its training failed in a way that is known.

The paper (arXiv 2411.04644) tells of three: a signal that the network has not learned to use, runs
that differ by their seed alone and disagree, and signals that together are worth less than one.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ..cohorts import Evaluation
from ..output import write_whole
from .masking import Masking
from .run import FREE, SCORES, compare_records, read_record

_FEWEST_SUBJECTS = 4
"""Number of validation subjects from which scores are compared."""
_N_DRAWS = 999
_FAR = 0.15
"""Mean kappa by which a signal alone has to be below the others, surely, to be far below them; a
belt is below the heart by 0.1 to 0.15 in networks that have learned both."""
_HALF = 0.5
"""Share of the others' mean kappa that it has to be below as well."""
_WORSE = 0.02
"""Mean kappa by which all signals have to be worse than one of them."""
_SEEDS_APART = 0.1
"""Kappa by which runs that differ by their seed alone may differ."""
_MOST_RUNS = 100
"""Number of folders that are looked at."""
_MOST_SHOWN = 6
"""Number of runs that a message names."""


def find_signatures(found: Evaluation, masking: Masking) -> list[str]:
    """Find signs that masking was wrong, in the agreement on the validation nights.

    Parameters
    ----------
    found : Evaluation
        Agreement of the trained weights, from every subset of the signals.
    masking : Masking
        How signals were dropped.

    Returns
    -------
    signs : list of str
        A sentence or two for each sign: what is wrong, the figures, and what to do.

    Notes
    -----
    Intervals are 95% intervals of a bootstrap over subjects; a difference that they do not exclude
    is no sign.
    """
    table = found.by_night.pivot_table("kappa", ["dataset", "subject", "night"], "subset")
    subjects = table.groupby(["dataset", "subject"]).mean()
    names = [str(name) for name in subjects if "+" not in str(name)]
    return [*_find_unlearned(subjects[names], masking), *_find_worse(table, names, masking)]


def _find_unlearned(kappas: pd.DataFrame, masking: Masking) -> list[str]:
    """Find signals that, alone, agree far less than the other signals alone."""
    signs = []
    for name in kappas:
        others = [other for other in kappas if other != name]
        is_few = kappas[name].count() < _FEWEST_SUBJECTS
        if not others or is_few or (kappas[others].count() < _FEWEST_SUBJECTS).any():
            continue
        mean, rest = kappas[name].mean(), kappas[others].mean().mean()
        at = list(kappas).index(name)
        low, _ = _bootstrap(kappas.to_numpy(), partial(_compare, at=at))
        if mean < _HALF * rest and low > _FAR:
            drop = masking.drop.get(str(name), 0.0)
            signs.append(
                f"{name} alone has a kappa of {mean:.2f} on the validation nights, the other "
                f"signals alone {rest:.2f}: the network has not learned to use it. It was dropped "
                f"with a probability of {drop:g} (masking.drop.{name}). Lower that, or raise those "
                "of the others, so that it is more often the only one."
            )
    return signs


def _compare(kappas: NDArray[np.float64], at: int) -> float:
    """Compare the mean of the other columns with that of one."""
    counts = np.isfinite(kappas).sum(axis=0)
    if not counts.all():  # a draw without any subject that has the signal
        return float("nan")
    means = np.nansum(kappas, axis=0) / counts
    return float(np.delete(means, at).mean() - means[at])


def _find_worse(table: pd.DataFrame, names: Sequence[str], masking: Masking) -> list[str]:
    """Find whether all signals of the nights agree less than the best of them alone."""
    every = [name for name in table if "+" in str(name)]
    if not every:
        return []
    # The largest subset of each night is the one that was recorded.
    order = sorted(every, key=lambda name: -str(name).count("+"))
    recorded = table[order].bfill(axis=1).iloc[:, 0].dropna()
    alone = table.loc[recorded.index, list(names)].dropna(axis="columns", how="all")
    best = str(alone.mean().idxmax())
    gains = (recorded - alone[best]).groupby(["dataset", "subject"]).mean().dropna().to_numpy()
    if gains.size < _FEWEST_SUBJECTS:
        return []
    low, high = _bootstrap(gains, np.mean)
    if high >= 0 or gains.mean() > -_WORSE:
        return []
    drops = ", ".join(f"{name} {masking.drop.get(name, 0.0):g}" for name in alone)
    return [
        f"All signals together have a kappa that is {-gains.mean():.2f} lower than that of {best} "
        f"alone on the validation nights (95% interval {-high:.2f} to {-low:.2f}): they were too "
        "seldom seen together. Lower the probabilities of dropping signals (masking.drop: "
        f"{drops})."
    ]


def _bootstrap(
    values: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], Any]
) -> tuple[float, float]:
    """Give a 95% interval by a percentile bootstrap over the first axis."""
    found = stats.bootstrap(
        (np.arange(len(values)),),
        lambda rows: statistic(values[rows]),
        n_resamples=_N_DRAWS,
        vectorized=False,
        method="percentile",
        rng=0,
    ).bootstrap_distribution
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(low), float(high)


def write_scores(found: Evaluation, folder: Path) -> None:
    """Write the scores of the validation nights, without names of subjects and recordings."""
    scores = found.by_night.drop(columns=["subject", "recording"])
    with write_whole(folder / SCORES, overwrite=True) as unfinished:
        scores.to_csv(unfinished, index=False)


def compare_seeds(folder: Path, record: Mapping[str, Any]) -> list[str]:
    """Compare a run with those in the folders beside it that differ by their seed alone.

    Parameters
    ----------
    folder : Path
        The model folder, with the scores of its validation nights.
    record : mapping
        What was trained.

    Returns
    -------
    signs : list of str
        A sentence if their kappas on the validation nights differ by more than sound runs do.
    """
    kappas = {folder.name: _read_kappa(folder)}
    for path in sorted(folder.absolute().parent.glob(f"*/{SCORES}"))[:_MOST_RUNS]:
        other = path.parent
        try:
            old = None if other.name == folder.name else read_record(other)
            if old is not None and not compare_records(old, record, FREE | {"seed"}):
                kappas[other.name] = _read_kappa(other)
        except (ValueError, OSError, KeyError):  # of another program, or damaged
            continue
    spread = max(kappas.values()) - min(kappas.values())
    if not spread > _SEEDS_APART:
        return []
    shown = ", ".join(f"{name} {kappa:.2f}" for name, kappa in sorted(kappas.items())[:_MOST_SHOWN])
    return [
        f"{len(kappas)} runs that differ by their seed alone have kappas that differ by "
        f"{spread:.2f} on the same validation nights ({shown}): training is unstable. Lower the "
        "learning rate, clip the gradient, train for longer, and check how signals are normalized."
    ]


def _read_kappa(folder: Path) -> float:
    """Read the mean kappa of the validation nights from all signals of each."""
    scores = pd.read_csv(folder / SCORES)
    n_signals = scores["subset"].str.count(r"\+")
    of_all = n_signals == n_signals.groupby([scores["dataset"], scores["night"]]).transform("max")
    return float(scores.loc[of_all, "kappa"].mean())
