"""What a study that varies a number says to a user: which value to choose for which signals."""

from collections.abc import Sequence

import pandas as pd
from differences import (
    collect_scores,
    compare_scores,
    find_seeds,
    format_difference,
    keep_common,
    spread_scores,
)
from results import Result
from study import Study

_KEPT = 0.02
"""Mean kappa below the highest one that makes no difference in practice."""


def _compare_best(
    results: Sequence[Result], study: Study, subset: str, kappas: pd.Series
) -> dict[float, str]:
    """Format how much higher the highest kappa of a subset is than that of each other value."""
    seeds = find_seeds(results, study)
    scores = collect_scores(results)
    scores = scores[scores["subset"] == subset]
    arms = {arm.x: name for name, arm in study.arms.items() if arm.x in kappas.dropna()}
    spread = keep_common({x: spread_scores(scores, arms[x], "kappa", seeds) for x in arms})
    best = spread[kappas.idxmax()].to_numpy()
    return {x: format_difference(compare_scores(best, one.to_numpy())) for x, one in spread.items()}


def describe_choice(table: pd.DataFrame, results: Sequence[Result], study: Study) -> str:
    """Describe which value is best for staging from each subset, and for all of them.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`~differences.compare_arms`.
    results : sequence of Result
        The results of the study.
    study : Study
        The study; the section is empty if it does not vary a number.

    Returns
    -------
    section : str
        The section of the page.
    """
    if study.x_label is None:
        return ""
    means = table.assign(x=[study.arms[arm].x for arm in table["arm"]])
    means = means.pivot_table("kappa", "x", "subset", aggfunc="mean")
    lines = []
    for subset in dict.fromkeys(table["subset"]):
        kappas = means[subset]
        best, worst = kappas.idxmax(), kappas.idxmin()
        higher = _compare_best(results, study, subset, kappas)
        near = [x for x in kappas[kappas >= kappas.max() - _KEPT].index if x != best]
        shown = "; ".join(f"{x:g} ({higher[x]})" for x in near) or "no other value"
        lines.append(
            f"- From {subset}: {best:g} has the highest mean kappa ({kappas.max():.3f}), {worst:g} "
            f"the lowest ({kappas.min():.3f}; {higher[worst]}). Within {_KEPT:g} of the highest: "
            f"{shown}."
        )
    losses = (means - means.max()).min(axis="columns")  # of the subset that loses most
    lines.append(
        f"- If the signals at staging are not known in advance: {losses.idxmax():g}, with which "
        f"mean kappa from each of these is at most {-losses.max() + 0:.3f} below the highest."
    )
    text = "\n".join(lines)
    return (
        f"## What to choose\n\n{study.x_label}, of the values that were tried:\n\n{text}\n\n"
        "In parentheses is by how much the highest kappa is higher than that of another value, "
        "with a 95% interval by the same bootstrap. The highest was chosen on these test nights, "
        "so that it and these differences are probably smaller on other nights.\n\n"
    )
