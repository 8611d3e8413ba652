"""Pictures of a night, on its clock, in YASA's look and legible without colour."""

import textwrap
import warnings
from collections.abc import Mapping
from typing import Any

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yasa
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mne.utils import _validate_type
from numpy.typing import NDArray

from ..hypnograms.probabilities import allow_absent_stages, change_hypnogram, to_hypnogram
from ..hypnograms.reading import align_stages
from ..modalities import EPOCH_S
from ..signals.validity import REASONS

WIDTH = 8.5
"""Inches. mne.Report shows 850 pixels at 100 dpi; with heights that are multiples of half an inch,
every picture is whole pixels there, which it would be sheared without."""

# Lightness (CIE L*) is at least 10 apart, so that a copy without colour, and eyes of all kinds,
# tell them apart; and what fails most, a flat line, is far from what was measured.
_REASON_COLOURS = dict(
    zip(
        REASONS,
        ("#0072B2", "#F0F0F0", "#000000", "#CC79A7", "#3A1450", "#F0B429", "#8A2A0B"),
        strict=True,
    )
)
# YASA's hues; its light blue and its yellow are equally light, and so are its N2 and N3.
_STAGE_COLOURS = {
    "WAKE": "#5AA6D0",
    "N1": "#007CB4",
    "N2": "#053A6E",
    "LIGHT": "#0068A5",
    "N3": "#3C002D",
    "DEEP": "#3C002D",
    "REM": "#F7BC00",
    "UNS": "#EAEAEA",
}
_EDGE: dict[str, Any] = {"edgecolor": "0.6", "linewidth": 0.5}
"""Of what a legend shows, which may be nearly white."""
_HEART, _BREATH = "#D55E00", "#0072B2"
_SMOOTH = 5
"""Epochs over which drawn rates are medians."""


def _put_on_the_wall(hyp: yasa.Hypnogram) -> yasa.Hypnogram:
    """Take the time zone off a hypnogram, whose start is the clock on the wall with any of them.

    YASA draws one with a zone at the time in Greenwich.
    """
    if hyp.start is None or hyp.start.tzinfo is None:
        return hyp
    return change_hypnogram(hyp, start=hyp.start.tz_localize(None))


def clock(hyp: yasa.Hypnogram) -> NDArray[np.float64]:
    """Edges of the epochs on the axis that YASA draws a hypnogram on.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram.

    Returns
    -------
    edges : array, shape (n_epochs + 1,)
        Matplotlib's dates where it has a start, else minutes up to 90 min, and hours beyond.
    """
    seconds = np.arange(hyp.n_epochs + 1) * EPOCH_S
    if hyp.start is not None:
        start = pd.Timestamp(hyp.start).tz_localize(None)
        return np.asarray(mdates.date2num(start) + seconds / 86400)
    return seconds / (60 if hyp.duration <= 90 else 3600)


def _set_clock(ax: Axes, hyp: yasa.Hypnogram) -> None:
    """Let an axis show all of a night, in hours and minutes."""
    edges = clock(hyp)
    ax.set_xlim(edges[0], edges[-1])
    if hyp.start is None:
        ax.set_xlabel("Time [mins]" if hyp.duration <= 90 else "Time [hrs]")
        return
    # The clock on the wall, as `clock` has it, whatever time zone matplotlib is told to show.
    locator = mdates.AutoDateLocator(tz="UTC", maxticks=12)
    ax.xaxis.set_major_locator(locator)
    if hyp.duration > 24 * 60:
        ax.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator, tz="UTC"))
    else:
        text = "%H:%M" if hyp.duration > 10 else "%H:%M:%S"
        ax.xaxis.set_major_formatter(mdates.DateFormatter(text, tz="UTC"))
    ax.set_xlabel("Time")


def _draw_stages(hyp: yasa.Hypnogram, ax: Axes) -> None:
    """Draw YASA's hypnogram, of a single epoch too, for which it sets limits that are none.

    Its limits follow the stages that come, and cut through the labels of those that do not.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Attempting to set identical low and high")
        _put_on_the_wall(hyp).plot_hypnogram(ax=ax)
    ax.set_ylim(-0.5, len(ax.get_yticks()) - 0.5)


def plot_availability(availability: pd.DataFrame, hyp: yasa.Hypnogram, ax: Axes) -> Axes:
    """Draw what was measured of each modality, one row each, and if not, why.

    Parameters
    ----------
    availability : pandas.DataFrame, shape (n_epochs, n_modalities)
        In words, of a stager.
    hyp : yasa.Hypnogram
        The hypnogram, for the clock.
    ax : matplotlib.axes.Axes
        Where.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The same.
    """
    codes = availability.apply(lambda words: words.map(REASONS.index)).to_numpy(dtype=float).T
    ax.pcolormesh(
        clock(hyp),
        np.arange(len(codes) + 1) - 0.5,
        codes,
        cmap=ListedColormap([_REASON_COLOURS[reason] for reason in REASONS]),
        vmin=-0.5,
        vmax=len(REASONS) - 0.5,
        rasterized=True,
    )
    for i in range(1, len(codes)):
        ax.axhline(i - 0.5, color="white", linewidth=1.5)
    ax.set_yticks(range(len(codes)), list(availability.columns))
    ax.invert_yaxis()
    there = [reason for reason in REASONS if (availability == reason).any(axis=None)]
    handles = [Patch(**_EDGE, facecolor=_REASON_COLOURS[reason], label=reason) for reason in there]
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return ax


def plot_rates(beats: Mapping[str, pd.DataFrame], hyp: yasa.Hypnogram, ax: Axes) -> Axes:
    """Draw the heart rate, and the breathing rate on a second axis.

    Parameters
    ----------
    beats : mapping of str to pandas.DataFrame
        Modality -> beats or breaths by epoch, from ``find_beats``.
    hyp : yasa.Hypnogram
        The hypnogram, for the clock.
    ax : matplotlib.axes.Axes
        Where.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The same. Rates are of the ECG, or the PPG where it has less that is plausible, and of the
        better belt, as medians over 5 epochs.
    """
    edges = clock(hyp)
    middle = (edges[1:] + edges[:-1]) / 2
    for names, axis, colour, style, label in (
        (("ECG", "PPG"), ax, _HEART, "-", "Heart rate [1/min]"),
        (("THX", "ABD"), ax.twinx(), _BREATH, ":", "Breaths [1/min]"),
    ):
        good = {
            name: beats[name].loc[beats[name]["plausible"] > 0, "rate"]
            for name in names
            if name in beats
        }
        axis.set_ylabel(label, color=colour)
        if not good:
            axis.set_yticks([])
            axis.set_ylabel("")
            continue
        name = max(good, key=lambda key: len(good[key]))
        rate = good[name].reindex(range(hyp.n_epochs))
        smooth = rate.rolling(_SMOOTH, center=True, min_periods=1).median().where(rate.notna())
        there = np.pad(smooth.notna(), 1)
        alone = there[1:-1] & ~there[:-2] & ~there[2:]  # of which there is no line
        axis.plot(
            middle,
            smooth,
            style,
            marker=".",
            markevery=alone.tolist(),
            color=colour,
            linewidth=1.2,
            label=name,
        )
        axis.tick_params(axis="y", colors=colour)
    return ax


def plot_night(
    hyp: yasa.Hypnogram, availability: pd.DataFrame, beats: Mapping[str, pd.DataFrame]
) -> Figure:
    """Draw a night: stages, their probabilities, what was measured, heart and breathing rate.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram, with its probabilities.
    availability : pandas.DataFrame, shape (n_epochs, n_modalities)
        In words, of a stager.
    beats : mapping of str to pandas.DataFrame
        Modality -> beats or breaths by epoch.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Four axes above each other, on one clock.
    """
    heights = (2.5, 2, 0.5 + 0.25 * availability.shape[1], 1.75)
    figure, axes = plt.subplots(
        4,
        figsize=(WIDTH, np.ceil(2 * sum(heights)) / 2),
        layout="constrained",
        sharex=True,
        gridspec_kw={"height_ratios": heights},
    )
    # YASA draws probabilities from the beginning of each epoch to that of the next, so that the
    # last one has to come twice.
    proba = pd.concat([hyp.proba, hyp.proba.iloc[[-1]]], ignore_index=True)
    _draw_stages(hyp, axes[0])
    axes[0].set_title(textwrap.fill(f"Stages by {hyp.scorer}", 70), loc="left", parse_math=False)
    density = _put_on_the_wall(to_hypnogram(proba, hyp.start, hyp.scorer))
    density.plot_hypnodensity(palette=_STAGE_COLOURS, ax=axes[1])
    legend = axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, reverse=True)
    for handle in legend.get_patches():
        handle.set(**_EDGE)
    plot_availability(availability, hyp, axes[2])
    plot_rates(beats, hyp, axes[3])
    for ax in axes:
        # Each plot sets limits of its own.
        _set_clock(ax, hyp)
        ax.label_outer()
    return figure


def plot_agreement(reference: yasa.Hypnogram, hyp: yasa.Hypnogram) -> Figure:
    """Draw a hypnogram below a reference, on one clock, with the confusion beside it.

    Parameters
    ----------
    reference : yasa.Hypnogram
        What somebody scored. With a start in both, it is put in place by the clock; else it needs
        the same number of epochs. Five stages are folded to four where four were staged.
    hyp : yasa.Hypnogram
        What was staged.

    Returns
    -------
    figure : matplotlib.figure.Figure
        The two hypnograms, and the confusion matrix: epochs, and in colour the share of what the
        reference says; its title gives Cohen's kappa and accuracy by YASA, and in how many epochs
        both have a stage.

    Raises
    ------
    ValueError
        If the two have no epochs in common.

    Examples
    --------
    >>> reference = yasa.simulate_hypnogram(60, n_stages=4, seed=0, scorer="expert")
    >>> hyp = yasa.simulate_hypnogram(60, n_stages=4, seed=0, scorer="wav2sleep")
    >>> figure = plot_agreement(reference, hyp)
    >>> figure.axes[1].get_title(loc="left").splitlines()
    ['kappa 1.00, accuracy 100 %', 'in 120 of 120 epochs']
    """
    for name, one in (("reference", reference), ("hyp", hyp)):
        _validate_type(one, yasa.Hypnogram, name)
    reference = align_stages(reference, hyp)
    if hyp.scorer is None:
        raise ValueError(
            "The hypnogram has no scorer, so that nobody could tell it from the reference. Name "
            "one, yasa.Hypnogram(..., scorer='wav2sleep')."
        )
    if reference.scorer == hyp.scorer:
        raise ValueError(
            f"Reference and hypnogram have one scorer, {hyp.scorer!r}, so that nobody could tell "
            "them apart. Name one of them, yasa.Hypnogram(..., scorer='expert')."
        )
    scored = [~one.hypno.isin(["UNS", "ART"]).to_numpy() for one in (reference, hyp)]
    if not (scored[0] & scored[1]).any():
        raise ValueError(
            "There is no epoch that has a stage in both hypnograms, so that there is nothing to "
            "compare. Check the clocks, and what was measured (stager.availability)."
        )
    with allow_absent_stages():
        agreement = yasa.EpochByEpochAgreement([reference], [hyp])
        scores = agreement.get_agreement()
        confusion = agreement.get_confusion_matrix()
    figure, axes = plt.subplot_mosaic(
        [["reference", "confusion"], ["staged", "confusion"]],
        figsize=(WIDTH, 4),
        width_ratios=(2, 1),
        layout="constrained",
    )
    for name, one in (("reference", reference), ("staged", hyp)):
        _draw_stages(one, axes[name])
        axes[name].set_title(textwrap.fill(one.scorer, 60), loc="left", parse_math=False)
        _set_clock(axes[name], hyp)
    axes["reference"].set_xlabel("")
    ax = axes["confusion"]
    counts = confusion.to_numpy(dtype=float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(*counts.shape):
        colour = "white" if share[i, j] > 0.5 else "black"
        ax.text(j, i, f"{counts[i, j]:.0f}", ha="center", va="center", color=colour)
    ax.set_xticks(range(len(confusion.columns)), confusion.columns, rotation=90)
    ax.set_yticks(range(len(confusion.index)), confusion.index)
    ax.set_xlabel(textwrap.fill(hyp.scorer, 24), parse_math=False)
    ax.set_ylabel(textwrap.fill(reference.scorer, 24), parse_math=False)
    title = (
        f"kappa {scores['kappa']:.2f}, accuracy {scores['accuracy']:.0f} %\n"
        f"in {counts.sum():.0f} of {hyp.n_epochs} epochs"
    )
    ax.set_title(title, loc="left", fontsize="medium")
    return figure
