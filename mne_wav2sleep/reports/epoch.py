"""A picture of an epoch, as it was recorded and as the network sees it."""

import textwrap
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ..modalities import EPOCH_S
from ..signals.validity import (
    BAD,
    FLAT,
    LEFT_OUT,
    MEASURED,
    NOT_FINITE,
    NOT_RECORDED,
    REASONS,
    SATURATED,
)
from ..staging.pipeline import EpochSignal
from .night import WIDTH

_HATCHES = {NOT_RECORDED: "", NOT_FINITE: "...", BAD: "///", FLAT: "\\\\\\", SATURATED: "xxx"}
_SHADE: dict[str, Any] = {"facecolor": "0.93", "edgecolor": "0.7", "linewidth": 0.0}
"""What does not count as measured lies on grey; why not is in the hatch, which needs no colour."""
_LINE = 22
"""Letters of a channel's name that fit beside a row."""


def plot_epoch(
    signals: Mapping[str, EpochSignal],
    names: Mapping[str, str],
    in_volts: Collection[str],
    title: str,
) -> Figure:
    """Draw 30 s of every channel as it was recorded, and as the network sees it.

    Parameters
    ----------
    signals : mapping of str to EpochSignal
        Modality -> the epoch.
    names : mapping of str to str
        Modality -> what its channel is called.
    in_volts : collection of str
        Modalities whose samples are known to be volts.
    title : str
        The stage, and how probable it is.

    Returns
    -------
    figure : matplotlib.figure.Figure
        A row for each modality: recorded on the left, seen on the right.
    """
    figure, axes = plt.subplots(
        len(signals),
        2,
        figsize=(WIDTH, 1.5 + 1.5 * len(signals)),
        layout="constrained",
        sharex=True,
        squeeze=False,
    )
    # What people have named may hold a $, which is no mathematics.
    figure.suptitle(title, x=0.01, ha="left", parse_math=False)
    lost: set[int] = set()
    for (left, right), (name, signal) in zip(axes, signals.items(), strict=True):
        lost |= _draw_recorded(left, signal, name, names[name], name in in_volts)
        _draw_seen(right, signal)
        for ax in (left, right):
            ax.spines[["right", "top"]].set_visible(False)
    axes[0, 0].set_title("As recorded", loc="left")
    axes[0, 1].set_title("As the network sees it (z-scored)", loc="left")
    for ax in axes[-1]:
        ax.set(xlim=(0, EPOCH_S), xlabel="Time [s]")
    if lost:
        handles = [
            Patch(hatch=_HATCHES[code], label=REASONS[code], **_SHADE) for code in sorted(lost)
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), frameon=False)
    return figure


def _draw_recorded(ax: Axes, signal: EpochSignal, name: str, channel: str, volts: bool) -> set[int]:
    """Draw what was recorded, and hatch what does not count as measured; say why it does not."""
    finite = np.isfinite(signal.data)
    data = np.where(finite, signal.data, np.nan)
    factor, unit = _find_unit(data) if volts and finite.any() else (1.0, "")
    ax.plot(np.arange(data.size) / signal.sfreq, data * factor, color="black", linewidth=0.7)
    if finite.any():
        # Not "+1.2e-3" at the top for what is beside the point, and no row of zeros.
        ax.ticklabel_format(axis="y", useOffset=False, scilimits=(-2, 4))
    else:
        ax.set_yticks([])
    label = f"{name} [{unit}]" if unit else name
    ax.set_ylabel(f"{label}\n{textwrap.fill(channel, _LINE)}", parse_math=False, fontsize="small")
    spans = _find_spans(signal)
    for code, first, last in spans:
        ax.axvspan(first, last, hatch=_HATCHES[code], zorder=0, **_SHADE)
    return {code for code, *_ in spans}


def _find_unit(data: NDArray[np.float64]) -> tuple[float, str]:
    """Find in which part of a volt samples are easy to read."""
    largest = np.nanmax(np.abs(data))
    for factor, unit in ((1.0, "V"), (1e3, "mV")):
        if largest * factor >= 0.5:
            return factor, unit
    return 1e6, "µV"


def _find_spans(signal: EpochSignal) -> list[tuple[int, float, float]]:
    """Find what does not count as measured: the reason, from when, and to when, in s."""
    n_samples = signal.reasons.size
    edges = np.flatnonzero(np.diff(signal.reasons, prepend=-1, append=-1))
    spans = [
        (int(signal.reasons[first]), first / signal.sfreq, last / signal.sfreq)
        for first, last in pairwise(edges.tolist())
        if signal.reasons[first] != MEASURED
    ]
    # Where a channel ends; at odd rates, a sample may be lacking in an epoch that is complete.
    if EPOCH_S * signal.sfreq - n_samples > 2:
        spans.append((NOT_RECORDED, n_samples / signal.sfreq, EPOCH_S))
    return spans


def _draw_seen(ax: Axes, signal: EpochSignal) -> None:
    """Draw what the network sees, if it sees anything."""
    if signal.grid is not None and signal.availability == REASONS[MEASURED]:
        # Sample k of the grid, from 1 on, lies at k steps.
        time = np.arange(1, signal.grid.size + 1) * EPOCH_S / signal.grid.size
        ax.plot(time, signal.grid, color="#0072B2", linewidth=0.7)
        return
    used = signal.grid is not None and signal.availability != REASONS[LEFT_OUT]
    text = f"masked: {signal.availability}" if used else "not used"
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center")
    ax.set_yticks([])
