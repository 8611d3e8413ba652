"""From a recorded channel to the network's grid, and what of it was measured. NumPy only."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..modalities import EPOCH_S, MODALITIES
from .grid import is_constant

REASONS = ("measured", "not recorded", "not finite", "bad", "flat", "saturated", "left out")
"""What can be said of a sample or an epoch; the position of each is its code."""
MEASURED, NOT_RECORDED, NOT_FINITE, BAD, FLAT, SATURATED, LEFT_OUT = range(len(REASONS))

_BLOCK_S = 0.25
"""Flat lines are looked for in blocks of so many seconds, then by samples at their ends."""
_FLAT_S = {"ECG": 5.0, "PPG": 5.0, "ABD": 60.0, "THX": 60.0, "EOG-L": 60.0, "EOG-R": 60.0}
_RAIL_S = {"ECG": 2.0, "PPG": 2.0}


@dataclass(frozen=True)
class Validity:
    """What counts as measured.

    Parameters
    ----------
    flat_s : mapping of str to float or None
        For how many seconds a modality may stay at one value; None for ever. No pause of a heart
        is longer than the 5 s of ECG and PPG in a sleeper who does not wake up or faint from it
        (over 3 s calls for a cardiologist: 2018 ACC/AHA guideline on bradycardia, section 5); the
        60 s of belts are far beyond the 10 s that make an apnoea (AASM manual), and no source says
        what is too long for eyes. Modalities that are not named keep their defaults.
    rail_s : mapping of str to float or None
        The same for the highest and the lowest value of ECG and PPG, where a saturated amplifier
        stays: 2 s are longer than a clipped complex, and than the time between two beats. A belt
        stays at its lowest value in every apnoea.
    level : float
        What counts as one value: this share of the median range within a quarter of a second.
    epoch_share : float
        Share of an epoch that must be measured for the epoch to count as measured.
    night_share : float
        Share of the epochs that must be measured for a modality to be used at all.

    Examples
    --------
    >>> Validity(flat_s={"ECG": 3}).flat_s["PPG"]
    5.0
    """

    flat_s: Mapping[str, float | None] = field(default_factory=dict)
    rail_s: Mapping[str, float | None] = field(default_factory=dict)
    level: float = 1e-2
    epoch_share: float = 0.5
    night_share: float = 0.05

    def __post_init__(self) -> None:
        for name in ("level", "epoch_share", "night_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)!r}.")
            object.__setattr__(self, name, float(getattr(self, name)))
        for name, defaults in (("flat_s", _FLAT_S), ("rail_s", _RAIL_S)):
            given = getattr(self, name)
            if not isinstance(given, Mapping) or not set(given) <= set(MODALITIES):
                raise ValueError(
                    f"{name} must be a mapping of modalities ({', '.join(MODALITIES)}) to seconds, "
                    f"got {given!r}."
                )
            for modality, seconds in given.items():
                if seconds is not None and not seconds > 0:
                    raise ValueError(
                        f"{name} of {modality} must be above 0 s, or None to switch the check "
                        f"off, got {seconds!r}."
                    )
            limits = {m: None if s in (None, np.inf) else float(s) for m, s in given.items()}
            object.__setattr__(self, name, defaults | limits)

    @classmethod
    def off(cls) -> "Validity":
        """Look for no flat and no saturated spans."""
        return cls(flat_s=dict.fromkeys(_FLAT_S), rail_s=dict.fromkeys(_RAIL_S))


@dataclass(frozen=True)
class Signal:
    """A modality of a recording, as it was recorded.

    Attributes
    ----------
    data : array, shape (n_samples,)
        Samples in the channel's unit. Those that were not measured hold the mean of the others,
        unless no epoch counts as measured.
    sfreq : float
        Its sampling rate in Hz.
    epochs : array of int8, shape (n_epochs,)
        What is to be said of each 30-s epoch, as a position in :data:`REASONS`.
    """

    data: NDArray[np.floating]
    sfreq: float
    epochs: NDArray[np.int8]


def _ahead(ufunc: np.ufunc, data: NDArray, length: int) -> NDArray:
    """Reduce each ``length`` values in a row; by doubling, not one by one."""
    done = 1
    while done < length:
        step = min(done, length - done)
        data = ufunc(data[:-step], data[step:])
        done += step
    return data


def _grow(
    data: NDArray[np.floating], found: NDArray[np.bool_], size: int, level: float
) -> NDArray[np.bool_]:
    """Lengthen runs by the samples of the same value beside them, at most a block, and by one."""
    edges = np.flatnonzero(np.diff(found, prepend=False, append=False))
    grown = found.copy()
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        before = np.abs(data[max(first - size, 0) : first] - data[first]) <= level
        after = np.abs(data[end : end + size] - data[end - 1]) <= level
        n_before = int(np.argmin(np.append(before[::-1], False)))
        n_after = int(np.argmin(np.append(after, False)))
        # And by one, which lies between what was measured and what was not.
        grown[max(first - n_before - 1, 0) : end + n_after + 1] = True
    return grown


def find_invalid(
    data: NDArray[np.floating],
    sfreq: float,
    modality: str,
    validity: Validity,
    known: NDArray[np.int8] | None = None,
) -> NDArray[np.int8]:
    """Find the samples of a channel that measure nothing.

    Parameters
    ----------
    data : array, shape (n_samples,)
        The channel in any unit; NaN and infinite samples are allowed.
    sfreq : float
        Its sampling rate in Hz.
    modality : str
        What it is.
    validity : Validity
        For how long it may be flat.
    known : array of int8, shape (n_samples,), optional
        What is known of each sample already, as in ``reasons``; it is kept, and what such samples
        hold has no influence.

    Returns
    -------
    reasons : array of int8, shape (n_samples,)
        What is to be said of each sample, as a position in :data:`REASONS`.

    Examples
    --------
    >>> data = np.r_[np.sin(np.arange(200.0)), np.zeros(100)]
    >>> reasons = find_invalid(data, 10.0, "ECG", Validity())
    >>> [REASONS[code] for code in np.unique(reasons)]
    ['measured', 'flat']
    """
    reasons = np.full(data.size, MEASURED, dtype=np.int8) if known is None else known.copy()
    finite = np.isfinite(data)
    reasons[~finite & (reasons == MEASURED)] = NOT_FINITE
    finite = reasons == MEASURED
    if not finite.any() or is_constant(data[finite]):
        reasons[finite] = FLAT
        return reasons
    size = max(round(_BLOCK_S * sfreq), 1)
    starts = np.arange(0, data.size, size)
    # One NaN in a block makes all of it NaN, which is not flat.
    clean = data if finite.all() else np.where(finite, data, np.nan)
    low, high = np.minimum.reduceat(clean, starts), np.maximum.reduceat(clean, starts)
    # What is left of a dead sensor by a filter, or by rounding, is no signal; a few glitches, which
    # may be huge, do not say what is.
    small, large = np.nanpercentile(low, 1), np.nanpercentile(high, 99)
    floor = max(1e-9 * (large - small), 1e-12 * max(abs(large), abs(small)))
    ranges = high - low
    moving = ranges[ranges > floor]
    level = max(validity.level * float(np.median(moving)) if moving.size else 0.0, floor)
    at_rail = (low >= np.nanmax(high) - level) | (high <= np.nanmin(low) + level)
    for code, longest in ((FLAT, validity.flat_s), (SATURATED, validity.rail_s)):
        seconds = longest.get(modality)
        length = 0 if seconds is None else max(round(seconds * sfreq / size), 1)
        if not 0 < length <= starts.size:
            continue
        if code == FLAT:
            begins = _ahead(np.maximum, high, length) - _ahead(np.minimum, low, length) <= level
        else:
            begins = _ahead(np.minimum, at_rail & (ranges <= level), length)
        changes = np.zeros(starts.size + 1, dtype=np.int64)
        changes[: begins.size] += begins
        changes[length : length + begins.size] -= begins
        found = np.repeat(changes[:-1].cumsum() > 0, size)[: data.size]
        reasons[_grow(clean, found, size, level) & (reasons == MEASURED)] = code
    return reasons


def judge_epochs(
    reasons: NDArray[np.int8], sfreq: float, n_epochs: int, share: float
) -> NDArray[np.int8]:
    """Say of each epoch whether it was measured, and if not, why.

    Parameters
    ----------
    reasons : array of int8, shape (n_samples,)
        From :func:`find_invalid`.
    sfreq : float
        Sampling rate in Hz.
    n_epochs : int
        30-s epochs of the recording, which may be longer than the channel.
    share : float
        Share of an epoch that must be measured.

    Returns
    -------
    epochs : array of int8, shape (n_epochs,)
        Measured, or else the commonest reason against it, as a position in :data:`REASONS`.

    Examples
    --------
    >>> [REASONS[i] for i in judge_epochs(np.zeros(45, dtype=np.int8), 1.0, 3, 0.5)]
    ['measured', 'measured', 'not recorded']
    """
    if reasons.size >= n_epochs * EPOCH_S * sfreq - 0.5 and not reasons.any():
        return np.full(n_epochs, MEASURED, dtype=np.int8)
    edges = np.minimum(np.round(np.arange(n_epochs + 1) * EPOCH_S * sfreq), reasons.size)
    edges = edges.astype(np.int64)
    begun = edges[:-1][edges[:-1] < edges[-1]]
    per_epoch = EPOCH_S * sfreq
    counts = np.zeros((len(REASONS), n_epochs))
    for code in range(len(REASONS)) if begun.size else ():
        same = reasons[: edges[-1]] == code
        counts[code, : begun.size] = np.add.reduceat(same, begun, dtype=np.int64)
    counts[:, np.diff(edges) == 0] = 0  # for which reduceat gives the next sample
    counts[NOT_RECORDED] += np.maximum(per_epoch - counts.sum(0), 0)
    epochs = counts[1:].argmax(0) + 1
    # Half a sample less, as epochs are no whole number of samples at odd rates.
    enough = counts[MEASURED] >= share * per_epoch - 0.5
    epochs[enough & (counts[MEASURED] > 0)] = MEASURED
    return epochs.astype(np.int8)
