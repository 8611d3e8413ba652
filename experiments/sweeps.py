"""What a study that varies a number says to a user: which value to choose for which signals."""

import pandas as pd
from study import Study

_KEPT = 0.02
"""Mean kappa below the highest one that makes no difference in practice."""


def describe_choice(table: pd.DataFrame, study: Study) -> str:
    """Describe which value is best for staging from each subset, and for all of them.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`~differences.compare_arms`.
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
        near = kappas[kappas >= kappas.max() - _KEPT].index
        best, worst = (f"{x:g}" for x in (kappas.idxmax(), kappas.idxmin()))
        lines.append(
            f"- from {subset}: {best} has the highest mean kappa ({kappas.max():.3f}), {worst} the "
            f"lowest ({kappas.min():.3f}); within {_KEPT:g} of the highest: "
            f"{', '.join(f'{x:g}' for x in near)}"
        )
    losses = (means - means.max()).min(axis="columns")  # of the subset that loses most
    lines.append(
        f"- if it is not known from which of these nights will be staged: {losses.idxmax():g}, "
        f"with which none of them is more than {-losses.max() + 0:.3f} below its highest mean kappa"
    )
    text = "\n".join(lines)
    return (
        f"## What to choose\n\n{study.x_label}, of the values that were tried:\n\n{text}\n\nThe "
        "intervals above say which of these differences stand for other people and runs.\n\n"
    )
