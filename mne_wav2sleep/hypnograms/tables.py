"""Reading stages from text files and tables."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yasa

from ..errors import summarize_error
from .aligning import change_hypnogram
from .events import make_hypnogram, read_events
from .names import to_stage

_AMBIGUOUS = (
    "Integers are ambiguous: 4 is another stage in Rechtschaffen and Kales' coding than in YASA's. "
    "Write W, N1, N2, N3 and R (or WAKE, LIGHT, DEEP and REM)."
)
_COLUMNS = ("stage", "trial_type", "description", "value")
"""Possible names of the column of stages, in order of preference."""


def read_text(path: Path) -> tuple[yasa.Hypnogram, float | None]:
    """Read a stage per line of 30 s, with or without the header ``stage``, or a table.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    hyp : yasa.Hypnogram
        The stages.
    onset : float or None
        Seconds from the start of the recording to the first epoch; None if unknown.

    Raises
    ------
    ValueError
        If the file is empty, is not text in UTF-8, or has unknown or missing stages.
    """
    labels = [line.strip() for line in _read(path).splitlines()]
    if any(mark in labels[0] for mark in ",;\t"):
        return read_table(path)
    return _read_labels(labels[labels[0].lower() == "stage" :], path), None


def read_table(path: Path) -> tuple[yasa.Hypnogram, float | None]:
    """Read a table of stages: one per row of 30 s, or events with onset and duration in s.

    Parameters
    ----------
    path : Path
        The file, separated by commas, semicolons or tabs.

    Returns
    -------
    hyp, onset
        As in :func:`read_text`.

    Raises
    ------
    ValueError
        As in :func:`read_text`, and if a column is missing or there twice.
    """
    text = _read(path)
    header = text.splitlines()[0]
    separator = next((mark for mark in "\t;" if mark in header), ",")
    try:
        # An empty line is an epoch without a stage; if skipped, all that follow would be misplaced.
        table = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, skip_blank_lines=False)
    except pd.errors.ParserError as error:
        raise ValueError(
            f"{path} is not a table ({summarize_error(error)}). Give all rows the same number of "
            "columns."
        ) from error
    table.columns = [str(column).strip().lower() for column in table.columns]
    column = next((c for c in _COLUMNS if c in table.columns), None)
    if column is None or not table.columns.is_unique:
        raise ValueError(
            f"{path} has the columns {list(table.columns)[:10]}; it needs 'stage' (one row per "
            "30 s), or 'onset', 'duration' and 'stage' (or 'trial_type'), each once."
        )
    # write_hypnogram writes the same name in all rows; several are not one scorer.
    scorers = table["scorer"].dropna().unique() if "scorer" in table.columns else []
    scorer = str(scorers[0]) if len(scorers) == 1 else None
    if {"onset", "duration"} <= set(table.columns):
        table = table[table[column].notna()]  # an event without a label is not a stage
        labels = table[column].tolist()
        _check_integers(labels, path)
        onsets, durations = (_to_seconds(table[name], path) for name in ("onset", "duration"))
        hyp, first = read_events(onsets, durations, labels, str(path))
        return change_hypnogram(hyp, scorer=scorer), first
    return _read_labels(table[column].fillna("UNS").tolist(), path, scorer), None


def _read(path: Path) -> str:
    """Read text without the empty lines at its end."""
    try:
        text = path.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not text in UTF-8. Save it in UTF-8, and check that it contains stages."
        ) from error
    if not text.strip():
        raise ValueError(f"{path} is empty. Write W, N1, N2, N3, R or ?, a stage per line of 30 s.")
    return text


def _check_integers(labels: Sequence[str], path: Path) -> None:
    """Check that stages are not integers."""
    if any(re.fullmatch(r"-?\d+(\.0)?", label.strip()) for label in labels):
        raise ValueError(f"{path} gives stages as integers. {_AMBIGUOUS}")


def _read_labels(labels: Sequence[str], path: Path, scorer: str | None = None) -> yasa.Hypnogram:
    """Make a hypnogram of one label per epoch."""
    if not labels:
        raise ValueError(f"{path} has no stages after its header. Write one per line of 30 s.")
    _check_integers(labels, path)
    if "" in labels:
        raise ValueError(
            f"{path} has no stage for epoch {labels.index('') + 1}. Write ? for an epoch without a "
            "stage, and no empty lines."
        )
    stages = [to_stage(label) for label in labels]
    if unknown := sorted({x for x, s in zip(labels, stages, strict=True) if s is None}):
        raise ValueError(
            f"{path} has unknown stages: {unknown[:10]}. Write W, N1, N2, N3, R or UNS."
        )
    return make_hypnogram([s for s in stages if s is not None], scorer=scorer)


def _to_seconds(column: pd.Series, path: Path) -> pd.Series:
    """Convert a column to numbers; durations may be missing."""
    seconds = pd.to_numeric(column, errors="coerce")
    wrong = seconds.isna() & (column.notna() | (column.name == "onset"))
    if wrong.any():
        line = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{path} has {column.iloc[line]!r} for the {column.name} of event {line + 1}. Write "
            "seconds, such as 90 or 90.5; onsets are relative to the start of the recording."
        )
    return seconds
