"""Scored stages, from wherever they are kept, as a yasa.Hypnogram and its onset."""

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

from .modalities import EPOCH_S

_STAGES = {
    "WAKE": r"w|wake|awake|wakefulness",
    "N1": r"n1|s1|nrem ?1",
    "N2": r"n2|s2|nrem ?2",
    # Rechtschaffen and Kales' stages 3 and 4 are N3 (AASM manual, 2007).
    "N3": r"n3|n4|s3|s4|nrem ?[34]",
    "REM": r"r|rem",
    "LIGHT": r"light|n1 n2",
    "DEEP": r"deep",
    "UNS": r"u|uns|unscored|unknown|not scored|no stage|",
    "ART": r"art|artefact|artifact|m|mt|movement|movement time",
}
"""What scorers and file formats call YASA's stages, in lower-case words."""

_NUMBERS = {"0": "WAKE", "1": "N1", "2": "N2", "3": "N3", "4": "N3", "5": "REM", "6": "ART"}
"""Rechtschaffen and Kales' numbers, as EDF+ ("Sleep stage 4") and NSRR ("Stage 4 sleep|4") use."""

_AMBIGUOUS = (
    "An integer could be Rechtschaffen and Kales' stage or YASA's, and 4 means another stage in "
    "each. Write W, N1, N2, N3 and R (or WAKE, LIGHT, DEEP and REM)."
)


_SPELLED_OUT = r"stage (\w+) sleep|(?:sleep )?stage (.*)|(\w+) sleep"


def _to_stage(label: str) -> str | None:
    """YASA's name of a stage, or None if the label is no stage."""
    words = re.sub(r"[^a-z0-9]+", " ", str(label).split("|")[0].lower()).strip()
    spelled_out = re.fullmatch(_SPELLED_OUT, f"{words} " if words.endswith("stage") else words)
    if spelled_out:
        words = next(group for group in spelled_out.groups() if group is not None)
        if words.strip() in _NUMBERS:
            return _NUMBERS[words.strip()]
    elif not words:
        return "UNS" if str(label).strip() == "?" else None
    return next((s for s, names in _STAGES.items() if re.fullmatch(names, words.strip())), None)


def is_stage(label: str) -> bool:
    """Say whether an annotation is a sleep stage, or says that there is none.

    Parameters
    ----------
    label : str
        Its text.

    Returns
    -------
    found : bool
        Whether it is one of those that :func:`read_stages` reads; of words that may mean other
        things, such as ``"movement"``, only those that are spelled out.

    Examples
    --------
    >>> is_stage("Sleep stage ?"), is_stage("N2"), is_stage("movement"), is_stage("BAD_ecg")
    (True, True, False, False)
    """
    spelled_out = "stage" in str(label).lower()
    return _to_stage(label) not in (None, "UNS", "ART") or (
        spelled_out and _to_stage(label) is not None
    )


def _to_hypnogram(stages: Sequence[str], start: datetime | None = None) -> yasa.Hypnogram:
    """Make a Hypnogram with four stages where the stages say so, else with five."""
    n_stages = 4 if {"LIGHT", "DEEP"} & set(stages) else 5
    return yasa.Hypnogram(list(stages), n_stages=n_stages, start=start, scorer="expert")


def _select_stages(labels: Sequence[str], source: str) -> list[str | None]:
    """Name the stage of each event; events that are none, apnoeas for example, get None."""
    stages = [_to_stage(label) for label in labels]
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
    """Put events on 30-s epochs that begin with the first stage; epochs without one are UNS."""
    stages = np.array(_select_stages(labels, source), dtype=object)
    is_stage = stages != None  # noqa: E711 (of each element)
    onset = np.asarray(onsets)[is_stage].astype(float)
    duration = np.asarray(durations)[is_stage].astype(float)
    first = float(onset.min())
    begin = np.round((onset - first) / EPOCH_S).astype(int)
    # An event without a duration, as some formats have it, lasts for one epoch.
    end = np.maximum(np.round((onset + duration - first) / EPOCH_S).astype(int), begin + 1)
    epochs = np.full(end.max(), "UNS", dtype=object)
    for stage, i, j in zip(stages[is_stage], begin, end, strict=True):
        epochs[i:j] = stage
    return _to_hypnogram(list(epochs)), first


def _from_annotations(annotations: mne.Annotations, source: str, offset: float) -> tuple:
    """Read stages from annotations whose onsets count from ``offset`` s before the recording."""
    onsets = annotations.onset - offset
    return _from_events(onsets, annotations.duration, list(annotations.description), source)


def _from_profusion(root: ElementTree.Element, path: Path) -> yasa.Hypnogram:
    """Read the stages of a Profusion file.

    Not with YASA, which takes 9 for wake: in NSRR's cohorts it is an epoch that nobody scored.
    """
    codes = [(stage.text or "").strip() for stage in root.iter("SleepStage")]
    known = _NUMBERS | {"9": "UNS"}
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


def _from_table(path: Path) -> tuple[yasa.Hypnogram, float | None]:
    """Read a table: one stage a row (30 s), or events with onset and duration in seconds."""
    with path.open(encoding="utf-8") as file:
        header = file.readline()
    separator = next((mark for mark in "\t;" if mark in header), ",")
    table = pd.read_csv(path, sep=separator, dtype=str)
    table.columns = [str(column).strip().lower() for column in table.columns]
    column = next(
        (c for c in ("stage", "trial_type", "description", "value") if c in table.columns), None
    )
    if column is None:
        raise ValueError(
            f"{path} has the columns {list(table.columns)}; it needs 'stage' (one row per 30 s), "
            "or 'onset', 'duration' and 'stage' (or 'trial_type')."
        )
    labels = table[column].fillna("UNS").tolist()
    if any(re.fullmatch(r"-?\d+(\.0)?", label.strip()) for label in labels):
        raise ValueError(f"{path} gives stages as integers. {_AMBIGUOUS}")
    if {"onset", "duration"} <= set(table.columns):
        return _from_events(table["onset"], table["duration"], labels, str(path))
    stages = [_to_stage(label) for label in labels]
    if unknown := sorted({x for x, s in zip(labels, stages, strict=True) if s is None}):
        raise ValueError(f"{path} has unknown stages: {unknown}. Write W, N1, N2, N3, R or UNS.")
    return _to_hypnogram([s for s in stages if s is not None]), None


def read_stages(
    source: yasa.Hypnogram | str | Path | None, raw: mne.io.BaseRaw, start: datetime | None
) -> tuple[yasa.Hypnogram, float | None]:
    """Read the stages of a recording.

    Parameters
    ----------
    source : yasa.Hypnogram, str, Path or None
        A Hypnogram; a file: YASA's ``.json``, Compumedics Profusion's or NSRR's ``.xml``, a
        ``.csv`` or ``.tsv`` (one stage a row, or events with onset and duration in s), or anything
        that :func:`mne.read_annotations` reads; None for the recording's own annotations.
    raw : mne.io.BaseRaw
        The recording.
    start : datetime or None
        When its first sample was taken.

    Returns
    -------
    hyp : yasa.Hypnogram
        The stages, per 30 s, with 4 or 5 stages; with a date where it can be known.
    onset : float or None
        When its first epoch begins, in seconds after the first sample of the recording; None where
        nothing says so, because one of the two has no date.

    Raises
    ------
    ValueError
        If there are no stages, or unknown ones, or they are not per 30 s.
    FileNotFoundError
        If there is no such file.
    """
    hyp, onset = _read(source, raw, start)
    if pd.Timedelta(hyp.freq).total_seconds() != EPOCH_S:
        raise ValueError(f"The hypnogram has epochs of {hyp.freq}; wav2sleep's are 30 s long.")
    if hyp.n_stages not in (4, 5):
        raise ValueError(f"The hypnogram has {hyp.n_stages} stages; 4 or 5 are needed.")
    if start is not None and onset is not None and hyp.start is None:
        begin = start + timedelta(seconds=onset)
        return _to_hypnogram(list(hyp.hypno), begin), onset
    if onset is None and hyp.start is not None and start is not None:
        # Both are the clock on the wall, whatever time zone they are labelled with.
        onset = (
            hyp.start.tz_localize(None) - pd.Timestamp(start).tz_localize(None)
        ).total_seconds()
    return hyp, onset


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
        return yasa.Hypnogram.from_json(str(path)), None
    if path.suffix.lower() == ".xml":
        return _from_xml(path)
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        return _from_table(path)
    annotations = mne.read_annotations(path)
    dated = annotations.orig_time is not None and start is not None
    offset = (start - annotations.orig_time).total_seconds() if dated else 0.0
    return _from_annotations(annotations, str(path), offset)
