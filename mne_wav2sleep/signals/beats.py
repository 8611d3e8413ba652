"""Detect heart beats and breaths in a channel.

Based on the signal-quality index of Orphanidou et al. (2015, IEEE J Biomed Health Inform 19:832),
which requires beats to have a plausible rate and similar shapes. Heart beats may be less regular
than in that index, and breaths may be irregular, because arrhythmia and apnea are not faults of a
sensor.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from scipy import signal as scipy_signal

from ..modalities import EPOCH_S, MODALITIES, WAVE_BANDS, list_by_wave
from .validity import Reason, Signal

_ROWS = 64
"""Number of epochs that are filtered together; small enough for an ECG at 5 kHz."""

_RATE = 256
"""Sampling rate in Hz that suffices for detection; faster channels are decimated once filtered."""

_PADDING = 15
"""Number of samples by which the filter extends an epoch; an epoch must have more than these."""

_FASTEST = 0.45
"""Highest frequency of filters, as a share of the sampling rate."""


@dataclass(frozen=True)
class Wave:
    """Properties of a kind of wave: the beats of an ECG, pulses, or breaths.

    Attributes
    ----------
    name : str
        Its name in messages.
    rhythm : str
        What has its rate, ``"heart"`` or ``"breath"``.
    band : tuple of float
        Frequency band of their energy, in Hz.
    rates : tuple of float
        Lowest and highest plausible rate, per minute.
    likeness : float
        Lowest plausible mean correlation with their mean.
    irregularity : float
        Irregularity from which on they are not plausible.
    above : float
        Frequency in Hz above which it has hardly any amplitude between beats, or at all. On the
        network's grid, most of what is there is aliased.
    half_s : float
        Longest duration on either side of a peak that is compared, in seconds.
    span_s : float
        Duration around the middle of an epoch that is analyzed, in seconds.
    background : float
        Background above which an epoch is noisy. `benchmarks/interference.py` measures what such
        noise changes, and the background of clean recordings.
    burst : float
        Range of a burst, as a multiple of the usual range of a span. In simulated nights, ordinary
        movements seldom exceed it (`benchmarks/interference.py`).
    """

    name: str
    rhythm: str
    band: tuple[float, float]
    rates: tuple[float, float]
    likeness: float
    irregularity: float
    above: float
    half_s: float
    span_s: float
    background: float
    burst: float


# Orphanidou et al. accept heart rates of 40 to 180 per minute; in sleep, 30 is possible. Their
# limits of correlation are 0.66 (ECG) and 0.86 (PPG). For breaths, the limit of 0.75 of Charlton et
# al. (2021, Biomed Signal Process Control 65:102339) is exceeded by half of all epochs of filtered
# noise; 0.85 is not.
# The irregularity of noise is 0.4 to 0.9. Its median is 0.46 in 30 min with frequent ventricular
# beats (MIT-BIH Arrhythmia Database, record 106), and 0.31 in simulated atrial fibrillation.
BEATS = Wave(
    name="beats",
    rhythm="heart",
    band=WAVE_BANDS["beats"],
    rates=(30.0, 180.0),
    likeness=0.66,
    irregularity=0.6,
    above=10.0,
    half_s=0.3,
    span_s=EPOCH_S,
    background=0.1,
    burst=4.5,
)
PULSES = Wave(
    name="pulses",
    rhythm="heart",
    band=WAVE_BANDS["pulses"],
    rates=(30.0, 180.0),
    likeness=0.86,
    irregularity=0.6,
    above=8.0,
    half_s=1.0,
    span_s=EPOCH_S,
    background=0.1,
    burst=8.5,
)
BREATHS = Wave(
    name="breaths",
    rhythm="breath",
    band=WAVE_BANDS["breaths"],
    rates=(4.0, 45.0),
    likeness=0.85,
    irregularity=np.inf,
    above=4.0,
    half_s=6.0,
    span_s=60.0,
    background=0.05,
    burst=6.0,
)
_WAVES = {wave.name: wave for wave in (BEATS, PULSES, BREATHS)}


def find_wave(modality: str) -> Wave | None:
    """Find the kind of wave by which the quality of a modality is measured.

    Parameters
    ----------
    modality : str
        The modality.

    Returns
    -------
    wave : Wave or None
        Its wave; None if there is none that is known, as of EOG.
    """
    return _WAVES.get(MODALITIES[modality].wave or "")


def list_by_rhythm(rhythm: str) -> tuple[str, ...]:
    """List the modalities that show a rate, the preferred one first.

    Parameters
    ----------
    rhythm : str
        ``"heart"`` or ``"breath"``.

    Returns
    -------
    names : tuple of str
        Their names.
    """
    return list_by_wave([name for name, wave in _WAVES.items() if wave.rhythm == rhythm])


COLUMNS = ("rate", "irregularity", "likeness", "noise", "upright", "plausible", "background")


@dataclass(frozen=True)
class Excerpts:
    """Selected epochs of a channel, with what surrounds them.

    Attributes
    ----------
    rows : array, shape (n_epochs, n_samples)
        The samples that are analyzed, as recorded.
    epochs : array of int, shape (n_epochs,)
        Numbers of the epochs.
    sfreq : float
        Sampling rate in Hz.
    modality : str
        The modality.
    """

    rows: NDArray[np.floating]
    epochs: NDArray[np.integer]
    sfreq: float
    modality: str


def find_beats(signal: Signal, modality: str, epochs: NDArray[np.integer]) -> pd.DataFrame:
    """Find the heart beats or breaths in selected epochs of a channel.

    Parameters
    ----------
    signal : Signal
        The channel.
    modality : str
        Its modality. One without a known wave (EOG) is accepted, but not analyzed.
    epochs : array of int, shape (n,)
        Numbers of the epochs to analyze.

    Returns
    -------
    beats : pandas.DataFrame, shape (n, 7)
        One row per epoch, with the columns

        - ``rate``, per minute
        - ``irregularity``, the root mean square of the differences between successive intervals,
          divided by the mean interval
        - ``likeness``, the mean correlation of the beats with their mean
        - ``noise``, the root mean square of their differences from their mean, divided by that of
          their mean
        - ``upright``, 1 if R waves are positive or pulses rise faster than they fall, else 0; NaN
          for belts
        - ``plausible``, 1 if the rate is plausible, the beats are similar, and heart beats are
          less irregular than noise, else 0
        - ``background``, the median amplitude of what is faster than the wave (above 10 Hz in an
          ECG, 8 Hz in a PPG, 4 Hz in a belt; QRS complexes are too short to change the median),
          divided by the height that the wave exceeds for 1 % of the time; NaN if the sampling rate
          is too low for it

        If fewer than three beats are found, all columns but ``plausible`` and ``background`` are
        NaN. All columns are NaN for modalities without a known wave, such as EOG, and for channels
        with too low a sampling rate.

    Examples
    --------
    >>> belt = np.sin(2 * np.pi * 0.25 * np.arange(60 * 10) / 10)
    >>> signal = Signal(belt, 10.0, np.zeros(2, dtype=np.int8))
    >>> find_beats(signal, "THX", np.arange(2))["rate"].tolist()
    [15.0, 15.0]
    """
    firsts = range(0, max(epochs.size, 1), _ROWS)
    parts = (epochs[first : first + _ROWS] for first in firsts)
    return pd.concat([describe(cut_out(signal, modality, part)) for part in parts])


def cut_out(signal: Signal, modality: str, epochs: NDArray[np.integer]) -> Excerpts:
    """Cut selected epochs out of a channel, so that the rest of it need not be kept.

    Parameters
    ----------
    signal, modality, epochs
        As in :func:`find_beats`.

    Returns
    -------
    excerpts : Excerpts
        What :func:`describe` analyzes.
    """
    sfreq = signal.sfreq
    wave = find_wave(modality)
    span_s = 0.0 if wave is None else wave.span_s
    within = np.arange(min(int(span_s * sfreq), signal.data.size))
    begin = (epochs + 0.5) * EPOCH_S - span_s / 2
    starts = np.clip(np.round(begin * sfreq), 0, signal.data.size - within.size)
    rows = signal.data[starts.astype(np.int64)[:, None] + within]
    return Excerpts(rows, epochs, sfreq, modality)


def describe(excerpts: Excerpts) -> pd.DataFrame:
    """Find the heart beats or breaths in excerpts, and describe them as :func:`find_beats` does.

    Parameters
    ----------
    excerpts : Excerpts
        The excerpts, all of which are filtered at once.

    Returns
    -------
    beats : pandas.DataFrame, shape (n, 7)
        One row per epoch, with the columns of :func:`find_beats`.
    """
    epochs, sfreq, modality = excerpts.epochs, excerpts.sfreq, excerpts.modality
    found = np.full((epochs.size, len(COLUMNS)), np.nan)
    wave = find_wave(modality)
    if wave is not None and _is_analyzable(excerpts, wave):
        band = (wave.band[0], min(wave.band[1], _FASTEST * sfreq))
        sos = scipy_signal.butter(2, band, "bandpass", fs=sfreq, output="sos")
        step = max(int(sfreq // _RATE), 1)
        rows = excerpts.rows.astype(np.float64)
        # In extreme units, squares would overflow.
        rows = rows / max(float(np.abs(rows).max()), np.finfo(float).tiny)
        rows = rows - rows.mean(1, keepdims=True)
        waves = scipy_signal.sosfiltfilt(sos, rows, axis=1)
        background = _measure_background(rows, waves, sfreq, wave)
        waves, sfreq = waves[:, ::step], sfreq / step
        upright = np.full(epochs.size, np.nan)
        if wave is PULSES:
            # A pulse rises faster than it falls; an upright one has a sharp peak.
            rise = np.diff(waves)
            upright = (np.mean(rise * rise * rise, axis=1) > 0).astype(float)
            waves = np.where(upright[:, None] > 0, waves, -waves)
        heights, rises = _measure_heights(waves, sfreq, wave)
        for i, row in enumerate(waves):
            peaks = _find_peaks(heights[i], float(rises[i]), sfreq, wave)
            found[i] = *_describe_row(row, peaks, upright[i], sfreq, wave), background[i]
    return pd.DataFrame(found, index=pd.Index(epochs, name="Epoch"), columns=list(COLUMNS))


def _is_analyzable(excerpts: Excerpts, wave: Wave) -> bool:
    """Check that there are epochs whose sampling rate and duration suffice for the filter."""
    sfreq = excerpts.sfreq
    is_fast = sfreq >= MODALITIES[excerpts.modality].lowest_sfreq
    n_epochs, n_samples = excerpts.rows.shape
    return n_epochs > 0 and n_samples > _PADDING and is_fast and _FASTEST * sfreq > wave.band[0]


def _measure_background(
    rows: NDArray[np.float64], waves: NDArray[np.float64], sfreq: float, wave: Wave
) -> NDArray[np.float64]:
    """Measure what is faster than the wave in each epoch, relative to the height of the wave."""
    above = wave.above
    if above >= _FASTEST * sfreq:
        return np.full(len(rows), np.nan)
    sos = scipy_signal.butter(2, above, "highpass", fs=sfreq, output="sos")
    rest = np.median(np.abs(scipy_signal.sosfiltfilt(sos, rows, axis=1)), axis=1)
    height = np.quantile(np.abs(waves), 0.99, axis=1)
    return np.asarray(rest / np.maximum(height, np.finfo(float).tiny))


def _measure_heights(
    waves: NDArray[np.float64], sfreq: float, wave: Wave
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure in what beats, pulses or breaths have peaks, and how high ordinary ones rise."""
    # Relative to ordinary beats, not to the maximum, which may be an artifact.
    if wave is not BEATS:
        return waves, np.ptp(np.quantile(waves, [0.1, 0.9], axis=1), axis=0)
    # The energy of a QRS complex, whatever its polarity.
    width = max(round(0.1 * sfreq), 1)
    energy = ndimage.uniform_filter1d(waves**2, width, axis=1, mode="constant")
    heights = np.sqrt(np.maximum(energy, 0.0))  # a moving sum may end a little below 0
    return heights, np.quantile(heights, 0.98, axis=1)


def _find_peaks(
    height: NDArray[np.float64], rise: float, sfreq: float, wave: Wave
) -> NDArray[np.int64]:
    """Find the peaks of beats, pulses or breaths in one epoch."""
    shortest = 0.75 * 60 / wave.rates[1]
    return np.asarray(
        scipy_signal.find_peaks(height, distance=max(shortest * sfreq, 1), prominence=0.4 * rise)[0]
    )


def _describe_row(
    row: NDArray[np.float64],
    peaks: NDArray[np.int64],
    upright: float,
    sfreq: float,
    wave: Wave,
) -> tuple[float, ...]:
    """Describe one filtered epoch, in the order of :data:`COLUMNS`, without the background."""
    nothing = (np.nan,) * 5 + (0.0,)
    if peaks.size < 3:
        return nothing
    gaps = np.diff(peaks) / sfreq
    rate = 60 / float(gaps.mean())  # the median would be coarse at low sampling rates
    irregularity = float(np.sqrt(np.mean(np.diff(gaps) ** 2)) / gaps.mean())
    half = max(int(min(np.median(gaps) / 2, wave.half_s) * sfreq), 2)
    # The energy of a QRS complex has a broader peak than the complex, so beats are realigned.
    reach = max(round(0.06 * sfreq), 1) if wave is BEATS else 0
    peaks = peaks[(peaks >= half + reach) & (peaks < row.size - half - reach)]
    if peaks.size < 3:
        return nothing
    window = np.arange(-half, half + 1)
    if reach:
        shifts = np.arange(-reach, reach + 1)
        likeness_at = np.correlate(row, row[peaks[:, None] + window].mean(0))
        peaks = peaks + shifts[likeness_at[peaks[:, None] + shifts - half].argmax(1)]
    beats = row[peaks[:, None] + window]
    beats = beats - beats.mean(1, keepdims=True)
    mean = beats.mean(0)
    lengths = np.linalg.norm(beats, axis=1) * np.linalg.norm(mean)
    likeness = float(np.mean(beats @ mean / np.maximum(lengths, np.finfo(float).tiny)))
    noise = float(np.sqrt(np.mean((beats - mean) ** 2) / max(np.mean(mean**2), 1e-300)))
    if wave is BEATS:
        upright = float(mean[np.abs(mean).argmax()] > 0)
    lowest, highest = wave.rates
    plausible = (
        lowest <= rate <= highest and likeness >= wave.likeness and irregularity < wave.irregularity
    )
    return rate, irregularity, likeness, noise, upright, float(plausible)


def choose_epochs(signal: Signal, count: int | None = None) -> NDArray[np.int64]:
    """Choose measured epochs of a channel: all, or at most ``count`` that are evenly spaced."""
    measured = np.flatnonzero(signal.epochs == Reason.MEASURED)
    if count is None or measured.size <= count:
        return measured
    return measured[np.linspace(0, measured.size - 1, count).astype(np.int64)]
