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
from ..clock import find_start
from ..errors import summarize_error
from ..formats.edf import SUFFIXES, EdfFile, open_edf
from ..verbosity import pluralize, use_log_level


class RawReader:
    """Read a recording through MNE.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording, preloaded or not.
    path : Path or None
        The file, if the user passed a path.

    Attributes
    ----------
    raw : mne.io.BaseRaw
        The recording.
    path : Path or None
        The file.
    rates : dict of str to float
        Channel -> sampling rate in Hz at which it is read.
    gaps : list of (float, float)
        For each gap that MNE ignores, the seconds of data before it and its length in seconds.
    annotations : mne.Annotations
        Annotations, with onsets as in the Raw.
    start : datetime or None
        Time of the first sample, after any cropping; None if the recording has no date.
    n_samples : float
        Length in samples at the rate of the Raw, including gaps.

    See Also
    --------
    make_reader : Choose a reader for a recording.
    """

    def __init__(self, raw: mne.io.BaseRaw, path: Path | None = None) -> None:
        self.raw = raw
        self.path = path
        self.start: datetime | None = find_start(raw)
        self.rates: dict[str, float] = dict.fromkeys(raw.ch_names, float(raw.info["sfreq"]))
        self.gaps: list[tuple[float, float]] = []
        self.annotations: mne.Annotations = raw.annotations

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
        return RawReader(raw)
    path = raw
    file = _open_edf(path)
    is_cut = file is not None and _warn_of_cut(file)
    raw = _open_raw(path, is_cut=is_cut)
    if path.suffix.lower() not in SUFFIXES:
        return RawReader(raw, path)
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
    for file in list_edf_files(raw):
        try:
            edf = open_edf(file)
        except ValueError:  # which is not an EDF any more
            continue
        try:
            has_gaps = bool(edf.gaps)
        except ValueError:  # it has gaps, and does not say where
            has_gaps = True
        if has_gaps:
            warn(
                f"This Raw reads {file.name}, a discontinuous recording, without its gaps, so that "
                f"stages after a gap are too early. Pass the path instead, "
                f"SleepStagerW2S({str(file)!r})."
            )


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
    with catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        raw = _read_raw(path)
    for one in caught or []:
        # MNE's warning that a file was cut off does not tell how much is missing.
        if not (is_cut and str(one.message).startswith("Number of records from the header")):
            warn(str(one.message))
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


def warn_of_joins(raw: mne.io.BaseRaw) -> None:
    """Warn if a recording was concatenated from pieces, so that clock times are wrong.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    """
    boundaries = np.isin(raw.annotations.description, ("BAD boundary", "EDGE boundary"))
    if boundaries.any():
        onsets = raw.annotations.onset[boundaries]
        first, count = (onsets.min() - raw.first_time) / 60, np.unique(onsets).size
        warn(
            f"The recording was concatenated from pieces. Clock times are wrong after {count} "
            f"boundar{pluralize(count, 'y', 'ies')}, the first after {first:.1f} min (annotated "
            "BAD boundary and EDGE boundary). Split it there with raw.crop, and stage each part "
            "separately."
        )
