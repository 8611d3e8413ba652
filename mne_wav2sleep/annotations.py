"""Stages back into recordings and files, under the names that MNE and scoring programs read."""

from datetime import UTC, datetime
from os import PathLike
from pathlib import Path

import edfio
import mne
import numpy as np
import pandas as pd
import yasa
from mne.utils import _validate_type
from numpy.typing import NDArray

from . import edf
from .modalities import EPOCH_S
from .stages import is_stage

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
        Replace annotations of sleep stages that are there.

    Returns
    -------
    raw : mne.io.BaseRaw
        The same, changed in place.

    Raises
    ------
    ValueError
        If the Raw is not what was staged, or has stages already.
    """
    _validate_type(raw, mne.io.BaseRaw, "raw")
    if has_gaps:
        raise ValueError(
            "The recording was staged with its gaps, which a Raw of MNE does not have, so that "
            "stages after a gap would come too late. Write them with write_hypnogram instead."
        )
    offset = 0.0
    if hyp.start is not None and raw.info["meas_date"] is not None:
        start = pd.Timestamp(hyp.start)
        start = start.tz_localize(UTC) if start.tzinfo is None else start
        offset = (start - raw.info["meas_date"]).total_seconds() - raw.first_time
    elif not 0 <= raw.n_times / raw.info["sfreq"] - hyp.n_epochs * EPOCH_S < EPOCH_S:
        raise ValueError(
            f"The Raw lasts {raw.n_times / raw.info['sfreq']:.1f} s, and {hyp.n_epochs} epochs of "
            "30 s were staged; without a date in both, nobody knows where they belong. Give the "
            "Raw that was staged, or set its date before it is staged."
        )
    end = raw.times[-1] + 1 / raw.info["sfreq"]
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
    old = [i for i, text in enumerate(raw.annotations.description) if is_stage(text)]
    if old and not overwrite:
        raise ValueError(
            f"The Raw has {len(old)} annotations of sleep stages already, the first "
            f"{raw.annotations.description[old[0]]!r}. Give overwrite=True to replace them, or a "
            "copy without them."
        )
    raw.annotations.delete(old)
    raw.annotations.append(*map(list, zip(*pieces, strict=True)))
    return raw


def write_hypnogram(hyp: yasa.Hypnogram, path: str | PathLike[str]) -> None:
    """Write a hypnogram to a file.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram.
    path : path-like
        A file, which is replaced if it is there. Its ending says what: ``.json``, all of it, as
        YASA reads it; ``.csv`` or ``.tsv``, its stages as events in BIDS, onset and duration in s
        from the start of the recording; ``.edf``, an EDF+ of annotations alone, ``Sleep stage W``
        and so on, with the date; ``.txt``, a stage per line: W, N1, N2, N3, R, LIGHT, DEEP, or
        ``?`` where nothing was measured.

    Raises
    ------
    TypeError, ValueError
        If it is no hypnogram, the ending is another one, or an EDF with signals is there.
    FileNotFoundError
        If the folder does not exist.
    OSError
        If it cannot be written, or not to its end.
    """
    _validate_type(hyp, yasa.Hypnogram, "hyp")
    _validate_type(path, "path-like", "path")
    path = Path(path).expanduser()
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path} must end in {', '.join(SUFFIXES)}.")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write {path.name} to.")
    if suffix == ".edf" and path.exists() and _is_recording(path):
        raise ValueError(
            f"{path} holds a recording, which the hypnogram would replace. Choose another name."
        )
    try:
        if suffix == ".json":
            hyp.to_json(path)
        elif suffix == ".edf":
            _write_edf(hyp, path)
        elif suffix == ".txt":
            lines = [_TEXTS[stage].removeprefix("Sleep stage ") for stage in hyp.hypno]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        else:
            events = hyp.as_events().rename(columns={"description": "trial_type"})
            events.to_csv(path, sep="\t" if suffix == ".tsv" else ",", index=False)
    except OSError as error:
        raise OSError(
            f"The hypnogram could not be written to {path} ({error}); what is there of it is not "
            "whole. Make room, or choose another place."
        ) from error


def _is_recording(path: Path) -> bool:
    """Whether a file is an EDF with signals; whatever cannot be read may be one."""
    try:
        return bool(edf.read_rates(path))
    except ValueError:
        return path.stat().st_size > 0


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
