"""Stages back into recordings and files, under the names that MNE and scoring programs read."""

from datetime import datetime
from os import PathLike
from pathlib import Path

import edfio
import mne
import numpy as np
import pandas as pd
import yasa
from mne.utils import _validate_type
from numpy.typing import NDArray

from ..modalities import EPOCH_S
from ..output import write_whole
from .names import is_stage
from .reading import seconds_after

# EDF+'s standard texts (edfplus.info) for the stages that it has, and YASA's names for the others.
_TEXTS = {
    "WAKE": "Sleep stage W",
    "N1": "Sleep stage N1",
    "N2": "Sleep stage N2",
    "N3": "Sleep stage N3",
    "REM": "Sleep stage R",
    "LIGHT": "Sleep stage LIGHT",
    "DEEP": "Sleep stage DEEP",
    "UNS": "Sleep stage ?",
    "ART": "Sleep stage ?",
}
_CLOCK_S = 2e-6
"""How far two clocks that are kept to the microsecond may be apart."""
SUFFIXES = (".json", ".csv", ".tsv", ".edf", ".txt")
"""Endings of the files that :func:`write_hypnogram` writes."""


def _find_runs(hyp: yasa.Hypnogram) -> tuple[NDArray, NDArray, list[str]]:
    """Onsets and durations in s, and texts, of runs of one stage."""
    stages = hyp.hypno.to_numpy(dtype=object)
    first = np.flatnonzero(np.r_[True, stages[1:] != stages[:-1]])
    lengths = np.diff(np.r_[first, stages.size])
    return first * EPOCH_S, lengths * EPOCH_S, [_TEXTS[stages[i]] for i in first]


def annotate_raw(
    raw: mne.io.BaseRaw,
    hyp: yasa.Hypnogram,
    *,
    has_gaps: bool = False,
    overwrite: bool = False,
) -> mne.io.BaseRaw:
    """Add stages to a Raw as annotations.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording that was staged, or a part of it.
    hyp : yasa.Hypnogram
        Its stages.
    has_gaps : bool
        Whether the recording was staged with gaps that a Raw does not have.
    overwrite : bool
        Replace annotations of sleep stages in the time that was staged; what lies before and after
        it is kept.

    Returns
    -------
    raw : mne.io.BaseRaw
        The same, changed in place.

    Raises
    ------
    ValueError
        If the Raw is not what was staged, or has stages there already.

    Examples
    --------
    >>> info = mne.create_info(["Thorax"], 10.0, "misc")
    >>> raw = mne.io.RawArray(np.zeros((1, 900)), info, verbose="error")
    >>> hyp = yasa.Hypnogram(["WAKE", "N2", "N2"])
    >>> annotate_raw(raw, hyp).annotations.description.tolist()
    ['Sleep stage W', 'Sleep stage N2']
    """
    _validate_type(raw, mne.io.BaseRaw, "raw")
    if has_gaps:
        raise ValueError(
            "The recording was staged with its gaps, which a Raw of MNE does not have, so that "
            "stages after a gap would come too late. Write them with write_hypnogram instead."
        )
    sfreq = raw.info["sfreq"]
    offset = _find_offset(raw, hyp)
    end = raw.n_times / sfreq
    pieces = []
    for onset, duration, text in zip(*_find_runs(hyp), strict=True):
        begin, stop = max(onset + offset, 0.0), min(onset + offset + duration, end)
        if stop > begin:
            pieces.append((begin + raw.first_time, stop - begin, text))
    if not pieces:
        raise ValueError(
            f"The Raw begins at {raw.info['meas_date']} + {raw.first_time:.0f} s, and what was "
            f"staged at {hyp.start}: they have no time in common. Give the Raw that was staged."
        )
    old, remains = _find_stages(raw, pieces[0][0], pieces[-1][0] + pieces[-1][1])
    if old and not overwrite:
        raise ValueError(
            f"The Raw has {len(old)} annotations of sleep stages already, the first "
            f"{raw.annotations.description[old[0]]!r}. Give overwrite=True to replace them, or a "
            "copy without them."
        )
    annotations = raw.annotations
    annotations.delete(old)
    for remain in remains:
        annotations += remain
    annotations.append(*map(list, zip(*pieces, strict=True)))
    return raw


def _find_offset(raw: mne.io.BaseRaw, hyp: yasa.Hypnogram) -> float:
    """Find when the stages begin, in s after the first sample of a Raw."""
    begin, sfreq = raw.info["meas_date"], raw.info["sfreq"]
    if hyp.start is not None and begin is not None:
        offset = seconds_after(hyp.start, begin) - raw.first_time
        # Clocks are kept to the microsecond, and samples lie between.
        sample = round(offset * sfreq) / sfreq
        return sample if abs(offset - sample) < _CLOCK_S else offset
    if hyp.start is not None:
        raise ValueError(
            f"The stages begin at {hyp.start} and the Raw has no date, so that nobody knows where "
            "they belong. Give it the date that it had when it was staged, raw.set_meas_date."
        )
    if begin is not None:
        raise ValueError(
            f"The Raw begins at {begin} and the stages have no date, so that nobody knows where "
            "they belong. Give the Raw as it was staged, or stage it with its date."
        )
    if not 0 <= raw.n_times / sfreq - hyp.n_epochs * EPOCH_S < EPOCH_S:
        raise ValueError(
            f"The Raw lasts {raw.n_times / sfreq:.1f} s, and {hyp.n_epochs} epochs of 30 s were "
            "staged; without a date in both, nobody knows where they belong. Give the Raw that "
            "was staged, or set its date before it is staged."
        )
    return 0.0


def _find_stages(
    raw: mne.io.BaseRaw, begin: float, end: float
) -> tuple[list[int], list[mne.Annotations]]:
    """Find the stages that overlap a span, and what of them lies outside of it."""
    annotations, least = raw.annotations, 0.5 / raw.info["sfreq"]
    found, remains = [], []
    for i, text in enumerate(annotations.description):
        first = annotations.onset[i]
        last = first + annotations.duration[i]
        # One without a duration, as some formats have it, is one epoch's.
        overlaps = first < end - least and (last > begin + least or first >= begin - least)
        if not is_stage(text) or not overlaps:
            continue
        found.append(i)
        for onset, stop in ((first, begin), (end, last)):
            if stop - onset > least:
                remain = annotations[[i]]
                remain.onset[0], remain.duration[0] = onset, stop - onset
                remains.append(remain)
    return found, remains


def write_hypnogram(
    hyp: yasa.Hypnogram, path: str | PathLike[str], *, overwrite: bool = False
) -> None:
    """Write a hypnogram to a file.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram.
    path : path-like
        A file. Its ending says what: ``.json``, all of it, as YASA reads it; ``.csv`` or ``.tsv``,
        its stages as events in BIDS, onset and duration in s from the start of the hypnogram, which
        a stager's has in common with the recording;
        ``.edf``, an EDF+ of annotations alone, ``Sleep stage W`` and so on, with the date;
        ``.txt``, a stage per line: W, N1, N2, N3, R, LIGHT, DEEP, or ``?`` where nothing was
        measured.
    overwrite : bool
        Whether a file that is there may be replaced. A recording never is.

    Raises
    ------
    TypeError, ValueError
        If it is no hypnogram of 4 or 5 stages per 30 s, the ending is another one, it begins in a
        year that an EDF cannot have, or a recording is there.
    FileNotFoundError
        If the folder does not exist.
    FileExistsError
        If there is such a file, and it may not be replaced.
    OSError
        If it cannot be written to its end; what was there is kept then.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "stages.txt"
    >>> write_hypnogram(yasa.Hypnogram(["WAKE", "UNS"]), path)
    >>> path.read_text().split()
    ['W', '?']
    """
    _validate_type(hyp, yasa.Hypnogram, "hyp")
    _validate_type(path, "path-like", "path")
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path} must end in {', '.join(SUFFIXES)}.")
    if pd.Timedelta(hyp.freq).total_seconds() != EPOCH_S or hyp.n_stages not in (4, 5):
        raise ValueError(
            f"The hypnogram has {hyp.n_stages} stages, per {hyp.freq}; what is written here has 4 "
            "or 5, per 30 s. Write others with yasa.Hypnogram.to_json."
        )
    if suffix == ".edf" and hyp.start is not None and not 1985 <= hyp.start.year <= 2084:
        raise ValueError(
            f"An EDF has dates from 1985 to 2084, and the hypnogram begins in {hyp.start.year}. "
            "Write a .json instead, or give it another start."
        )
    with write_whole(path, overwrite=overwrite) as unfinished:
        if suffix == ".json":
            hyp.to_json(unfinished)
        elif suffix == ".edf":
            _write_edf(hyp, unfinished)
        elif suffix == ".txt":
            lines = [_TEXTS[stage].removeprefix("Sleep stage ") for stage in hyp.hypno]
            unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")
        else:
            events = hyp.as_events().rename(columns={"description": "trial_type"})
            events.to_csv(unfinished, sep="\t" if suffix == ".tsv" else ",", index=False)


def _write_edf(hyp: yasa.Hypnogram, path: Path) -> None:
    """Write an EDF+ that holds nothing but annotations."""
    runs = [edfio.EdfAnnotation(*run) for run in zip(*_find_runs(hyp), strict=True)]
    start = datetime(1985, 1, 1) if hyp.start is None else hyp.start
    edfio.Edf(
        [],
        annotations=runs,
        starttime=start.time().replace(tzinfo=None),
        recording=edfio.Recording(startdate=None if hyp.start is None else start.date()),
    ).write(path)
