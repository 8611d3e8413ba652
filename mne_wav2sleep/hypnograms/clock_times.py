"""Times that users give, on the clock of a recording."""

import math
import re
from datetime import datetime, time, timedelta, tzinfo
from typing import TypeAlias, TypeGuard

import numpy as np
import pandas as pd

from ..cautions import warn
from ..clock import to_zone
from ..errors import quote
from ..modalities import EPOCH_S
from .placing import is_placeholder

Light: TypeAlias = str | float | datetime | time | np.datetime64 | None
"""Clock text, seconds from the start of the recording, a datetime, a time of day, or None for the
end of the recording."""

TOLERANCE_S = 3600.0
"""Time before the start of a recording, or after its end, in seconds, in which lights may have gone
off or on: recorders are often switched on after lights off, and off before lights on."""
_LONGEST_S = 1e9
"""No recording is that long; times that are cannot be shown."""
_CLOCK = re.compile(
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.0*)?)?"
    r"(?: ?(?P<half>[ap])\.?m\.?)?",
    re.IGNORECASE,
)
_SECONDS = re.compile(r"(\d+(?:\.\d+)?) ?s")
_DATED = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d\S*")
_EXAMPLES = (
    "Give clock time, such as '22:45' or '2024-03-01 22:45', or seconds from the start of the "
    "recording, such as '900 s'."
)


def show_time(seconds: float, start: datetime | None) -> str:
    """Show a time of a recording.

    Parameters
    ----------
    seconds : float
        Seconds from its start.
    start : datetime or None
        Its start.

    Returns
    -------
    text : str
        Date and time on its clock, or the minutes from its start if it has no date.

    Examples
    --------
    >>> show_time(90, datetime(2024, 3, 1, 23, 59)), show_time(90, None)
    ('2024-03-02 00:00:30', '1.5 min')
    """
    if start is None:
        return f"{seconds / 60:.4g} min"
    return f"{start + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}"


def place_lights(
    off: Light, on: Light, start: datetime | None, duration: float
) -> tuple[float | None, float | None]:
    """Place lights off and on in a recording.

    Parameters
    ----------
    off, on : str, float, datetime, time, numpy.datetime64 or None
        Lights off and on, as in :class:`~mne_wav2sleep.SleepStagerW2S`.
    start : datetime or None
        Start of the recording.
    duration : float
        Its length in seconds.

    Returns
    -------
    off, on : float or None
        Seconds from the start of the recording; None if it is not given.

    Raises
    ------
    TypeError, ValueError
        If they are not times, cannot be placed, are outside of the recording, or are not in order.

    Notes
    -----
    Datetimes with a time zone are instants. The start of the recording, which is local time, is
    taken to be in the zone of lights off, if that has one, else in that of lights on. Without a
    zone, times are those of the recording's own clock, which does not change in the night. So are
    those in UTC, which is how MNE labels local time, unless the other one has a zone; a text such
    as ``"2024-03-01T22:45Z"`` is warned of then.

    Examples
    --------
    >>> place_lights("23:00", "06:30", datetime(2024, 3, 1, 22, 30), 9 * 3600)
    (1800.0, 28800.0)
    """
    times = {"lights off": _read_time(off, "lights off"), "lights on": _read_time(on, "lights on")}
    zones = (at.tzinfo for at in times.values() if _has_zone(at))
    zone = next(zones, None)
    for value, (name, at) in zip((off, on), times.items(), strict=True):
        if zone is None and isinstance(value, str) and isinstance(at, datetime) and at.tzinfo:
            warn(
                f"{name.capitalize()}, {quote(value)}, is labeled UTC, as MNE labels the local "
                "time of a recording, and was taken for the recording's own clock. Leave the label "
                "out, or give the offset of the time zone, such as +01:00."
            )
    begin = _place(times["lights off"], "lights off", start, zone, 0.0)
    end = _place(times["lights on"], "lights on", start, zone, 0.0 if begin is None else begin)
    if begin is not None and end is not None and end <= begin:
        raise ValueError(
            f"Lights on, {show_time(end, start)}, is not after lights off, "
            f"{show_time(begin, start)}. {_EXAMPLES}"
        )
    are_clock = [not isinstance(at, float) for at in times.values()]
    return (
        _limit(begin, "off", start, duration, is_clock=are_clock[0]),
        _limit(end, "on", start, duration, is_clock=are_clock[1]),
    )


def check_times(off: Light, on: Light) -> None:
    """Check that lights off and on are times, without a recording.

    Parameters
    ----------
    off, on : str, float, datetime, time, numpy.datetime64 or None
        Lights off and on, as in :class:`~mne_wav2sleep.SleepStagerW2S`.

    Raises
    ------
    TypeError, ValueError
        If one of them is not a time.
    """
    _read_time(off, "lights off")
    _read_time(on, "lights on")


def _read_time(value: Light, name: str) -> float | datetime | timedelta | None:
    """Read a time; one of day becomes the time from midnight."""
    name = name.capitalize()
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if value is None or (isinstance(value, datetime) and value == value):
        return value
    if isinstance(value, time):
        if value.tzinfo is not None:
            raise ValueError(f"{name} is {value}, a time zone without a date. {_EXAMPLES}")
        return datetime.combine(datetime.min, value) - datetime.min
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(
        value, bool | np.timedelta64
    ):
        return _check_seconds(value, name)
    if not isinstance(value, str):
        raise TypeError(f"{name} is of type {type(value).__name__}, not a time. {_EXAMPLES}")
    return _read_text(value, name)


def _read_text(value: str, name: str) -> float | datetime | timedelta:
    """Read a time that is a text."""
    text = value.strip()
    if (clock := _CLOCK.fullmatch(text)) is not None:
        return _find_time_of_day(clock, name)
    if (seconds := _SECONDS.fullmatch(text)) is not None:
        return _check_seconds(float(seconds[1]), name)
    try:
        if _DATED.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f"{name} is {quote(value)}, which is not a time. {_EXAMPLES}")


def _check_seconds(value: float, name: str) -> float:
    """Check a time in seconds."""
    try:
        seconds = float(value)
    except OverflowError:  # an int of hundreds of digits
        seconds = math.inf
    if not abs(seconds) <= _LONGEST_S:
        raise ValueError(f"{name} is {seconds:g} s, which is outside of any recording. {_EXAMPLES}")
    return seconds


def _find_time_of_day(found: re.Match[str], name: str) -> timedelta:
    """Find a time of day, as the time from midnight."""
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    half = (found["half"] or "").lower()
    if half and 1 <= hour <= 12:
        hour = hour % 12 + 12 * (half == "p")
    elif half:
        hour = 24
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"{name} is {found[0]!r}, and there is no such time of day. {_EXAMPLES}")
    return timedelta(hours=hour, minutes=minute, seconds=second)


def _has_zone(at: float | datetime | timedelta | None) -> TypeGuard[datetime]:
    """Whether a time has a zone of its own, which is not MNE's label."""
    return isinstance(at, datetime) and at.tzinfo is not None and at.tzname() != "UTC"


def _place(
    given: float | datetime | timedelta | None,
    name: str,
    start: datetime | None,
    zone: tzinfo | None,
    after: float,
) -> float | None:
    """Place a time in seconds from the start of the recording; a time of day is after ``after``."""
    if given is None or isinstance(given, float):
        return given
    # An anonymized recording that begins at midnight has no clock.
    if start is None or (is_placeholder(start) and not start.hour + start.minute + start.second):
        raise ValueError(
            f"{name.capitalize()} is given as clock time, but the recording has no clock. Give "
            "seconds from its start, such as '900 s', or set its date with raw.set_meas_date."
        )
    local = start.replace(tzinfo=None)
    if isinstance(given, datetime):
        if is_placeholder(start) and not is_placeholder(given):
            raise ValueError(
                f"{name.capitalize()} is {str(given)!r}, but the date of the recording is only a "
                f"placeholder, {local.date()}. Give the time of day, such as '22:45'."
            )
        if given.tzinfo is not None and zone is not None:
            begin = to_zone(pd.Timestamp(local), zone)
            return float((pd.Timestamp(given) - begin).total_seconds())
        return (given.replace(tzinfo=None) - local).total_seconds()
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    at = (midnight + given - local).total_seconds() % 86400
    if name == "lights off":  # which may be shortly before the start
        return at - 86400 if at >= 86400 - TOLERANCE_S else at
    return at + 86400 * max(math.floor((after - at) / 86400) + 1, 0)


def _limit(
    at: float | None, kind: str, start: datetime | None, duration: float, *, is_clock: bool
) -> float | None:
    """Limit a time to the recording; refuse one that is far from it."""
    is_off = kind == "off"
    if at is None or (0 <= at < duration if is_off else 0 < at <= duration):
        return at
    edge, beyond = (0.0, -at) if is_off else (duration, at - duration)
    if not 0 < beyond <= (TOLERANCE_S if is_clock else 0.0 if is_off else EPOCH_S):
        raise ValueError(
            f"Lights {kind}, {show_time(at, start)}, is outside of the recording, which lasts from "
            f"{show_time(0, start)} to {show_time(duration, start)}. Give a time in it, with its "
            "date if it has one."
        )
    # Clock time to the minute may be that much off.
    if beyond >= 60:
        warn(
            f"Lights {kind}, {show_time(at, start)}, is {beyond / 60:.0f} min "
            f"{'before the recording begins' if is_off else 'after the recording ends'}, so that "
            "the time in bed is too short by as much."
        )
    return edge
