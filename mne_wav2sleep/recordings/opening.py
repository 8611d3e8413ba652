"""A Raw or a file, opened: its length, its start, its gaps, and the rate of each channel."""

import re
import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta
from os import PathLike
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
from mne.utils import _pl

from ..cautions import warn
from ..formats import edf
from ..modalities import EPOCH_S
from .channels import electrodes

_FOLDERS = (".ds", ".mff")
"""Formats that are a folder."""


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
    annotations : mne.Annotations
        Its annotations; MNE drops those of a Raw that lie after its samples, gaps left out.
    gaps : tuple of (float, float)
        Seconds of data before each gap that MNE leaves out, and its length in s.
    opened_as : tuple
        What of the Raw everything else rests on.
    """

    raw: mne.io.BaseRaw
    path: Path | None
    start: datetime | None
    n_samples: float
    n_epochs: int
    annotations: mne.Annotations
    gaps: tuple[tuple[float, float], ...] = ()
    opened_as: tuple[Any, ...] = ()


def _describe(raw: mne.io.BaseRaw) -> tuple[Any, ...]:
    """Gather what must not change of an opened Raw: length, place on the clock, channels."""
    info = raw.info
    return raw.n_times, raw.first_samp, info["meas_date"], info["sfreq"], tuple(raw.ch_names)


def check_unchanged(recording: Recording) -> None:
    """Refuse a Raw that was cropped, dated or renamed since it was opened.

    Parameters
    ----------
    recording : Recording
        The opened recording.

    Raises
    ------
    RuntimeError
        If stages of it would be put where they do not belong.
    """
    if _describe(recording.raw) != recording.opened_as:
        raise RuntimeError(
            "The Raw was changed since the stager was made (its length, date, rate or channels), "
            "so that stages would not lie where they belong. Make another stager, of the Raw as it "
            "is now."
        )


def find_start(raw: mne.io.BaseRaw) -> datetime | None:
    """Say when the first sample of a Raw was taken, cropping considered; None without a date."""
    date = raw.info["meas_date"]
    return None if date is None else date + timedelta(seconds=raw.first_time)


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


def read_header(path: Path, *, verbose: str | None = "error", **include: Any) -> mne.io.BaseRaw:
    """Open a file with MNE, without reading its samples."""
    options: dict[str, Any] = dict(include)
    if path.suffix.lower() in edf.SUFFIXES:
        # Channels of one label become ECG-0, ECG-1 before include= is applied, not after.
        options["exclude_after_unique"] = True
    try:
        return mne.io.read_raw(path, preload=False, verbose=verbose, **options)
    except Exception as error:
        if "latin1" in str(error) and "encoding" not in options and options:
            return read_header(path, verbose=verbose, **include, encoding="latin1")
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


def _check_edf(path: Path) -> bool:
    """Refuse an EDF without signals, and say whether, and warn how much of, a file is missing."""
    if path.suffix.lower() not in edf.SUFFIXES:
        return False
    try:
        rates, cut = edf.read_rates(path), edf.find_cut(path)
    except ValueError:  # MNE says what is wrong, or reads it all the same
        return False
    if not rates:
        raise ValueError(
            f"{path} has no signals, as a hypnogram of annotations alone has none. Give the "
            "recording."
        )
    if cut is None:
        return False
    lasts, holds = (str(timedelta(seconds=round(length))) for length in cut)
    warn(
        f"{path.name} says it lasts {lasts} (h:min:s), and {holds} of it are there: the file was "
        "cut off. Copy or export it again, or go on with that part."
    )
    return True


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
        If the file cannot be read, or has no signals or no complete 30-s epoch.
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
        is_cut = _check_edf(path)
        # MNE's warnings are for the user, and for the report; they come once.
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            raw = read_header(path, verbose=None)
        for one in caught:
            # MNE says that a file was cut off without how much is there.
            if not (is_cut and str(one.message).startswith("Number of records from the header")):
                warn(str(one.message))
    gaps = _find_gaps(raw, path)
    sfreq = raw.info["sfreq"]
    n_samples = raw.n_times + sum(length for _, length in gaps) * sfreq
    n_epochs = count_epochs(n_samples, sfreq)
    if n_epochs == 0:
        raise ValueError(
            f"The recording is {n_samples / sfreq:.2f} s long; staging needs at "
            f"least one epoch of {EPOCH_S:.0f} s. Give a longer one."
        )
    start = find_start(raw)
    annotations = raw.annotations
    if gaps and path is not None:
        annotations = edf.read_annotations(path)
    return Recording(raw, path, start, n_samples, n_epochs, annotations, gaps, _describe(raw))


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
    sfreq = float(read_header(path, include=names).info["sfreq"])
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
