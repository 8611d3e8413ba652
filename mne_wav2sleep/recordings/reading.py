"""Read the mapped channels of a recording, and find the spans that were not measured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import mne
import numpy as np
from numpy.typing import NDArray

from ..cautions import warn
from ..clock import count_epochs
from ..modalities import EPOCH_S, MODALITIES
from ..signals.hum import remove_hum
from ..signals.validity import Reason, Signal, Validity, find_invalid, judge_epochs, mark_span
from ..verbosity import logger, pluralize
from .channels import Channel
from .opening import Recording
from .readers import BadSpan, RawReader

_EXTREME = 50
"""Standard deviations from the mean beyond which a sample is extreme. There is no source for this
limit; a QRS complex reaches about 10, and at most 1 in 2500 samples can be beyond 50."""
_LARGE = 1e15
"""Value whose square is far from the limit of float32."""

_MUCH = 0.01
"""Share of a recording above which lost samples cause a warning even if no epoch is masked."""

_VOLTS = ("V", "mV", "µV")
"""Units in a file that all of MNE's readers scale to volts."""
_TYPES_IN_VOLTS = ("ecg", "eog", "eeg", "emg", "bio")
"""MNE types that imply volts, for modalities of electrodes, if the file gives no unit."""


@dataclass(frozen=True)
class RecordedSignal:
    """A modality as recorded, before samples that were not measured are filled in.

    Attributes
    ----------
    data : array, shape (n_samples,)
        Samples in MNE's units; NaN in gaps of the file.
    sfreq : float
        Sampling rate in Hz.
    reasons : array of int8, shape (n_samples,)
        Whether each sample was measured, or why not, as a value of
        :class:`~mne_wav2sleep.signals.Reason`.
    n_epochs : int
        Number of 30-s epochs that were read, which may extend beyond the last sample.
    modality : str
        The modality.
    name : str
        Its name in warnings.
    """

    data: NDArray[np.floating]
    sfreq: float
    reasons: NDArray[np.int8]
    n_epochs: int
    modality: str
    name: str


def is_in_volts(raw: mne.io.BaseRaw, channel: Channel) -> bool:
    """Return whether the samples that MNE reads from a channel are known to be in volts.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    channel : Channel
        The channel.

    Returns
    -------
    known : bool
        Whether the file gives a unit of volts; or, if it gives no unit, whether a channel of
        electrodes (ECG, EOG) has an MNE type that implies volts. For other modalities, types are
        not evidence, since MNE assigns the type EEG to every channel of an EDF file.
    """
    known: list[bool] = []
    for name in channel.electrodes:
        if name in raw._orig_units:  # there is no public attribute
            known.append(raw._orig_units[name] in _VOLTS)
        else:
            types = raw.get_channel_types([raw.ch_names.index(name)])
            is_electrode = MODALITIES[channel.modality].in_volts
            known.append(is_electrode and types[0] in _TYPES_IN_VOLTS)
    return all(known)


def warn_of_slow_channels(channels: Sequence[Channel]) -> None:
    """Warn of channels whose sampling rate is too low for the waveform of their modality.

    Parameters
    ----------
    channels : sequence of Channel
        The mapping.
    """
    for channel in channels:
        modality = MODALITIES[channel.modality]
        if channel.sfreq < modality.lowest_sfreq:
            warn(
                f"{modality.name}: the channel {channel.name!r} was recorded at {channel.sfreq:g} "
                f"Hz, too slowly for the {modality.description}, which requires at least "
                f"{modality.lowest_sfreq:g} Hz. If it is another kind of channel, such as a rate, "
                "name another one, or None."
            )


def _mark_bad(
    reasons: NDArray[np.int8], channel: Channel, spans: Sequence[BadSpan], start: float
) -> None:
    """Mark samples within annotations that begin with BAD and apply to the channel."""
    names = channel.electrodes
    for onset, duration, ch_names in spans:
        if not ch_names or set(ch_names) & set(names):
            first = (onset - start) * channel.sfreq
            last = first + duration * channel.sfreq
            mark_span(reasons, first, last, Reason.BAD)


def read_recorded(
    recording: Recording,
    channels: Sequence[Channel],
    validity: Validity,
    *,
    start: float = 0.0,
    stop: float | None = None,
) -> Iterator[tuple[str, RecordedSignal]]:
    """Read the mapped channels, or a part of them, and find the samples that were measured.

    Parameters
    ----------
    recording, channels, validity, start, stop
        As in :func:`read_signals`.

    Yields
    ------
    modality : str
        A mapped modality.
    recorded : RecordedSignal
        Its samples as recorded, and whether each was measured.
    """
    recording.check_unchanged()
    rate = recording.raw.info["sfreq"]
    end = recording.reader.n_samples if stop is None else stop * rate
    n_epochs = count_epochs(end - start * rate, rate)
    is_part = stop is not None or start > EPOCH_S
    when = f", hours {start / 3600:.1f} to {end / rate / 3600:.1f}" if is_part else ""
    bad = recording.reader.find_bad()
    for together in group_channels(recording.reader, channels):
        sfreq = together[0].sfreq
        names = sorted({name for channel in together for name in channel.electrodes})
        data, recorded = recording.reader.read(names, start, stop)
        known = np.zeros(recorded.size, dtype=np.int8)  # takes no memory before it is changed
        if not recorded.all():
            known[~recorded] = Reason.NOT_RECORDED
        for position, channel in enumerate(together, start=1):
            first, *second = channel.electrodes
            wave = data[first] - data[second[0]] if second else data[first]
            reasons = known.copy() if len(together) > 1 else known
            _mark_bad(reasons, channel, bad, start)
            reasons = find_invalid(wave, sfreq, channel.modality, validity, reasons)
            name = f"{channel.modality} (channel {channel.name!r}{when})"
            found = [RecordedSignal(wave, sfreq, reasons, n_epochs, channel.modality, name)]
            # This generator waits while the signal is used, and should not keep it meanwhile.
            needed = {one for later in together[position:] for one in later.electrodes}
            data = {one: samples for one, samples in data.items() if one in needed}
            del wave, reasons
            yield channel.modality, found.pop()


def group_channels(reader: RawReader, channels: Sequence[Channel]) -> list[list[Channel]]:
    """Group channels that are read together.

    Parameters
    ----------
    reader : RawReader
        The reader of the recording.
    channels : sequence of Channel
        The mapping.

    Returns
    -------
    groups : list of list of Channel
        Channels of equal rate, the fastest first.
    """
    by_rate = sorted(channels, key=lambda channel: -channel.sfreq)
    if reader.is_by_channel:
        return [[channel] for channel in by_rate]
    return [list(group) for _, group in groupby(by_rate, key=lambda channel: channel.sfreq)]


def read_signals(
    recording: Recording,
    channels: Sequence[Channel],
    validity: Validity,
    *,
    start: float = 0.0,
    stop: float | None = None,
) -> dict[str, Signal]:
    """Read the mapped channels, or a part of them, and fill in what was not measured.

    Parameters
    ----------
    recording : Recording
        The opened recording.
    channels : sequence of Channel
        The mapping, with rates set by :func:`~mne_wav2sleep.recordings.opening.set_rates`.
    validity : Validity
        Criteria for what counts as measured.
    start, stop : float, float or None
        Seconds after the first sample of the recording; None for its end. The first epoch begins
        at ``start``.

    Returns
    -------
    signals : dict of str to Signal
        Modality -> signal in MNE's units (volts for EEG-typed channels, else as recorded). Extreme
        samples are kept, and mains hum is removed, both with a warning. If a modality is constant
        or was measured in too few epochs, none of its epochs counts as measured, with a warning.

    See Also
    --------
    read_recorded : Read the samples without filling in.
    fill_in : Fill in a signal.
    """
    return dict(iterate_signals(recording, channels, validity, start=start, stop=stop))


def iterate_signals(
    recording: Recording,
    channels: Sequence[Channel],
    validity: Validity,
    *,
    start: float = 0.0,
    stop: float | None = None,
) -> Iterator[tuple[str, Signal]]:
    """Read the mapped channels one by one, as :func:`read_signals` does at once.

    Parameters
    ----------
    recording, channels, validity, start, stop
        As in :func:`read_signals`.

    Yields
    ------
    modality : str
        A mapped modality.
    signal : Signal
        Its signal.
    """
    for modality, recorded in read_recorded(recording, channels, validity, start=start, stop=stop):
        filled = [fill_in(recorded, validity)]
        del recorded  # the next one is read while this generator still has it
        yield modality, filled.pop()


def _count_extreme(signal: NDArray[np.floating]) -> int:
    """Count extreme samples if they account for more than half of the variance, else return 0."""
    mean = float(signal.mean())
    furthest = max(float(signal.max()) - mean, mean - float(signal.min()))
    # Mostly there are none. If sums are exact enough, this takes no copy of the signal.
    if furthest < _LARGE:
        square = float(np.dot(signal, signal)) / signal.size
        variance = square - mean * mean
        if 1e-3 * square < variance and furthest < 0.9 * _EXTREME * variance**0.5:
            return 0
    power = signal - mean
    power /= max(power.max(), -power.min())  # the square of 1e200 would overflow
    power *= power
    extreme = power > _EXTREME**2 * power.mean()
    return int(extreme.sum()) if power[extreme].sum() > power.sum() / 2 else 0


def fill_in(recorded: RecordedSignal, validity: Validity) -> Signal:
    """Find the epochs that were measured, and fill in samples that were not.

    Parameters
    ----------
    recorded : RecordedSignal
        From :func:`read_recorded`.
    validity : Validity
        Criteria for what counts as measured.

    Returns
    -------
    signal : Signal
        As in :func:`read_signals`, with the same warnings.
    """
    wave, reasons, n_epochs = recorded.data, recorded.reasons, recorded.n_epochs
    epochs = judge_epochs(reasons, recorded.sfreq, n_epochs, validity.epoch_share)
    n_measured = int((epochs == Reason.MEASURED).sum())
    is_left_out = n_measured < max(validity.night_share * n_epochs, 1)
    _report_lost(recorded, n_measured, is_left_out=is_left_out)
    if is_left_out:
        epochs[epochs == Reason.MEASURED] = Reason.LEFT_OUT
    elif reasons.any():
        measured = reasons == Reason.MEASURED
        wave = np.where(measured, wave, wave[measured].mean())
    if not is_left_out and (count := _count_extreme(wave)):
        warn(
            f"{recorded.name} has {count} extreme sample{pluralize(count)} with more than half of "
            "the variance, so that the rest is nearly flat after z-scoring. Clip these samples in "
            "a Raw, or set them to NaN, and stage that Raw."
        )
    hum: dict[float, float] = {}
    if not is_left_out and MODALITIES[recorded.modality].wave is not None:
        wave, hum = remove_hum(wave, recorded.sfreq, recorded.modality)
    if hum:
        lines = " and ".join(f"{f:g} Hz in {100 * share:.0f} %" for f, share in hum.items())
        warn(
            f"{recorded.name} has mains hum (a line at {lines} of the epochs, sampled at "
            f"{recorded.sfreq:g} Hz), which would change the stages. It is removed with a notch "
            "filter of 1 Hz width before staging; check the electrodes and the other channels."
        )
    return Signal(wave, recorded.sfreq, epochs, tuple(hum))


def _report_lost(recorded: RecordedSignal, n_measured: int, *, is_left_out: bool) -> None:
    """Warn of, or log, how long a modality was not measured, and why."""
    n_epochs, sfreq = recorded.n_epochs, recorded.sfreq
    lost = recorded.reasons[:0]
    if recorded.reasons.any():
        lost = recorded.reasons[recorded.reasons != Reason.MEASURED]
    seconds = np.bincount(lost, minlength=len(Reason)) / sfreq
    missing = n_epochs * EPOCH_S - recorded.reasons.size / sfreq
    # The tolerance of count_epochs.
    is_missing = missing > 0.5 / sfreq + 1e-7 * n_epochs * EPOCH_S
    seconds[Reason.NOT_RECORDED] += missing if is_missing else 0
    if not seconds.any():
        return
    why = ", ".join(
        f"{seconds[i] / 60:.3g} min {Reason(i).label}" for i in seconds.nonzero()[0].tolist()
    )
    text = f"{recorded.name} was not measured for {seconds.sum() / 60:.3g} min ({why}): " + (
        "it is left out."
        if is_left_out
        else f"{n_epochs - n_measured} of {n_epochs} epochs are masked."
    )
    if n_measured < n_epochs or seconds.sum() > _MUCH * n_epochs * EPOCH_S:
        warn(text)
    else:
        logger.info(text)
