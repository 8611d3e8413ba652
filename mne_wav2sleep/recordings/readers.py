"""Readers of the samples, rates, gaps and start time of a recording.

:class:`RawReader` reads any format through MNE. :class:`EdfReader` reads EDF and BDF files, for
which MNE is not sufficient. :func:`make_reader` chooses one of them.
"""

import warnings
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from ..cautions import catch_warnings, warn
from ..errors import summarize_error
from ..formats import brainvision
from ..formats.edf import SUFFIXES, EdfFile, MisnamedError, open_edf
from ..formats.meas_date import correct_start, find_start, open_without_clock
from ..verbosity import use_log_level
from .joins import (
    find_joins,
    list_gaps,
    move_annotations,
    warn_of_ignored_gaps,
    warn_of_joins,
    warn_of_jumps,
)

LONGEST_DAYS = 31
"""Longest recording in days. Patches that record an ECG are worn for 14 days, event monitors for up
to 30; a longer recording has a header that is wrong."""
DAY_S = 86400.0

_CUT = "Number of records from the header"
_BOUNDARIES = "The data contains 'boundary' events"
_INVALID_DATE = "Invalid measurement date"
_NAMING = "This filename ("
"""Beginnings of warnings of MNE that change nothing, or for which this package has its own."""

BadSpan = tuple[float, float, tuple[str, ...]]
"""Onset in seconds after the first sample, duration in seconds, and channels of an annotation that
begins with BAD; no channels stand for all."""


class RawReader:
    """Read a recording through MNE.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording, preloaded or not.
    path : Path or None
        The file, if the user passed a path.
    file : EdfFile or None
        Its header, if it is an EDF or BDF file.
    gaps : sequence of (float, float)
        For each gap that MNE ignores, the seconds of data before it and its length in seconds.

    Attributes
    ----------
    raw : mne.io.BaseRaw
        The recording.
    path : Path or None
        The file.
    rates : dict of str to float
        Channel -> sampling rate in Hz at which it is read.
    gaps : list of (float, float)
        For each gap that MNE ignores, the seconds of data before it and its length in seconds. A
        Raw has none, since it may have been changed after it was read.
    annotations : mne.Annotations
        Annotations, with onsets as in the Raw; if there are gaps, they count in onsets and
        durations.
    start : datetime or None
        Time of the first sample, after any cropping; None if the recording has no date.
    n_samples : float
        Length in samples at the rate of the Raw, including gaps.
    is_by_channel : bool
        Whether reading channels one by one takes no longer than reading them together.

    See Also
    --------
    make_reader : Choose a reader for a recording.
    """

    is_by_channel = False

    def __init__(
        self,
        raw: mne.io.BaseRaw,
        path: Path | None = None,
        file: EdfFile | None = None,
        gaps: Sequence[tuple[float, float]] = (),
    ) -> None:
        self.raw = raw
        self.path = path
        self.start: datetime | None = _find_start(raw, path, file)
        self.rates: dict[str, float] = dict.fromkeys(raw.ch_names, float(raw.info["sfreq"]))
        self.gaps = list(gaps)
        self.annotations: mne.Annotations = raw.annotations
        if gaps:
            self.annotations = move_annotations(raw, gaps)

    @property
    def n_samples(self) -> float:
        """Length in samples at the rate of the Raw, including gaps."""
        gaps = sum(length for _, length in self.gaps)
        return float(self.raw.n_times + gaps * self.raw.info["sfreq"])

    def find_bad(self) -> list[BadSpan]:
        """Find the annotations that begin with BAD.

        Returns
        -------
        spans : list of (float, float, tuple of str)
            For each, its onset in seconds after the first sample, its duration in seconds, and the
            channels that it applies to; none if it applies to all.

        Raises
        ------
        ValueError
            If an onset or a duration is not finite.
        """
        all_of = self.annotations
        # Millions of annotations take minutes to iterate over, but a moment as arrays.
        bad = [i for i, text in enumerate(all_of.description) if text[:3].upper() == "BAD"]
        onsets, durations = all_of.onset[bad], all_of.duration[bad]
        for i, onset, duration in zip(bad, onsets, durations, strict=True):
            if not np.isfinite([onset, duration]).all():
                raise ValueError(
                    f"The annotation {str(all_of.description[i])[:60]!r} has the onset {onset:g} s "
                    f"and the duration {duration:g} s, so that what it excludes is unknown. "
                    "Correct or remove it."
                )
        return [
            (float(onset - self.raw.first_time), float(duration), tuple(all_of.ch_names[i] or ()))
            for i, onset, duration in zip(bad, onsets, durations, strict=True)
        ]

    def read(
        self, names: Sequence[str], start: float = 0.0, stop: float | None = None
    ) -> tuple[dict[str, NDArray[np.floating]], NDArray[np.bool_]]:
        """Read channels of equal rate in order of time, with NaN in gaps.

        Parameters
        ----------
        names : sequence of str
            The channels.
        start, stop : float, float or None
            Seconds after the first sample of the recording, including gaps; None for its end.

        Returns
        -------
        data : dict of str to array, shape (n_samples,)
            Samples in MNE's units at the rate of the channels, float32 if they are exact enough in
            it, else float64; NaN in gaps; none if the whole span
            is in a gap. The sample at ``stop`` is included if it exists, because the network's grid
            includes the end of the last epoch.
        recorded : array of bool, shape (n_samples,)
            False in gaps; not to be changed, as it may be a single value for all.

        Raises
        ------
        ValueError
            If the samples cannot be read.
        """
        sfreq = self.rates[names[0]]
        n_recorded = self._count_samples(names[0])
        begin = round(start * sfreq)
        # Offsets are rounded once each; rounding the length of each gap would accumulate errors.
        gaps = self.gaps
        moves = [round(m * sfreq) for m in np.cumsum([0.0, *(length for _, length in gaps)])]
        ends = [*(min(round(at * sfreq), n_recorded) for at, _ in gaps), n_recorded]
        end = n_recorded + moves[-1]
        if stop is not None:
            end = min(end, round(stop * sfreq) + 1)
        if not gaps:
            rows = self._get_samples(names, begin, end)
            return dict(zip(names, rows, strict=True)), np.broadcast_to(np.True_, end - begin)
        pieces = [
            (max(first + moved, begin), min(last + moved, end), moved)
            for first, last, moved in zip([0, *ends], ends, moves, strict=False)
        ]
        pieces = [(i, j, moved) for i, j, moved in pieces if i < j]
        if not pieces:  # a gap of days would take as long as data
            return {name: np.empty(0) for name in names}, np.empty(0, dtype=bool)
        recorded = np.zeros(end - begin, dtype=bool)
        # In the file, the pieces follow each other.
        offset = pieces[0][0] - pieces[0][2]
        rows = self._get_samples(names, offset, pieces[-1][1] - pieces[-1][2])
        data = {
            name: np.full(end - begin, np.nan, row.dtype)
            for name, row in zip(names, rows, strict=True)
        }
        for i, j, moved in pieces:
            for name, row in zip(names, rows, strict=True):
                data[name][i - begin : j - begin] = row[i - moved - offset : j - moved - offset]
            recorded[i - begin : j - begin] = True
        return data, recorded

    def _count_samples(self, name: str) -> int:
        """Count the samples of a channel, excluding gaps."""
        return int(self.raw.n_times)

    def _get_samples(
        self, names: Sequence[str], begin: int, end: int
    ) -> Sequence[NDArray[np.floating]]:
        """Read samples from ``begin`` to ``end``, gaps not counted, one array per channel."""
        # By index, because MNE rejects names that are also a channel type, such as "ecg".
        picks = [self.raw.ch_names.index(name) for name in names]
        try:
            # In the order of the file, which is fastest.
            with use_log_level("error"):  # MNE's own would leave the level of another thread
                rows = self.raw.get_data(sorted(picks), start=begin, stop=end)
        except Exception as error:
            files = ", ".join(str(name) for name in self.raw.filenames if name is not None)
            raise ValueError(
                f"The samples of {files or 'the recording'} cannot be read "
                f"({summarize_error(error)}). Check that the file is complete and still exists."
            ) from error
        if not np.isrealobj(rows):
            raise ValueError(
                f"The recording contains complex numbers ({rows.dtype}). Pass the recorded "
                "signals, not a transform of them."
            )
        order = np.argsort(np.argsort(picks))
        return [np.asarray(rows[i], dtype=np.float64) for i in order]


class EdfReader(RawReader):
    """Read an EDF or BDF file, each channel at its own rate, with the gaps of the file.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The file as opened by MNE, for channel names, types and the start time.
    path : Path
        The file.
    file : EdfFile
        The header of the file, with as many signals as the Raw has channels.
    """

    is_by_channel = True

    def __init__(self, raw: mne.io.BaseRaw, path: Path, file: EdfFile) -> None:
        super().__init__(raw, path, file)
        self._file = file
        rates = [rate for _, rate in file.rates]
        self.rates = dict(zip(raw.ch_names, rates, strict=True))
        self.gaps = file.gaps
        if self.gaps:
            # MNE ignores gaps, and drops annotations that come after the shortened recording.
            self.annotations = file.annotations

    def _count_samples(self, name: str) -> int:
        return self._file.count_samples(self.raw.ch_names.index(name))

    def _get_samples(
        self, names: Sequence[str], begin: int, end: int
    ) -> Sequence[NDArray[np.floating]]:
        signals = [self.raw.ch_names.index(name) for name in names]
        try:
            return [self._file.read_samples(signal, begin, end) for signal in signals]
        except (OSError, ValueError) as error:
            raise ValueError(
                f"The samples of {self.path} cannot be read ({summarize_error(error)}). Check that "
                "the file is complete and still exists."
            ) from error


def make_reader(raw: mne.io.BaseRaw | Path) -> RawReader:
    """Choose a reader for a recording.

    Parameters
    ----------
    raw : mne.io.BaseRaw or Path
        A Raw, or an existing file.

    Returns
    -------
    reader : RawReader
        The reader, which has read the header but no samples.

    Raises
    ------
    ValueError
        If the file cannot be read as a recording.
    """
    if isinstance(raw, mne.io.BaseRaw):
        warn_of_ignored_gaps(raw)
        return RawReader(raw)
    path = raw
    file = _open_edf(path)
    is_cut = file is not None and _warn_of_cut(file)
    if path.suffix.lower() in brainvision.SUFFIXES:
        brainvision.check_channels(path)
    raw = _open_raw(path, is_cut=is_cut)
    if path.suffix.lower() in brainvision.SUFFIXES:
        _warn_of_missing(path, raw)
    joins = find_joins(raw, path)
    warn_of_joins(raw, joins)
    if file is not None:
        warn_of_jumps(file)
    if path.suffix.lower() not in SUFFIXES:
        return RawReader(raw, path, gaps=list_gaps(joins, float(raw.info["sfreq"])))
    n_signals = 0 if file is None else len(file.signals)
    if file is not None and n_signals == len(raw.ch_names):
        return EdfReader(raw, path, file)
    warn(
        f"The header of {path.name} lists {n_signals} signals, but MNE reads {len(raw.ch_names)} "
        "channels, so that their sampling rates are unknown. All channels are read at "
        f"{raw.info['sfreq']:g} Hz, to which MNE resamples slower ones. Check the file."
    )
    return RawReader(raw, path)


def _find_start(raw: mne.io.BaseRaw, path: Path | None, file: EdfFile | None) -> datetime | None:
    """Find the time of the first sample; None, with a warning, if it is implausible."""
    days = raw.first_time / DAY_S
    if raw.info["meas_date"] is None or abs(days) <= LONGEST_DAYS:
        # A Raw of the user is not modified.
        return find_start(raw) if path is None else correct_start(raw, file)
    warn(
        f"The start of the recording is unknown: its header says that the first sample was taken "
        f"{days:,.4g} days after the date of the recording, {raw.info['meas_date']:%Y-%m-%d}. "
        "Export it again, with the date of the first sample."
    )
    return None


def _open_edf(path: Path) -> EdfFile | None:
    """Open an EDF or BDF file, which must have signals; None for other formats."""
    if path.suffix.lower() not in SUFFIXES:
        return None
    try:
        file = open_edf(path)
    except MisnamedError:
        raise
    except ValueError:  # MNE raises a more specific error, or can read the file
        return None
    if not file.signals:
        raise ValueError(
            f"{path} has no signals: it is a file of annotations, such as a hypnogram. Pass the "
            "recording."
        )
    return file


def _warn_of_cut(file: EdfFile) -> bool:
    """Warn if a file is shorter than its header says, and return whether it is."""
    try:
        cut = file.cut
    except ValueError:  # records without samples, for which MNE raises an error
        return False
    if cut is not None:
        _warn_of_length(file.path, *cut)
    return cut is not None


def _warn_of_length(path: Path, expected: float, found: float) -> None:
    """Warn that a file contains fewer seconds than expected."""
    # A header can claim more than a timedelta holds.
    is_long = expected > 1000 * DAY_S
    claimed = f"{expected / DAY_S:,.0f} days" if is_long else timedelta(seconds=round(expected))
    warn(
        f"The header of {path.name} gives a duration of {claimed} (h:min:s), but the file contains "
        f"{timedelta(seconds=round(found))}: the file was cut off. Copy or export it again, or "
        "stage only this part."
    )


def _warn_of_missing(path: Path, raw: mne.io.BaseRaw) -> None:
    """Warn if samples of a BrainVision recording are missing."""
    n_samples = brainvision.read_length(path)
    if n_samples > raw.n_times:
        _warn_of_length(path, *(n / raw.info["sfreq"] for n in (n_samples, raw.n_times)))


def _open_raw(path: Path, *, is_cut: bool) -> mne.io.BaseRaw:
    """Open a file with MNE, and issue its warnings as warnings of this package."""
    with catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        raw = _read_raw(path)
    for one in caught or []:
        text = str(one.message)
        # MNE does not tell how much is missing of a file that was cut off, nor where a boundary is,
        # nor which date is invalid.
        told = (_BOUNDARIES, _INVALID_DATE, _NAMING, *((_CUT,) if is_cut else ()))
        is_told = text.startswith(told)
        if not is_told:
            warn(text)
    if not (np.isfinite(raw.info["sfreq"]) and raw.info["sfreq"] > 0):
        raise ValueError(
            f"The header of {path} gives a sampling rate of {raw.info['sfreq']:g} Hz. Export the "
            "file again."
        )
    return raw


def _read_raw(path: Path, **options: Any) -> mne.io.BaseRaw:
    """Open a file with MNE, without reading its samples."""
    try:
        return mne.io.read_raw(path, preload=False, **options)
    except Exception as error:
        is_edf = path.suffix.lower() in SUFFIXES
        if is_edf and "latin1" in str(error) and not options:
            return _read_raw(path, encoding="latin1")
        if is_edf and (raw := open_without_clock(path)) is not None:
            return raw
        hint = ""
        if path.suffix.lower() in (".eeg", ".vmrk"):
            hint = "; for a BrainVision recording, pass the .vhdr file"
        elif isinstance(error, OverflowError):
            hint = ", and that its dates and the times of its annotations are possible"
        raise ValueError(
            f"{path} cannot be read as a recording ({summarize_error(error)}). Check that the file "
            f"is complete and in a format that mne.io.read_raw reads{hint}."
        ) from error
