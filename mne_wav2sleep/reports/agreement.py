"""Figure of a hypnogram and a reference, with their confusion matrix."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yasa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..hypnograms.agreement import allow_absent_stages
from ..hypnograms.aligning import align_hypnogram, change_hypnogram
from ..showing import WIDTH, finish_figure, wrap_name
from ..verbosity import check_type
from .night import draw_stages, set_clock


def plot_agreement(reference: yasa.Hypnogram, hyp: yasa.Hypnogram, *, show: bool = True) -> Figure:
    """Plot a hypnogram below a reference, on one time axis, with their confusion matrix.

    Parameters
    ----------
    reference : yasa.Hypnogram
        The scorer's hypnogram. If both have a start, it is aligned by clock time; else it needs the
        same number of epochs. Its five stages are merged to four if ``hyp`` has four.
    hyp : yasa.Hypnogram
        The hypnogram to compare with it.
    show : bool
        Whether to show the figure. If False, it is closed, and can still be saved.

    Returns
    -------
    figure : matplotlib.figure.Figure
        The two hypnograms, and the confusion matrix: numbers of epochs, colored by their share of
        the reference's stage. Its title gives Cohen's kappa and accuracy by YASA, and in how many
        epochs both have a stage.

    Raises
    ------
    TypeError
        If one of the two is not a :class:`yasa.Hypnogram`.
    ValueError
        If the two cannot be aligned, have the same scorer or none, or have no epoch in which both
        have a stage.

    Examples
    --------
    >>> reference = yasa.simulate_hypnogram(60, n_stages=4, seed=0, scorer="expert")
    >>> hyp = yasa.simulate_hypnogram(60, n_stages=4, seed=0, scorer="wav2sleep")
    >>> figure = plot_agreement(reference, hyp)
    >>> figure.axes[1].get_title(loc="left").splitlines()
    ['kappa 1.00, accuracy 100 %', 'in 120 of 120 epochs']
    """
    reference = _check_pair(reference, hyp)
    # With pyarrow, pandas refuses names that are not Unicode.
    pair = change_hypnogram(reference, scorer="reference"), change_hypnogram(hyp, scorer="staged")
    with allow_absent_stages():
        agreement = yasa.EpochByEpochAgreement([pair[0]], [pair[1]])
        scores = agreement.get_agreement()
        confusion = agreement.get_confusion_matrix()
    figure, axes = plt.subplot_mosaic(
        [["reference", "confusion"], ["staged", "confusion"]],
        figsize=(WIDTH, 4),
        width_ratios=(2, 1),
        layout="constrained",
    )
    for name, one in (("reference", reference), ("staged", hyp)):
        draw_stages(one, axes[name])
        axes[name].set_title(wrap_name(one.scorer, 60), loc="left", parse_math=False)
        set_clock(axes[name], hyp)
    axes["reference"].set_xlabel("")
    title = (
        f"kappa {scores['kappa']:.2f}, accuracy {scores['accuracy']:.0f} %\n"
        f"in {confusion.to_numpy().sum():.0f} of {hyp.n_epochs} epochs"
    )
    draw_confusion(confusion, axes["confusion"], title)
    axes["confusion"].set_xlabel(wrap_name(hyp.scorer, 24), parse_math=False)
    axes["confusion"].set_ylabel(wrap_name(reference.scorer, 24), parse_math=False)
    return finish_figure(figure, show=show)


def draw_confusion(confusion: pd.DataFrame, ax: Axes, title: str, *, percent: bool = False) -> None:
    """Draw a confusion matrix: numbers of epochs, colored by their share of the row.

    Parameters
    ----------
    confusion : pandas.DataFrame
        Number of epochs by stage of the reference (rows) and of the other scorer.
    ax : matplotlib.axes.Axes
        The axes.
    title : str
        Their title.
    percent : bool
        Whether to write the share as well, in %, as journals do.
    """
    counts = confusion.to_numpy(dtype=float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(*counts.shape):
        color = "white" if share[i, j] > 0.5 else "black"
        text = f"{counts[i, j]:.0f}"
        if percent:
            text = f"{100 * share[i, j]:.1f} %\n({text})"
        ax.text(j, i, text, ha="center", va="center", color=color)
    ax.set_xticks(range(len(confusion.columns)), confusion.columns, rotation=90)
    ax.set_yticks(range(len(confusion.index)), confusion.index)
    ax.set_title(title, loc="left", fontsize="medium")


def _check_pair(reference: yasa.Hypnogram, hyp: yasa.Hypnogram) -> yasa.Hypnogram:
    """Align a reference with a hypnogram, and refuse a pair that cannot be compared."""
    for name, one in (("reference", reference), ("hyp", hyp)):
        check_type(one, yasa.Hypnogram, name)
    reference = align_hypnogram(reference, hyp)
    if hyp.scorer is None:
        raise ValueError(
            "The hypnogram has no scorer, which is needed to label it in the figure. Name one, "
            "yasa.Hypnogram(..., scorer='wav2sleep')."
        )
    if reference.scorer == hyp.scorer:
        raise ValueError(
            f"The reference and the hypnogram have the same scorer, {hyp.scorer!r}, so their "
            "labels in the figure would be the same. Change one of them, yasa.Hypnogram(..., "
            "scorer='expert')."
        )
    scored = [~one.hypno.isin(["UNS", "ART"]).to_numpy() for one in (reference, hyp)]
    if not (scored[0] & scored[1]).any():
        raise ValueError(
            "No epoch has a stage in both hypnograms, so there is nothing to compare. Check the "
            "clocks, and what was measured (stager.availability())."
        )
    return reference
