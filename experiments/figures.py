"""Figures of a study: kappa from each subset, or against the number that the study varies."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from study import Study

from mne_wav2sleep.showing import WIDTH

FEW_ARMS = 8  # whose lines can be told apart in rows of the usual height


def plot_subsets(table: pd.DataFrame, study: Study) -> Figure:
    """Plot kappa of the arms from each subset.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`~differences.compare_arms`.
    study : Study
        The study.

    Returns
    -------
    figure : matplotlib.figure.Figure
        A row of axes for each cohort.
    """
    cohorts = list(dict.fromkeys(table["cohort"]))
    most = max(len(table[table["cohort"] == one]["subset"].unique()) for one in cohorts)
    # Many arms need higher rows, lines of the legend, and colors that are not used twice.
    n_arms = len(study.arms)
    is_crowded = n_arms > FEW_ARMS
    inches = 1.2 + 0.32 * most if not is_crowded else 1.0 + 0.1 * n_arms * (most + 1)
    height = max(np.ceil(2 * inches) / 2, 2.5)
    spacing = 0.9 / n_arms if is_crowded else 0.12
    colors = matplotlib.colormaps["tab20" if is_crowded else "tab10"].colors
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    for axes, cohort in zip(np.atleast_1d(figure.subplots(1, len(cohorts))), cohorts, strict=True):
        some = table[table["cohort"] == cohort]
        subsets = list(dict.fromkeys(some["subset"]))[::-1]
        for i, arm in enumerate(study.arms):
            rows = some[some["arm"] == arm].set_index("subset").reindex(subsets)
            y = np.arange(len(subsets)) - spacing * (i - (n_arms - 1) / 2)
            errors = np.abs(rows[["low", "high"]].to_numpy().T - rows["kappa"].to_numpy())
            label = study.arms[arm].label
            color = colors[i % len(colors)]
            axes.errorbar(rows["kappa"], y, xerr=errors, fmt="o", ms=4, color=color, label=label)
        axes.set_yticks(range(len(subsets)), subsets)
        axes.set(xlabel="Cohen's kappa", title=f"Test nights of {cohort.replace('+', ' and ')}")
        axes.axvline(0, color="0.8", zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def plot_sweep(table: pd.DataFrame, study: Study) -> Figure:
    """Plot kappa from each subset against the number that the study varies.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`~differences.compare_arms`.
    study : Study
        The study.

    Returns
    -------
    figure : matplotlib.figure.Figure
        The figure.
    """
    figure = Figure(figsize=(WIDTH, 4), layout="constrained")
    axes = figure.subplots()
    for i, subset in enumerate(dict.fromkeys(table["subset"])):
        rows = table[table["subset"] == subset]
        rows = rows.assign(x=[study.arms[arm].x for arm in rows["arm"]]).sort_values("x")
        axes.plot(rows["x"], rows["kappa"], "o-", color=f"C{i}", label=subset)
        axes.fill_between(
            rows["x"].astype(float), rows["low"], rows["high"], color=f"C{i}", alpha=0.15, lw=0
        )
    axes.set(xlabel=study.x_label, ylabel="Cohen's kappa")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, title="Staged from")
    return figure
