"""Signs in the scores of a trained network that its training failed in a way that is known.

The paper (arXiv 2411.04644) tells of three: a signal that the network has not learned to use, runs
that differ by their seed alone and disagree, and signals that together are worth less than one.
Another one is a network that has learned nothing, from which nothing else can be told.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..cautions import warn
from ..cohorts import Evaluation
from ..cohorts.comparison.intervals import N_DRAWS, SEED
from ..output import write_whole
from .masking import Masking
from .run import FREE, SCORES, TrainingRun, compare_records, read_record

FEWEST_SUBJECTS = 4
"""Number of validation subjects, or nights, from which scores are compared."""
_FAR = 0.15
"""Mean kappa by which a signal alone has to be below the others, surely, to be far below them; a
belt is below the heart by 0.1 to 0.15 in networks that have learned both."""
_HALF = 0.5
"""Share of the others' mean kappa that it has to be below as well."""
_TWINS = {"ECG": "PPG", "PPG": "ECG"}
"""Signals of the heart, from which networks that have learned both agree nearly as much."""
_TWINS_APART = 0.1
"""Mean kappa by which one of them alone has to be below the other, surely, and below half of it."""
_CHANCE = 0.1
"""Kappa below which a signal is worth hardly more than chance."""
_LEARNED = 0.2
"""Mean kappa above which the training of another signal has succeeded."""
_WORSE = 0.02
"""Mean kappa by which all signals have to be worse than one of them."""
_SEEDS_APART = 0.05
"""Standard deviation of the mean kappas of runs that differ by their seed alone."""
_SAME_RUN = FREE - {"max_passes", "patience"} | {"seed"}
"""Settings that may differ between them."""
_MOST_RUNS = 100
"""Number of folders that are looked at."""
_MOST_SHOWN = 6
"""Number of runs that a message names."""
TOGETHER, SEEDS, NOTHING = "all together", "seeds", "nothing learned"
"""Names of the signs that all signals are worse than one of them, that seeds disagree, and that no
signal was learned."""


@dataclass(frozen=True)
class Sign:
    """A sign that training failed.

    Attributes
    ----------
    name : str
        What is wrong in a word or two: a signal, as ``"PPG alone"``, :data:`TOGETHER`,
        :data:`SEEDS` or :data:`NOTHING`.
    text : str
        A sentence or two: what is wrong, the figures, and what to do.
    """

    name: str
    text: str


def report_signs(
    found: Evaluation, folder: Path, record: Mapping[str, Any], run: TrainingRun
) -> list[str]:
    """Write the scores of the validation nights, and warn of signs that training failed.

    Parameters
    ----------
    found : Evaluation
        Agreement of the trained weights on the validation nights.
    folder : Path
        The model folder.
    record : mapping
        What was trained.
    run : TrainingRun
        How it was trained.

    Returns
    -------
    signs : list of str
        The warnings.
    """
    # Without names of subjects and recordings, since the folder is handed on.
    scores = found.by_night.drop(columns=["subject", "recording"])
    with write_whole(folder / SCORES, overwrite=True) as unfinished:
        scores.to_csv(unfinished, index=False)
    signs = find_signatures(found.by_night, run.settings.masking)
    signs += [] if run.is_fold else compare_seeds(folder, record)
    for sign in signs:
        warn(sign.text)
    return [sign.text for sign in signs]


def find_signatures(
    scores: pd.DataFrame, masking: Masking, nights: str = "validation nights"
) -> list[Sign]:
    """Find signs that training failed, in the agreement on nights that were not trained on.

    Parameters
    ----------
    scores : pandas.DataFrame
        Agreement of the trained weights on each night, from every subset of its signals: columns
        ``dataset``, ``subject``, ``night``, ``subset`` and ``kappa``, as in
        :attr:`~mne_wav2sleep.cohorts.Evaluation.by_night`.
    masking : Masking
        How signals were dropped.
    nights : str
        How messages call the nights.

    Returns
    -------
    signs : list of Sign
        The signs.

    Notes
    -----
    Signals are compared on the same nights, so that a signal of a difficult dataset is not taken
    for one that was not learned. Intervals are 95% intervals of a bootstrap over subjects; a
    difference that they do not exclude is no sign. If nothing was learned, no signal is compared
    with others.
    """
    kappas = scores.pivot_table("kappa", ["dataset", "subject", "night"], "subset")
    names = [str(name) for name in kappas if "+" not in str(name)]
    if signs := _find_nothing(kappas, nights):
        return signs
    alone = kappas[names].groupby(["dataset", "subject"]).mean()
    return [*_find_unlearned(alone, masking, nights), *_find_worse(kappas, names, masking, nights)]


def _find_nothing(kappas: pd.DataFrame, nights: str) -> list[Sign]:
    """Find whether the network agrees hardly at all, from whatever signals."""
    by_subject = kappas.groupby(["dataset", "subject"]).mean()
    enough = [str(name) for name in by_subject if by_subject[name].count() >= FEWEST_SUBJECTS]
    if not enough or not all(_is_near_chance(by_subject[name].dropna()) for name in enough):
        return []
    means = by_subject[enough].mean()
    best = str(means.idxmax())
    text = (
        f"The highest kappa on the {nights} is {means.max():.2f}, from {best}: the network has "
        "learned hardly anything. Train for longer, or with a lower learning rate, warm-up and "
        "clipping, and check that each hypnogram belongs to its recording."
    )
    return [Sign(NOTHING, text)]


def _find_unlearned(kappas: pd.DataFrame, masking: Masking, nights: str) -> list[Sign]:
    """Find signals that, alone, agree far less than the others alone, or hardly at all."""
    signs = []
    for name in map(str, kappas):
        drop = masking.drop.get(name, 0.0)
        mean, versus = _find_better(name, kappas)
        if versus:
            remedy = "Raise the probabilities of dropping the others"
            if drop:
                remedy = f"Lower that, or {remedy[0].lower()}{remedy[1:]}"
            text = (
                f"{name} alone has a kappa of {mean:.2f} on the {nights}, {versus}: the "
                "network may not have learned to use it. It was dropped with a probability of "
                f"{drop:g} (masking.drop.{name}). {remedy}, so that it is more often the only one."
            )
            signs.append(Sign(f"{name} alone", text))
    return signs


def _find_better(name: str, kappas: pd.DataFrame) -> tuple[float, str]:
    """Find whether other signals alone agree far more than one; give its mean, and those of which.

    The text is empty if there are none.
    """
    own, others = kappas[name].dropna(), kappas.drop(columns=name)
    both = own.index.intersection(others.dropna(how="all").index)
    if len(both) < FEWEST_SUBJECTS:  # alone in its dataset, with nothing to compare with but chance
        is_known = len(own) >= FEWEST_SUBJECTS and (others.mean() > _LEARNED).any()
        is_unlearned = is_known and _is_near_chance(own)
        return own.mean(), "other signals have more on other nights" if is_unlearned else ""
    mean, means, rest = own[both].mean(), others.loc[both].mean(), others.loc[both].mean(axis=1)
    versus, twin = "", _TWINS.get(name)
    if means.max() > _LEARNED and _is_near_chance(own[both]):
        versus = f"{means.idxmax()} alone {means.max():.2f}"
    elif _is_far(own, rest, _FAR):
        versus = f"the other signals alone {rest.mean():.2f}"
    elif twin in others and _is_far(own, others[twin], _TWINS_APART):
        versus = f"{twin} alone {means[twin]:.2f}"
    return mean, f"{versus} on the same nights" if versus else ""


def _is_near_chance(own: pd.Series) -> bool:
    """Check whether the mean of kappas is surely worth hardly more than chance."""
    return _bootstrap(own.to_numpy())[1] < _CHANCE


def _is_far(own: pd.Series, other: pd.Series, apart: float) -> bool:
    """Check whether kappas are less than half of others on the same nights, and surely lower."""
    lower = (other - own).dropna()
    if len(lower) < FEWEST_SUBJECTS or own[lower.index].mean() >= _HALF * other[lower.index].mean():
        return False
    return _bootstrap(lower.to_numpy())[0] > apart


def _find_worse(
    kappas: pd.DataFrame, names: Sequence[str], masking: Masking, nights: str
) -> list[Sign]:
    """Find whether all signals of the nights of a dataset agree less than the best of them."""
    signs = []
    for dataset, table in kappas.groupby(level="dataset"):
        several = [name for name in table if "+" in str(name) and table[name].notna().any()]
        if not several:
            continue
        # The largest subset of each night is the one that was recorded.
        order = sorted(several, key=lambda name: -str(name).count("+"))
        recorded = table[order].bfill(axis="columns").iloc[:, 0].dropna()
        alone = table.loc[recorded.index, list(names)].dropna(axis="columns")
        gains = alone.rsub(recorded, axis="index").groupby("subject").mean()
        if len(gains) < FEWEST_SUBJECTS or gains.empty:
            continue
        # The best signal is that of each draw, as which one it is is not known for sure either.
        low, high = _bootstrap(gains.to_numpy(), lambda means: means.min(axis=-1))
        best, gain = str(gains.mean().idxmin()), gains.mean().min()
        if high < 0 and gain <= -_WORSE:
            drops = ", ".join(f"{name} {masking.drop.get(name, 0.0):g}" for name in alone)
            text = (
                f"All signals together have a kappa that is {-gain:.2f} lower than that of {best} "
                f"alone on the {nights} of {dataset} (95% interval {-high:.2f} to "
                f"{-low:.2f}): they may have been seen together too seldom. Lower the "
                f"probabilities of dropping signals (masking.drop: {drops})."
            )
            signs.append(Sign(TOGETHER, text))
    return signs


def _bootstrap(
    values: NDArray[np.float64],
    choose: Callable[[NDArray[np.float64]], NDArray[np.float64]] = lambda means: means,
) -> tuple[float, float]:
    """Give a 95% interval of the mean over subjects (the first axis), or of one of the means."""
    n = len(values)
    times = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), N_DRAWS)
    low, high = np.quantile(choose(times @ values / n), [0.025, 0.975])
    return float(low), float(high)


def compare_seeds(folder: Path, record: Mapping[str, Any]) -> list[Sign]:
    """Compare a run with those in the folders beside it that differ by their seed alone.

    Parameters
    ----------
    folder : Path
        The model folder, with the scores of its validation nights.
    record : mapping
        What was trained.

    Returns
    -------
    signs : list of Sign
        A sign if their kappas on the same validation nights differ by more than sound runs do.
    """
    folder = folder.resolve()
    if len(record.get("validation", ())) < FEWEST_SUBJECTS:
        return []
    kappas = {folder.name: _read_kappa(folder)}
    for path in sorted(folder.parent.glob(f"*/{SCORES}"))[:_MOST_RUNS]:
        other = path.parent
        try:
            old = None if other.name == folder.name else read_record(other)
            if old is not None and not compare_records(old, record, _SAME_RUN):
                kappas[other.name] = _read_kappa(other)
        except (ValueError, OSError, KeyError):  # of another program, or damaged
            continue
    return find_unstable(kappas)


def find_unstable(kappas: Mapping[str, float], nights: str = "validation nights") -> list[Sign]:
    """Find whether runs that differ by their seed alone disagree.

    Parameters
    ----------
    kappas : mapping of str to float
        Name of each run -> its mean kappa on the same nights, from :func:`average_kappa`.
    nights : str
        How the message calls the nights.

    Returns
    -------
    signs : list of Sign
        A sign if their standard deviation is larger than that of sound runs.
    """
    spread = float(np.std(list(kappas.values()), ddof=1)) if len(kappas) > 1 else 0.0
    if not spread > _SEEDS_APART:
        return []
    shown = ", ".join(f"{name} {kappa:.2f}" for name, kappa in sorted(kappas.items())[:_MOST_SHOWN])
    text = (
        f"{len(kappas)} runs that differ by their seed alone have kappas with a standard deviation "
        f"of {spread:.2f} on the same {nights} ({shown}): training is unstable. Lower the "
        "learning rate, clip the gradient, train for longer, and check how signals are normalized."
    )
    return [Sign(SEEDS, text)]


def _read_kappa(folder: Path) -> float:
    """Read the mean kappa of the validation nights of a model folder."""
    return average_kappa(pd.read_csv(folder / SCORES))


def average_kappa(scores: pd.DataFrame) -> float:
    """Average the kappas of nights, each from all of its signals.

    Parameters
    ----------
    scores : pandas.DataFrame
        Columns ``dataset``, ``night``, ``subset`` and ``kappa``.

    Returns
    -------
    kappa : float
        Their mean.
    """
    n_signals = scores["subset"].str.count(r"\+")
    of_all = n_signals == n_signals.groupby([scores["dataset"], scores["night"]]).transform("max")
    return float(scores.loc[of_all, "kappa"].mean())
