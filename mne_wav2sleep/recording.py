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

from .channels import electrodes
from .modalities import EPOCH_S, MODALITIES
from .signals import is_constant

_MIXED_RATES = (".edf", ".bdf")
"""Formats whose channels have rates of their own, read by MNE at the highest one.

So does GDF, which is read at that highest rate here too: no such night is known to test with.
"""
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
    n_epochs : int
        Complete 30-s epochs in it.
    """

    raw: mne.io.BaseRaw
    path: Path | None
    start: datetime | None
    n_epochs: int


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
    if path.suffix.lower() in _MIXED_RATES:
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
    return [file for file in files if file.suffix.lower() in _MIXED_RATES and file.exists()]


def _header_rates(path: Path) -> list[tuple[str, float]]:
    """Label and rate in Hz of each signal of an EDF or BDF file, in the order in which MNE reads.

    MNE gives the highest rate alone, and opening the file once per channel would read all of it
    each time, for its annotations. Positions are those of the EDF specification, section 2.1.
    """
    with path.open("rb") as file:
        fixed = file.read(256)
        seconds, n_signals = float(fixed[244:252]) or 1.0, int(fixed[252:256])
        fields = file.read(256 * n_signals)
    labels = [fields[16 * i : 16 * (i + 1)].decode("latin-1").strip() for i in range(n_signals)]
    counts = [int(fields[216 * n_signals + 8 * i :][:8]) for i in range(n_signals)]
    annotations = ("EDF Annotations", "BDF Annotations")
    return [
        (label, count / seconds)
        for label, count in zip(labels, counts, strict=True)
        if label not in annotations
    ]


def _warn_of_discontinuity(raw: mne.io.BaseRaw) -> None:
    """Say where a recording has gaps or joins, which MNE reads as if there were none."""
    for path in _mixed_rate_files(raw):
        with path.open("rb") as file:
            kind = file.read(197)[192:]  # EDF+ specification, section 2.1.1
        if kind in (b"EDF+D", b"BDF+D"):
            warn(
                f"{path.name} is a discontinuous recording ({kind.decode()}), which MNE reads as "
                "if it had no gaps: stages after a gap come too early. Convert it to a continuous "
                "file, with the gaps filled, if it has any."
            )
    for texts, what in (
        (("BAD_ACQ_SKIP",), "nothing was recorded, which MNE reads as zeros"),
        (("BAD boundary", "EDGE boundary"), "pieces were joined, from where on the clock is wrong"),
    ):
        onsets = raw.annotations.onset[np.isin(raw.annotations.description, texts)]
        if onsets.size:
            first = (onsets.min() - raw.first_time) / 60
            count = np.unique(onsets).size
            warn(
                f"The recording has {count} place{_pl(count)}, the first after {first:.1f} min, "
                f"where {what} (annotated {' and '.join(texts)}): stages around them are "
                "doubtful. Cut it there with raw.crop, and stage the parts on their own."
            )


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
    _warn_of_discontinuity(raw)
    n_epochs = count_epochs(raw.n_times, raw.info["sfreq"])
    if n_epochs == 0:
        raise ValueError(
            f"The recording is {raw.n_times / raw.info['sfreq']:.1f} s long; staging needs at "
            f"least one epoch of {EPOCH_S:.0f} s. Give a longer one."
        )
    start = raw.info["meas_date"]
    if start is not None:
        start += timedelta(seconds=raw.first_time)
    return Recording(raw, path, start, n_epochs)


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
    if recording.path.suffix.lower() not in _MIXED_RATES:
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
        rates = [rate for _, rate in _header_rates(path)]
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
            recorded = dict(_header_rates(path))
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


def read_signals(
    recording: Recording, channels: pd.DataFrame
) -> dict[str, tuple[NDArray[np.float64], float]]:
    """Read the mapped channels.

    Parameters
    ----------
    recording : Recording
        The opened recording.
    channels : pandas.DataFrame
        The mapping, with its rates filled in by :func:`find_rates`.

    Returns
    -------
    signals : dict of str to (array, float)
        Modality -> the signal, shape (n_samples,) in MNE's units (volts for EEG-typed channels,
        else as recorded), and its rate in Hz. Samples that are NaN or infinite hold the mean of
        the others, with a warning; extreme samples are kept, with a warning. Modalities that are
        constant or never finite are left out, with a warning.

    Raises
    ------
    ValueError
        If no channel has a signal in it.
    """
    signals = {}
    for sfreq, group in channels.groupby("sfreq", sort=True):
        picks = list({name for c in group["channel"] for name in electrodes(c)})
        raw = recording.raw
        if recording.path is not None and recording.path.suffix.lower() in _MIXED_RATES:
            raw = _read_header(recording.path, include=picks)
        # By number: MNE refuses a name that is also a channel type, and "ecg" is a common label.
        numbers = sorted(raw.ch_names.index(name) for name in picks)
        rows = raw.get_data(picks=numbers, verbose="error")
        data = {raw.ch_names[number]: row for number, row in zip(numbers, rows, strict=True)}
        for modality, channel in group["channel"].items():
            first, *second = electrodes(channel)
            signal = data[first] - data[second[0]] if second else data[first]
            finite = np.isfinite(signal)
            if not finite.any() or is_constant(signal[finite]):
                warn(
                    f"{modality} is left out: its channel {channel!r} "
                    + ("is constant." if finite.any() else "has no finite sample.")
                )
                continue
            if count := int((~finite).sum()):
                warn(
                    f"{modality} (channel {channel!r}) has {count} sample{_pl(count)} "
                    f"({100 * count / finite.size:.2g}%) that are NaN or infinite; the mean of the "
                    "others stands in for them."
                )
                signal = np.where(finite, signal, signal[finite].mean())
            if count := _count_extreme(signal):
                warn(
                    f"{modality} (channel {channel!r}) has {count} extreme sample{_pl(count)} with "
                    "more than half of all variance, beside which the network sees the rest as "
                    "nearly flat. Clip such samples in a Raw, or set them to NaN, and stage that."
                )
            if sfreq < MODALITIES[modality].lowest_sfreq:
                warn(
                    f"{modality}: the channel {channel!r} was recorded at {sfreq:g} Hz, too slowly "
                    f"for a {MODALITIES[modality].description}, which needs "
                    f"{MODALITIES[modality].lowest_sfreq:g} Hz. If it is something else, a rate "
                    "for one, name another channel, or None."
                )
            signals[str(modality)] = (signal, float(sfreq))
    if not signals:
        names = ", ".join(map(repr, channels["channel"]))
        raise ValueError(
            f"None of the mapped channels ({names}) has a signal in it, so there is nothing to "
            "stage. Check the recording, or name other channels."
        )
    return signals
