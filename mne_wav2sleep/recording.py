"""A Raw or a file, and the mapped channels of it, each at its own recorded rate."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from os import PathLike
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
from mne.utils import _pl, warn
from numpy.typing import NDArray

from . import edf
from .channels import electrodes
from .modalities import EPOCH_S, MODALITIES
from .signals import (
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

_FOLDERS = (".ds", ".mff")
"""Formats that are a folder."""
_EXTREME = 50
"""Standard deviations from the mean. No source says what is extreme; a QRS complex reaches about
10, and no more than 1 in 2500 samples can be so far out."""


@dataclass(frozen=True)
class Recording:
    """A recording whose header has been read.

    Attributes
    ----------
    raw : mne.io.BaseRaw
        The recording as MNE sees it, not loaded where it came from a file.
    path : Path or None
        The file, if the user gave one.
    start : datetime or None
        When its first sample was taken, cropping considered; None if it has no date.
    n_samples : float
        Its length in samples at the Raw's rate, gaps included.
    n_epochs : int
        Complete 30-s epochs in it.
    gaps : tuple of (float, float)
        Seconds of data before each gap that MNE leaves out, and its length in s.
    """

    raw: mne.io.BaseRaw
    path: Path | None
    start: datetime | None
    n_samples: float
    n_epochs: int
    gaps: tuple[tuple[float, float], ...] = ()


def count_epochs(n_samples: float, sfreq: float) -> int:
    """Count the complete 30-s epochs of a recording.

    Parameters
    ----------
    n_samples : float
        Its samples.
    sfreq : float
        Its sampling rate in Hz.

    Returns
    -------
    n_epochs : int
        Complete epochs; a last one that lacks less than half a sample counts.

    Examples
    --------
    >>> count_epochs(60 * 128 - 1, 128.0), count_epochs(60 * 128, 128.0)
    (1, 2)
    """
    # Half a sample, as a night is no whole number of samples at odd rates; and FIF keeps the rate
    # as float32, good to 6e-8.
    return int((n_samples + 0.5) / sfreq / EPOCH_S * (1 + 1e-7))


def first_sentence(error: Exception) -> str:
    """Shorten an error of another library to its type and first sentence, without full stop."""
    text = re.split(r"\.\s", " ".join(str(error).split()))[0].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _read_header(path: Path, *, verbose: str | None = "error", **include: Any) -> mne.io.BaseRaw:
    """Open a file with MNE, without reading its samples."""
    options: dict[str, Any] = dict(include)
    if path.suffix.lower() in edf.SUFFIXES:
        # Channels of one label become ECG-0, ECG-1 before include= is applied, not after.
        options["exclude_after_unique"] = True
    try:
        return mne.io.read_raw(path, preload=False, verbose=verbose, **options)
    except Exception as error:
        if "latin1" in str(error) and "encoding" not in options and options:
            return _read_header(path, verbose=verbose, **include, encoding="latin1")
        brainvision = path.suffix.lower() in (".eeg", ".vmrk")
        raise ValueError(
            f"{path} cannot be read as a recording ({first_sentence(error)}). Check that the file "
            "is complete and in a format that mne.io.read_raw reads"
            + ("; of a BrainVision recording, give the .vhdr file." if brainvision else ".")
        ) from error


def _mixed_rate_files(raw: mne.io.BaseRaw) -> list[Path]:
    """Files of a Raw, as far as they are there, whose channels have rates of their own."""
    files = [Path(name) for name in raw.filenames if name is not None]
    return [file for file in files if file.suffix.lower() in edf.SUFFIXES and file.exists()]


def _find_gaps(raw: mne.io.BaseRaw, path: Path | None) -> tuple[tuple[float, float], ...]:
    """Find where the data were interrupted; warn of a clock that is wrong thereafter."""
    boundaries = np.isin(raw.annotations.description, ("BAD boundary", "EDGE boundary"))
    if boundaries.any():
        onsets = raw.annotations.onset[boundaries]
        first, count = (onsets.min() - raw.first_time) / 60, np.unique(onsets).size
        warn(
            f"The recording has {count} place{_pl(count)}, the first after {first:.1f} min, where "
            "pieces were joined (annotated BAD boundary and EDGE boundary), from where on the "
            "clock is wrong. Cut it there with raw.crop, and stage the parts on their own."
        )
    if path is not None and path.suffix.lower() in edf.SUFFIXES:
        return tuple(edf.find_gaps(path))
    for file in _mixed_rate_files(raw):
        try:
            gaps = edf.find_gaps(file)
        except ValueError:
            gaps = [(0.0, 0.0)]
        if gaps:
            warn(
                f"This Raw reads {file.name}, a discontinuous recording, as if it had no gaps: "
                f"stages after a gap come too early. Give the path instead, "
                f"SleepStagerW2S({str(file)!r})."
            )
    return ()


def open_recording(raw: mne.io.BaseRaw | str | PathLike[str]) -> Recording:
    """Open a recording without reading its samples.

    Parameters
    ----------
    raw : mne.io.BaseRaw or path-like
        A Raw, or a file of any format that :func:`mne.io.read_raw` reads.

    Returns
    -------
    recording : Recording
        The opened recording.

    Raises
    ------
    TypeError
        If ``raw`` is neither a Raw nor a path.
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file cannot be read, or has no complete 30-s epoch.
    """
    mne.utils._validate_type(raw, (mne.io.BaseRaw, "path-like"), "raw")
    path = None
    if not isinstance(raw, mne.io.BaseRaw):
        path = Path(raw).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"There is no recording at {path}. Check the path.")
        if path.is_dir() and path.suffix.lower() not in _FOLDERS:
            raise ValueError(f"{path} is a folder, no recording. Give the file in it.")
        if path.is_file() and not path.stat().st_size:
            raise ValueError(f"{path} is empty (0 bytes). Copy or export it again.")
        # MNE's own warnings, of a file that was cut off for one, are for the user; they come once.
        raw = _read_header(path, verbose=None)
    gaps = _find_gaps(raw, path)
    sfreq = raw.info["sfreq"]
    n_samples = raw.n_times + sum(length for _, length in gaps) * sfreq
    n_epochs = count_epochs(n_samples, sfreq)
    if n_epochs == 0:
        raise ValueError(
            f"The recording is {n_samples / sfreq:.1f} s long; staging needs at "
            f"least one epoch of {EPOCH_S:.0f} s. Give a longer one."
        )
    start = raw.info["meas_date"]
    if start is not None:
        start += timedelta(seconds=raw.first_time)
    return Recording(raw, path, start, n_samples, n_epochs, gaps)


def find_rates(recording: Recording, channels: pd.DataFrame) -> pd.DataFrame:
    """Fill in the rate, in Hz, at which each mapped channel will be read.

    Parameters
    ----------
    recording : Recording
        The opened recording.
    channels : pandas.DataFrame
        The mapping, from :func:`~mne_wav2sleep.match_channels`.

    Returns
    -------
    channels : pandas.DataFrame
        The mapping, its ``sfreq`` the recorded rate where the recording is an EDF or BDF file.

    Raises
    ------
    ValueError
        If two channels of different rates are to be subtracted.
    """
    if recording.path is None:
        _warn_of_resampling(recording.raw, channels)
        return channels
    if recording.path.suffix.lower() not in edf.SUFFIXES:
        return channels
    recorded = _recorded_rates(recording.path, recording.raw, channels)
    sfreq = []
    for channel in channels["channel"]:
        found = {recorded[name] for name in electrodes(channel)}
        if len(found) > 1:
            raise ValueError(
                f"The channels {channel!r} were recorded at different rates, {sorted(found)} Hz, "
                "so their difference is not defined. Name one of them."
            )
        sfreq.append(found.pop())
    return channels.assign(sfreq=sfreq)


def _mapped(channels: pd.DataFrame) -> set[str]:
    """All channels of a mapping, those of a pair one by one."""
    return {name for channel in channels["channel"] for name in electrodes(channel)}


def _recorded_rates(path: Path, raw: mne.io.BaseRaw, channels: pd.DataFrame) -> dict[str, float]:
    """Rates in Hz of the channels of an EDF or BDF file, by MNE's names; MNE's if in doubt."""
    try:
        rates = [rate for _, rate in edf.read_rates(path)]
    except ValueError:  # a number that MNE reads and float() does not
        rates = []
    if len(rates) == len(raw.ch_names):
        return dict(zip(raw.ch_names, rates, strict=True))
    names = sorted(_mapped(channels))
    sfreq = float(_read_header(path, include=names).info["sfreq"])
    warn(
        f"The header of {path.name} lists {len(rates)} signals, MNE {len(raw.ch_names)} channels: "
        f"which rate belongs to which is not known, and all are read at {sfreq:g} Hz, to which MNE "
        "resamples the slower ones. Check the file."
    )
    return dict.fromkeys(names, sfreq)


def _warn_of_resampling(raw: mne.io.BaseRaw, channels: pd.DataFrame) -> None:
    """Say that a Raw has resampled its channels, as far as its files can still be asked."""
    named = _mapped(channels)
    for path in _mixed_rate_files(raw):
        try:
            recorded = dict(edf.read_rates(path))
        except (OSError, ValueError):
            continue
        if not named <= set(recorded):  # renamed since
            continue
        rates = sorted({recorded[name] for name in named})
        # One rate above the Raw's own is a decimation of the user's.
        if len(rates) > 1 or rates[0] < raw.info["sfreq"]:
            warn(
                f"This Raw reads {path.name}, whose channels were recorded at {rates} Hz, and "
                f"has resampled them to {raw.info['sfreq']} Hz, which alters slow channels. Give "
                f"the path instead, SleepStagerW2S({str(path)!r}), to stage every channel at its "
                "own rate (crops, new names, dates and bad channels of the Raw do not carry over)."
            )


def _count_extreme(signal: NDArray[np.float64]) -> int:
    """Count extreme samples, if they hold more than half of the variance, else 0."""
    power = signal - signal.mean()
    power /= max(power.max(), -power.min())  # the square of 1e200 is no float
    power *= power
    extreme = power > _EXTREME**2 * power.mean()
    return int(extreme.sum()) if power[extreme].sum() > power.sum() / 2 else 0


def _open_gaps(
    wave: NDArray[np.float64], sfreq: float, gaps: tuple[tuple[float, float], ...]
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Put samples where the clock has them; give them, and what is to be said of each."""
    reasons = np.full(wave.size, MEASURED, dtype=np.int8)
    if not gaps:
        return wave, reasons
    lengths = [round(length * sfreq) for _, length in gaps]
    positions = np.repeat([round(at * sfreq) for at, _ in gaps], lengths)
    return np.insert(wave, positions, np.nan), np.insert(reasons, positions, NOT_RECORDED)


def _mark_bad(
    reasons: NDArray[np.int8], sfreq: float, raw: mne.io.BaseRaw, names: tuple[str, ...]
) -> None:
    """Mark samples in annotations that begin with BAD, as MNE does, and concern the channels."""
    for annotation in raw.annotations:
        if annotation["description"].upper().startswith("BAD") and (
            not annotation["ch_names"] or set(annotation["ch_names"]) & set(names)
        ):
            first = (annotation["onset"] - raw.first_time) * sfreq
            last = first + annotation["duration"] * sfreq
            # Of an annotation of no length, as "BAD boundary", there is no sample.
            reasons[max(round(first), 0) : max(round(last), 0)] = BAD


def read_signals(
    recording: Recording,
    channels: pd.DataFrame,
    validity: Validity | None = None,
    *,
    skip: float = 0.0,
) -> dict[str, Signal]:
    """Read the mapped channels.

    Parameters
    ----------
    recording : Recording
        The opened recording.
    channels : pandas.DataFrame
        The mapping, with its rates filled in by :func:`find_rates`.
    validity : Validity or None
        What counts as measured; by default ``Validity()``.
    skip : float
        Seconds of the recording before its first epoch, under 30.

    Returns
    -------
    signals : dict of str to Signal
        Modality -> the signal in MNE's units (volts for EEG-typed channels, else as recorded).
        Extreme samples are kept, with a warning. A modality that is constant, or measured in too
        few epochs, is there with no epoch that counts as measured, and a warning.

    Raises
    ------
    ValueError
        If no channel has a signal in it.
    """
    validity = Validity() if validity is None else validity
    sfreq_raw = recording.raw.info["sfreq"]
    n_epochs = count_epochs(recording.n_samples - skip * sfreq_raw, sfreq_raw)
    signals = {}
    for sfreq, group in channels.groupby("sfreq", sort=True):
        picks = list({name for c in group["channel"] for name in electrodes(c)})
        raw = recording.raw
        if recording.path is not None and recording.path.suffix.lower() in edf.SUFFIXES:
            raw = _read_header(recording.path, include=picks)
        # By number: MNE refuses a name that is also a channel type, and "ecg" is a common label.
        numbers = sorted(raw.ch_names.index(name) for name in picks)
        rows = raw.get_data(picks=numbers, verbose="error")
        data = {raw.ch_names[number]: row for number, row in zip(numbers, rows, strict=True)}
        for modality, channel in group["channel"].items():
            first, *second = electrodes(channel)
            wave = data[first] - data[second[0]] if second else data[first]
            wave, known = _open_gaps(wave, sfreq, recording.gaps)
            _mark_bad(known, sfreq, recording.raw, (first, *second))
            reasons = find_invalid(wave, sfreq, str(modality), validity, known)
            begin = round(skip * sfreq)
            wave, reasons = wave[begin:], reasons[begin:]
            signals[str(modality)] = _to_signal(
                wave, float(sfreq), reasons, n_epochs, validity, f"{modality} (channel {channel!r})"
            )
            if sfreq < MODALITIES[modality].lowest_sfreq:
                warn(
                    f"{modality}: the channel {channel!r} was recorded at {sfreq:g} Hz, too slowly "
                    f"for a {MODALITIES[modality].description}, which needs "
                    f"{MODALITIES[modality].lowest_sfreq:g} Hz. If it is something else, a rate "
                    "for one, name another channel, or None."
                )
    if all((signal.epochs != MEASURED).all() for signal in signals.values()):
        names = ", ".join(map(repr, channels["channel"]))
        raise ValueError(
            f"None of the mapped channels ({names}) has a signal in it, so there is nothing to "
            "stage. Check the recording, or name other channels."
        )
    return signals


def _to_signal(
    wave: NDArray[np.float64],
    sfreq: float,
    reasons: NDArray[np.int8],
    n_epochs: int,
    validity: Validity,
    name: str,
) -> Signal:
    """Judge the epochs of a channel, and fill in what was not measured."""
    epochs = judge_epochs(reasons, sfreq, n_epochs, validity.epoch_share)
    n_measured = int((epochs == MEASURED).sum())
    too_little = n_measured < max(validity.night_share * n_epochs, 1)
    seconds = np.bincount(reasons, minlength=len(REASONS)) / sfreq
    seconds[NOT_RECORDED] += max(n_epochs * EPOCH_S - reasons.size / sfreq - 0.5 / sfreq, 0)
    seconds[MEASURED] = 0
    if seconds.any():
        why = ", ".join(f"{seconds[i] / 60:.2g} min {REASONS[i]}" for i in seconds.nonzero()[0])
        warn(
            f"{name} was not measured for {seconds.sum() / 60:.3g} min ({why}): "
            + (
                "it is left out."
                if too_little
                else f"{n_epochs - n_measured} of {n_epochs} epochs are masked."
            )
        )
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
