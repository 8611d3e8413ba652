"""Start times in the headers of EDF and BDF files.

MNE reads a time that it cannot parse as midnight, some dates wrongly, and ignores the time stamp of
the first record. This module reads what is certain, and compares it with what MNE reads.
"""

import re
from datetime import UTC, date, datetime, time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import mne

NO_DATE = datetime(1985, 1, 1, tzinfo=UTC)
"""Placeholder date in the header of an anonymized EDF, which MNE reads as a real date."""

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_SPELLED_OUT = re.compile(r"(\d{1,2})-([A-Z]{3})-(\d{4})", re.IGNORECASE | re.ASCII)
# Programs also write colons. Hyphens and slashes may stand for another order of day and month.
_DATE = re.compile(r"(\d{1,2})[.:](\d{1,2})[.:](\d{4}|\d{2})", re.ASCII)
_TIME = re.compile(r"(\d{1,2})\D(\d{1,2})\D(\d{1,2})", re.ASCII)


class HeaderStart(NamedTuple):
    """The start of a file according to its header.

    Attributes
    ----------
    time : datetime or None
        Local time, labeled UTC as by MNE; None if the header contains no valid time. Without a
        valid date, it is a time of day on :data:`NO_DATE`.
    is_dated : bool
        False if there is no valid date, or only the placeholder (EDF+ specification, 2.1.3.3).
    doubt : str
        What is wrong with the header, as the beginning of a sentence; empty if nothing is.
    """

    time: datetime | None
    is_dated: bool
    doubt: str = ""


def parse_start(fixed: bytes) -> HeaderStart:
    """Read the start of a file from its header.

    Parameters
    ----------
    fixed : bytes
        The first 256 bytes of the header.

    Returns
    -------
    start : HeaderStart
        The start, without the time stamp of the first record. A date that is spelled out in the
        recording field (``Startdate 01-MAR-2024``), whatever follows it, comes before the date
        with a year of two digits.

    Examples
    --------
    >>> header = b" " * 88 + b"Startdate X X X X".ljust(80) + b"01.03.2421:30:00"
    >>> str(parse_start(header).time)
    '2024-03-01 21:30:00+00:00'
    """
    text = fixed.decode("latin-1")
    words = text[88:168].split()
    spelled = words[1] if len(words) > 1 and words[0].lower() == "startdate" else "X"
    short, clock = text[168:176].strip("\0 "), text[176:184].strip("\0 ")
    long_date, short_date = _parse_spelled_out(spelled), _parse_date(short)
    day, doubt = long_date or short_date, ""
    if day is None:
        doubt = f"has the date {short!r}, which is not a date (dd.mm.yy)"
    elif long_date and short_date and short_date != NO_DATE.date():
        if f"{long_date:%d%m%y}" != f"{short_date:%d%m%y}":
            doubt = f"has two dates, {long_date} and {short_date}, of which the first is used"
    elif day == NO_DATE.date() and not long_date and spelled.upper() != "X":
        doubt = f"has the date {spelled!r}, which cannot be read (dd-MMM-yyyy, months in English)"
    hour = _parse_time(clock)
    is_unset = day is None and hour == time()  # both fields were filled with zeros
    if hour is None or is_unset:
        return HeaderStart(
            None, False, f"has the date {short!r} and the time {clock!r}, which is not a start time"
        )
    is_dated = day is not None and day != NO_DATE.date()
    return HeaderStart(datetime.combine(day or NO_DATE.date(), hour, UTC), is_dated, doubt)


def _parse_spelled_out(text: str) -> date | None:
    """Parse the date after Startdate, whatever the language of the system."""
    if (match := _SPELLED_OUT.fullmatch(text)) is None or match[2].upper() not in _MONTHS:
        return None
    return _make_date(int(match[3]), _MONTHS.index(match[2].upper()) + 1, int(match[1]))


def _parse_date(text: str) -> date | None:
    """Parse the date with a year of two digits, which is in 1985 to 2084, or of four."""
    if (match := _DATE.fullmatch(text)) is None:
        return None
    day, month, year = (int(number) for number in match.groups())
    if len(match[3]) == 2:
        year += 1900 if year >= 85 else 2000
    return _make_date(year, month, day)


def _make_date(year: int, month: int, day: int) -> date | None:
    """Make a date; None if there is no such day."""
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _parse_time(text: str) -> time | None:
    """Parse a time of day with any separator."""
    if (match := _TIME.fullmatch(text)) is None:
        return None
    hour, minute, second = (int(number) for number in match.groups())
    try:
        return time(hour, minute, second)
    except ValueError:
        return None


def open_header(path: Path, size: int, *, clock: bytes | None = None) -> mne.io.BaseRaw:
    """Open the header of an EDF or BDF file with MNE, and no samples or annotations.

    Parameters
    ----------
    path : Path
        The file.
    size : int
        Bytes of the file of which MNE computes the duration, which it must have at least.
    clock : bytes or None
        Date and time to put in place of those in the header, shape (16,).

    Returns
    -------
    raw : mne.io.BaseRaw
        A Raw that reads its samples from the file.
    """
    with path.open("rb") as file:
        header = file.read(256)
        header += file.read(256 * int(header[252:256]))
    if clock is not None:
        header = header[:168] + clock + header[184:]
    with TemporaryDirectory(prefix="mne-wav2sleep-") as folder:
        copy = Path(folder) / path.name
        with copy.open("wb") as file:
            file.write(header)
            file.truncate(size)  # zeros, which take no space on most file systems
        raw = mne.io.read_raw(copy, preload=False, verbose="error")
    raw.filenames = (path,)
    return raw
