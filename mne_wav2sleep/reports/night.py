"""Figure of a night on its clock, in YASA's style and legible without color."""

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
from numpy.typing import NDArray

from ..cautions import catch_warnings
from ..hypnograms.aligning import change_hypnogram
from ..hypnograms.lights import TimeInBed
from ..hypnograms.probabilities import to_hypnogram
from ..modalities import EPOCH_S
from ..showing import WIDTH, finish_figure, wrap_name
from ..signals import Reason
from ..signals.quality import choose_rate

# Lightness (CIE L*) differs by at least 10, so that colors can be distinguished without color
# vision and in grayscale; the most common failure, a flat line, is far from measured.
_REASON_COLORS = dict(
    zip(
        Reason,
        ("#0072B2", "#F0F0F0", "#000000", "#CC79A7", "#3A1450", "#F0B429", "#8A2A0B"),
        strict=True,
    )
)
_CODES = {reason.label: int(reason) for reason in Reason}
# YASA's hues, but its light blue and its yellow are equally light, and so are its N2 and N3.
STAGE_COLORS = {
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
"""Edge of the patches of a legend, which may be nearly white."""
_HEART, _BREATH = "#D55E00", "#0072B2"
_SMOOTH = 5
"""Number of epochs in the running median of rates."""


def _drop_time_zone(hyp: yasa.Hypnogram) -> yasa.Hypnogram:
    """Drop the time zone of a hypnogram's start, which YASA would convert to UTC to draw it."""
    if hyp.start is None or hyp.start.tzinfo is None:
        return hyp
    return change_hypnogram(hyp, start=hyp.start.tz_localize(None))


def find_edges(hyp: yasa.Hypnogram) -> NDArray[np.float64]:
    """Find the edges of the epochs on the time axis of YASA's plots.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram.

    Returns
    -------
    edges : array, shape (n_epochs + 1,)
        Matplotlib's dates if the hypnogram has a start; else minutes up to 90 min, and hours
        beyond.
    """
    seconds = np.arange(hyp.n_epochs + 1) * EPOCH_S
    if hyp.start is not None:
        start = pd.Timestamp(hyp.start).tz_localize(None)
        return np.asarray(mdates.date2num(start) + seconds / 86400)
    return seconds / (60 if hyp.duration <= 90 else 3600)


def set_clock(ax: Axes, hyp: yasa.Hypnogram) -> None:
    """Set the limits, ticks and label of the time axis.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The axes.
    hyp : yasa.Hypnogram
        The hypnogram, for its start and duration.
    """
    edges = find_edges(hyp)
    ax.set_xlim(edges[0], edges[-1])
    if hyp.start is None:
        ax.set_xlabel("Time [mins]" if hyp.duration <= 90 else "Time [hrs]")
        return
    # The recording's own clock, as in `find_edges`, whatever matplotlib's time zone is.
    locator = mdates.AutoDateLocator(tz="UTC", maxticks=12)
    ax.xaxis.set_major_locator(locator)
    if hyp.duration > 24 * 60:
        ax.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator, tz="UTC"))
    else:
        text = "%H:%M" if hyp.duration > 10 else "%H:%M:%S"
        ax.xaxis.set_major_formatter(mdates.DateFormatter(text, tz="UTC"))
    ax.set_xlabel("Time")


def draw_stages(hyp: yasa.Hypnogram, ax: Axes) -> None:
    """Draw YASA's hypnogram with all of its stages on the axis.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram.
    ax : matplotlib.axes.Axes
        The axes.

    Notes
    -----
    YASA's own limits are empty for a single epoch, and cut the labels of stages that do not occur.
    """
    with catch_warnings():
        warnings.filterwarnings("ignore", "Attempting to set identical low and high")
        _drop_time_zone(hyp).plot_hypnogram(ax=ax)
    ax.set_ylim(-0.5, len(ax.get_yticks()) - 0.5)


def plot_availability(availability: pd.DataFrame, hyp: yasa.Hypnogram, ax: Axes) -> Axes:
    """Draw for each modality, in a row, whether each epoch was measured, and if not, why.

    Parameters
    ----------
    availability : pandas.DataFrame, shape (n_epochs, n_modalities)
        For each epoch and modality, whether it was measured, or why not, in words.
    hyp : yasa.Hypnogram
        The hypnogram, for the time axis.
    ax : matplotlib.axes.Axes
        The axes to draw in.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The same.
    """
    codes = availability.apply(lambda words: words.map(_CODES)).to_numpy(dtype=float).T
    ax.pcolormesh(
        find_edges(hyp),
        np.arange(len(codes) + 1) - 0.5,
        codes,
        cmap=ListedColormap([_REASON_COLORS[reason] for reason in Reason]),
        vmin=-0.5,
        vmax=len(Reason) - 0.5,
        rasterized=True,
    )
    for i in range(1, len(codes)):
        ax.axhline(i - 0.5, color="white", linewidth=1.5)
    ax.set_yticks(range(len(codes)), list(availability.columns))
    ax.invert_yaxis()
    there = [reason for reason in Reason if (availability == reason.label).any(axis=None)]
    handles = [
        Patch(**_EDGE, facecolor=_REASON_COLORS[reason], label=reason.label) for reason in there
    ]
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return ax


def plot_rates(beats: Mapping[str, pd.DataFrame], hyp: yasa.Hypnogram, ax: Axes) -> Axes:
    """Draw the heart rate, and the breathing rate on a second y-axis.

    Parameters
    ----------
    beats : mapping of str to pandas.DataFrame
        Modality -> beats or breaths by epoch, from
        :func:`~mne_wav2sleep.staging.pipeline.find_all_beats`.
    hyp : yasa.Hypnogram
        The hypnogram, for the time axis.
    ax : matplotlib.axes.Axes
        The axes to draw in.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The same. The heart rate is that of ECG or PPG, the breathing rate that of one of the belts,
        whichever has more plausible epochs, as running medians over 5 epochs.
    """
    edges = find_edges(hyp)
    middle = (edges[1:] + edges[:-1]) / 2
    for rhythm, axis, color, style, label in (
        ("heart", ax, _HEART, "-", "Heart rate [1/min]"),
        ("breath", ax.twinx(), _BREATH, ":", "Breaths [1/min]"),
    ):
        chosen = choose_rate(beats, rhythm)
        axis.set_ylabel(label, color=color)
        if chosen is None:
            axis.set_yticks([])
            axis.set_ylabel("")
            continue
        name, plausible = chosen
        rate = plausible.reindex(range(hyp.n_epochs))
        smooth = rate.rolling(_SMOOTH, center=True, min_periods=1).median().where(rate.notna())
        there = np.pad(smooth.notna(), 1)
        alone = there[1:-1] & ~there[:-2] & ~there[2:]  # a line needs two points
        axis.plot(
            middle,
            smooth,
            style,
            marker=".",
            markevery=alone.tolist(),
            color=color,
            linewidth=1.2,
            label=name,
        )
        axis.tick_params(axis="y", colors=color)
    return ax


def plot_night(
    hyp: yasa.Hypnogram,
    availability: pd.DataFrame,
    beats: Mapping[str, pd.DataFrame],
    time_in_bed: TimeInBed | None = None,
    *,
    show: bool = True,
) -> Figure:
    """Plot a night: stages, their probabilities, availability, heart and breathing rate.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram, with its probabilities.
    availability : pandas.DataFrame, shape (n_epochs, n_modalities)
        For each epoch and modality, whether it was measured, or why not, in words.
    beats : mapping of str to pandas.DataFrame
        Modality -> beats or breaths by epoch.
    time_in_bed : TimeInBed or None
        The time in bed, of which lines mark the beginning and the end if they are known.
    show : bool
        Whether to show the figure. If False, it is closed, and can still be saved.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Four panels on one time axis; the breathing rate has a second y-axis in the last.
    """
    heights = (2.5, 2, 0.5 + 0.25 * availability.shape[1], 1.75)
    figure, axes = plt.subplots(
        4,
        figsize=(WIDTH, np.ceil(2 * sum(heights)) / 2),
        layout="constrained",
        sharex=True,
        gridspec_kw={"height_ratios": heights},
    )
    # YASA draws probabilities from the beginning of each epoch to that of the next, so the last
    # one is repeated.
    proba = pd.concat([hyp.proba, hyp.proba.iloc[[-1]]], ignore_index=True)
    draw_stages(hyp, axes[0])
    axes[0].set_title(wrap_name(f"Stages by {hyp.scorer}", 70), loc="left", parse_math=False)
    density = _drop_time_zone(to_hypnogram(proba, hyp.start, hyp.scorer))
    density.plot_hypnodensity(palette=STAGE_COLORS, ax=axes[1])
    legend = axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, reverse=True)
    for handle in legend.get_patches():
        handle.set(**_EDGE)
    plot_availability(availability, hyp, axes[2])
    plot_rates(beats, hyp, axes[3])
    for at in [] if time_in_bed is None else time_in_bed.edges:
        for ax in axes:
            ax.axvline(find_edges(hyp)[at], color="black", linestyle="--", linewidth=0.8)
    for ax in axes:
        # Each of the plots has set its own limits.
        set_clock(ax, hyp)
        ax.label_outer()
    return finish_figure(figure, show=show)
