"""A recorded ECG with ectopic beats, pieces of which replace the simulated one."""

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from npz import read_arrays
from numpy.typing import NDArray
from scipy import signal

_LARGEST = 2**26
"""Largest size in bytes of the file, also when it is not compressed."""
_SHORTEST_S = 60
"""Shortest recording in seconds."""
_RATES = (50.0, 10_000.0)
"""Lowest and highest sampling rate in Hz."""
_EXTREMES = (0.005, 0.995)
"""Quantiles between which is the amplitude of an ECG, so that an artifact does not count."""


@dataclass(frozen=True)
class EctopicECG:
    """A recorded ECG.

    Attributes
    ----------
    data : array, shape (n_samples,)
        The ECG in mV.
    sfreq : float
        Its sampling rate in Hz.
    sha256 : str
        Hash of both, since results depend on them.
    """

    data: NDArray[np.float64]
    sfreq: float
    sha256: str


def read_ectopic_ecg(path: Path) -> EctopicECG:
    """Read a recorded ECG.

    Parameters
    ----------
    path : Path
        An npz with ``ecg_mv``, the ECG in mV, and ``sfreq``, its sampling rate in Hz.

    Returns
    -------
    ecg : EctopicECG
        The ECG.

    Raises
    ------
    ValueError
        If it is not such a file, or too large or too short.
    """
    advice = (
        f"Give an npz with ecg_mv, an ECG in mV of {_SHORTEST_S} s or more, and sfreq, its "
        f"sampling rate in Hz ({_RATES[0]:g} to {_RATES[1]:g})."
    )
    try:
        data, sfreq = read_arrays(path, ["ecg_mv", "sfreq"], _LARGEST)
    except ValueError as error:
        raise ValueError(f"{path} is not a recorded ECG: {error}. {advice}") from error
    is_valid = (
        data.ndim == 1 and sfreq.ndim == 0 and {data.dtype.kind, sfreq.dtype.kind} <= {*"iuf"}
    )
    if (
        not is_valid
        or not _RATES[0] <= sfreq <= _RATES[1]
        or data.size < _SHORTEST_S * sfreq
        or not np.isfinite(data).all()
    ):
        raise ValueError(f"{path} has an ECG or a sampling rate that cannot be used. {advice}")
    wave = data.astype(np.float64)
    if not _measure_height(wave):  # by which it would be divided
        raise ValueError(
            f"{path} has an ECG that is constant in nearly all samples, as if no electrode were "
            f"connected. {advice}"
        )
    digest = hashlib.sha256(wave.tobytes() + np.float64(sfreq).tobytes())
    return EctopicECG(wave, float(sfreq), digest.hexdigest())


def _measure_height(wave: NDArray[np.float64]) -> float:
    """Measure the amplitude of an ECG, without that of artifacts."""
    low, high = np.quantile(wave, _EXTREMES)
    return float(high - low)


def splice(
    wave: NDArray[np.float64],
    inside: NDArray[np.bool_],
    ecg: EctopicECG,
    sfreq: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Replace spans of a simulated ECG by pieces of a recorded one.

    Parameters
    ----------
    wave : array, shape (n_samples,)
        The simulated ECG.
    inside : array of bool, shape (n_samples,)
        Where it is replaced.
    ecg : EctopicECG
        The recording, of which each span has a piece from a random place; it is repeated where it
        is too short.
    sfreq : float
        Sampling rate of the simulated ECG in Hz.
    rng : numpy.random.Generator
        Random number generator.

    Returns
    -------
    spliced : array, shape (n_samples,)
        The ECG, with the amplitude of the simulated one throughout.
    """
    ratio = Fraction(sfreq / ecg.sfreq).limit_denominator(1000)
    recorded = signal.resample_poly(ecg.data, ratio.numerator, ratio.denominator)
    scale = _measure_height(wave) / _measure_height(recorded)
    recorded = (recorded - np.median(recorded)) * scale + np.median(wave)
    spliced = np.array(wave, dtype=float)
    edges = np.flatnonzero(np.diff(inside.astype(int), prepend=0, append=0))
    for start, stop in edges.reshape(-1, 2):
        first = int(rng.integers(recorded.size))
        spliced[start:stop] = recorded[np.arange(first, first + stop - start) % recorded.size]
    return spliced
