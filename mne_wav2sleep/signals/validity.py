"""Find out which samples and epochs of a channel were measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated

import numpy as np
import pydantic
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, field_validator
from scipy import ndimage

from ..modalities import EPOCH_S, MODALITIES, is_built_in
from .grid import is_constant


class Reason(IntEnum):
    """Whether a sample or an epoch was measured, and if not, why."""

    MEASURED = 0
    NOT_RECORDED = 1
    NOT_FINITE = 2
    BAD = 3
    FLAT = 4
    SATURATED = 5
    LEFT_OUT = 6

    @property
    def label(self) -> str:
        """The reason in words, for tables and figures."""
        return self.name.lower().replace("_", " ")


_BLOCK_S = 0.25
"""Duration in seconds of the blocks in which flat lines are found; their ends are found to the
sample."""
# Those with waves first, in the order that hashes of prepared nights have been made with.
_BUILT_IN = sorted(
    (one for one in MODALITIES.values() if is_built_in(one.name)),
    key=lambda one: (one.wave is None, one.flat_s, one.name),
)
_FLAT_S = {one.name: one.flat_s for one in _BUILT_IN}
_RAIL_S = {one.name: one.rail_s for one in _BUILT_IN if one.rail_s is not None}

_Share = Annotated[float, Field(ge=0, le=1)]
_Seconds = Annotated[float, Field(gt=0)] | None


@pydantic.dataclasses.dataclass(
    frozen=True, config=ConfigDict(strict=True, extra="forbid", validate_default=True)
)
class Validity:
    """Criteria for signals to count as measured.

    Parameters
    ----------
    flat_s : mapping of str to float or None
        Modality -> seconds for which its signal may stay at one value; None for no limit. The
        default for ECG and PPG is 5 s, because longer pauses of the heart would wake a sleeper or
        cause syncope (pauses of more than 3 s require cardiological evaluation: 2018 ACC/AHA
        guideline on bradycardia, section 5). The default for belts is 60 s, much longer than the
        10 s that define an apnea (AASM manual). The default for EOG is also 60 s, without a
        source. Modalities that are not listed keep their defaults; those of added ones are in their
        definitions, and do not apply if all limits are None.
    rail_s : mapping of str to float or None
        Modality -> seconds for which its signal may stay at its highest or lowest value, as it does
        when an amplifier is saturated; None for no limit. The default for ECG and PPG is 2 s, which
        is longer than a clipped QRS complex and than the time between two beats. Belts and EOG have
        no limit, because belts stay at their lowest value during apneas.
    level : float
        Range within which a signal counts as staying at one value, as a share of the median range
        within a quarter of a second.
    epoch_share : float
        Share of an epoch that must be measured for the epoch to count as measured.
    night_share : float
        Share of the epochs that must be measured for a modality to be used.

    Raises
    ------
    pydantic.ValidationError
        If a limit is out of range (a subclass of ValueError).

    Examples
    --------
    >>> Validity(flat_s={"ECG": 3}).flat_s["PPG"]
    5.0
    """

    flat_s: Mapping[str, _Seconds] = field(default_factory=dict)
    rail_s: Mapping[str, _Seconds] = field(default_factory=dict)
    level: _Share = 1e-2
    epoch_share: _Share = 0.5
    night_share: _Share = 0.05

    @field_validator("flat_s", "rail_s")
    @classmethod
    def _fill_in(
        cls, limits: Mapping[str, float | None], info: pydantic.ValidationInfo
    ) -> dict[str, float | None]:
        """Add the defaults for modalities that are not listed."""
        if unknown := sorted(set(limits) - set(MODALITIES)):
            raise ValueError(f"{', '.join(unknown)} should be among {', '.join(MODALITIES)}")
        defaults = _FLAT_S if info.field_name == "flat_s" else _RAIL_S
        return {**defaults, **{m: None if s == np.inf else s for m, s in limits.items()}}

    @classmethod
    def off(cls) -> "Validity":
        """Make criteria that ignore flat and saturated signals.

        Returns
        -------
        validity : Validity
            Criteria without limits. Samples that are not finite, annotated ``BAD`` or not recorded
            still do not count as measured.
        """
        return cls(flat_s=dict.fromkeys(_FLAT_S), rail_s=dict.fromkeys(_RAIL_S))


@dataclass(frozen=True)
class Signal:
    """The signal of a modality, as recorded.

    Attributes
    ----------
    data : array, shape (n_samples,)
        Samples in the unit of the channel. Those that were not measured are replaced by the mean
        of the others, unless no epoch counts as measured.
    sfreq : float
        Sampling rate in Hz.
    epochs : array of int8, shape (n_epochs,)
        Whether each 30-s epoch was measured, or why not, as a value of :class:`Reason`.
    hum : tuple of float
        Frequencies in Hz at which hum of the mains was removed.
    """

    data: NDArray[np.floating]
    sfreq: float
    epochs: NDArray[np.int8]
    hum: tuple[float, ...] = ()


def mark_span(reasons: NDArray[np.int8], first: float, last: float, code: Reason) -> None:
    """Mark the measured samples of a span as not measured.

    Parameters
    ----------
    reasons : array of int8, shape (n_samples,)
        Whether each sample was measured, or why not; changed in place.
    first, last : float
        The span in samples, which may begin before or end after the array. A span of less than
        half a sample may contain none.
    code : Reason
        Why the samples do not count as measured.

    Examples
    --------
    >>> reasons = np.zeros(5, dtype=np.int8)
    >>> mark_span(reasons, 2.8, 1e300, Reason.BAD)
    >>> reasons
    array([0, 0, 0, 3, 3], dtype=int8)
    """
    # A float of any size is clipped before it becomes an index.
    begin, end = (round(min(max(edge, 0.0), reasons.size)) for edge in (first, last))
    span = reasons[begin:end]
    span[span == Reason.MEASURED] = code


def _grow(
    data: NDArray[np.floating], found: NDArray[np.bool_], size: int, level: float
) -> NDArray[np.bool_]:
    """Extend runs by adjacent samples of the same value, up to one block, and by one sample."""
    edges = np.flatnonzero(np.diff(found, prepend=False, append=False))
    grown = found.copy()
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        before = np.abs(data[max(first - size, 0) : first] - data[first]) <= level
        after = np.abs(data[end : end + size] - data[end - 1]) <= level
        n_before = int(np.argmin(np.append(before[::-1], False)))
        n_after = int(np.argmin(np.append(after, False)))
        # The sample between two runs may be a mixture of what was measured and what was not.
        grown[max(first - n_before - 1, 0) : end + n_after + 1] = True
    return grown


def find_invalid(
    data: NDArray[np.floating],
    sfreq: float,
    modality: str,
    validity: Validity,
    known: NDArray[np.int8] | None = None,
) -> NDArray[np.int8]:
    """Find the samples of a channel that were not measured.

    Parameters
    ----------
    data : array, shape (n_samples,)
        The channel in any unit; NaN and infinite samples are allowed.
    sfreq : float
        Sampling rate in Hz.
    modality : str
        The modality of the channel.
    validity : Validity
        Criteria for samples to count as measured.
    known : array of int8, shape (n_samples,), optional
        Reasons that are already known, with values of :class:`Reason`. They are kept, and the
        values of such samples are ignored.

    Returns
    -------
    reasons : array of int8, shape (n_samples,)
        Whether each sample was measured, or why not, as a value of :class:`Reason`.

    Examples
    --------
    >>> data = np.r_[np.sin(np.arange(200.0)), np.zeros(100)]
    >>> reasons = find_invalid(data, 10.0, "ECG", Validity())
    >>> [Reason(code).label for code in np.unique(reasons)]
    ['measured', 'flat']
    """
    # Zeros stand for MEASURED, and take no memory before they are changed.
    reasons = np.zeros(data.size, np.int8)
    if known is not None and known.any():
        reasons[:] = known
    # The sum of a channel is finite if its samples are, unless these are huge.
    if not np.isfinite(data.sum()):
        finite = np.isfinite(data)
        reasons[~finite & (reasons == Reason.MEASURED)] = Reason.NOT_FINITE
    is_whole = not reasons.any()
    measured = np.broadcast_to(np.True_, data.size) if is_whole else reasons == Reason.MEASURED
    if not data.size or (not is_whole and (not measured.any() or is_constant(data[measured]))):
        reasons[measured] = Reason.FLAT
        return reasons
    size = max(round(_BLOCK_S * sfreq), 1)
    starts = np.arange(0, data.size, size)
    # One NaN makes the whole block NaN, which does not count as flat.
    clean = data if is_whole else np.where(measured, data, np.nan)
    low, high = np.minimum.reduceat(clean, starts), np.maximum.reduceat(clean, starts)
    if is_whole and is_constant(np.append(low, high)):
        return np.full_like(reasons, Reason.FLAT)
    if np.isnan(low).all():  # too little was measured at a time to judge it
        return reasons
    level = _find_level(low, high, validity)
    for code, longest in ((Reason.FLAT, validity.flat_s), (Reason.SATURATED, validity.rail_s)):
        seconds = _find_limit(longest, modality, code)
        length = 0 if seconds is None else max(round(seconds * sfreq / size), 1)
        if not 0 < length <= starts.size:
            continue
        find = _find_flat if code == Reason.FLAT else _find_saturated
        blocks = find(low, high, length, level)
        if not blocks.any():
            continue
        found = np.repeat(blocks, size)[: data.size]
        reasons[_grow(clean, found, size, level) & (reasons == Reason.MEASURED)] = code
    return reasons


def _find_limit(limits: Mapping[str, float | None], modality: str, code: Reason) -> float | None:
    """Find the limit of a modality; the criteria may be from before it was added."""
    if modality in limits or is_built_in(modality) or all(one is None for one in limits.values()):
        return limits.get(modality)
    one = MODALITIES[modality]
    return one.flat_s if code == Reason.FLAT else one.rail_s


def _find_level(low: NDArray, high: NDArray, validity: Validity) -> float:
    """Find the range that counts as one value, from the lowest and highest value of each block."""
    # The floor excludes what filters and rounding leave of the signal of a disconnected sensor.
    # Percentiles exclude a few glitches, which may be huge.
    small, large = np.nanpercentile(low, 1), np.nanpercentile(high, 99)
    floor = max(1e-9 * (large - small), 1e-12 * max(abs(large), abs(small)))
    ranges = high - low
    moving = ranges[ranges > floor]
    return float(max(validity.level * float(np.median(moving)) if moving.size else 0.0, floor))


def _find_flat(low: NDArray, high: NDArray, length: int, level: float) -> NDArray[np.bool_]:
    """Find the blocks in runs of at least ``length`` that stay at one value."""
    # Windows that extend beyond an end, or contain samples that are not finite, are never flat.
    top, bottom = np.where(np.isnan(high - low), [[np.inf], [-np.inf]], [high, low])
    highest = ndimage.maximum_filter1d(top, length, mode="constant", cval=np.inf)
    lowest = ndimage.minimum_filter1d(bottom, length, mode="constant", cval=-np.inf)
    return np.asarray(ndimage.grey_dilation(highest - lowest <= level, length, mode="constant"))


def _find_saturated(low: NDArray, high: NDArray, length: int, level: float) -> NDArray[np.bool_]:
    """Find the blocks in runs of at least ``length`` that stay at the highest or lowest value."""
    at_rail = (low >= np.nanmax(high) - level) | (high <= np.nanmin(low) + level)
    return np.asarray(
        ndimage.grey_opening(at_rail & (high - low <= level), length, mode="constant")
    )


def judge_epochs(
    reasons: NDArray[np.int8], sfreq: float, n_epochs: int, share: float
) -> NDArray[np.int8]:
    """Decide whether each epoch was measured, and if not, why.

    Parameters
    ----------
    reasons : array of int8, shape (n_samples,)
        From :func:`find_invalid`.
    sfreq : float
        Sampling rate in Hz.
    n_epochs : int
        Number of 30-s epochs of the recording, which may be longer than the channel.
    share : float
        Share of an epoch that must be measured.

    Returns
    -------
    epochs : array of int8, shape (n_epochs,)
        Whether each epoch was measured, or else the most common reason why not, as a value of
        :class:`Reason`.

    Examples
    --------
    >>> [Reason(i).label for i in judge_epochs(np.zeros(45, dtype=np.int8), 1.0, 3, 0.5)]
    ['measured', 'measured', 'not recorded']
    """
    if reasons.size >= n_epochs * EPOCH_S * sfreq - 0.5 and not reasons.any():
        return np.full(n_epochs, Reason.MEASURED, dtype=np.int8)
    edges = np.minimum(np.round(np.arange(n_epochs + 1) * EPOCH_S * sfreq), reasons.size)
    edges = edges.astype(np.int64)
    begun = edges[:-1][edges[:-1] < edges[-1]]
    per_epoch = EPOCH_S * sfreq
    counts = np.zeros((len(Reason), n_epochs))
    for code in range(len(Reason)) if begun.size else ():
        same = reasons[: edges[-1]] == code
        if same.any():  # most reasons do not occur
            counts[code, : begun.size] = np.add.reduceat(same, begun, dtype=np.int64)
    counts[:, np.diff(edges) == 0] = 0  # reduceat returns the next sample for empty epochs
    counts[Reason.NOT_RECORDED] += np.maximum(per_epoch - counts.sum(0), 0)
    epochs = counts[1:].argmax(0) + 1
    # Half a sample less, because at some rates an epoch is not a whole number of samples.
    enough = counts[Reason.MEASURED] >= share * per_epoch - 0.5
    epochs[enough & (counts[Reason.MEASURED] > 0)] = Reason.MEASURED
    return epochs.astype(np.int8)
