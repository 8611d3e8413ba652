"""Reading stages from the text files of the Wisconsin Sleep Cohort (WSC).

The National Sleep Research Resource (NSRR) distributes them with the recordings, in two formats:
``.stg.txt`` of studies that were recorded with Gamma, and ``.allscore.txt`` of those recorded with
Twin (https://sleepdata.org/datasets/wsc). What their columns and labels mean follows NSRR's own
conversion to Luna's formats.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import yasa

from ..cautions import warn
from ..errors import quote
from ..formats.start import NO_DATE
from ..modalities import EPOCH_S
from ..verbosity import pluralize
from .events import make_hypnogram, read_events
from .files import check_number, load_bytes
from .names import NUMBERS
from .placing import Scoring

GAMMA, TWIN = ".stg.txt", ".allscore.txt"
"""Ends of the names of the files."""

_CODES = NUMBERS | {"7": "UNS"}
_STAGE = "user-defined stage"
"""Name of the column of the scorer's stages; another one has those of a program."""
_MOST_EPOCHS = 20_000
"""Largest number of an epoch: that of a week."""

_TIME = re.compile(r"(\d{1,2}):([0-5]\d):([0-5]\d(?:\.\d{1,6})?) ?([AP]M)?", re.IGNORECASE)
_DAY_S = 86400.0
_CHANGE = re.compile(r"STAGE ?- ?(.+)")
"""A change of the stage; notes can begin with the word as well ("Stage 2 looks odd")."""
_BEGIN, _PAUSE, _LIGHTS_ON = "START RECORDING", "PAUSED", "LIGHTS ON"


def read_gamma(path: Path) -> tuple[yasa.Hypnogram, float]:
    """Read a ``.stg.txt``: a row per epoch of 30 s, with its number and the stage as an integer.

    Parameters
    ----------
    path : Path
        The file, separated by tabs: epoch, ``User-Defined Stage`` (0 to 5 as by Rechtschaffen and
        Kales, 6 for movement, 7 for unscored) and other columns; with or without a header.

    Returns
    -------
    hyp : yasa.Hypnogram
        The stages; stages 3 and 4 are N3. Epochs whose number is missing are ``UNS``.
    onset : float
        0, since the first row is the first epoch of the recording in NSRR's own conversion.

    Raises
    ------
    ValueError
        If the file is empty, is too large, or has another stage, or epochs that are not in order.
    """
    rows = [line.split("\t") for line in _load_lines(path)]
    check_number(len(rows), path)
    column, header = 1, [cell.strip().lower() for cell in rows[0]]
    if not header[0].isdigit():
        if _STAGE not in header:
            raise ValueError(
                f"{path} has the columns {quote(header)}; it needs the epoch and 'User-Defined "
                "Stage', separated by tabs. Download it again."
            )
        column = header.index(_STAGE)
        rows = rows[1:]
    stages: list[str] = []
    first = 1
    for row in rows:
        number, code = row[0].strip(), row[column].strip() if len(row) > column else ""
        epoch = int(number) if re.fullmatch(r"\d{1,6}", number) else 0
        first = first if stages else epoch
        n_missing = epoch - first - len(stages)
        if code not in _CODES or not 0 < epoch <= _MOST_EPOCHS or n_missing < 0:
            raise ValueError(
                f"{path} has the row {quote(row)} after {len(stages)} epochs; it needs the number "
                "of a later epoch and a stage from 0 to 7. Download the file again."
            )
        stages += ["UNS"] * n_missing + [_CODES[code]]
    if not stages:
        raise ValueError(f"{path} has no stages after its header. Download it again.")
    if first != 1:
        warn(
            f"{path} begins with epoch {first}, which is taken for the first epoch of the "
            "recording. Check that, and give the stages with onsets if it is wrong."
        )
    return make_hypnogram(stages), 0.0


def read_twin(path: Path) -> Scoring:
    """Read an ``.allscore.txt``: events with their time of day, among them changes of the stage.

    Parameters
    ----------
    path : Path
        The file, separated by tabs: time of day, and event, such as ``STAGE - N2``. Other events
        (apneas, arousals, notes) are ignored. Rows need not be in order.

    Returns
    -------
    scoring : Scoring
        The stages, on the clock of the file. A stage lasts until the next one, or until the
        recording is paused; the last one until the lights are on, or for an epoch. If the file has
        ``START RECORDING``, its onset counts from there.

    Raises
    ------
    ValueError
        If the file is empty or too large, or has no stages, or unknown ones, or a stage without a
        time.
    """
    lines = _load_lines(path)
    check_number(len(lines), path)
    # Those of the same time stay in the order of the file.
    events = sorted(_time_events(lines, path), key=lambda event: event[0])
    begins = [time for time, text in events if text == _BEGIN]
    spans = list(_find_spans(events))
    if not spans:
        raise ValueError(
            f"{path} has no stages among its {len(events)} event{pluralize(events)}; it needs rows "
            "such as '22:30:00.00', a tab, and 'STAGE - W'. Download it again."
        )
    zero = begins[0] if begins else events[0][0]
    hyp, first = read_events(
        [start - zero for start, _, _ in spans],
        [stop - start for start, stop, _ in spans],
        [label for _, _, label in spans],
        str(path),
    )
    if any(time > spans[0][0] for time in begins):
        warn(
            f"{path} says that the recording was started again after the first stage. Stages are "
            "placed by the clock; check that the recording has a gap there as well."
        )
    return Scoring(
        hyp,
        begin=NO_DATE + timedelta(seconds=zero % _DAY_S),
        first=first,
        is_dated=False,
        onset=first if begins else None,
    )


def _load_lines(path: Path) -> list[str]:
    """Read the lines that are not empty; notes are in UTF-8 or, mostly, in Latin-1."""
    data = load_bytes(path)
    if b"\0" in data:
        raise ValueError(f"{path} has null bytes, so that it is not text. Download it again.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    # Not str.splitlines, which also splits at control characters of Latin-1.
    lines = [line for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    if not lines:
        raise ValueError(f"{path} is empty. Download it again.")
    return lines


def _time_events(lines: Sequence[str], path: Path) -> Iterator[tuple[float, str]]:
    """List events with seconds from the midnight before the first one."""
    last: float | None = None
    for line in lines:
        text, _, event = line.partition("\t")
        event = " ".join(event.split("\t")[0].split()).upper()
        match = _TIME.fullmatch(text.strip())
        if match is None or int(match[1]) > 23:
            if _CHANGE.fullmatch(event):
                raise ValueError(
                    f"{path} has the row {quote(line)}, without a time of day. Correct it, or "
                    "download the file again."
                )
            continue
        hour = int(match[1])
        if match[4]:
            hour = hour % 12 + 12 * (match[4].upper() == "PM")
        time = 3600.0 * hour + 60.0 * int(match[2]) + float(match[3])
        if last is not None:  # also after midnight, and if events are not quite in order
            time = last + (time - last + _DAY_S / 2) % _DAY_S - _DAY_S / 2
        last = time
        yield time, event


def _find_spans(events: Sequence[tuple[float, str]]) -> Iterator[tuple[float, float, str]]:
    """Find start, end and label of each stage."""
    current: tuple[float, str] | None = None
    end: float | None = None  # when the lights were turned on
    for time, event in events:
        change = _CHANGE.fullmatch(event)
        if event == _LIGHTS_ON:
            end = time
        if change is None and event not in (_BEGIN, _PAUSE):
            continue
        if current is not None and time > current[0]:
            yield current[0], time, current[1]
        current, end = (time, f"STAGE - {change[1]}") if change else None, None
    if current is not None:
        start, label = current
        # In whole epochs, since the lights may be turned on within one.
        length = EPOCH_S if end is None else max((end - start) // EPOCH_S, 1.0) * EPOCH_S
        yield start, start + length, label
