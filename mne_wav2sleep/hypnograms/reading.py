"""Reading scored stages from files and annotations, as a yasa.Hypnogram."""

import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import mne
import numpy as np
import pandas as pd
import yasa

from ..cautions import warn
from ..clock import count_epochs, find_start, subtract_clocks
from ..errors import summarize_error
from ..formats.edf import NO_DATE, SUFFIXES, open_edf
from ..modalities import EPOCH_S
from ..verbosity import Verbosity, check_type, verbose
from .aligning import change_hypnogram, cut_hypnogram
from .events import read_events
from .names import is_stage
from .tables import read_table, read_text
from .xml import read_xml

HypnogramSource: TypeAlias = yasa.Hypnogram | str | Path | None
"""A hypnogram, a file, or None for the annotations of a recording."""

_Onset = float | None
"""Seconds from the first sample of a recording to the first epoch; None if unknown."""

_FOLDER = ".ds"
"""Suffix of the only format that is a folder and has annotations, CTF."""


@verbose
def read_hypnogram(
    source: HypnogramSource,
    raw: mne.io.BaseRaw | None = None,
    *,
    scorer: str | None = None,
    verbose: Verbosity = None,
) -> yasa.Hypnogram:
    """Read scored stages from a file, or from the annotations of a recording.

    Parameters
    ----------
    source : yasa.Hypnogram, str, Path or None
        One of:

        - a hypnogram;
        - a file: ``.json`` of YASA, ``.xml`` of Compumedics Profusion or NSRR, ``.csv`` or ``.tsv``
          (one stage per row, or events with onset and duration in s from the start of the
          recording), ``.txt`` with one stage per line, EDF+ or BDF+, or any other file that
          :func:`mne.read_annotations` reads;
        - None for the annotations of ``raw``.
    raw : mne.io.BaseRaw or None
        The recording, or a part of it. If it has a date, onsets relative to its start are
        converted to clock time.
    scorer : str or None
        Name of the scorer; None for the name in the source, or ``"expert"`` if it has none.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    hyp : yasa.Hypnogram
        The stages in 30-s epochs, with 4 or 5 stages, and ``UNS`` in epochs without one. It has a
        start if the source has a date, or has onsets and the recording a date. Otherwise it begins
        with the recording: it is padded with ``UNS`` if the first stage is later, and cropped if it
        is earlier. If the source has neither a date nor onsets, its first stage is taken for that
        of the first epoch, with a warning if the recording is shorter or longer.

    Raises
    ------
    ValueError
        If there are no stages, unknown ones, or they are not per 30 s, or if stages without a date
        do not begin with an epoch of the recording.
    FileNotFoundError
        If there is no such file.

    See Also
    --------
    write_hypnogram : Write a hypnogram to a file.
    align_hypnogram : Align a hypnogram to the epochs of another one.

    Notes
    -----
    Stages may be named as by the AASM, by Rechtschaffen and Kales, by the most common systems, and
    in seven languages. Events without a duration that change the stage last until the next. Other
    events are ignored, unless they look like stages of an unknown name. Epochs between stages that
    have none, and are not marked as unscored, are warned of.

    Examples
    --------
    >>> from mne_wav2sleep import simulate_night
    >>> raw = simulate_night(duration=3600, seed=0, verbose="error")
    >>> hyp = read_hypnogram(None, raw, scorer="simulated")
    >>> hyp.n_epochs, hyp.scorer, str(hyp.start)
    (120, 'simulated', '2000-01-01 22:30:00+00:00')
    """
    hyp, onset = locate_hypnogram(source, raw, scorer=scorer)
    if hyp.start is not None or not onset:
        return hyp
    first = round(onset / EPOCH_S)
    if abs(onset - first * EPOCH_S) > 0.01:
        raise ValueError(
            f"The stages begin {abs(onset):g} s {'after' if onset > 0 else 'before'} the start of "
            "the recording, which is not a multiple of 30 s, and there is no date to give them a "
            "start. Give the recording, raw=, with its date."
        )
    if first + hyp.n_epochs <= 0:
        raise ValueError(
            f"The stages end {abs(first + hyp.n_epochs) / 2:g} min before the recording begins. "
            "Give the stages of this recording."
        )
    return cut_hypnogram(hyp, first, first + hyp.n_epochs)


def locate_hypnogram(
    source: HypnogramSource,
    raw: mne.io.BaseRaw | None,
    *,
    scorer: str | None = None,
    check_length: bool = True,
) -> tuple[yasa.Hypnogram, float | None]:
    """Read stages, and find their onset in a recording.

    Parameters
    ----------
    source, raw, scorer
        As in :func:`read_hypnogram`.
    check_length : bool
        Whether to warn if the stages and the recording differ in length and may not belong
        together.

    Returns
    -------
    hyp : yasa.Hypnogram
        The stages, with a start if it is known.
    onset : float or None
        Seconds from the first sample of the recording to the first epoch; None if unknown, for
        example because one of them has no date.
    """
    check_type(source, (yasa.Hypnogram, "path-like", None), "source")
    check_type(raw, (mne.io.BaseRaw, None), "raw")
    start = None if raw is None else find_start(raw)
    hyp, onset = _read(source, raw, start)
    if scorer is not None or hyp.scorer is None:
        hyp = change_hypnogram(hyp, scorer=scorer or "expert")
    if pd.Timedelta(hyp.freq).total_seconds() != EPOCH_S:
        raise ValueError(
            f"The hypnogram has epochs of {hyp.freq}; wav2sleep's are 30 s long. Give one with "
            "epochs of 30 s."
        )
    if hyp.n_stages not in (4, 5):
        raise ValueError(
            f"The hypnogram has {hyp.n_stages} stages; wav2sleep needs 4 or 5. Give one with more."
        )
    if raw is not None and hyp.start is None and check_length:
        _warn_of_end(hyp, onset, raw)
    if start is not None and onset is not None and hyp.start is None:
        return change_hypnogram(hyp, start=start + timedelta(seconds=onset)), onset
    if onset is None and hyp.start is not None and start is not None:
        onset = subtract_clocks(hyp.start, start)
    if onset is None and raw is not None and check_length:
        _warn_of_length(hyp, raw)
    return hyp, onset


def _read(
    source: HypnogramSource, raw: mne.io.BaseRaw | None, start: datetime | None
) -> tuple[yasa.Hypnogram, _Onset]:
    """Read the stages, and their onset if the source defines it."""
    if isinstance(source, yasa.Hypnogram):
        return source, None
    if source is not None:
        return _read_file(Path(source).expanduser(), raw, start)
    if raw is None:
        raise ValueError("There is nothing to read: source and raw are both None. Give one.")
    # Onsets are relative to the date, or, if there is none, to sample 0.
    return _read_annotations(_drop_crop_remains(raw), "The recording", raw.first_time)


def _read_file(
    path: Path, raw: mne.io.BaseRaw | None, start: datetime | None
) -> tuple[yasa.Hypnogram, _Onset]:
    """Read a file, by its suffix."""
    suffix = path.suffix.lower()
    if not path.exists():
        raise FileNotFoundError(f"There is no hypnogram at {path}. Check the path.")
    if path.is_dir() and suffix != _FOLDER:
        raise ValueError(f"{path} is a folder, not a hypnogram. Give the file in it.")
    if suffix in SUFFIXES:
        return _read_edf(path, raw, start)
    if suffix == ".json":
        return _read_json(path), None
    readers = {".xml": read_xml, ".txt": read_text, ".csv": read_table, ".tsv": read_table}
    if reader := readers.get(suffix):
        return reader(path)
    try:
        annotations = mne.read_annotations(path)
    except Exception as error:  # of any type, if the file is damaged
        raise ValueError(
            f"{path} has no annotations that MNE can read ({summarize_error(error)}). Export the "
            "stages again, or in another format, such as .csv."
        ) from error
    if raw is None and annotations.orig_time is not None:
        hyp, first = _read_annotations(annotations, str(path), 0.0)
        begin = annotations.orig_time + timedelta(seconds=first)
        return change_hypnogram(hyp, start=begin), None
    offset = 0.0
    if annotations.orig_time is not None and start is not None:
        offset = subtract_clocks(start, annotations.orig_time)
    return _read_annotations(annotations, str(path), offset)


def _drop_crop_remains(raw: mne.io.BaseRaw) -> mne.Annotations:
    """Drop the stage that a crop at the edge of an epoch leaves, without duration."""
    annotations = raw.annotations
    stages = np.array([is_stage(text) for text in annotations.description], dtype=bool)
    is_first = np.abs(annotations.onset - raw.first_time) < 0.5 / raw.info["sfreq"]
    remains = stages & is_first & (annotations.duration == 0)
    # In some formats no stage has a duration.
    has_durations = (annotations.duration[stages] > 0).any()
    return annotations[~remains] if has_durations and remains.any() else annotations


def _read_annotations(
    annotations: mne.Annotations, source: str, offset: float
) -> tuple[yasa.Hypnogram, float]:
    """Read annotations whose onsets are relative to ``offset`` s before the recording."""
    onsets = annotations.onset - offset
    return read_events(onsets, annotations.duration, list(annotations.description), source)


def _read_json(path: Path) -> yasa.Hypnogram:
    """Read a hypnogram in YASA's format."""
    try:
        return yasa.Hypnogram.from_json(str(path))
    except Exception as error:  # of any type, since YASA does not check the file
        raise ValueError(
            f"{path} is not a hypnogram in YASA's format ({summarize_error(error)}). Write it with "
            "yasa.Hypnogram.to_json, or give a file of another format."
        ) from error


def _read_edf(
    path: Path, raw: mne.io.BaseRaw | None, start: datetime | None
) -> tuple[yasa.Hypnogram, _Onset]:
    """Read the annotations of an EDF or BDF file, placed by its start time."""
    try:
        file = open_edf(path)
    except ValueError as error:
        raise ValueError(
            f"{path} is not an EDF or BDF file ({summarize_error(error)}). Export it again."
        ) from error
    hyp, first = _read_annotations(file.annotations, str(path), 0.0)
    files = [] if raw is None else [Path(name) for name in raw.filenames if name is not None]
    if raw is not None and len(files) == 1 and files[0].exists() and files[0].samefile(path):
        return hyp, first - raw.first_time
    begin, is_dated = file.read_start()
    if raw is not None and start is not None and begin is not None and not is_dated:
        # If the dates of both were removed, which MNE reads as NO_DATE, their times of day still
        # place the stages; midnight only does if the recording begins then too.
        is_dated = start.date() == NO_DATE.date() and (
            begin != NO_DATE or raw.info["meas_date"] == NO_DATE
        )
    if begin is None or not is_dated:
        # Onsets are relative to the recording, except 0, which may stand for an unknown onset.
        return hyp, first or None
    if start is None:
        return change_hypnogram(hyp, start=begin + timedelta(seconds=first)), None
    return hyp, first + subtract_clocks(begin, start)


def _warn_of_end(hyp: yasa.Hypnogram, onset: _Onset, raw: mne.io.BaseRaw) -> None:
    """Warn if stages without a date end after the recording."""
    end = 0.0 if onset is None else onset + (hyp.n_epochs - 1) * EPOCH_S
    if end > (lasts := raw.n_times / raw.info["sfreq"]):
        warn(
            f"The hypnogram ends {(end + EPOCH_S) / 60:.1f} min after the start of the recording, "
            f"which lasts {lasts / 60:.1f} min: it may belong to another recording, or to this one "
            "before it was cropped. Give stages with a date, or those of this recording."
        )


def _warn_of_length(hyp: yasa.Hypnogram, raw: mne.io.BaseRaw) -> None:
    """Warn if stages of unknown onset do not match the epochs of the recording."""
    sfreq = raw.info["sfreq"]
    n_epochs = count_epochs(raw.n_times, sfreq)
    # A last epoch that is incomplete may be scored.
    if not n_epochs <= hyp.n_epochs <= max(n_epochs, math.ceil(raw.n_times / sfreq / EPOCH_S)):
        warn(
            f"The hypnogram has {hyp.n_epochs} epochs of 30 s and the recording {n_epochs}, and "
            "they do not both have a date, so the stages may be misplaced. Give the hypnogram a "
            "start and the recording a date, or crop both to the same length."
        )
