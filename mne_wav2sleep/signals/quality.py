"""What the waves of a channel look like, and whether there is a heart in them, or breath.

After the signal-quality indices of Orphanidou et al. (2015, IEEE J Biomed Health Inform 19:832):
beats at a rate that is possible, alike in shape. Of their regularity, less is asked for than there,
and of breaths none, since arrhythmia and apnoea are no fault of a sensor. NumPy and SciPy only.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import signal as scipy_signal

from ..modalities import EPOCH_S, MODALITIES
from .validity import MEASURED, Signal

_ROWS = 64
"""Epochs that are filtered together; so few that an ECG at 5 kHz takes little memory."""

_ENOUGH = 20
"""Measured epochs, 10 min, from which on a channel is judged."""


_RATE = 256
"""Rate in Hz that is enough for all of this; faster channels are thinned out once filtered."""


@dataclass(frozen=True)
class _Wave:
    """How beats, or breaths, look.

    Attributes
    ----------
    name : str
        What they are called.
    band : tuple of float
        Where their energy is, in Hz.
    rates : tuple of float
        What is possible, per minute.
    likeness : float
        Mean correlation with their mean, from which on they are alike.
    irregularity : float
        From which on beats are no beats.
    half_s : float
        Seconds on either side of a peak that are compared, at most.
    span_s : float
        Seconds around the middle of an epoch that are looked at.
    """

    name: str
    band: tuple[float, float]
    rates: tuple[float, float]
    likeness: float
    irregularity: float
    half_s: float
    span_s: float


# Orphanidou et al. have hearts of 40 to 180 per minute; asleep, 30 is possible. Their correlations
# are 0.66 (ECG) and 0.86 (PPG). For breaths, 0.75 (Charlton et al. 2021, Biomed Signal Process
# Control 65:102339) is what half of filtered noise reaches; 0.85 is not.
# The irregularity of noise is 0.4 to 0.9; that of 30 min of frequent ventricular beats (MIT-BIH
# Arrhythmia Database, record 106) has a median of 0.46, simulated atrial fibrillation of 0.31.
_BREATHS = _Wave("breaths", (0.05, 1.0), (4.0, 45.0), 0.85, np.inf, 6.0, 60.0)
_WAVES = {
    "ABD": _BREATHS,
    "ECG": _Wave("beats", (5.0, 30.0), (30.0, 180.0), 0.66, 0.6, 0.3, EPOCH_S),
    "PPG": _Wave("pulses", (0.5, 8.0), (30.0, 180.0), 0.86, 0.6, 1.0, EPOCH_S),
    "THX": _BREATHS,
}

_IRREGULAR = 0.2
"""Irregularity above that of healthy hearts: an RMSSD of 0.1 s at 60 beats per minute is 0.1."""

_STEADY = (0.5, 0.02)
"""Beats per minute around the median, and irregularity, within which a heart stays that is paced at
a fixed rate. Sleeping hearts differ by several beats per minute from hour to hour."""

COLUMNS = ("rate", "irregularity", "likeness", "noise", "upright", "plausible")


def find_beats(signal: Signal, modality: str, epochs: NDArray[np.integer]) -> pd.DataFrame:
    """Find the heart beats, or the breaths, in some epochs of a channel.

    Parameters
    ----------
    signal : Signal
        The channel.
    modality : str
        What it is; of the EOG there is nothing to say.
    epochs : array of int, shape (n,)
        Which epochs to look at.

    Returns
    -------
    beats : pandas.DataFrame, shape (n, 6)
        By epoch: ``rate`` per minute; ``irregularity``, the root mean square of the differences of
        successive intervals over the mean interval; ``likeness``, the mean correlation of beats
        with their mean; ``noise``, the RMS of their differences from their mean over that of their
        mean; ``upright``, 1 if R waves point up, or pulses rise faster than they fall, else 0, NaN
        for belts; ``plausible``, 1 if the rate is possible, the beats are alike, and heart beats
        less irregular than noise, else 0. NaN but for ``plausible`` where less than three are
        found; all NaN of the EOG, and of channels too slow to tell.

    Examples
    --------
    >>> belt = np.sin(2 * np.pi * 0.25 * np.arange(60 * 10) / 10)
    >>> signal = Signal(belt, 10.0, np.zeros(2, dtype=np.int8))
    >>> find_beats(signal, "THX", np.arange(2))["rate"].tolist()
    [15.0, 15.0]
    """
    found = np.full((epochs.size, len(COLUMNS)), np.nan)
    sfreq = signal.sfreq
    if modality in _WAVES and sfreq >= MODALITIES[modality].lowest_sfreq:
        wave = _WAVES[modality]
        band = (wave.band[0], min(wave.band[1], 0.45 * sfreq))
        sos = scipy_signal.butter(2, band, "bandpass", fs=sfreq, output="sos")
        within = np.arange(min(int(wave.span_s * sfreq), signal.data.size))
        begin = (epochs + 0.5) * EPOCH_S - wave.span_s / 2
        starts = np.clip(np.round(begin * sfreq), 0, signal.data.size - within.size)
        step = max(int(sfreq // _RATE), 1)
        for first in range(0, epochs.size, _ROWS):
            rows = signal.data[starts.astype(np.int64)[first : first + _ROWS, None] + within]
            # Units may be so large that their squares are no floats.
            rows = rows / max(float(np.abs(rows).max()), np.finfo(float).tiny)
            rows = scipy_signal.sosfiltfilt(sos, rows - rows.mean(1, keepdims=True), axis=1)
            for i, row in enumerate(rows[:, ::step], start=first):
                found[i] = _describe(row, sfreq / step, modality)
    return pd.DataFrame(found, index=pd.Index(epochs, name="Epoch"), columns=list(COLUMNS))


def _find_peaks(row: NDArray[np.float64], sfreq: float, modality: str) -> NDArray[np.int64]:
    """Find the samples at which beats, pulses or breaths peak, in one epoch."""
    height = row
    if modality == "ECG":
        # The energy of a complex, whichever way it points.
        width = max(round(0.1 * sfreq), 1)
        height = np.sqrt(np.convolve(row**2, np.ones(width) / width, "same"))
    # Of what an ordinary beat rises, for an artefact may be far higher.
    rise = np.quantile(height, 0.98) if modality == "ECG" else np.ptp(np.quantile(row, [0.1, 0.9]))
    shortest = 0.75 * 60 / _WAVES[modality].rates[1]
    return np.asarray(
        scipy_signal.find_peaks(height, distance=max(shortest * sfreq, 1), prominence=0.4 * rise)[0]
    )


def _describe(row: NDArray[np.float64], sfreq: float, modality: str) -> tuple[float, ...]:
    """Describe one filtered epoch, in the order of :data:`COLUMNS`."""
    nothing = (np.nan,) * 5 + (0.0,)
    upright = np.nan
    if modality == "PPG":
        # A pulse rises faster than it falls. Turned upright, it has a sharp peak.
        upright = float(np.mean(np.diff(row) ** 3) > 0)
        row = row if upright else -row
    peaks = _find_peaks(row, sfreq, modality)
    if peaks.size < 3:
        return nothing
    wave = _WAVES[modality]
    gaps = np.diff(peaks) / sfreq
    rate = 60 / float(gaps.mean())  # not the median, which is coarse where samples are few
    irregularity = float(np.sqrt(np.mean(np.diff(gaps) ** 2)) / gaps.mean())
    half = max(int(min(np.median(gaps) / 2, wave.half_s) * sfreq), 2)
    # The energy of a complex peaks less sharply than the complex.
    reach = max(round(0.06 * sfreq), 1) if modality == "ECG" else 0
    peaks = peaks[(peaks >= half + reach) & (peaks < row.size - half - reach)]
    if peaks.size < 3:
        return nothing
    window = np.arange(-half, half + 1)
    if reach:
        shifts = np.arange(-reach, reach + 1)
        shifted = row[peaks[:, None, None] + shifts[:, None] + window]
        peaks = peaks + shifts[(shifted @ row[peaks[:, None] + window].mean(0)).argmax(1)]
    beats = row[peaks[:, None] + window]
    beats = beats - beats.mean(1, keepdims=True)
    mean = beats.mean(0)
    lengths = np.linalg.norm(beats, axis=1) * np.linalg.norm(mean)
    likeness = float(np.mean(beats @ mean / np.maximum(lengths, np.finfo(float).tiny)))
    noise = float(np.sqrt(np.mean((beats - mean) ** 2) / max(np.mean(mean**2), 1e-300)))
    if modality == "ECG":
        upright = float(mean[np.abs(mean).argmax()] > 0)
    lowest, highest = wave.rates
    plausible = (
        lowest <= rate <= highest and likeness >= wave.likeness and irregularity < wave.irregularity
    )
    return rate, irregularity, likeness, noise, upright, float(plausible)


def choose_epochs(signal: Signal, count: int | None = None) -> NDArray[np.int64]:
    """Choose measured epochs of a channel, all of them or some, evenly spaced."""
    measured = np.flatnonzero(signal.epochs == MEASURED)
    if count is None or measured.size <= count:
        return measured
    return measured[np.linspace(0, measured.size - 1, count).astype(np.int64)]


def summarise(beats: pd.DataFrame) -> dict[str, float | str]:
    """Sum up the beats, or breaths, of the measured epochs of a channel.

    Parameters
    ----------
    beats : pandas.DataFrame
        From :func:`~mne_wav2sleep.staging.pipeline.find_all_beats`.

    Returns
    -------
    summary : dict
        ``valid``, the share of epochs that were measured; of these, ``plausible``, the share with
        beats or breaths that can be, and the median ``irregularity``; the medians of ``rate`` and
        ``noise`` of those that can be; and the ``polarity``, ``"upright"``, ``"inverted"`` or
        ``"unknown"``.
    """
    good = beats[beats["plausible"] > 0]
    upright = good["upright"].mean()
    # Between, epochs disagree.
    sure = "upright" if upright > 0.8 else "inverted" if upright < 0.2 else "unknown"
    return {
        "valid": float(beats["measured"].mean()),
        # Of the EOG, there is nothing to be plausible.
        "plausible": float(beats["plausible"].mean()),
        "rate": float(good["rate"].median()),
        # Of all epochs, since a heart is implausible where it is too irregular.
        "irregularity": float(beats["irregularity"].median()),
        "noise": float(good["noise"].median()),
        "polarity": sure,
    }


def find_doubts(beats: pd.DataFrame, modality: str, channel: str) -> list[str]:
    """Say what speaks against a channel, or against staging this heart.

    Parameters
    ----------
    beats : pandas.DataFrame
        From :func:`find_beats`, of epochs all over the recording.
    modality : str
        What the channel is said to be.
    channel : str
        Its name, for the sentences.

    Returns
    -------
    doubts : list of str
        Sentences for warnings; empty where nothing is odd, or too little was measured to tell.
    """
    share = beats["plausible"].mean()
    if len(beats) < _ENOUGH or np.isnan(share):
        return []
    wave = _WAVES[modality]
    if share < 0.5:
        return [
            f"{modality} (channel {channel!r}) shows {wave.name} in {100 * share:.0f} % of its "
            f"epochs ({wave.rates[0]:g} to {wave.rates[1]:g} per minute, alike in shape): it may "
            "be something else, or come off. Look at it, and name another channel, or None."
        ]
    if modality in ("ABD", "THX"):
        return []
    doubts = []
    if (irregularity := beats["irregularity"].median()) > _IRREGULAR:
        doubts.append(
            f"The heart beats irregularly in {modality} (channel {channel!r}: successive intervals "
            f"differ by {100 * irregularity:.0f} % of their mean), as in atrial fibrillation or "
            "with many extra beats. How well such hearts are staged has not been shown."
        )
    good = beats[beats["plausible"] > 0]
    width, regular = _STEADY
    steady = ((good["rate"] - good["rate"].median()).abs() < width) & (
        good["irregularity"] < regular
    )
    if steady.mean() > 0.5:
        doubts.append(
            f"The heart in {modality} (channel {channel!r}) keeps to {good['rate'].median():.1f} "
            f"beats per minute in {100 * steady.mean():.0f} % of its epochs, as one that is paced. "
            "Its rate then says little of sleep."
        )
    return doubts
