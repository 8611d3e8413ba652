"""Find mains hum in a channel, also where the sampling rate has aliased it, and remove it.

The network reads a channel on a grid without an anti-aliasing filter. There, hum is in the band of
the wave: 50 Hz become 15.9 Hz in an ECG, and 60 Hz become 0.27 Hz, a plausible breath, in a belt.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import signal as scipy_signal

from ..modalities import EPOCH_S
from .beats import BEATS, BREATHS, find_wave

_MAINS = (50.0, 60.0)
"""Frequencies of the mains in Hz."""

_HARMONICS = 5
"""Harmonics of the mains that are searched, including the first; rectifiers and lamps add even
ones, saturated transformers odd ones."""

_LOWEST_HZ = 3.5
"""Frequency in Hz below which hum that the sampling rate has aliased is not told from a wave: 180
beats per minute are 3 Hz."""

_REACH_HZ = 0.5
"""Deviation in Hz within which a line is searched; EN 50160 allows the mains 1 %."""

_SHARE = (0.05, 0.35)
"""Share of the variance of an epoch from which on a line counts as hum: above the band of the wave,
and within it, where harmonics of a steady pulse have up to 0.23 (an ECG in intensive care). What
less of it changes is measured in `benchmarks/interference.py`."""

_OFTEN = 0.05
"""Share of the inspected epochs that must have hum."""

_WIDTH_HZ = 1.0
"""Bandwidth in Hz of the notch filter."""

_PASSES = 3
"""Searches for lines; later ones find what the strongest has hidden, or what is left of it."""

_N_INSPECTED = 120
"""Number of epochs that are inspected, evenly spaced."""


def _list_lines(sfreq: float) -> list[float]:
    """List the frequencies at which a recording shows hum, below half of its sampling rate."""
    hum = np.outer(_MAINS, np.arange(1, _HARMONICS + 1)).ravel()
    lines = np.unique(np.round(np.abs(hum - sfreq * np.round(hum / sfreq)), 3))
    return [float(line) for line in lines if line >= _LOWEST_HZ]


def find_hum(data: NDArray[np.floating], sfreq: float, modality: str) -> dict[float, float]:
    """Find the hum of the mains in a channel.

    Parameters
    ----------
    data : array, shape (n_samples,)
        The channel in any unit. It must be finite.
    sfreq : float
        Sampling rate in Hz.
    modality : str
        Its modality.

    Returns
    -------
    hum : dict of float to float
        Frequency in Hz, as the sampling rate has aliased it -> the share of the inspected 30-s
        epochs in which a narrow line at this frequency has at least 5 % of the variance, or 35 %
        if the wave has such frequencies itself. Empty if there is no such line in at least 5 % of
        the epochs, or the modality has no known wave.

    Examples
    --------
    >>> t = np.arange(128 * 300) / 128
    >>> breath = np.sin(2 * np.pi * 0.25 * t)
    >>> find_hum(breath, 128.0, "THX")
    {}
    >>> find_hum(breath + 0.5 * np.sin(2 * np.pi * 60 * t), 128.0, "THX")
    {60.0: 1.0}
    """
    size = int(EPOCH_S * sfreq)
    n_epochs = data.size // max(size, 1)
    lines = _list_lines(sfreq)
    wave = find_wave(modality)
    if not n_epochs or not lines or wave is None:
        return {}
    chosen = np.unique(np.linspace(0, n_epochs - 1, _N_INSPECTED).astype(np.int64))
    f = np.fft.rfftfreq(size, 1 / sfreq)
    # Wide enough for another harmonic of a steady heart, which moves belts as well.
    width = BEATS.rates[1] / 60 + _REACH_HZ
    breath = wave.band[1] if wave is BREATHS else 0.0
    near = [np.flatnonzero((np.abs(f - line) <= width) & (f > breath)) for line in lines]
    shares = [_SHARE[line < wave.above] for line in lines]
    found: list[list[float]] = [[] for _ in lines]
    window = np.hanning(size)
    for epoch in chosen.tolist():
        row = data[epoch * size : (epoch + 1) * size].astype(np.float64)
        row = row - row.mean()
        row /= max(float(np.abs(row).max()), np.finfo(float).tiny)  # squares would overflow
        spectrum = np.fft.rfft(row * window)
        power = spectrum.real**2 + spectrum.imag**2
        total = power.sum()
        if not total:
            continue
        for line, share, bins, peaks in zip(lines, shares, near, found, strict=True):
            peak = bins[power[bins].argmax()]
            height = power[max(peak - 2, 0) : peak + 3].sum()
            is_line = abs(f[peak] - line) <= _REACH_HZ and height > power[bins].sum() / 2
            if is_line and height >= share * total:
                peaks.append(float(f[peak]))
    return {
        float(np.round(np.median(peaks), 1)): len(peaks) / chosen.size
        for peaks in found
        if len(peaks) >= max(_OFTEN * chosen.size, 1)
    }


def remove_hum(
    data: NDArray[np.floating], sfreq: float, modality: str
) -> tuple[NDArray[np.floating], dict[float, float]]:
    """Remove the hum of the mains from a channel.

    Parameters
    ----------
    data, sfreq, modality
        As in :func:`find_hum`.

    Returns
    -------
    data : array, shape (n_samples,)
        The channel without it; the same array if there is no hum.
    hum : dict of float to float
        What was removed, from :func:`find_hum`.
    """
    removed: dict[float, float] = {}
    for _ in range(_PASSES):
        hum = find_hum(data, sfreq, modality)
        for frequency in hum:
            # A notch must be below half of the sampling rate.
            notch = min(frequency, 0.499 * sfreq)
            b, a = scipy_signal.iirnotch(notch, notch / _WIDTH_HZ, fs=sfreq)
            data = scipy_signal.filtfilt(b, a, data.astype(np.float64))
        removed = hum | removed
        if not hum:
            break
    return data, dict(sorted(removed.items()))
