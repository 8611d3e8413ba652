"""Scored stages, from wherever they are kept, as a yasa.Hypnogram and its onset."""

import io
import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import mne
import numpy as np
import pandas as pd
import yasa
from numpy.typing import ArrayLike

from ..cautions import warn
from ..formats import edf
from ..modalities import EPOCH_S
from ..recordings.opening import count_epochs, find_start, first_sentence
from .names import NUMBERS, to_stage
from .probabilities import change_hypnogram

_NO_STAGES = ("UNS", "ART")
_LONGEST_S = 31 * 86400.0
_JITTER_S = 1.0
"""How far from an epoch's beginning or end an event may be: some files have whole seconds."""
_FOLDED = {"N1": "LIGHT", "N2": "LIGHT", "N3": "DEEP"}

_AMBIGUOUS = (
    "An integer could be Rechtschaffen and Kales' stage or YASA's, and 4 means another stage in "
    "each. Write W, N1, N2, N3 and R (or WAKE, LIGHT, DEEP and REM)."
)


def _to_hypnogram(
    stages: Sequence[str], start: datetime | None = None, scorer: str = "expert"
) -> yasa.Hypnogram:
    """Make a Hypnogram with four stages where one of them is of four, else with five."""
    n_stages = 4 if {"LIGHT", "DEEP"} & set(stages) else 5
    if n_stages == 4:  # of a Raw, part of which a human scored
        stages = [_FOLDED.get(stage, stage) for stage in stages]
    return yasa.Hypnogram(list(stages), n_stages=n_stages, start=start, scorer=scorer)


def seconds_after(end: datetime, begin: datetime) -> float:
    """Seconds between two times, the clock on the wall, whatever time zone they are labelled."""
    times = (pd.Timestamp(time).tz_localize(None) for time in (end, begin))
    return float((next(times) - next(times)).total_seconds())


def _select_stages(labels: Sequence[str], source: str) -> list[str | None]:
    """Name the stage of each event; events that are none, apnoeas for example, get None."""
    stages = [to_stage(label) for label in labels]
    if not any(stages):
        found = sorted({str(label) for label in labels})
        raise ValueError(
            f"{source} has no sleep stage among its events: "
            f"{', '.join(map(repr, found[:10])) or 'there are none'}. "
            "Stages are called W, N1, N2, N3, R, or 'Sleep stage W' and so on."
        )
    # "Sleep stage X" that is not in the table is a stage that nobody here knows, not an apnoea.
    if odd := sorted(
        {
            str(label)
            for label, stage in zip(labels, stages, strict=True)
            if stage is None and "stage" in str(label).lower()
        }
    ):
        raise ValueError(f"{source} has unknown stages: {odd}. Rename them to W, N1, N2, N3, R.")
    return stages


def _from_events(
    onsets: ArrayLike, durations: ArrayLike, labels: Sequence[str], source: str
) -> tuple[yasa.Hypnogram, float]:
    """Put events on the 30-s epochs that most of them begin with; epochs without one are UNS."""
    stages = np.array(_select_stages(labels, source), dtype=object)
    is_stage = stages != None  # noqa: E711 (of each element)
    stages = stages[is_stage]
    onset = np.asarray(onsets)[is_stage].astype(float)
    duration = np.nan_to_num(np.asarray(durations)[is_stage].astype(float))
    # Which no file of stages has, and no memory holds.
    if not np.isfinite(onset).all() or np.abs([onset, duration]).max() > _LONGEST_S:
        raise ValueError(
            f"{source} has stages that begin, or last, more than {_LONGEST_S / 86400:.0f} days "
            "from the start of the recording, or at no time. Check its onsets and durations."
        )
    # A crop cuts the event that it falls into, which then begins within an epoch.
    phases, counts = np.unique(np.round(onset % EPOCH_S, 2), return_counts=True)
    phase = onset[np.argmin(np.abs(onset % EPOCH_S - phases[counts.argmax()]))] % EPOCH_S
    first = float(onset.min() - (onset.min() - phase) % EPOCH_S)
    begin = np.floor((onset - first + _JITTER_S) / EPOCH_S).astype(int)
    # An event without a duration, as some formats have it, lasts for one epoch.
    end = np.ceil((onset + duration - first - _JITTER_S) / EPOCH_S).astype(int)
    end = np.maximum(end, begin + 1)
    epochs = np.full(end.max(), "UNS", dtype=object)
    # Movement and the like come first, which say nothing against a stage in the same epoch.
    for number in np.argsort(~np.isin(stages, _NO_STAGES), kind="stable"):
        span, stage = slice(begin[number], end[number]), stages[number]
        if others := set(epochs[span]) - {stage, *_NO_STAGES}:
            raise ValueError(
                f"{source} has {stage} at {onset[number]:g} s in an epoch of 30 s that is "
                f"{others.pop()} as well. Give stages of one scorer, per 30 s."
            )
        epochs[span] = stage
    return _to_hypnogram(list(epochs)), first


def _from_annotations(annotations: mne.Annotations, source: str, offset: float) -> tuple:
    """Read stages from annotations whose onsets count from ``offset`` s before the recording."""
    onsets = annotations.onset - offset
    return _from_events(onsets, annotations.duration, list(annotations.description), source)


def _from_json(path: Path) -> yasa.Hypnogram:
    """Read what YASA has written."""
    try:
        return yasa.Hypnogram.from_json(str(path))
    except Exception as error:  # YASA checks nothing: of any type
        raise ValueError(
            f"{path} is no hypnogram that YASA has written ({first_sentence(error)}). Write it "
            "with yasa.Hypnogram.to_json, or give a file of another kind."
        ) from error


def _from_profusion(root: ElementTree.Element, path: Path) -> yasa.Hypnogram:
    """Read the stages of a Profusion file.

    Not with YASA, which takes 9 for wake: in NSRR's cohorts it is an epoch that nobody scored.
    """
    codes = [(stage.text or "").strip() for stage in root.iter("SleepStage")]
    known = NUMBERS | {"9": "UNS"}
    length = root.findtext("EpochLength") or "none"
    if length.strip() not in ("30", "30.0") or not codes or not set(codes) <= set(known):
        raise ValueError(
            f"{path} should have epochs of 30 s and stages 0 to 6 or 9, got EpochLength {length} "
            f"and the stages {sorted(set(codes))}."
        )
    return _to_hypnogram([known[code] for code in codes])


def _from_xml(path: Path) -> tuple[yasa.Hypnogram, float]:
    """Read Compumedics Profusion's or NSRR's XML, whose times count from the recording's start."""
    text = path.read_bytes()
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise ValueError(f"{path} declares entities, which stage files do not need; not read.")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 (no entities: refused above)
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is not well-formed XML: {error}.") from error
    if root.find("SleepStages") is not None:
        return _from_profusion(root, path), 0.0
    concepts, starts, durations = (
        [event.findtext(tag) or "" for event in root.iter("ScoredEvent")]
        for tag in ("EventConcept", "Start", "Duration")
    )
    return _from_events(starts, durations, concepts, str(path))


def _from_edf(
    path: Path, raw: mne.io.BaseRaw, start: datetime | None
) -> tuple[yasa.Hypnogram, float | None]:
    """Read the annotations of an EDF or BDF, by its own clock."""
    hyp, first = _from_annotations(edf.read_annotations(path), str(path), 0.0)
    files = [Path(name) for name in raw.filenames if name is not None]
    if len(files) == 1 and files[0].exists() and files[0].samefile(path):
        return hyp, first - raw.first_time
    begin, is_dated = edf.read_start(path)
    if start is not None and begin is not None and not is_dated:
        # Of a recording whose date was removed, as MNE reads it, the time of day is still a clock;
        # midnight is one where the recording begins then as well.
        is_dated = start.date() == edf.NO_DATE.date() and (
            begin != edf.NO_DATE or raw.info["meas_date"] == edf.NO_DATE
        )
    if begin is None or not is_dated:
        # What begins later than the file does counts from a recording, this one.
        return hyp, first or None
    if start is None:
        return change_hypnogram(hyp, start=begin + timedelta(seconds=first)), None
    return hyp, first + seconds_after(begin, start)


def _from_text(path: Path) -> tuple[yasa.Hypnogram, float | None]:
    """Read a stage per line (30 s), with ``stage`` above them or without, or a table."""
    text = _read_text(path)
    labels = [line.strip() for line in text.splitlines()]
    if any(mark in labels[0] for mark in ",;\t"):
        return _from_table(path)
    return _from_labels(labels[labels[0].lower() == "stage" :], path), None


def _read_text(path: Path) -> str:
    """Read a text without the empty lines at its end."""
    try:
        text = path.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8. Check that it holds stages.") from error
    if not text.strip():
        raise ValueError(f"{path} is empty. Write W, N1, N2, N3, R or ?, a stage per line of 30 s.")
    return text


def _check_integers(labels: Sequence[str], path: Path) -> None:
    """Refuse stages as integers."""
    if any(re.fullmatch(r"-?\d+(\.0)?", label.strip()) for label in labels):
        raise ValueError(f"{path} gives stages as integers. {_AMBIGUOUS}")


def _from_labels(labels: Sequence[str], path: Path, scorer: str = "expert") -> yasa.Hypnogram:
    """Make a hypnogram of one label for each epoch."""
    _check_integers(labels, path)
    stages = [to_stage(label) for label in labels]
    if "" in labels:
        raise ValueError(
            f"{path} says nothing of epoch {labels.index('') + 1}. Write ? for an epoch without a "
            "stage, and no empty lines."
        )
    if unknown := sorted({x for x, s in zip(labels, stages, strict=True) if s is None}):
        raise ValueError(
            f"{path} has unknown stages: {unknown[:10]}. Write W, N1, N2, N3, R or UNS."
        )
    return _to_hypnogram([s for s in stages if s is not None], scorer=scorer)


def _from_table(path: Path) -> tuple[yasa.Hypnogram, float | None]:
    """Read a table: one stage a row (30 s), or events with onset and duration in seconds."""
    text = _read_text(path)
    header = text.splitlines()[0]
    separator = next((mark for mark in "\t;" if mark in header), ",")
    # An empty line is an epoch without a stage; skipped, all that follow would come too early.
    table = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, skip_blank_lines=False)
    table.columns = [str(column).strip().lower() for column in table.columns]
    column = next(
        (c for c in ("stage", "trial_type", "description", "value") if c in table.columns), None
    )
    if column is None:
        raise ValueError(
            f"{path} has the columns {list(table.columns)[:10]}; it needs 'stage' (one row per "
            "30 s), or 'onset', 'duration' and 'stage' (or 'trial_type')."
        )
    # As write_hypnogram writes it; who scored is one for all of them, or nobody in particular.
    scorers = table["scorer"].dropna().unique() if "scorer" in table.columns else []
    scorer = str(scorers[0]) if len(scorers) == 1 else "expert"
    if {"onset", "duration"} <= set(table.columns):
        table = table[table[column].notna()]  # an event without a name is no stage
        labels = table[column].tolist()
        _check_integers(labels, path)
        onsets, durations = (_to_seconds(table[name], path) for name in ("onset", "duration"))
        hyp, first = _from_events(onsets, durations, labels, str(path))
        return change_hypnogram(hyp, scorer=scorer), first
    return _from_labels(table[column].fillna("UNS").tolist(), path, scorer), None


def _to_seconds(column: pd.Series, path: Path) -> pd.Series:
    """Read a column of numbers; durations may be missing."""
    seconds = pd.to_numeric(column, errors="coerce")
    wrong = seconds.isna() & (column.notna() | (column.name == "onset"))
    if wrong.any():
        line = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{path} has {column.iloc[line]!r} for {column.name} of event {line + 1}, where "
            "seconds from the start of the recording are needed, as 90 or 90.5."
        )
    return seconds


def read_stages(
    source: yasa.Hypnogram | str | Path | None,
    raw: mne.io.BaseRaw,
    *,
    scorer: str | None = None,
) -> tuple[yasa.Hypnogram, float | None]:
    """Read the stages of a recording.

    Parameters
    ----------
    source : yasa.Hypnogram, str, Path or None
        A Hypnogram; a file: YASA's ``.json``, Compumedics Profusion's or NSRR's ``.xml``, a
        ``.csv`` or ``.tsv`` (one stage a row, or events with onset and duration in s from the
        start of the recording), a ``.txt`` with a stage per line, or anything that
        :func:`mne.read_annotations` reads, EDF+ by its own clock; None for the recording's own
        annotations.
    raw : mne.io.BaseRaw
        The recording, or a part of it.
    scorer : str or None
        What to call who scored; None for the name that comes with the stages, else ``"expert"``.

    Returns
    -------
    hyp : yasa.Hypnogram
        The stages, per 30 s, with 4 or 5 stages; with a date where it can be known.
    onset : float or None
        When its first epoch begins, in seconds after the first sample of the recording; None where
        nothing says so, because one of the two has no date. A hypnogram that is longer or shorter
        than the recording is warned of then.

    Raises
    ------
    ValueError
        If there are no stages, or unknown ones, or they are not per 30 s.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> from mne_wav2sleep import simulate_night
    >>> raw = simulate_night(duration=3600, seed=0, verbose="error")
    >>> hyp, onset = read_stages(None, raw, scorer="simulated")
    >>> hyp.n_epochs, hyp.scorer, onset
    (120, 'simulated', 0.0)
    """
    start = find_start(raw)
    hyp, onset = _read(source, raw, start)
    if scorer is not None or hyp.scorer is None:
        hyp = change_hypnogram(hyp, scorer=scorer or "expert")
    if pd.Timedelta(hyp.freq).total_seconds() != EPOCH_S:
        raise ValueError(f"The hypnogram has epochs of {hyp.freq}; wav2sleep's are 30 s long.")
    if hyp.n_stages not in (4, 5):
        raise ValueError(f"The hypnogram has {hyp.n_stages} stages; 4 or 5 are needed.")
    end = 0.0 if onset is None else onset + (hyp.n_epochs - 1) * EPOCH_S
    if hyp.start is None and end > (lasts := raw.n_times / raw.info["sfreq"]):
        warn(
            f"The hypnogram ends {(end + EPOCH_S) / 60:.1f} min after the beginning of the "
            f"recording, which lasts {lasts / 60:.1f} min: it may be of another recording, or of "
            "all of one that was cropped. Give stages that have a date, or those of this recording."
        )
    if start is not None and onset is not None and hyp.start is None:
        return change_hypnogram(hyp, start=start + timedelta(seconds=onset)), onset
    if onset is None and hyp.start is not None and start is not None:
        onset = seconds_after(hyp.start, start)
    if onset is None:
        _warn_of_length(hyp, raw)
    return hyp, onset


def _warn_of_length(hyp: yasa.Hypnogram, raw: mne.io.BaseRaw) -> None:
    """Say that stages without a clock are not as many as the epochs of the recording."""
    sfreq = raw.info["sfreq"]
    n_epochs = count_epochs(raw.n_times, sfreq)
    # A last epoch that the recording does not complete may be scored.
    if not n_epochs <= hyp.n_epochs <= max(n_epochs, math.ceil(raw.n_times / sfreq / EPOCH_S)):
        warn(
            f"The hypnogram has {hyp.n_epochs} epochs of 30 s and the recording {n_epochs}, and no "
            "clock of both says where it lies: it may belong elsewhere. Give it a start, and the "
            "recording a date, or cut both to the same length."
        )


def _read(
    source: yasa.Hypnogram | str | Path | None, raw: mne.io.BaseRaw, start: datetime | None
) -> tuple[yasa.Hypnogram, float | None]:
    """Read the stages, and their onset where the source itself says it."""
    if source is None:
        # Onsets count from the date, or, where there is none, from the sample number 0.
        return _from_annotations(raw.annotations, "The recording", raw.first_time)
    if isinstance(source, yasa.Hypnogram):
        return source, None
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"There is no hypnogram at {path}. Check the path.")
    if path.suffix.lower() == ".json":
        return _from_json(path), None
    if path.suffix.lower() == ".xml":
        return _from_xml(path)
    if path.suffix.lower() == ".txt":
        return _from_text(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        return _from_table(path)
    if path.suffix.lower() in edf.SUFFIXES:
        return _from_edf(path, raw, start)
    annotations = mne.read_annotations(path)
    offset = 0.0
    if annotations.orig_time is not None and start is not None:
        offset = seconds_after(start, annotations.orig_time)
    return _from_annotations(annotations, str(path), offset)


def align_stages(reference: yasa.Hypnogram, hyp: yasa.Hypnogram) -> yasa.Hypnogram:
    """Put a reference on the clock of a hypnogram, epoch by epoch.

    Parameters
    ----------
    reference, hyp : yasa.Hypnogram
        Scored by somebody, and staged.

    Returns
    -------
    aligned : yasa.Hypnogram
        The reference with the epochs, the number of stages and the start of ``hyp``, and its own
        scorer; ``UNS`` where it says nothing.

    Raises
    ------
    ValueError
        If its epochs are not 30 s long or not those of ``hyp``, or it has fewer stages.

    Examples
    --------
    >>> hyp = yasa.Hypnogram(["WAKE", "LIGHT", "DEEP"], n_stages=4, start="2024-03-01 22:30:00")
    >>> reference = yasa.Hypnogram(["N2", "N3"], start="2024-03-01 22:30:30", scorer="expert")
    >>> aligned = align_stages(reference, hyp)
    >>> list(aligned.hypno), aligned.scorer
    (['UNS', 'LIGHT', 'DEEP'], 'expert')
    """
    for name, one in (("reference", reference), ("hypnogram", hyp)):
        if pd.Timedelta(one.freq).total_seconds() != EPOCH_S:
            raise ValueError(f"The {name} has epochs of {one.freq}; they must be of 30 s.")
    if reference.n_stages > hyp.n_stages:
        reference = reference.consolidate_stages(hyp.n_stages)
    if reference.n_stages != hyp.n_stages:
        raise ValueError(
            f"The reference has {reference.n_stages} stages, and {hyp.n_stages} were staged; "
            f"consolidate what was staged, hyp.consolidate_stages({reference.n_stages})."
        )
    offset = 0.0
    if reference.start is not None and hyp.start is not None:
        offset = seconds_after(reference.start, hyp.start) / EPOCH_S
        if abs(offset - round(offset)) > 1 / EPOCH_S:
            raise ValueError(
                f"The reference begins {abs(offset) * EPOCH_S:.1f} s "
                f"{'after' if offset > 0 else 'before'} what was staged, so that its epochs of "
                f"30 s are others. Crop the recording by {offset * EPOCH_S % EPOCH_S:.1f} s, to "
                "begin with an epoch of the reference, and stage that."
            )
    elif reference.n_epochs != hyp.n_epochs:
        raise ValueError(
            f"The reference has {reference.n_epochs} epochs, and {hyp.n_epochs} were staged; "
            "without a start in both, nobody knows which are the same. Give start= to "
            "yasa.Hypnogram, or the same number of epochs."
        )
    first = round(offset)
    index = np.arange(hyp.n_epochs) - first
    there = (index >= 0) & (index < reference.n_epochs)
    if not there.any():
        raise ValueError(
            f"The reference begins at {reference.start} and has no epoch in common with the "
            f"recording, which begins at {hyp.start}. Check the clocks."
        )
    stages = np.full(hyp.n_epochs, "UNS", dtype=object)
    stages[there] = reference.hypno.to_numpy(dtype=object)[index[there]]
    scorer = reference.scorer or "reference"
    return yasa.Hypnogram(stages, n_stages=hyp.n_stages, freq="30s", start=hyp.start, scorer=scorer)
