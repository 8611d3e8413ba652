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

from ..cautions import warn
from ..clock import find_start
from ..errors import summarize_error
from ..formats import brainvision
from ..formats.edf import SUFFIXES, EdfFile, open_edf
from .joins import (
    find_joins,
    find_paused_files,
    list_gaps,
    move_annotations,
    warn_of_joins,
    warn_of_late_date,
)

_CUT = "Number of records from the header"
_BOUNDARIES = "The data contains 'boundary' events"
"""Beginnings of warnings of MNE for which this package has its own."""


class RawReader:
    """Read a recording through MNE.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording, preloaded or not.
    path : Path or None
        The file, if the user passed a path.
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

    See Also
    --------
    make_reader : Choose a reader for a recording.
    """

    def __init__(
        self,
        raw: mne.io.BaseRaw,
        path: Path | None = None,
        gaps: Sequence[tuple[float, float]] = (),
    ) -> None:
        self.raw = raw
        self.path = path
        self.start: datetime | None = find_start(raw)
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

    def read(
        self, names: Sequence[str], start: float = 0.0, stop: float | None = None
    ) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.bool_]]:
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
            Samples in MNE's units at the rate of the channels, NaN in gaps. The sample at ``stop``
            is included if it exists, because the network's grid includes the end of the last epoch.
        recorded : array of bool, shape (n_samples,)
            False in gaps.

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
            return dict(zip(names, rows, strict=True)), np.ones(end - begin, dtype=bool)
        data = {name: np.full(end - begin, np.nan) for name in names}
        recorded = np.zeros(end - begin, dtype=bool)
        for first, last, moved in zip([0, *ends], ends, moves, strict=False):
            i, j = max(first + moved, begin), min(last + moved, end)
            if i < j:
                for name, row in zip(
                    names, self._get_samples(names, i - moved, j - moved), strict=True
                ):
                    data[name][i - begin : j - begin] = row
                recorded[i - begin : j - begin] = True
        return data, recorded

    def _count_samples(self, name: str) -> int:
        """Count the samples of a channel, excluding gaps."""
        return int(self.raw.n_times)

    def _get_samples(
        self, names: Sequence[str], begin: int, end: int
    ) -> Sequence[NDArray[np.float64]]:
        """Read samples from ``begin`` to ``end``, gaps not counted, one array per channel."""
        # By index, because MNE rejects names that are also a channel type, such as "ecg".
        picks = [self.raw.ch_names.index(name) for name in names]
        try:
            # In the order of the file, which is fastest.
            rows = self.raw.get_data(sorted(picks), start=begin, stop=end, verbose="error")
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

    def __init__(self, raw: mne.io.BaseRaw, path: Path, file: EdfFile) -> None:
        super().__init__(raw, path)
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
    ) -> Sequence[NDArray[np.float64]]:
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
        _warn_of_ignored_gaps(raw)
        warn_of_late_date(raw)
        return RawReader(raw)
    path = raw
    file = _open_edf(path)
    is_cut = file is not None and _warn_of_cut(file)
    if path.suffix.lower() in brainvision.SUFFIXES:
        brainvision.check_claims(path)
    raw = _open_raw(path, is_cut=is_cut)
    if warn_of_late_date(raw):
        raw.set_meas_date(None)
    joins = find_joins(raw, path)
    warn_of_joins(raw, joins)
    if path.suffix.lower() not in SUFFIXES:
        return RawReader(raw, path, list_gaps(joins, float(raw.info["sfreq"])))
    n_signals = 0 if file is None else len(file.signals)
    if file is not None and n_signals == len(raw.ch_names):
        return EdfReader(raw, path, file)
    warn(
        f"The header of {path.name} lists {n_signals} signals, but MNE reads {len(raw.ch_names)} "
        "channels, so that their sampling rates are unknown. All channels are read at "
        f"{raw.info['sfreq']:g} Hz, to which MNE resamples slower ones. Check the file."
    )
    return RawReader(raw, path)


def list_edf_files(raw: mne.io.BaseRaw) -> list[Path]:
    """List the existing EDF and BDF files of a Raw.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.

    Returns
    -------
    files : list of Path
        Its files, whose channels may differ in rate.
    """
    files = [Path(name) for name in raw.filenames if name is not None]
    return [file for file in files if file.suffix.lower() in SUFFIXES and file.exists()]


def _warn_of_ignored_gaps(raw: mne.io.BaseRaw) -> None:
    """Warn if the files of a Raw have gaps, which MNE ignores."""
    paused = find_paused_files(raw)
    for file in [*filter(_has_gaps, list_edf_files(raw)), *paused]:
        warn(
            f"This Raw reads {file.name}, a discontinuous recording, without its gaps, so that "
            f"stages after a gap are too early. Pass the path instead, "
            f"SleepStagerW2S({str(file)!r})."
        )
    joins = find_joins(raw)
    warn_of_joins(raw, [join for join in joins if not (paused and join.mark.startswith("New"))])


def _has_gaps(path: Path) -> bool:
    """Return whether an EDF or BDF file has gaps."""
    try:
        file = open_edf(path)
    except ValueError:  # which is not an EDF any more
        return False
    try:
        return bool(file.gaps)
    except ValueError:  # it has gaps, and does not say where
        return True


def _open_edf(path: Path) -> EdfFile | None:
    """Open an EDF or BDF file, which must have signals; None for other formats."""
    if path.suffix.lower() not in SUFFIXES:
        return None
    try:
        file = open_edf(path)
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
    if cut is None:
        return False
    expected, found = (str(timedelta(seconds=round(length))) for length in cut)
    warn(
        f"The header of {file.path.name} gives a duration of {expected} (h:min:s), but the file "
        f"contains {found}: the file was cut off. Copy or export it again, or stage only this part."
    )
    return True


def _open_raw(path: Path, *, is_cut: bool) -> mne.io.BaseRaw:
    """Open a file with MNE, and issue its warnings as warnings of this package."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        raw = _read_raw(path)
    for one in caught:
        text = str(one.message)
        # MNE does not tell how much is missing of a file that was cut off, nor where a boundary is.
        is_told = text.startswith(_BOUNDARIES) or (is_cut and text.startswith(_CUT))
        if not is_told:
            warn(text)
    return raw


def _read_raw(path: Path, **options: Any) -> mne.io.BaseRaw:
    """Open a file with MNE, without reading its samples."""
    try:
        return mne.io.read_raw(path, preload=False, **options)
    except Exception as error:
        is_edf = path.suffix.lower() in SUFFIXES
        if is_edf and "latin1" in str(error) and not options:
            return _read_raw(path, encoding="latin1")
        hint = "; for a BrainVision recording, pass the .vhdr file"
        is_brainvision = path.suffix.lower() in (".eeg", ".vmrk")
        raise ValueError(
            f"{path} cannot be read as a recording ({summarize_error(error)}). Check that the file "
            f"is complete and in a format that mne.io.read_raw reads{hint * is_brainvision}."
        ) from error
