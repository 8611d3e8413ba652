"""Warnings about recordings unlike those that the networks were trained on."""

from datetime import date, datetime, timedelta

import mne

from ..cautions import warn
from ..modalities import EPOCH_S
from ..recordings import Recording
from ..verbosity import pluralize
from .windows import LONGEST

SHORT_S = 3 * 3600.0
"""Two sleep cycles of 90 min. There is no source for the shortest recording that is a night."""

_DAY = (10, 20)
"""A recording whose middle is between these hours of the clock was made by day."""

_ADULT = 18
"""Age in years from which a subject is an adult."""


def warn_of_domain(recording: Recording) -> None:
    """Warn about a recording that is unlike the nights of adults, used for training.

    Parameters
    ----------
    recording : Recording
        The opened recording.
    """
    seconds = recording.n_epochs * EPOCH_S
    hours = f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
    if recording.n_epochs > LONGEST:
        warn(
            f"The recording lasts {hours} and is staged in overlapping windows of 10 h. The "
            "network was trained on nights: staging of daytime, and of intensive care, has not "
            "been validated."
        )
    elif seconds < SHORT_S:
        n = recording.n_epochs
        warn(
            f"The recording lasts {hours} ({n} epoch{pluralize(n)} of 30 s). The network was "
            "trained on whole nights: staging of naps and of excerpts has not been validated."
        )
    if recording.start is None:
        return
    middle = recording.start + timedelta(seconds=seconds / 2)
    if is_by_day(recording.start, seconds):
        warn(
            f"The middle of the recording is at {middle:%H:%M} by its clock. The network was "
            "trained on nights: staging of daytime sleep has not been validated. Ignore this if "
            "the clock is set to another time zone."
        )
    age = _find_age(recording.raw.info, recording.start.date())
    if age is not None and 0 <= age < _ADULT:
        warn(
            f"By the date of birth in the recording, the subject was {age} year{pluralize(age)} "
            "old. Staging of children has not been validated by this package."
        )


def is_by_day(start: datetime, seconds: float) -> bool:
    """Whether a recording was made by day, by its clock.

    Parameters
    ----------
    start : datetime
        Its start.
    seconds : float
        Its duration.

    Returns
    -------
    is_by_day : bool
        Whether its middle is between 10 and 20 h, and it lasts less than a day.

    Examples
    --------
    >>> is_by_day(datetime(2024, 3, 1, 13), 1800), is_by_day(datetime(2024, 3, 1, 22), 28800)
    (True, False)
    """
    middle = start + timedelta(seconds=seconds / 2)
    return seconds < 24 * 3600 and _DAY[0] <= middle.hour < _DAY[1]


def _find_age(info: mne.Info, day: date) -> int | None:
    """Find the age in whole years, if the recording has a date of birth."""
    born = (info.get("subject_info") or {}).get("birthday")
    if not isinstance(born, date):
        return None
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))
