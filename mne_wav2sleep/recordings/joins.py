"""Places where a recording was paused, or pieces of it were joined, which MNE reads as continuous.

Readers of MNE mark such a place by an annotation, mostly without the length of the pause; some
formats tell it elsewhere.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import mne
import numpy as np

from ..cautions import warn
from ..formats import brainvision
from ..formats.edf import DRIFT_S, LONGEST_GAP_S, SUFFIXES, EdfFile
from ..formats.meas_date import open_source
from ..verbosity import pluralize, use_log_level

_MARKS = ("bad boundary", "edge boundary", "boundary", "new segment")
"""Annotations that mark a join, in lower case: of :func:`mne.concatenate_raws` and
Nihon Kohden, EEGLAB, and BrainVision."""
_CODES = {".set": ("-99", "-99.0"), ".fdt": ("-99", "-99.0"), ".gdf": ("32766",)}
"""Suffix -> numbers that mark a join: of EEGLAB, where events are numbered, and of GDF (0x7FFE)."""
_FIF_SUFFIXES = (".fif", ".gz")

_BACKWARDS_S = 1.0
_BACKWARDS_SHARE = 1e-4
"""Seconds, and share of the time since the last date, by which a clock may lag behind the samples.
The clocks of a computer and an amplifier differ by up to about 100 parts per million."""


@dataclass(frozen=True)
class Join:
    """A place where two pieces of a recording were joined.

    Attributes
    ----------
    sample : int
        Samples of the recording before it.
    pause : float or None
        Seconds between the two pieces; None if they are unknown.
    mark : str
        What marks it, as annotated.
    """

    sample: int
    pause: float | None
    mark: str


def find_joins(raw: mne.io.BaseRaw, path: Path | None = None) -> list[Join]:
    """Find the joins of a recording.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    path : Path or None
        The file, if the user passed a path. Only then are pauses known, since a Raw may have been
        changed.

    Returns
    -------
    joins : list of Join
        The joins after the first sample and before the end, in order.
    """
    known = {} if path is None else {join.sample: join for join in _read_pauses(raw, path)}
    joins = list(known.values())
    for join in _find_marks(raw):
        # Some marks are half a sample before the first sample of the next piece.
        if not known.keys() & {join.sample - 1, join.sample, join.sample + 1}:
            known[join.sample] = join
            joins.append(join)
    return sorted(
        (join for join in joins if 0 < join.sample < raw.n_times), key=lambda join: join.sample
    )


def _find_marks(raw: mne.io.BaseRaw) -> list[Join]:
    """Find the annotations that mark joins."""
    suffixes = {Path(name).suffix.lower() for name in raw.filenames if name is not None}
    codes = {code for suffix in suffixes for code in _CODES.get(suffix, ())}
    texts = raw.annotations.description.tolist()
    marks = {text for text in set(texts) if _is_mark(text) or text in codes}
    onsets = raw.annotations.onset - raw.first_time
    return [
        Join(_find_sample(onset, raw.info["sfreq"]), None, text.rstrip("/"))
        for text, onset in zip(texts, onsets, strict=True)
        if text in marks and np.isfinite(onset)
    ]


def _find_sample(onset: float, sfreq: float) -> int:
    """Find the first sample after a mark, which EEGLAB puts between two samples."""
    return math.ceil(onset * sfreq - 0.01)


def _is_mark(text: str) -> bool:
    """Return whether an annotation marks a join, in any format."""
    # BrainVision's reader appends a description.
    return text.split("/")[0].strip().lower() in _MARKS


def _read_pauses(raw: mne.io.BaseRaw, path: Path) -> list[Join]:
    """Read the joins from a file that tells how long the pauses were, or that there was none."""
    suffix = path.suffix.lower()
    if suffix in brainvision.SUFFIXES:
        return _measure_pauses(brainvision.read_segments(path), float(raw.info["sfreq"]))
    if suffix == ".set" and _find_marks(raw):
        return _read_eeglab(path, float(raw.info["sfreq"]))
    return _compare_pieces(raw) if suffix in _FIF_SUFFIXES else []


def _measure_pauses(segments: Sequence[tuple[int, datetime | None]], sfreq: float) -> list[Join]:
    """Measure the pauses between segments of which the first sample and the time are known."""
    joins = []
    last: tuple[int, datetime] | None = None
    counted = 0.0
    for sample, time in segments:
        pause = None
        if last is not None and time is not None:
            recorded = (sample - last[0]) / sfreq
            pause = (time - last[1]).total_seconds() - recorded - counted
            if not -_BACKWARDS_S - _BACKWARDS_SHARE * recorded <= pause <= LONGEST_GAP_S:
                pause, last = None, None
            elif pause <= DRIFT_S:
                pause = 0.0
            counted = 0.0 if pause is None else counted + pause
        if last is None and time is not None:
            last = sample, time
        joins.append(Join(sample, pause, "New Segment"))
    return joins


def _read_eeglab(path: Path, sfreq: float) -> list[Join]:
    """Read the boundaries of an EEGLAB file, whose duration is that of the data removed there."""
    joins = []
    # In the Raw, durations end with the data.
    for one in mne.read_annotations(path):
        mark, pause = str(one["description"]), float(one["duration"])
        # Files that were converted have a duration of none or one sample.
        if (_is_mark(mark) or mark in _CODES[".set"]) and pause * sfreq > 1.5:
            is_plausible = pause <= LONGEST_GAP_S
            sample = _find_sample(one["onset"], sfreq)
            joins.append(Join(sample, pause if is_plausible else None, mark))
    return joins


def _compare_pieces(raw: mne.io.BaseRaw) -> list[Join]:
    """Find the files of a split recording that do not continue the one before."""
    sfreq, joins, sample = float(raw.info["sfreq"]), [], 0
    # There is no public attribute.
    for (first, last), following in pairwise(zip(raw._first_samps, raw._last_samps, strict=True)):
        sample += int(last - first + 1)
        pause = float(following[0] - last - 1) / sfreq
        if pause:
            is_plausible = 0 < pause <= LONGEST_GAP_S
            joins.append(Join(sample, pause if is_plausible else None, "the next file of a split"))
    return joins


def _find_paused_files(raw: mne.io.BaseRaw) -> list[Path]:
    """Find the BrainVision files of a Raw that were paused before its end.

    If the Raw was cropped, its marks are gone.
    """
    found = []
    for name in raw.filenames:
        header = brainvision.find_header(Path(name)) if name is not None else None
        if header is not None:
            sfreq = brainvision.read_sfreq(header)
            end = (raw.last_samp + 1) / raw.info["sfreq"] if len(raw.filenames) == 1 else np.inf
            joins = _measure_pauses(brainvision.read_segments(header), sfreq)
            if any(at < end for at, _ in list_gaps(joins, sfreq)):
                found.append(header)
    return found


def _find_paused_split(raw: mne.io.BaseRaw) -> list[Path]:
    """Find the first file of a Raw of a split FIF that was paused between its files."""
    files = [Path(name) for name in raw.filenames if name is not None]
    is_fif = all(file.suffix.lower() in _FIF_SUFFIXES for file in files)
    if not files or not is_fif or not _compare_pieces(raw):
        return []
    # A Raw that was concatenated in memory also has several files, but they do not read as one.
    try:
        with use_log_level("error"):
            whole = mne.io.read_raw_fif(files[0])
    except (OSError, ValueError):  # moved, or not a FIF any more
        return []
    is_split = set(raw.filenames) <= set(whole.filenames) and _compare_pieces(whole)
    return files[:1] if is_split else []


def list_gaps(joins: Iterable[Join], sfreq: float) -> list[tuple[float, float]]:
    """List the pauses of known length as the gaps of a reader.

    Parameters
    ----------
    joins : iterable of Join
        From :func:`find_joins`.
    sfreq : float
        Sampling rate of the recording in Hz.

    Returns
    -------
    gaps : list of (float, float)
        For each pause, the seconds of data before it and its length in seconds.
    """
    return [(join.sample / sfreq, join.pause) for join in joins if join.pause]


def move_annotations(raw: mne.io.BaseRaw, gaps: Sequence[tuple[float, float]]) -> mne.Annotations:
    """Move the annotations of a Raw behind the gaps that MNE ignores.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    gaps : list of (float, float)
        From :func:`list_gaps`.

    Returns
    -------
    annotations : mne.Annotations
        The annotations, with onsets and durations that count the gaps.
    """
    annotations = raw.annotations
    at = np.array([begin for begin, _ in gaps]) - 0.5 / raw.info["sfreq"]
    moves = np.cumsum([0.0, *(length for _, length in gaps)])
    begin = annotations.onset - raw.first_time
    end = begin + annotations.duration
    moved = moves[np.searchsorted(at, begin, side="right")]
    # What ends before a gap is not extended by it.
    longer = moves[np.searchsorted(at, end - 1 / raw.info["sfreq"], side="right")] - moved
    return mne.Annotations(
        annotations.onset + moved,
        annotations.duration + np.maximum(longer, 0.0),
        annotations.description,
        annotations.orig_time,
        annotations.ch_names,
    )


def warn_of_joins(raw: mne.io.BaseRaw, joins: Iterable[Join]) -> None:
    """Warn of joins with a pause of unknown length, after which clock times are wrong.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    joins : iterable of Join
        From :func:`find_joins`.
    """
    unknown = [join for join in joins if join.pause is None]
    if not unknown:
        return
    first, count = unknown[0].sample / raw.info["sfreq"] / 60, len(unknown)
    marks = " and ".join(sorted({repr(join.mark) for join in unknown})[:2])
    warn(
        f"The recording was concatenated from pieces, or paused, for an unknown time. Clock times "
        f"are wrong after {count} boundar{pluralize(count, 'y', 'ies')}, the first after "
        f"{first:.1f} min (annotated {marks}). Split it there with raw.crop, set the date of each "
        "later part with raw.set_meas_date, and stage each part separately."
    )


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


def warn_of_ignored_gaps(raw: mne.io.BaseRaw) -> None:
    """Warn if a Raw, or one of its files, has gaps, which MNE ignores.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        A Raw that the user passed, which may have been changed after it was read.
    """
    paused = _find_paused_files(raw)
    edf_files = [file for path in list_edf_files(raw) if (file := open_source(path)) is not None]
    gapped = [file.path for file in edf_files if _has_gaps(file)]
    for path in [*gapped, *paused, *_find_paused_split(raw)]:
        warn(
            f"This Raw reads {path.name}, a discontinuous recording, without its gaps, so that "
            f"stages after a gap are too early. Pass the path instead, "
            f"SleepStagerW2S({str(path)!r})."
        )
    for file in edf_files:
        warn_of_jumps(file)
    joins = find_joins(raw)
    warn_of_joins(raw, [join for join in joins if not (paused and join.mark.startswith("New"))])


def _has_gaps(file: EdfFile) -> bool:
    """Return whether an EDF or BDF file has gaps."""
    try:
        return bool(file.gaps)
    except ValueError:  # it has gaps, and does not say where
        return True


def warn_of_jumps(file: EdfFile) -> None:
    """Warn if the time stamps of a continuous EDF or BDF file say that it was paused.

    Parameters
    ----------
    file : EdfFile
        The file.
    """
    if jumps := file.find_jumps():
        at, length = jumps[0]
        warn(
            f"{file.path.name} is a continuous recording (EDF+C) according to its header, but the "
            f"time stamps of its records jump at {len(jumps)} place{pluralize(len(jumps))}, first "
            f"by {length:.4g} s after {at / 60:.1f} min. It is read as continuous, and clock times "
            "after that are wrong if it was paused. If it was, export it as EDF+D."
        )
