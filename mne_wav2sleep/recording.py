"""A Raw or a file, and the mapped channels of it, each at its own recorded rate."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
from mne.utils import warn
from numpy.typing import NDArray

from .channels import electrodes
from .modalities import EPOCH_S, MODALITIES

_MIXED_RATES = (".edf", ".bdf")
"""Formats whose channels have rates of their own, read by MNE at the highest one."""


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


def _read_header(path: Path, *, verbose: str = "error", **include: Any) -> mne.io.BaseRaw:
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
        raise ValueError(
            f"{path} cannot be read as a recording: {error} Check that the file is complete "
            "and in a format that mne.io.read_raw reads."
        ) from error


def _warn_of_discontinuity(raw: mne.io.BaseRaw) -> None:
    """Say that a file may have gaps, which MNE reads as if there were none."""
    for name in raw.filenames:
        if name is None or name.suffix.lower() not in _MIXED_RATES or not name.exists():
            continue
        with name.open("rb") as file:
            kind = file.read(197)[192:]  # EDF+ specification, section 2.1.1
        if kind in (b"EDF+D", b"BDF+D"):
            warn(
                f"{name.name} is a discontinuous recording ({kind.decode()}), which MNE reads as "
                "if it had no gaps: stages after a gap come too early. Convert it to a continuous "
                "file, with the gaps filled, if it has any."
            )


def open_recording(raw: mne.io.BaseRaw | str | Path) -> Recording:
    """Open a recording without reading its samples.

    Parameters
    ----------
    raw : mne.io.BaseRaw, str or Path
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
    path = None
    if isinstance(raw, str | Path):
        path = Path(raw)
        if not path.exists():
            raise FileNotFoundError(f"There is no recording at {path}. Check the path.")
        # MNE's own warnings, of a file that was cut off for one, are for the user; they come once.
        raw = _read_header(path, verbose="warning")
    elif not isinstance(raw, mne.io.BaseRaw):
        raise TypeError(
            f"A recording must be an mne.io.Raw or the path of one, got {type(raw).__name__}."
        )
    _warn_of_discontinuity(raw)
    duration = raw.n_times / raw.info["sfreq"]
    # A rate such as 125.3 Hz must not lose its last epoch to rounding.
    n_epochs = int(duration / EPOCH_S + 1e-9)
    if n_epochs == 0:
        raise ValueError(
            f"The recording is {duration:.1f} s long; staging needs at least one epoch of "
            f"{EPOCH_S:.0f} s."
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
        The mapping, its ``sfreq`` the recorded rate where the recording is a file.
    """
    source = recording.path
    if source is None and not recording.raw.preload and len(recording.raw.filenames) == 1:
        # A Raw made in memory, or renamed since, has no file that could be asked.
        source = recording.raw.filenames[0]
        named = {name for channel in channels["channel"] for name in electrodes(channel)}
        if source is None or not named <= set(_read_header(Path(source)).ch_names):
            return channels
    if source is None or Path(source).suffix.lower() not in _MIXED_RATES:
        return channels
    rates = []
    for channel in channels["channel"]:
        found = {
            float(_read_header(Path(source), include=[name]).info["sfreq"])
            for name in electrodes(channel)
        }
        if len(found) > 1:
            raise ValueError(
                f"The channels {channel!r} were recorded at different rates, {sorted(found)} Hz, "
                "so their difference is not defined. Name one of them."
            )
        rates.append(found.pop())
    if recording.path is not None:
        return channels.assign(sfreq=rates)
    if set(rates) != {float(recording.raw.info["sfreq"])}:
        warn(
            f"This Raw reads {Path(source).name}, whose channels were recorded at {rates} Hz, "
            f"and resamples them to {recording.raw.info['sfreq']} Hz, which alters slow channels. "
            f"Give the path instead, SleepStagerW2S({str(source)!r}), to stage every channel at "
            "its own rate."
        )
    return channels


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
        the others, with a warning. Modalities that are constant or never finite are left out,
        with a warning.

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
            if not finite.any() or np.ptp(signal[finite]) == 0:
                warn(
                    f"{modality} is left out: its channel {channel!r} "
                    + ("is constant." if finite.any() else "has no finite sample.")
                )
                continue
            if not finite.all():
                warn(
                    f"{modality} (channel {channel!r}) has {np.mean(~finite):.1%} samples that are "
                    "NaN or infinite; the mean of the others stands in for them."
                )
                signal = np.where(finite, signal, signal[finite].mean())
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
