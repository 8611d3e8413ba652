"""Pictures of a night, on its clock, in YASA's look and legible without colour."""

import warnings
from collections.abc import Mapping

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

from .hypnogram import allow_absent_stages, to_hypnogram
from .modalities import EPOCH_S
from .signals import REASONS
from .stages import align_stages

# Okabe and Ito's colours, which people of all kinds of colour vision tell apart.
_REASON_COLOURS = dict(
    zip(
        REASONS,
        ("#0072B2", "#E5E5E5", "#000000", "#D55E00", "#E69F00", "#CC79A7", "#56B4E9"),
        strict=True,
    )
)
_HEART, _BREATH = "#D55E00", "#0072B2"
_SMOOTH = 5
"""Epochs over which drawn rates are medians."""


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
    locator = mdates.AutoDateLocator(maxticks=12)
    ax.xaxis.set_major_locator(locator)
    if hyp.duration > 24 * 60:
        ax.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))
    else:
        text = "%H:%M" if hyp.duration > 10 else "%H:%M:%S"
        ax.xaxis.set_major_formatter(mdates.DateFormatter(text))
    ax.set_xlabel("Time")


def _draw_stages(hyp: yasa.Hypnogram, ax: Axes) -> None:
    """Draw YASA's hypnogram, of a single epoch too, for which it sets limits that are none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Attempting to set identical low and high")
        hyp.plot_hypnogram(ax=ax)


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
    ax.set_yticks(range(len(codes)), list(availability.columns))
    ax.invert_yaxis()
    there = [reason for reason in REASONS if (availability == reason).any(axis=None)]
    handles = [Patch(color=_REASON_COLOURS[reason], label=reason) for reason in there]
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return ax


def plot_rates(beats: Mapping[str, pd.DataFrame], hyp: yasa.Hypnogram, ax: Axes) -> Axes:
    """Draw the heart rate, and the breathing rate on a second axis.

    Parameters
    ----------
    beats : mapping of str to pandas.DataFrame
        Modality -> beats or breaths by epoch, from :func:`~mne_wav2sleep.quality.find_beats`.
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
            continue
        name = max(good, key=lambda key: len(good[key]))
        rate = good[name].reindex(range(hyp.n_epochs))
        smooth = rate.rolling(_SMOOTH, center=True, min_periods=1).median().where(rate.notna())
        axis.plot(middle, smooth, style, color=colour, linewidth=1.2, label=name)
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
    heights = (3, 2.4, 0.4 + 0.35 * availability.shape[1], 2)
    figure, axes = plt.subplots(
        4,
        figsize=(12, sum(heights)),
        layout="constrained",
        sharex=True,
        gridspec_kw={"height_ratios": heights},
    )
    # YASA draws probabilities from the beginning of each epoch to that of the next, so that the
    # last one has to come twice.
    proba = pd.concat([hyp.proba, hyp.proba.iloc[[-1]]], ignore_index=True)
    _draw_stages(hyp, axes[0])
    axes[0].set_title(f"Stages by {hyp.scorer}", loc="left")
    to_hypnogram(proba, hyp.start, hyp.scorer).plot_hypnodensity(ax=axes[1])
    axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, reverse=True)
    plot_availability(availability, hyp, axes[2])
    plot_rates(beats, hyp, axes[3])
    for ax in axes:
        # Each plot sets limits of its own.
        _set_clock(ax, hyp)
        ax.label_outer()
    return figure


def plot_epoch(
    recorded: Mapping[str, tuple[NDArray[np.floating], float]],
    seen: Mapping[str, NDArray[np.floating]],
    labels: Mapping[str, str],
    title: str,
) -> Figure:
    """Draw 30 s of every channel as it was recorded, and as the network sees it.

    Parameters
    ----------
    recorded : mapping of str to (array, float)
        Modality -> samples in MNE's units, and their rate in Hz.
    seen : mapping of str to array
        Modality -> the z-scored samples on the network's grid; none for a modality that is not
        used.
    labels : mapping of str to str
        Modality -> what to call it.
    title : str
        The stage, and how probable it is.

    Returns
    -------
    figure : matplotlib.figure.Figure
        A row for each modality: recorded on the left, seen on the right.
    """
    figure, axes = plt.subplots(
        len(recorded),
        2,
        figsize=(12, 1 + 1.5 * len(recorded)),
        layout="constrained",
        sharex=True,
        squeeze=False,
    )
    figure.suptitle(title, x=0.01, ha="left")
    for (left, right), (name, (data, sfreq)) in zip(axes, recorded.items(), strict=True):
        left.plot(np.arange(data.size) / sfreq, data, color="black", linewidth=0.7)
        left.set_ylabel(labels[name])
        if name in seen:
            grid = seen[name]
            # Sample k of the grid, from 1 on, lies at k steps.
            time = np.arange(1, grid.size + 1) * EPOCH_S / grid.size
            right.plot(time, grid, color="#0072B2", linewidth=0.7)
        else:
            right.text(0.5, 0.5, "not used", transform=right.transAxes, ha="center")
            right.set_yticks([])
        for ax in (left, right):
            ax.spines[["right", "top"]].set_visible(False)
    axes[0, 0].set_title("As recorded", loc="left")
    axes[0, 1].set_title("As the network sees it (z-scored)", loc="left")
    for ax in axes[-1]:
        ax.set(xlim=(0, EPOCH_S), xlabel="Time [s]")
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
        reference says; its title gives Cohen's kappa and accuracy by YASA.

    Raises
    ------
    ValueError
        If the two have no epochs in common.

    Examples
    --------
    >>> reference = yasa.simulate_hypnogram(60, n_stages=4, seed=0, scorer="expert")
    >>> hyp = yasa.simulate_hypnogram(60, n_stages=4, seed=0, scorer="wav2sleep")
    >>> figure = plot_agreement(reference, hyp)
    >>> figure.axes[1].get_title(loc="left")
    'kappa 1.00, accuracy 100 %'
    """
    for name, one in (("reference", reference), ("hyp", hyp)):
        _validate_type(one, yasa.Hypnogram, name)
    reference = align_stages(reference, hyp)
    if reference.scorer == hyp.scorer:
        raise ValueError(
            f"Reference and hypnogram have one scorer, {hyp.scorer!r}, so that nobody could tell "
            "them apart. Name one of them, yasa.Hypnogram(..., scorer='expert')."
        )
    with allow_absent_stages():
        agreement = yasa.EpochByEpochAgreement([reference], [hyp])
        scores = agreement.get_agreement()
        confusion = agreement.get_confusion_matrix()
    figure, axes = plt.subplot_mosaic(
        [["reference", "confusion"], ["staged", "confusion"]],
        figsize=(14, 5),
        width_ratios=(2.4, 1),
        layout="constrained",
    )
    for name, one in (("reference", reference), ("staged", hyp)):
        _draw_stages(one, axes[name])
        axes[name].set_title(one.scorer, loc="left")
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
    ax.set(xlabel=hyp.scorer, ylabel=reference.scorer)
    ax.set_title(f"kappa {scores['kappa']:.2f}, accuracy {scores['accuracy']:.0f} %", loc="left")
    return figure
