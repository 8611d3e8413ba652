"""Figures of a cross-validation: subjects before and after, and learning curves of the folds."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..showing import WIDTH

_BETTER, _WORSE = "#0072B2", "#D55E00"
"""Colors of subjects whose kappa rises and falls, which also have other line styles."""
_MOST_DOTS = 60
"""Number of subjects up to which their dots are drawn large."""


def plot_pairs(by_subject: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Plot kappa of each subject before and after, and the differences with their mean.

    Parameters
    ----------
    by_subject, summary : pandas.DataFrame
        As in :class:`~mne_wav2sleep.training.CrossValidation`.

    Returns
    -------
    figure : matplotlib.figure.Figure
        The figure, without names of subjects; pyplot does not know it.
    """
    known = by_subject.dropna(subset=["difference"])
    pairs = known[["kappa_zero_shot", "kappa_adapted"]].to_numpy()
    gains = np.sort(known["difference"].to_numpy())
    row = summary.loc[("subjects", "kappa")]
    size = 5 if len(known) <= _MOST_DOTS else 2.5
    figure = Figure(figsize=(WIDTH, 4), layout="constrained")
    both, differences = figure.subplots(1, 2, width_ratios=(3, 2))
    for old, new in pairs:
        color, style = (_BETTER, "-") if new >= old else (_WORSE, "--")
        both.plot([0, 1], [old, new], "o", color=color, linestyle=style, ms=size, lw=1, alpha=0.6)
    both.plot([0, 1], [row["zero_shot"], row["adapted"]], "k-D", lw=2.5, ms=7)
    both.set(xlim=(-0.3, 1.3), xticks=[0, 1], ylabel="Kappa with the scorer")
    both.set_xticklabels(["zero-shot", "adapted"])
    both.set_title(f"{len(pairs)} subject{'s' * (len(pairs) != 1)}", loc="left")
    # In the order of the gains, so that no dot lies on another.
    place = np.linspace(-0.25, 0.25, len(gains)) if len(gains) > 1 else np.zeros(len(gains))
    colors = np.where(gains >= 0, _BETTER, _WORSE)
    differences.scatter(place, gains, s=size**2, c=colors, alpha=0.6)
    differences.axhline(0, color="0.5", lw=1)
    if np.isfinite(row["low"]):
        around = [[row["difference"] - row["low"]], [row["high"] - row["difference"]]]
        differences.errorbar(
            [0.6], [row["difference"]], around, fmt="D", color="k", capsize=4, ms=7, lw=2
        )
    differences.set(xlim=(-0.5, 0.9), xticks=[0, 0.6], ylabel="Difference in kappa")
    differences.set_xticklabels(["subjects", "mean, 95%\ninterval"])
    kinds = {"better": (_BETTER, "-o"), "worse": (_WORSE, "--o"), "mean": ("k", "-D")}
    figure.legend(
        handles=[Line2D([], [], color=c, ls=m[:-1], marker=m[-1]) for c, m in kinds.values()],
        labels=list(kinds),
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    _finish(both, differences)
    return figure


def plot_fold_curves(curves: pd.DataFrame) -> Figure:
    """Plot the validation loss and kappa of each fold by pass.

    Parameters
    ----------
    curves : pandas.DataFrame
        As in :class:`~mne_wav2sleep.training.CrossValidation`.

    Returns
    -------
    figure : matplotlib.figure.Figure
        The figure; pyplot does not know it.
    """
    figure = Figure(figsize=(WIDTH, 4), layout="constrained")
    titles = {
        "training_loss": "Training loss",
        "validation_loss": "Validation loss",
        "kappa": "Kappa, validation",
    }
    axes = figure.subplots(1, 3)
    for ax, (name, title) in zip(axes, titles.items(), strict=True):
        for _, one in curves.groupby("fold", sort=False):
            ax.plot(one["pass"], one[name].astype(float), ".-", color="0.7", lw=1, ms=3)
        mean = curves.groupby("pass")[name].agg(["mean", "count"])
        mean = mean[mean["count"] == mean["count"].max()]["mean"]  # folds may stop early
        ax.plot(mean.index, mean.astype(float), "k.-", lw=2)
        ax.set_title(title, loc="left")
        ax.set_xlabel("Pass")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(
        handles=[axes[0].lines[-1], axes[0].lines[0]],
        labels=["mean of the folds", "each fold"],
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    _finish(*axes)
    return figure


def _finish(*axes: Axes) -> None:
    """Leave out the lines above and beside the axes."""
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
