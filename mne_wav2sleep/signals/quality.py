"""Signal quality, measured by the plausibility of beats and breaths, and by what disturbs them."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..modalities import EPOCH_S, MODALITIES
from .beats import Wave, find_wave, list_by_rhythm
from .validity import Reason, Signal

_ENOUGH = 20
"""Smallest number of measured epochs (10 min) for a judgment about a channel."""

_IRREGULAR = 0.2
"""Irregularity above which heart beats are called irregular; that of healthy subjects is lower: an
RMSSD of 0.1 s at 60 beats per minute corresponds to 0.1."""

_STEADY = (0.5, 0.02)
"""Deviation from the median heart rate, in beats per minute, and irregularity, below which a heart
seems to be paced at a fixed rate. In natural sleep, the heart rate varies by several beats per
minute from hour to hour."""

_OFTEN = 0.2
"""Share of noisy epochs that causes a warning."""

_SPAN_S = 5.0
"""Duration in seconds of the spans whose range is measured to find bursts."""
_BURSTS = 0.009
"""Share of bursts that causes a warning: about one in 9 min, or a large one in 18 min."""

_MOST_BURSTS = 0.2
"""Largest share of bursts. If there are more, the usual range is not that of the wave, as in
periodic breathing with apneas that are longer than what is breathed between them."""


def find_bursts(signal: Signal, modality: str) -> NDArray[np.float64]:
    """Find short spans in which a channel has much more than its usual range.

    Parameters
    ----------
    signal : Signal
        The channel.
    modality : str
        Its modality. One without a known wave (EOG) is accepted, but not analyzed.

    Returns
    -------
    bursts : array, shape (n_epochs,)
        Share of the 5-s spans of each epoch whose range is a multiple of the median range, 4.5
        in an ECG, 8.5 in a PPG and 6 in a belt; spans of more than 1.5 times that count double.
        NaN if the epoch was not measured, or the channel is not analyzed.

    Examples
    --------
    >>> belt = np.sin(2 * np.pi * 0.25 * np.arange(60 * 10) / 10)
    >>> belt[310:330] *= 9
    >>> find_bursts(Signal(belt, 10.0, np.zeros(2, dtype=np.int8)), "THX").round(2).tolist()
    [0.0, 0.17]
    """
    measured = signal.epochs == Reason.MEASURED
    bursts = np.full(measured.size, np.nan)
    size = int(_SPAN_S * signal.sfreq)
    n_spans = signal.data.size // max(size, 1)
    wave = find_wave(modality)
    if wave is None or size < 2 or not n_spans:
        return bursts
    spans = signal.data[: n_spans * size].reshape(n_spans, size)
    extent = spans.max(1) - spans.min(1)
    epoch = (np.arange(n_spans) * size / signal.sfreq // EPOCH_S).astype(np.int64)
    inside = epoch < measured.size
    extent, epoch = extent[inside], epoch[inside]
    inside = measured[epoch]
    extent, epoch = extent[inside], epoch[inside]
    if extent.size:
        limit = wave.burst * np.median(extent)
        large = (extent > limit).astype(float) + (extent > 1.5 * limit)
        share = pd.Series(large).groupby(epoch).mean()
        bursts[share.index] = share
    return bursts


def summarize(beats: pd.DataFrame) -> dict[str, float | str]:
    """Summarize the beats or breaths of a channel.

    Parameters
    ----------
    beats : pandas.DataFrame
        From :func:`find_beats`, one row per epoch, NaN in epochs that were not measured, with two
        more columns, ``measured`` and ``bursts`` (:func:`find_bursts`).

    Returns
    -------
    summary : dict
        ``valid``, the share of epochs that were measured; ``plausible``, the share of these with
        plausible beats or breaths; the median ``rate`` and ``noise`` of plausible epochs; the
        median ``irregularity`` and ``background`` of all measured epochs; the share of ``bursts``;
        and the ``polarity``: ``"upright"``, ``"inverted"`` or ``"unknown"``.
    """
    good = beats[beats["plausible"] > 0]
    upright = good["upright"].mean()
    # In between, epochs disagree.
    polarity = "upright" if upright > 0.8 else "inverted" if upright < 0.2 else "unknown"
    return {
        "valid": float(beats["measured"].mean()),
        # NaN for modalities without a known wave.
        "plausible": float(beats["plausible"].mean()),
        "rate": float(good["rate"].median()),
        # Of all epochs, because the most irregular ones are not plausible.
        "irregularity": float(beats["irregularity"].dropna().median()),
        "noise": float(good["noise"].median()),
        "background": float(beats["background"].dropna().median()),
        "bursts": float(beats["bursts"].mean()),
        "polarity": polarity,
    }


def choose_rate(beats: Mapping[str, pd.DataFrame], rhythm: str) -> tuple[str, pd.Series] | None:
    """Choose the sensor that shows a rate in more epochs.

    Parameters
    ----------
    beats : mapping of str to pandas.DataFrame
        Modality -> beats or breaths by epoch, from :func:`find_beats`.
    rhythm : str
        What has the rate, ``"heart"`` or ``"breath"``.

    Returns
    -------
    chosen : tuple of (str, pandas.Series) or None
        The modality with more plausible epochs, and the rate per minute in these, by epoch; None
        if there is no modality that shows it.

    Examples
    --------
    >>> ecg = pd.DataFrame({"rate": [60.0, 200.0], "plausible": [1.0, 0.0]})
    >>> name, rate = choose_rate({"ECG": ecg}, "heart")
    >>> name, rate.to_dict()
    ('ECG', {0: 60.0})
    """
    good = {
        name: beats[name].loc[beats[name]["plausible"] > 0, "rate"]
        for name in list_by_rhythm(rhythm)
        if name in beats
    }
    if not good:
        return None
    name = max(good, key=lambda key: len(good[key]))
    return name, good[name]


def find_doubts(
    beats: pd.DataFrame,
    modality: str,
    channel: str | tuple[str, str],
    bursts: NDArray[np.float64] | None = None,
) -> list[str]:
    """Find reasons to doubt a channel, or the staging of a subject with such a heart rhythm.

    Parameters
    ----------
    beats : pandas.DataFrame
        From :func:`find_beats`, for epochs from all parts of the recording.
    modality : str
        The modality that the channel is mapped to.
    channel : str or (str, str)
        The name of the channel, for the messages.
    bursts : array, shape (n_epochs,), optional
        From :func:`find_bursts`.

    Returns
    -------
    doubts : list of str
        Messages for warnings; empty if there is no doubt, or if too little was measured.
    """
    share = beats["plausible"].mean()
    if len(beats) < _ENOUGH or np.isnan(share):
        return []
    wave = find_wave(modality)
    if wave is None:
        return []
    if share < 0.5:
        return [
            f"{modality} (channel {channel!r}) shows {wave.name} in {100 * share:.0f} % of its "
            f"epochs ({wave.rates[0]:g} to {wave.rates[1]:g} per minute, of similar shape): it may "
            "be another kind of signal, or the sensor may have come off. Look at the signal, and "
            "name another channel, or None to leave it out."
        ]
    doubts = _find_disturbances(beats, wave, modality, channel, bursts)
    return doubts + _doubt_heart(beats, modality, channel) if wave.rhythm == "heart" else doubts


def _find_disturbances(
    beats: pd.DataFrame,
    wave: Wave,
    modality: str,
    channel: str | tuple[str, str],
    bursts: NDArray[np.float64] | None,
) -> list[str]:
    """Find noise and bursts, which change what the network sees of the wave."""
    doubts = []
    limit = wave.background
    if (noisy := (beats["background"] > limit).mean()) > _OFTEN:
        doubts.append(
            f"{modality} (channel {channel!r}) has noise above {wave.above:g} Hz in "
            f"{100 * noisy:.0f} % of its epochs (more than {limit:g} times the "
            f"{wave.name}), as from muscles, devices or a loose sensor. The network "
            "sees it aliased, which can change many stages. Look at the signal, and name another "
            f"channel, or stage a Raw in which it is low-passed at "
            f"{_choose_lowpass(modality):g} Hz (raw.filter)."
        )
    share = 0.0 if bursts is None or np.isnan(bursts).all() else float(np.nanmean(bursts))
    if _BURSTS < share <= _MOST_BURSTS:
        doubts.append(
            f"{modality} (channel {channel!r}) has bursts of more than {wave.burst:g} times "
            f"its usual range in {100 * share:.1f} % of its 5-s spans (of 1.5 times that, counted "
            "twice), as from movement. The network takes them for awakenings, and everything else "
            "for smaller than it is. Annotate them as BAD in a Raw and stage that, or compare the "
            "sensors with audit()."
        )
    return doubts


def _choose_lowpass(modality: str) -> float:
    """Choose a cutoff in Hz: the highest frequency that is not aliased, rounded down."""
    highest = MODALITIES[modality].samples_per_epoch / EPOCH_S / 2
    step = 10.0 ** math.floor(math.log10(highest)) / 2
    return highest // step * step


def _doubt_heart(beats: pd.DataFrame, modality: str, channel: str | tuple[str, str]) -> list[str]:
    """Find rhythms of the heart with which staging has not been validated."""
    doubts = []
    if (irregularity := beats["irregularity"].dropna().median()) > _IRREGULAR:
        doubts.append(
            f"The heart beats irregularly in {modality} (channel {channel!r}: successive intervals "
            f"differ by {100 * irregularity:.0f} % of their mean), as in atrial fibrillation or "
            "with frequent ectopic beats. Staging has not been validated in such subjects; check "
            "the stages against other evidence."
        )
    good = beats[beats["plausible"] > 0]
    width, regular = _STEADY
    steady = ((good["rate"] - good["rate"].median()).abs() < width) & (
        good["irregularity"] < regular
    )
    if steady.mean() > 0.5:
        doubts.append(
            f"The heart rate in {modality} (channel {channel!r}) stays at "
            f"{good['rate'].median():.1f} beats per minute in {100 * steady.mean():.0f} % of its "
            "epochs, as with a pacemaker. Such a heart rate contains little information about "
            "sleep; check the stages against other evidence."
        )
    return doubts
