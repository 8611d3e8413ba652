"""Reading stages from text files of annotations, of MNE and of Luna."""

import re
from datetime import UTC, datetime
from pathlib import Path

import yasa

from ..errors import quote
from ..modalities import EPOCH_S
from .events import read_events
from .files import check_number, date_hypnogram, load_text, to_seconds
from .names import to_stage
from .tables import read_text

_LUNA = {3: (1, 2), 4: (2, 3), 6: (3, 4)}
"""Number of columns -> places of start and stop."""


def read_lines(path: Path) -> tuple[yasa.Hypnogram, float | None]:
    """Read a ``.txt``: annotations as MNE writes them, or else a stage per line, or a table.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    hyp : yasa.Hypnogram
        The stages, with a start if the annotations have a date.
    onset : float or None
        Seconds from the start of the recording to the first epoch; None if unknown.

    Raises
    ------
    ValueError
        If the file is empty, is too large, is not text in UTF-8, or has unknown or missing stages.
    """
    text = load_text(path)
    if not text.startswith("# MNE-Annotations"):
        return read_text(path)
    # mne.read_annotations fails if a description contains a comma.
    lines = [line for line in text.splitlines() if line]
    check_number(len(lines), path)
    header = [line.strip("# ") for line in lines if line.startswith("#")]
    n_columns = max((line.count(",") + 1 for line in header if line.startswith("onset")), default=3)
    most = 2 if n_columns == 3 else -1
    rows = [line.split(",", most) for line in lines if not line.startswith("#")]
    if wrong := next((row for row in rows if len(row) != n_columns or n_columns < 3), None):
        raise ValueError(
            f"{path} has the row {quote(','.join(wrong))}; annotations of MNE have {n_columns} "
            "columns there, the third for the description. Save the annotations again."
        )
    onsets, durations = (
        to_seconds([row[i] for row in rows], name, path)
        for i, name in enumerate(("onset", "duration"))
    )
    hyp, first = read_events(onsets, durations, [row[2].strip() for row in rows], str(path))
    dates = [line.partition(":")[2].strip() for line in header if line.startswith("orig_time")]
    if not dates:
        return hyp, first
    try:
        begin = datetime.fromisoformat(dates[0])
    except ValueError as error:
        raise ValueError(
            f"{path} has the orig_time {quote(dates[0])}, which is not a date and time. Save the "
            "annotations again."
        ) from error
    if begin.replace(tzinfo=UTC).timestamp() == 0:  # how MNE writes that there is none
        return hyp, first
    return date_hypnogram(hyp, begin, first, path), first


def read_luna(path: Path) -> tuple[yasa.Hypnogram, float | None]:
    """Read an ``.annot`` file of Luna, with times in seconds or epochs of 30 s.

    Parameters
    ----------
    path : Path
        The file (https://zzz.bwh.harvard.edu/luna/ref/annotations/#annot-files). A last stage
        without a stop (``...``) is taken for one epoch, since the end of the recording is unknown.

    Returns
    -------
    hyp, onset
        As in :func:`read_lines`.

    Raises
    ------
    ValueError
        As in :func:`read_lines`, and if a stage is placed by the time of day.
    """
    lines = [line for line in load_text(path).splitlines() if line.strip() and line[0] != "#"]
    check_number(len(lines), path)
    rows = [line.split("\t" if "\t" in line else None) for line in lines]
    rows = [[cell.strip() for cell in row] for row in rows if row[0].strip() != "class"]
    onsets, durations = [], []
    starts = [row[_LUNA[len(row)][0]] if len(row) in _LUNA else "" for row in rows]
    for row, start, following in zip(rows, starts, [*starts, None][1:], strict=True):
        try:
            stop = row[_LUNA[len(row)][1]]
            onset = _to_luna_seconds(start)
            duration = _find_luna_end(start, stop, following) - onset
        except (KeyError, ValueError) as error:
            if to_stage(row[0]) is not None:
                raise ValueError(
                    f"{path} has the stage {quote(' '.join(row))}; it needs 3, 4 or 6 columns, "
                    "and start and stop in s from the start of the recording, or as e:1. Write it "
                    "with Luna's WRITE-ANNOTS, without hms."
                ) from error
            onset = duration = float("nan")
        onsets.append(onset)
        durations.append(duration)
    return read_events(onsets, durations, [row[0] for row in rows], str(path))


def _to_luna_seconds(text: str) -> float:
    """Convert the start of an event to seconds."""
    epoch = re.fullmatch(r"e:(\d{1,6})", text)
    return (int(epoch[1]) - 1) * EPOCH_S if epoch else float(text)


def _find_luna_end(start: str, stop: str, following: str | None) -> float:
    """Find the end of an event in seconds."""
    if stop == "...":  # until the next event, or, for the last one, the end of the recording
        if following is None:
            return _to_luna_seconds(start) + EPOCH_S
        return _to_luna_seconds(following)
    if stop.startswith("+"):
        return _to_luna_seconds(start) + float(stop[1:])
    last = start if stop == "." else stop
    return _to_luna_seconds(last) + (EPOCH_S if last.startswith("e:") else 0.0)
