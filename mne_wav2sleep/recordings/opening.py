"""Open a recording, and find the sampling rates of its mapped channels."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any

import mne

from ..cautions import warn
from ..clock import count_epochs
from ..formats.edf import open_edf
from ..modalities import EPOCH_S
from ..verbosity import check_type
from .channels import Channel
from .joins import list_edf_files
from .readers import DAY_S, LONGEST_DAYS, RawReader, make_reader

FOLDERS = (".ds", ".mff")
"""Suffixes of formats in which a recording is a folder."""


_WINDOW_S = 12 * 3600.0
"""Longest part of a recording in seconds that is read at once."""
_N_SAMPLES = 2**26
"""Samples of a channel (0.5 GB) that may be read at once even if the files are smaller, because
gaps take no space in a file: those of 12 h at 1.5 kHz."""


@dataclass(frozen=True)
class Recording:
    """A recording whose header has been read.

    Attributes
    ----------
    reader : RawReader
        Reader of its samples, rates, gaps, annotations and start time.
    n_epochs : int
        Number of complete 30-s epochs, including gaps.
    opened_as : tuple
        Properties of the Raw that must not change after it was opened.

    See Also
    --------
    open_recording : Open a Raw or a file.
    """

    reader: RawReader
    n_epochs: int
    opened_as: tuple[Any, ...]

    @property
    def raw(self) -> mne.io.BaseRaw:
        """The recording as a Raw, which is not preloaded if it was opened from a file."""
        return self.reader.raw

    @property
    def start(self) -> datetime | None:
        """Time of the first sample, after any cropping; None if the recording has no date."""
        return self.reader.start

    @property
    def duration(self) -> float:
        """Duration in seconds, including gaps."""
        return self.reader.n_samples / float(self.raw.info["sfreq"])

    @property
    def files(self) -> list[str]:
        """Paths of its files; empty for a Raw that was created in memory."""
        if self.reader.path is not None:
            return [str(self.reader.path)]
        return [str(name) for name in self.raw.filenames if name is not None]

    @property
    def events(self) -> list[tuple[float, float, str]]:
        """Onset in s after the first sample, duration in s, and text of each annotation."""
        all_of = self.reader.annotations
        onsets = (all_of.onset - self.raw.first_time).tolist()
        return list(zip(onsets, all_of.duration.tolist(), all_of.description.tolist(), strict=True))

    def check_unchanged(self) -> None:
        """Check that the Raw was not cropped, dated, resampled or renamed since it was opened.

        Raises
        ------
        RuntimeError
            If its length, start time, sampling rate or channel names have changed.
        """
        if _describe(self.raw) != self.opened_as:
            raise RuntimeError(
                "The Raw was changed since the stager was made (its length, date, rate or "
                "channels), so that stages would be assigned to the wrong times. Make a new stager "
                "from the changed Raw."
            )


def _describe(raw: mne.io.BaseRaw) -> tuple[Any, ...]:
    """Collect the properties of a Raw that must not change after it was opened."""
    info = raw.info
    return raw.n_times, raw.first_samp, info["meas_date"], info["sfreq"], tuple(raw.ch_names)


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
        If the file cannot be read, or contains no signals or no complete 30-s epoch.

    Examples
    --------
    >>> import mne, numpy as np
    >>> info = mne.create_info(["ECG"], 100.0, "ecg")
    >>> raw = mne.io.RawArray(np.zeros((1, 100 * 95)), info, verbose="error")
    >>> open_recording(raw).n_epochs
    3
    """
    check_type(raw, (mne.io.BaseRaw, "path-like"), "raw")
    reader = make_reader(raw if isinstance(raw, mne.io.BaseRaw) else _check_path(raw))
    sfreq = reader.raw.info["sfreq"]
    _check_size(reader)
    reader.find_bad()  # which raises an error if one has no place
    n_epochs = count_epochs(reader.n_samples, sfreq)
    if n_epochs == 0:
        raise ValueError(
            f"The recording is {reader.n_samples / sfreq:.2f} s long; staging needs at least one "
            f"epoch of {EPOCH_S:.0f} s. Use a longer recording."
        )
    return Recording(reader, n_epochs, _describe(reader.raw))


def _check_size(reader: RawReader) -> None:
    """Refuse a recording that is longer than any, or claims more samples than its files hold."""
    duration = reader.n_samples / float(reader.raw.info["sfreq"])
    gaps = sum(length for _, length in reader.gaps)
    if duration > LONGEST_DAYS * DAY_S:
        raise ValueError(
            f"The recording lasts {duration / DAY_S:,.5g} days according to its header"
            + (f", of which {gaps / DAY_S:,.5g} were not recorded" if gaps else "")
            + f"; up to {LONGEST_DAYS} days can be staged. Check the header, or export it in parts."
        )
    if reader.raw.preload:
        return
    rate = max(reader.rates.values(), default=0.0)
    planned = rate * min(duration, _WINDOW_S)
    size = sum(_measure_size(Path(name)) for name in reader.raw.filenames if name is not None)
    if planned > max(_N_SAMPLES, size):
        raise ValueError(
            f"The recording claims {planned:,.5g} samples of a channel ({rate:,.6g} Hz) in "
            f"{min(duration, _WINDOW_S) / 3600:.3g} h, but its files have only {size:,} bytes. "
            "Check the header; if most was not recorded, export it in parts or at a lower rate."
        )


def _measure_size(path: Path) -> int:
    """Measure the size of a file or folder in bytes."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _check_path(path: str | PathLike[str]) -> Path:
    """Check that a path leads to something that can be a recording."""
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"There is no recording at {path}. Check the path.")
    if path.is_dir() and path.suffix.lower() not in FOLDERS:
        raise ValueError(f"{path} is a folder, not a recording. Pass the path of a file in it.")
    if path.is_file() and not path.stat().st_size:
        raise ValueError(f"{path} is empty (0 bytes). Copy or export it again.")
    return path


def set_rates(recording: Recording, channels: Iterable[Channel]) -> tuple[Channel, ...]:
    """Set the rate at which each mapped channel is read.

    Parameters
    ----------
    recording : Recording
        The opened recording.
    channels : iterable of Channel
        The mapping, from :func:`~mne_wav2sleep.recordings.channels.map_channels`.

    Returns
    -------
    channels : tuple of Channel
        The mapping. Channels of EDF and BDF files have their recorded rates, others that of the
        Raw.

    Raises
    ------
    ValueError
        If the channels of a pair have different rates, or a channel has less than one
        sample per epoch.
    """
    changed = []
    for channel in channels:
        found = sorted({recording.reader.rates[name] for name in channel.electrodes})
        if len(found) > 1:
            raise ValueError(
                f"The channels {channel.name!r} were recorded at different rates, {found} Hz, so "
                "that their difference is undefined. Name one of them."
            )
        if not found[0] * EPOCH_S >= 1:
            raise ValueError(
                f"The channel {channel.name!r} has less than one sample per epoch of "
                f"{EPOCH_S:.0f} s: its rate is {found[0]:g} Hz. Name another channel, or None."
            )
        changed.append(replace(channel, sfreq=found[0]))
    if recording.reader.path is None:
        _warn_of_resampling(recording.raw, changed)
    return tuple(changed)


def _warn_of_resampling(raw: mne.io.BaseRaw, channels: Iterable[Channel]) -> None:
    """Warn if a Raw has resampled its channels, and its files can still be read to find out."""
    named = {name for channel in channels for name in channel.electrodes}
    for path in list_edf_files(raw):
        try:
            recorded = dict(open_edf(path).rates)
        except (OSError, ValueError):
            continue
        if not named <= set(recorded):  # renamed since
            continue
        rates = sorted({recorded[name] for name in named})
        # If the only rate is above that of the Raw, the user has downsampled the Raw.
        if len(rates) > 1 or rates[0] < raw.info["sfreq"]:
            warn(
                f"This Raw reads {path.name}, whose channels were recorded at {rates} Hz, and "
                f"resamples them to {raw.info['sfreq']} Hz, which alters slow channels. Pass the "
                f"path instead, SleepStagerW2S({str(path)!r}), to read each channel at its own "
                "rate (crops, new names, dates and bad channels of the Raw do not carry over)."
            )
