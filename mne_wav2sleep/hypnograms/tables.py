"""Reading stages from text files and tables."""

import csv
import io
import re
from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path

import numpy as np
import yasa

from ..errors import quote, summarize_error
from ..modalities import EPOCH_S
from .aligning import change_hypnogram
from .events import make_hypnogram, read_events, warn_of_words
from .files import MISSING, MOST_EVENTS, check_number, date_hypnogram, load_text, to_seconds
from .names import is_stage, to_stage

_AMBIGUOUS = (
    "Integers are ambiguous: 4 is another stage in Rechtschaffen and Kales' coding than in YASA's. "
    "Write W, N1, N2, N3 and R (or WAKE, LIGHT, DEEP and REM)."
)
_COLUMNS = ("stage", "trial_type", "description", "value")
"""Possible names of the column of stages, in order of preference."""

_TIMES = r"(on|off)set.*|start.*|stop.*|end.*|begin.*|.*time.*|clock.*|date.*|dur.*|n_?epochs.*"
"""Pattern of other names of columns that tell where a stage is, or how long it lasts."""

_EPOCHS = {"epoch", "onset", "start", "stage", "in_bed"}
"""Columns by which a table of epochs is known that this package has written."""

_NUMBERS = ("epoch", "epochs", "epoch_number", "epoch number", "epoch_id", "#")
"""Names of a column that numbers the epochs."""

_INTEGER = r"-?\d+(\.0)?"
"""Pattern of a code, which is ambiguous as a stage."""

_DATE = r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d([.]\d+)?)?(Z|[+-]\d\d:?\d\d)?"
"""Pattern of a date and time, as MNE writes the onsets of annotations to .csv, or with a zone."""

_UNDATED = datetime(1970, 1, 1)
"""Date from which MNE counts the onsets of annotations without a date in .csv."""

_FORMULA = r"'*[=+\-@＝＋－＠\t\r]"  # noqa: RUF001 (spreadsheets take full-width signs, too)
"""Pattern of the beginning of a text that a spreadsheet may take for a formula, if unquoted."""


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
        If the file is empty, is too large, is not text in UTF-8, or has unknown or missing stages.
    """
    labels = [line.strip() for line in load_text(path).splitlines()]
    if any(mark in labels[0] for mark in ",;\t"):
        return read_table(path)
    return _read_labels(labels[labels[0].lower() == "stage" :], path), None


def read_table(path: Path) -> tuple[yasa.Hypnogram, float | None]:
    """Read a table of stages: one per row of 30 s, or events with onset and duration in s.

    Parameters
    ----------
    path : Path
        The file, separated by commas, semicolons or tabs. Onsets may also be dates and times. A
        table of epochs that this package has written has a row for each 30 s.

    Returns
    -------
    hyp, onset
        As in :func:`read_text`; the hypnogram has a start if the onsets are dates, or a table of
        epochs has one.

    Raises
    ------
    ValueError
        As in :func:`read_text`, and if a column is missing or there twice, rows differ in length,
        or a quote is not closed.
    """
    columns = _read_columns(path)
    labels = columns["stage"]
    if "start" in columns:
        return _read_epochs(columns, path)
    # write_hypnogram writes the same name in all rows; several are not one scorer.
    scorers = set(columns.get("scorer", ())) - {"", "n/a"}
    scorer = expose_formula(scorers.pop()) if len(scorers) == 1 else None
    is_missing = [label.strip().lower() in MISSING for label in labels]
    if "onset" not in columns:
        durations = to_seconds(columns.get("duration", ()), "duration", path)
        if any(abs(duration - EPOCH_S) > 0.01 for duration in durations):
            raise ValueError(
                f"{path} has durations other than 30 s, but no onsets. Add the column 'onset', in "
                "s from the start of the recording."
            )
        labels = ["UNS" if m else label for m, label in zip(is_missing, labels, strict=True)]
        return _read_labels(labels, path, scorer), None
    # An event without a label is not a stage, but a word for a missing one may mark epochs.
    lengths = map(_to_length, columns.get("duration", ["0"] * len(labels)))
    for i, (label, length) in enumerate(zip(labels, lengths, strict=True)):
        if is_missing[i] and label.strip() and length >= EPOCH_S:
            labels[i], is_missing[i] = "UNS", False
    kept = np.flatnonzero(~np.array(is_missing, dtype=bool))
    columns = {name: [values[i] for i in kept] for name, values in columns.items()}
    _check_integers(columns["stage"], path)
    begin = _to_dates(columns, path)
    onsets = to_seconds(columns["onset"], "onset", path)
    durations = to_seconds(columns.get("duration", [""] * len(onsets)), "duration", path)
    hyp, first = read_events(onsets, durations, columns["stage"], str(path))
    hyp = change_hypnogram(hyp, scorer=scorer)
    return (hyp, first) if begin is None else (date_hypnogram(hyp, begin, first, path), None)


def has_stages(path: Path) -> bool:
    """Check whether a table of events names stages.

    Parameters
    ----------
    path : Path
        The table.

    Returns
    -------
    found : bool
        Whether an event is a stage. It is True if the file cannot be read, so that reading it
        tells why.
    """
    try:
        header = load_text(path).splitlines()[0]
        names = {name.strip(' "').lower() for name in header.split(_find_separator(header))}
        if not names & set(_COLUMNS):
            return False
        labels = set(_read_columns(path)["stage"])
    except (OSError, ValueError):
        return True
    return any(map(_is_certain, labels))


def hide_formula(text: str) -> str:
    """Quote a text that a spreadsheet would take for a formula.

    Parameters
    ----------
    text : str
        A text that is written to a cell.

    Returns
    -------
    text : str
        The text, with a quote before it if it begins like a formula.

    See Also
    --------
    expose_formula : The inverse.

    Examples
    --------
    >>> hide_formula("=1+1"), expose_formula("'=1+1"), hide_formula("expert")
    ("'=1+1", '=1+1', 'expert')
    """
    return f"'{text}" if re.match(_FORMULA, text) else text


def expose_formula(text: str) -> str:
    """Remove the quote that :func:`hide_formula` adds.

    Parameters
    ----------
    text : str
        A text from a cell.

    Returns
    -------
    text : str
        The text, without the quote before a formula.
    """
    return text[1:] if text.startswith("'") and re.match(_FORMULA, text) else text


def _find_separator(header: str) -> str:
    """Find what separates the columns of a table."""
    return next((mark for mark in "\t;" if mark in header), ",")


def _read_columns(path: Path) -> dict[str, list[str]]:
    """Read the columns of a table that matter, that of stages as ``stage``."""
    text = load_text(path)
    header = text.splitlines()[0]
    separator = _find_separator(header)
    lines = io.StringIO(text, newline="")
    try:
        rows = list(islice(csv.reader(lines, delimiter=separator, strict=True), MOST_EVENTS + 2))
    except csv.Error as error:  # an open quote, or a cell of more than 131,072 characters
        raise ValueError(
            f"{path} is not a table ({summarize_error(error)}). Close all quotes, and keep texts "
            "short."
        ) from error
    names = [name.strip().lower() for name in rows.pop(0)]
    column = _choose_column(names, rows)
    is_of_epochs = set(names) >= _EPOCHS and "duration" not in names
    found = {"onset", "duration", "scorer", *(("start",) if is_of_epochs else ())} & set(names)
    if column is None or any(names.count(name) > 1 for name in (column, *found)):
        raise ValueError(
            f"{path} has the columns {quote(names)}; it needs 'stage' (one row per 30 s), or "
            "'onset', 'duration' and 'stage' (or 'trial_type'), each once."
        )
    check_number(len(rows), path)
    if not is_of_epochs:
        _check_times(names, found, path)
    if "onset" not in found or is_of_epochs:
        _check_order(names, rows, path)
    places = {name: names.index(name) for name in (column, *found)}
    for number, row in enumerate(rows, start=1):
        # An empty row is an epoch without a stage; if skipped, all that follow would be misplaced.
        is_short = any(cell.strip() for cell in row) and len(row) <= max(places.values())
        if is_short or any(row[len(names) :]) or "\n" in "".join(row[places[column] :][:1]):
            raise ValueError(
                f"{path} is not a table: row {number} after the header has {len(row)} columns, and "
                f"the header {len(names)}. Give all rows the same number of columns, and close all "
                "quotes."
            )
    columns = {name: [(row[i : i + 1] or [""])[0] for row in rows] for name, i in places.items()}
    return {("stage" if name == column else name): cells for name, cells in columns.items()}


def _read_epochs(columns: dict[str, list[str]], path: Path) -> tuple[yasa.Hypnogram, float | None]:
    """Read a table of epochs that this package has written; its first row has the start."""
    hyp = _read_labels(columns["stage"], path)
    text = columns["start"][0].strip()
    if text.lower() in MISSING:  # of a recording without a date
        return hyp, to_seconds(columns["onset"][:1], "onset", path)[0]
    try:
        begin = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(
            f"{path} has the start {quote(text)} in its first row, which is not a date and time. "
            "Write the table again."
        ) from error
    return date_hypnogram(hyp, begin, 0.0, path), None


def _choose_column(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str | None:
    """Choose the first column that names a stage, or else the first that may do so."""
    possible = [name for name in _COLUMNS if name in names]
    for name in possible:
        cells = {row[names.index(name)] for row in rows if len(row) > names.index(name)}
        if any(map(_is_certain, cells)):
            return name
    return next(iter(possible), None)


def _is_certain(label: str) -> bool:
    """Check whether a label is certainly a stage: no code, and not the name of a kind of event."""
    is_code = re.fullmatch(_INTEGER, label.strip())
    return is_stage(label) and to_stage(label) not in ("UNS", "ART") and not is_code


def _check_times(names: Sequence[str], found: Collection[str], path: Path) -> None:
    """Refuse times in columns that are not read, without which stages would be misplaced."""
    if {"onset", "duration"} <= set(found):
        return
    times = [n for n in names if n not in {*found, *_COLUMNS} and re.fullmatch(_TIMES, n)]
    if times:
        needed = "'duration', in s," if "onset" in found else "'onset', in s or as dates and times,"
        raise ValueError(
            f"{path} has times in the column {quote(times[0])}, which is not read. Rename or "
            f"convert it to {needed} or remove it if there is a row for each 30 s, in order."
        )


def _check_order(names: Sequence[str], rows: Sequence[Sequence[str]], path: Path) -> None:
    """Check that numbered epochs are complete and in order."""
    column = next((names.index(name) for name in _NUMBERS if name in names), None)
    if column is None:
        return
    cells = [row[column].strip() if len(row) > column else "" for row in rows]
    expected = first = int(cells[0]) if cells and re.fullmatch(r"\d{1,6}", cells[0]) else 0
    for row, cell in enumerate(cells, start=1):
        if cell not in (str(expected), f"{expected}.0"):
            raise ValueError(
                f"{path} has the epoch {quote(cell)} in row {row} after the header, where "
                f"{expected} should follow from {first} in row 1. Give all epochs in order, with "
                "? for those without a stage."
            )
        expected += 1


def _check_integers(labels: Sequence[str], path: Path) -> None:
    """Check that stages are not integers."""
    if any(re.fullmatch(_INTEGER, label.strip()) for label in labels):
        raise ValueError(f"{path} gives stages as integers. {_AMBIGUOUS}")


def _read_labels(labels: Sequence[str], path: Path, scorer: str | None = None) -> yasa.Hypnogram:
    """Make a hypnogram of one label per epoch."""
    if not labels:
        raise ValueError(f"{path} has no stages after its header. Write one per line of 30 s.")
    check_number(len(labels), path)
    _check_integers(labels, path)
    if "" in labels:
        raise ValueError(
            f"{path} has no stage for epoch {labels.index('') + 1}. Write ? for an epoch without a "
            "stage, and no empty lines."
        )
    stages = [to_stage(label) for label in labels]
    if unknown := sorted({x for x, s in zip(labels, stages, strict=True) if s is None}):
        raise ValueError(
            f"{path} has unknown stages: {quote(unknown)}. Write W, N1, N2, N3, R or UNS."
        )
    warn_of_words(dict(zip(labels, stages, strict=True)), str(path))
    return make_hypnogram([s for s in stages if s is not None], scorer=scorer)


def _to_length(text: str) -> float:
    """Convert a duration to seconds; 0 if it is not a number."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return 0.0


def _to_dates(columns: dict[str, list[str]], path: Path) -> datetime | None:
    """Convert onsets that are dates to seconds after the first one, and return that one."""
    texts = [text.strip() for text in columns["onset"]]
    if not texts or not all(re.fullmatch(_DATE, text) for text in texts):
        return None
    try:
        dates = [datetime.fromisoformat(text) for text in texts]
    except ValueError:  # such as the 31st of February: no number, either
        return None
    zoned = [date.tzinfo is not None for date in dates]
    if len(set(zoned)) > 1:
        examples = [texts[zoned.index(is_zoned)] for is_zoned in (True, False)]
        raise ValueError(
            f"{path} has onsets with a time zone and without: {quote(examples)}. Write all of them "
            "in the same way."
        )
    begin = min(dates)
    is_dated = begin.year != _UNDATED.year
    if not is_dated:
        begin = _UNDATED.replace(tzinfo=begin.tzinfo)
    columns["onset"] = [str((date - begin).total_seconds()) for date in dates]
    return begin if is_dated else None
