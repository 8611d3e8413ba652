"""Figure of an epoch, as it was recorded and as the network sees it."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import yasa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ..modalities import EPOCH_S
from ..showing import WIDTH, finish_figure, wrap_name
from ..signals import Reason
from ..staging.pipeline import EpochSignal

_HATCHES: dict[int, str] = {
    Reason.NOT_RECORDED: "",
    Reason.NOT_FINITE: "...",
    Reason.BAD: "///",
    Reason.FLAT: "\\\\\\",
    Reason.SATURATED: "xxx",
}
_SHADE: dict[str, Any] = {"facecolor": "0.93", "edgecolor": "0.7", "linewidth": 0.0}
"""What does not count as measured is gray. The hatch tells why, so that no color is needed."""
_LINE = 22
"""Number of characters of a channel's name that fit beside a row."""


def plot_epoch(
    signals: Mapping[str, EpochSignal],
    hyp: yasa.Hypnogram,
    epoch: int,
    *,
    show: bool = True,
) -> Figure:
    """Plot an epoch of every channel, as recorded and as the network sees it.

    Parameters
    ----------
    signals : mapping of str to EpochSignal
        Modality -> the epoch.
    hyp : yasa.Hypnogram
        The hypnogram, with probabilities, for the title.
    epoch : int
        Number of the epoch, from 0.
    show : bool
        Whether to show the figure. If False, it is closed, and can still be saved.

    Returns
    -------
    figure : matplotlib.figure.Figure
        A row for each modality: as recorded on the left, as the network sees it on the right.
    """
    figure, axes = plt.subplots(
        len(signals),
        2,
        figsize=(WIDTH, 1.5 + 1.5 * len(signals)),
        layout="constrained",
        sharex=True,
        squeeze=False,
    )
    figure.suptitle(_describe_epoch(hyp, epoch), x=0.01, ha="left")
    lost: set[int] = set()
    for (left, right), (name, signal) in zip(axes, signals.items(), strict=True):
        lost |= _draw_recorded(left, signal, name)
        _draw_seen(right, signal)
        for ax in (left, right):
            ax.spines[["right", "top"]].set_visible(False)
    axes[0, 0].set_title("As recorded", loc="left")
    axes[0, 1].set_title("As the network sees it (z-scored)", loc="left")
    for ax in axes[-1]:
        ax.set(xlim=(0, EPOCH_S), xlabel="Time [s]")
    if lost:
        handles = [
            Patch(hatch=_HATCHES[code], label=Reason(code).label, **_SHADE) for code in sorted(lost)
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), frameon=False)
    return finish_figure(figure, show=show)


def _describe_epoch(hyp: yasa.Hypnogram, epoch: int) -> str:
    """Describe an epoch: its number, its time, its stage, and the probabilities."""
    likely = ", ".join(f"{name} {p:.2f}" for name, p in hyp.proba.iloc[epoch].items() if p)
    when = "" if hyp.start is None else f" at {hyp.hypno.index[epoch]:%H:%M:%S}"
    return f"Epoch {epoch}{when}: {hyp.hypno.iloc[epoch]} ({likely})"


def _draw_recorded(ax: Axes, signal: EpochSignal, name: str) -> set[int]:
    """Draw the recorded samples, hatch those that do not count as measured, return the reasons."""
    finite = np.isfinite(signal.data)
    data = np.where(finite, signal.data, np.nan)
    factor, unit = _choose_unit(data) if signal.in_volts and finite.any() else (1.0, "")
    ax.plot(np.arange(data.size) / signal.sfreq, data * factor, color="black", linewidth=0.7)
    if finite.any():
        # An offset such as "+1.2e-3" above the axis is hard to read, and so are many zeros.
        ax.ticklabel_format(axis="y", useOffset=False, scilimits=(-2, 4))
    else:
        ax.set_yticks([])
    label = f"{name} [{unit}]" if unit else name
    channel = wrap_name(signal.channel, _LINE)
    # A "$" in a channel's name is not mathematics.
    ax.set_ylabel(f"{label}\n{channel}", parse_math=False, fontsize="small")
    spans = _find_spans(signal)
    for code, first, last in spans:
        ax.axvspan(first, last, hatch=_HATCHES[code], zorder=0, **_SHADE)
    return {code for code, *_ in spans}


def _choose_unit(data: NDArray[np.float64]) -> tuple[float, str]:
    """Choose a unit, and the factor from V to it, in which samples are easy to read."""
    largest = np.nanmax(np.abs(data))
    for factor, unit in ((1.0, "V"), (1e3, "mV")):
        if largest * factor >= 0.5:
            return factor, unit
    return 1e6, "µV"


def _find_spans(signal: EpochSignal) -> list[tuple[int, float, float]]:
    """Find spans that do not count as measured: the reason, beginning and end in seconds."""
    n_samples = signal.reasons.size
    edges = np.flatnonzero(np.diff(signal.reasons, prepend=-1, append=-1))
    spans = [
        (int(signal.reasons[first]), first / signal.sfreq, last / signal.sfreq)
        for first, last in pairwise(edges.tolist())
        if signal.reasons[first] != Reason.MEASURED
    ]
    # The channel ends in this epoch. At odd rates, a complete epoch may lack a sample.
    if EPOCH_S * signal.sfreq - n_samples > 2:
        spans.append((Reason.NOT_RECORDED, n_samples / signal.sfreq, EPOCH_S))
    return spans


def _draw_seen(ax: Axes, signal: EpochSignal) -> None:
    """Draw what the network sees, or write why it sees nothing."""
    if signal.grid is not None and signal.availability == Reason.MEASURED.label:
        # The first sample of the grid lies one step after the beginning of the epoch.
        time = np.arange(1, signal.grid.size + 1) * EPOCH_S / signal.grid.size
        ax.plot(time, signal.grid, color="#0072B2", linewidth=0.7)
        return
    used = signal.grid is not None and signal.availability != Reason.LEFT_OUT.label
    text = f"masked: {signal.availability}" if used else "not used"
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center")
    ax.set_yticks([])
