"""The mapped channels of a recording, each at its own rate, and what of them was measured."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import mne
import numpy as np
import pandas as pd
from mne.utils import _pl, logger
from numpy.typing import NDArray

from ..cautions import warn
from ..formats import edf
from ..modalities import EPOCH_S, MODALITIES
from ..signals.validity import (
    BAD,
    LEFT_OUT,
    MEASURED,
    NOT_RECORDED,
    REASONS,
    Signal,
    Validity,
    find_invalid,
    judge_epochs,
)
from .channels import electrodes
from .opening import Recording, check_unchanged, count_epochs, first_sentence, read_header

_EXTREME = 50
"""Standard deviations from the mean. No source says what is extreme; a QRS complex reaches about
10, and no more than 1 in 2500 samples can be so far out."""

_MUCH = 0.01
"""Share of a recording from which lost samples are worth a warning though no epoch is masked."""

_VOLTS = ("V", "mV", "µV")
"""Units of a file that all of MNE's readers scale to volts."""
_TYPES_IN_VOLTS = dict.fromkeys(("ECG", "EOG-L", "EOG-R"), ("ecg", "eog", "eeg", "emg", "bio"))
"""Types that say volts of a channel of a modality, where the file says nothing."""


@dataclass(frozen=True)
class Source:
    """Channels that were recorded at one rate.

    Attributes
    ----------
    raw : mne.io.BaseRaw
        What gives their samples, at that rate.
    sfreq : float
        The rate in Hz.
    channels : mapping of str to str or (str, str)
        Modality -> its channel, or two whose difference is used.
    """

    raw: mne.io.BaseRaw
    sfreq: float
    channels: Mapping[str, str | tuple[str, str]]


def open_sources(recording: Recording, channels: pd.DataFrame) -> list[Source]:
    """Open the mapped channels, once per rate.

    Parameters
    ----------
    recording : Recording
        The opened recording.
    channels : pandas.DataFrame
        The mapping, with its rates filled in by :func:`~mne_wav2sleep.recordings.opening.find_rates`.

    Returns
    -------
    sources : list of Source
        One for each rate.
    """
    check_unchanged(recording)
    sources = []
    for sfreq, group in channels.groupby("sfreq", sort=True):
        raw = recording.raw
        if recording.path is not None and recording.path.suffix.lower() in edf.SUFFIXES:
            picks = {name for channel in group["channel"] for name in electrodes(channel)}
            raw = read_header(recording.path, include=sorted(picks))
        mapping = {str(modality): channel for modality, channel in group["channel"].items()}
        sources.append(Source(raw, float(sfreq), mapping))
        for modality, channel in mapping.items():
            if sfreq < MODALITIES[modality].lowest_sfreq:
                warn(
                    f"{modality}: the channel {channel!r} was recorded at {sfreq:g} Hz, too slowly "
                    f"to show the {MODALITIES[modality].description}, which needs "
                    f"{MODALITIES[modality].lowest_sfreq:g} Hz. If it is something else, a rate "
                    "for one, name another channel, or None."
                )
    return sources


def is_in_volts(raw: mne.io.BaseRaw, modality: str, channel: str | tuple[str, str]) -> bool:
    """Say whether the samples that MNE gives of a channel are known to be volts.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    modality : str
        What the channel feeds.
    channel : str or (str, str)
        The channel, or two whose difference is used.

    Returns
    -------
    known : bool
        Whether the file says so; or, of what it says nothing of, whether a channel of a heart or
        of eyes has the type of one. The types of others say nothing: MNE's readers type whatever
        is in an EDF file as EEG.
    """
    said: list[bool] = []
    for name in electrodes(channel):
        if name in raw._orig_units:  # MNE has no public way to ask
            said.append(raw._orig_units[name] in _VOLTS)
        else:
            types = raw.get_channel_types([raw.ch_names.index(name)])
            said.append(types[0] in _TYPES_IN_VOLTS.get(modality, ()))
    return all(said)


def _get_data(raw: mne.io.BaseRaw, numbers: list[int], begin: int, end: int) -> NDArray[np.float64]:
    """Read samples, which may fail long after the header was read."""
    try:
        rows = raw.get_data(numbers, start=begin, stop=end, verbose="error")
    except Exception as error:
        files = ", ".join(str(name) for name in raw.filenames if name is not None)
        raise ValueError(
            f"The samples of {files or 'the recording'} cannot be read ({first_sentence(error)}). "
            "Check that the file is complete and still there."
        ) from error
    if not np.isrealobj(rows):
        raise ValueError(
            "The recording holds complex numbers, which no sensor measures. Give the signals "
            "themselves, not a transform of them."
        )
    return np.asarray(rows, dtype=np.float64)


def _read_span(
    source: Source, gaps: Sequence[tuple[float, float]], start: float, stop: float | None
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int8]]:
    """Read samples by the clock: channel -> samples, and what is to be said of each of them."""
    raw, sfreq = source.raw, source.sfreq
    names = {name for channel in source.channels.values() for name in electrodes(channel)}
    # By number: MNE refuses a name that is also a channel type, and "ecg" is a common label.
    numbers = sorted(raw.ch_names.index(name) for name in names)
    begin = round(start * sfreq)
    # Each piece is placed by the clock, not by the rounded lengths of the gaps before it.
    moves = [round(m * sfreq) for m in np.cumsum([0.0, *(length for _, length in gaps)])]
    ends = [*(min(round(at * sfreq), raw.n_times) for at, _ in gaps), raw.n_times]
    end = raw.n_times + moves[-1]
    if stop is not None:
        # One more, for the grid's last sample lies at the very end.
        end = min(end, round(stop * sfreq) + 1)
    if gaps:
        rows = np.full((len(numbers), end - begin), np.nan)
        reasons = np.full(end - begin, NOT_RECORDED, dtype=np.int8)
        for first, last, moved in zip([0, *ends], ends, moves, strict=False):
            i, j = max(first + moved, begin), min(last + moved, end)
            if i < j:
                rows[:, i - begin : j - begin] = _get_data(raw, numbers, i - moved, j - moved)
                reasons[i - begin : j - begin] = MEASURED
    else:
        rows = _get_data(raw, numbers, begin, end)
        reasons = np.full(end - begin, MEASURED, dtype=np.int8)
    return {raw.ch_names[n]: row for n, row in zip(numbers, rows, strict=True)}, reasons


def _mark_bad(
    reasons: NDArray[np.int8],
    sfreq: float,
    start: float,
    recording: Recording,
    names: Sequence[str],
) -> None:
    """Mark samples in annotations that begin with BAD, as MNE does, and concern the channels."""
    for annotation in recording.annotations:
        # Where no annotation names channels, MNE leaves the key out.
        concerned = annotation.get("ch_names") or names
        if annotation["description"].upper().startswith("BAD") and set(concerned) & set(names):
            first = (annotation["onset"] - recording.raw.first_time - start) * sfreq
            last = first + annotation["duration"] * sfreq
            # Of an annotation of no length, as "BAD boundary", there is no sample.
            span = reasons[max(round(first), 0) : max(round(last), 0)]
            span[span == MEASURED] = BAD


@dataclass(frozen=True)
class Judged:
    """A modality as it was recorded, before what was lost of it is filled in.

    Attributes
    ----------
    data : array, shape (n_samples,)
        Samples in MNE's units; NaN in gaps of the file.
    sfreq : float
        Their rate in Hz.
    reasons : array of int8, shape (n_samples,)
        What is to be said of each, as a position in ``REASONS``.
    n_epochs : int
        30-s epochs that were read, which may be more than there are samples for.
    name : str
        What warnings call it.
    """

    data: NDArray[np.float64]
    sfreq: float
    reasons: NDArray[np.int8]
    n_epochs: int
    name: str


def judge_signals(
    recording: Recording,
    sources: Sequence[Source],
    validity: Validity,
    *,
    start: float = 0.0,
    stop: float | None = None,
) -> Iterator[tuple[str, Judged]]:
    """Read the mapped channels, or some hours of them, and say what was measured.

    Parameters
    ----------
    recording, sources, validity, start, stop
        As in :func:`read_signals`.

    Yields
    ------
    modality : str
        One of those that are mapped.
    judged : Judged
        Its samples as they were recorded, and what is to be said of each.
    """
    rate = recording.raw.info["sfreq"]
    end = recording.n_samples if stop is None else stop * rate
    n_epochs = count_epochs(end - start * rate, rate)
    part = stop is not None or start > EPOCH_S
    when = f", hours {start / 3600:.1f} to {end / rate / 3600:.1f}" if part else ""
    for source in sources:
        data, recorded = _read_span(source, recording.gaps, start, stop)
        for modality, channel in source.channels.items():
            first, *second = electrodes(channel)
            wave = data[first] - data[second[0]] if second else data[first]
            known = recorded.copy()
            _mark_bad(known, source.sfreq, start, recording, (first, *second))
            reasons = find_invalid(wave, source.sfreq, modality, validity, known)
            name = f"{modality} (channel {channel!r}{when})"
            yield modality, Judged(wave, source.sfreq, reasons, n_epochs, name)


def read_signals(
    recording: Recording,
    sources: Sequence[Source],
    validity: Validity,
    *,
    start: float = 0.0,
    stop: float | None = None,
) -> dict[str, Signal]:
    """Read the mapped channels, or some hours of them.

    Parameters
    ----------
    recording : Recording
        The opened recording.
    sources : sequence of Source
        Its channels, from :func:`open_sources`.
    validity : Validity
        What counts as measured.
    start, stop : float, float or None
        From when to when, in s from the recording's first sample; None for its end. Epochs begin
        at ``start``.

    Returns
    -------
    signals : dict of str to Signal
        Modality -> the signal in MNE's units (volts for EEG-typed channels, else as recorded).
        Extreme samples are kept, with a warning. A modality that is constant, or measured in too
        few epochs, is there with no epoch that counts as measured, and a warning.
    """
    found = judge_signals(recording, sources, validity, start=start, stop=stop)
    return {modality: fill(judged, validity) for modality, judged in found}


def _count_extreme(signal: NDArray[np.float64]) -> int:
    """Count extreme samples, if they hold more than half of the variance, else 0."""
    power = signal - signal.mean()
    power /= max(power.max(), -power.min())  # the square of 1e200 is no float
    power *= power
    extreme = power > _EXTREME**2 * power.mean()
    return int(extreme.sum()) if power[extreme].sum() > power.sum() / 2 else 0


def fill(judged: Judged, validity: Validity) -> Signal:
    """Judge the epochs of a modality, and fill in what was not measured.

    Parameters
    ----------
    judged : Judged
        From :func:`judge_signals`.
    validity : Validity
        What counts as measured.

    Returns
    -------
    signal : Signal
        As in :func:`read_signals`, which says what is warned of.
    """
    wave, sfreq, reasons = judged.data, judged.sfreq, judged.reasons
    n_epochs, name = judged.n_epochs, judged.name
    epochs = judge_epochs(reasons, sfreq, n_epochs, validity.epoch_share)
    n_measured = int((epochs == MEASURED).sum())
    too_little = n_measured < max(validity.night_share * n_epochs, 1)
    seconds = np.bincount(reasons, minlength=len(REASONS)) / sfreq
    missing = n_epochs * EPOCH_S - reasons.size / sfreq
    # The slack of count_epochs.
    seconds[NOT_RECORDED] += missing if missing > 0.5 / sfreq + 1e-7 * n_epochs * EPOCH_S else 0
    seconds[MEASURED] = 0
    if seconds.any():
        why = ", ".join(f"{seconds[i] / 60:.3g} min {REASONS[i]}" for i in seconds.nonzero()[0])
        text = f"{name} was not measured for {seconds.sum() / 60:.3g} min ({why}): " + (
            "it is left out."
            if too_little
            else f"{n_epochs - n_measured} of {n_epochs} epochs are masked."
        )
        if n_measured < n_epochs or seconds.sum() > _MUCH * n_epochs * EPOCH_S:
            warn(text)
        else:
            logger.info(text)
    measured = reasons == MEASURED
    if too_little:
        epochs[epochs == MEASURED] = LEFT_OUT
    elif not measured.all():
        wave = np.where(measured, wave, wave[measured].mean())
    if not too_little and (count := _count_extreme(wave)):
        warn(
            f"{name} has {count} extreme sample{_pl(count)} with more than half of all variance, "
            "beside which the network sees the rest as nearly flat. Clip such samples in a Raw, "
            "or set them to NaN, and stage that."
        )
    return Signal(wave, sfreq, epochs)
