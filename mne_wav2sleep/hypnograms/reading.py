"""Reading scored stages from files and annotations, as a yasa.Hypnogram."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import mne
import numpy as np
import pandas as pd
import yasa

from ..cautions import warn
from ..errors import summarize_error
from ..formats.edf import SUFFIXES, MisnamedError, open_edf
from ..modalities import EPOCH_S
from ..verbosity import Verbosity, check_option, check_type, verbose
from .aligning import change_hypnogram, cut_hypnogram
from .annotations import read_lines, read_luna
from .events import read_events
from .files import check_unpacked
from .json import read_json
from .names import is_stage
from .placing import Scoring, is_placeholder, place_scoring
from .tables import read_table
from .wsc import GAMMA, TWIN, read_gamma, read_twin
from .xml import read_xml

HypnogramSource: TypeAlias = yasa.Hypnogram | str | Path | None
"""A hypnogram, a file, or None for the annotations of a recording."""

_FOLDER = ".ds"
"""Suffix of the only format that is a folder and has annotations, CTF."""

_READERS: dict[str, Callable[[Path], tuple[yasa.Hypnogram, float | None]]] = {
    **{".json": read_json, ".xml": read_xml, ".rml": read_xml},
    **{".txt": read_lines, ".eannot": read_lines, ".csv": read_table, ".tsv": read_table},
    ".annot": read_luna,
}
"""Suffix -> reader; EDF is placed by its clock, and other files are left to MNE."""

FILE_SUFFIXES = (*_READERS, *SUFFIXES)
"""Suffixes, in lower case, of the files of stages that are known by them."""


@verbose
def read_hypnogram(
    source: HypnogramSource,
    raw: mne.io.BaseRaw | None = None,
    *,
    scorer: str | None = None,
    onsets_from: str | None = None,
    meas_date_is_local: bool | None = None,
    verbose: Verbosity = None,
) -> yasa.Hypnogram:
    """Read scored stages from a file, or from the annotations of a recording.

    Parameters
    ----------
    source : yasa.Hypnogram, str, Path or None
        One of:

        - a hypnogram;
        - a file: ``.json`` of YASA, ``.xml`` of Compumedics Profusion or NSRR, ``.rml`` of Philips
          Sleepware, ``.csv`` or ``.tsv`` (a column ``stage``, ``trial_type``, ``description`` or
          ``value`` with one stage per row, or beside ``onset`` and ``duration`` in s from the start
          of the recording; of several such columns, the first that names a stage; or a table of
          epochs that ``stage --epochs`` has written), ``.txt`` with one stage per line,
          ``.stg.txt`` or ``.allscore.txt`` of the Wisconsin Sleep Cohort, ``.annot`` or
          ``.eannot`` of Luna, EDF+ or BDF+, annotations that MNE has saved, or any other file that
          :func:`mne.read_annotations` reads;
        - None for the annotations of ``raw``.
    raw : mne.io.BaseRaw or None
        The recording, or a part of it. If it has a date, onsets relative to its start are
        converted to clock time.
    scorer : str or None
        Name of the scorer; None for the name in the source, or ``"expert"`` if it has none.
    onsets_from : str or None
        From where onsets in s count, if the Raw was cropped (``raw.first_samp`` is not 0):
        ``"recording"``, the start of the recording from which it was cropped, or ``"raw"``, its
        first sample. None for the recording, with a warning. Dates are not affected.
    meas_date_is_local : bool or None
        Whether the date of the recording, which MNE labels UTC, is local time, as in
        :meth:`yasa.Hypnogram.upsample_to_data`. It only matters for a hypnogram with another time
        zone. None for local time, with a warning then. False raises an error if the stages have a
        date without any time zone.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    hyp : yasa.Hypnogram
        The stages in 30-s epochs, with 4 or 5 stages (2 or 3 if the source is a hypnogram, or a
        ``.json``, of so many), and ``UNS`` in epochs without one. It has a
        start if the source has a date, or has onsets and the recording a date. Otherwise it begins
        with the recording: it is padded with ``UNS`` if the first stage is later, and cropped if it
        is earlier. If the source has neither a date nor onsets, its first stage is taken for that
        of the first epoch, with a warning if the recording is shorter or longer.

    Raises
    ------
    ValueError
        If there are no stages, unknown ones, or they are not per 30 s, or if stages without a date
        do not begin with an epoch of the recording. Also if ``meas_date_is_local`` is False, and
        the stages have a date without a time zone, but the recording has one.
    FileNotFoundError
        If there is no such file.

    See Also
    --------
    write_hypnogram : Write a hypnogram to a file.
    align_hypnogram : Align a hypnogram to the epochs of another one.

    Notes
    -----
    Stages may be named as by the AASM, by Rechtschaffen and Kales, by the most common systems, and
    in English, German, French, Spanish, Italian, Portuguese and Dutch. Events without a duration
    that change the stage last until the next. Other events are ignored, unless they look like
    stages of an unknown name. Epochs between stages that have none, and are not marked as unscored,
    are warned of.

    Examples
    --------
    >>> from mne_wav2sleep import simulate_night
    >>> raw = simulate_night(duration=3600, seed=0, verbose="error")
    >>> hyp = read_hypnogram(None, raw, scorer="simulated")
    >>> hyp.n_epochs, hyp.scorer, str(hyp.start)
    (120, 'simulated', '2000-01-01 22:30:00+00:00')
    """
    hyp, onset = locate_hypnogram(
        source,
        raw,
        scorer=scorer,
        onsets_from=onsets_from,
        meas_date_is_local=meas_date_is_local,
        fewest_stages=2,
    )
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
    onsets_from: str | None = None,
    meas_date_is_local: bool | None = None,
    check_length: bool = True,
    fewest_stages: int = 4,
) -> tuple[yasa.Hypnogram, float | None]:
    """Read stages, and find their onset in a recording.

    Parameters
    ----------
    source, raw, scorer, onsets_from, meas_date_is_local
        As in :func:`read_hypnogram`.
    check_length : bool
        Whether to warn if the stages and the recording differ in length and may not belong
        together.
    fewest_stages : int
        Smallest number of stages.

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
    check_option("onsets_from", onsets_from, [None, "recording", "raw"])
    scoring = _read(source, raw)
    hyp = scoring.hyp
    if scorer is not None or hyp.scorer is None:
        hyp = change_hypnogram(hyp, scorer=scorer or "expert")
    if pd.Timedelta(hyp.freq).total_seconds() != EPOCH_S:
        raise ValueError(
            f"The hypnogram has epochs of {hyp.freq}; wav2sleep's are 30 s long. Give one with "
            "epochs of 30 s."
        )
    if hyp.n_stages < fewest_stages:
        raise ValueError(
            f"The hypnogram has {hyp.n_stages} stages; wav2sleep needs 4 or 5. Give one with more."
        )
    return place_scoring(
        replace(scoring, hyp=hyp),
        raw,
        onsets_from=onsets_from,
        meas_date_is_local=meas_date_is_local,
        check_length=check_length,
    )


def _read(source: HypnogramSource, raw: mne.io.BaseRaw | None) -> Scoring:
    """Read the stages, and their time if the source defines it."""
    if isinstance(source, yasa.Hypnogram):
        return _describe_hypnogram(source)
    if source is not None:
        return _read_file(Path(source).expanduser(), raw)
    if raw is None:
        raise ValueError("There is nothing to read: source and raw are both None. Give one.")
    # Onsets are relative to the date, or, if there is none, to sample 0.
    hyp, onset = _read_annotations(_drop_crop_remains(raw), "The recording", raw.first_time)
    return Scoring(hyp, onset=onset, is_of_raw=True)


def _describe_hypnogram(hyp: yasa.Hypnogram) -> Scoring:
    """Find the start of a hypnogram."""
    is_dated = hyp.start is not None and not is_placeholder(hyp.start)
    return Scoring(hyp, begin=hyp.start, is_dated=is_dated)


def _read_file(path: Path, raw: mne.io.BaseRaw | None) -> Scoring:
    """Read a file, by its suffix."""
    suffix = path.suffix.lower()
    if not path.exists():
        raise FileNotFoundError(f"There is no hypnogram at {path}. Check the path.")
    if path.is_dir() and suffix != _FOLDER:
        raise ValueError(f"{path} is a folder, not a hypnogram. Give the file in it.")
    if not path.is_dir() and not path.is_file():
        raise ValueError(f"{path} is a pipe or a device, not a file. Write the stages to a file.")
    if suffix in SUFFIXES:
        return _read_edf(path, raw)
    if path.name.lower().endswith(TWIN):
        return read_twin(path)
    if reader := read_gamma if path.name.lower().endswith(GAMMA) else _READERS.get(suffix):
        hyp, onset = reader(path)
        # Two dates place the stages; otherwise, onsets count from the start of the recording.
        return replace(_describe_hypnogram(hyp), onset=onset)
    if suffix in (".gz", ".zip"):
        check_unpacked(path)
    try:
        annotations = mne.read_annotations(path)
    except Exception as error:  # of any type, if the file is damaged
        raise ValueError(
            f"{path} has no annotations that MNE can read ({summarize_error(error)}). Export the "
            "stages again, or in another format, such as .csv."
        ) from error
    hyp, first = _read_annotations(annotations, str(path))
    begin = annotations.orig_time
    if begin is not None and begin.timestamp() == 0:  # how MNE writes that there is none
        begin = None
    is_dated = begin is not None and not is_placeholder(begin)
    return Scoring(hyp, begin=begin, first=first, is_dated=is_dated, onset=first)


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
    annotations: mne.Annotations, source: str, offset: float = 0.0
) -> tuple[yasa.Hypnogram, float]:
    """Read annotations whose onsets are relative to ``offset`` s before what they are read for."""
    onsets = annotations.onset - offset
    return read_events(onsets, annotations.duration, list(annotations.description), source)


def _read_edf(path: Path, raw: mne.io.BaseRaw | None) -> Scoring:
    """Read the annotations of an EDF or BDF file, with its start time."""
    try:
        file = open_edf(path)
    except MisnamedError:
        raise
    except ValueError as error:
        raise ValueError(
            f"{path} is not an EDF or BDF file ({summarize_error(error)}). Export it again."
        ) from error
    hyp, first = _read_annotations(file.annotations, str(path))
    files = [] if raw is None else [Path(name) for name in raw.filenames if name is not None]
    if raw is not None and len(files) == 1 and files[0].exists() and files[0].samefile(path):
        return Scoring(hyp, onset=first - raw.first_time, is_of_raw=True)
    start = file.read_start()
    if start.doubt:
        remedy = "its onsets count from the recording" if start.time is None else "the rest is used"
        warn(f"The header of {path.name} {start.doubt}; {remedy}. Correct the header.")
    # Onsets are relative to the recording, except 0, which may stand for an unknown onset.
    is_dated = start.is_dated and start.time is not None and not is_placeholder(start.time)
    onset = None if is_dated else first or None
    return Scoring(hyp, begin=start.time, first=first, is_dated=is_dated, onset=onset)
