"""What the networks never, or hardly ever, saw, as far as a recording tells before it is staged."""

from datetime import date, timedelta

import mne
from mne.utils import _pl

from ..cautions import warn
from ..modalities import EPOCH_S
from ..recordings.opening import Recording
from .windows import LONGEST

_SHORT_S = 3 * 3600.0
"""Two sleep cycles of 90 min. No source says from when on a recording is a night."""

_DAY = (10, 20)
"""Hours of the clock between which the middle of a recording by day lies."""

_ADULT = 18


def warn_of_domain(recording: Recording) -> None:
    """Warn of a recording that is unlike what the networks were trained on: adults' nights.

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
            "network was trained on nights: what it says of daytime, and of intensive care, is not "
            "validated."
        )
    elif seconds < _SHORT_S:
        n = recording.n_epochs
        warn(
            f"The recording lasts {hours} ({n} epoch{_pl(n)} of 30 s). The network was trained on "
            "whole nights: what it says of naps and of pieces is not validated."
        )
    if recording.start is None:
        return
    middle = recording.start + timedelta(seconds=seconds / 2)
    if seconds < 24 * 3600 and _DAY[0] <= middle.hour < _DAY[1]:
        warn(
            f"The middle of the recording is at {middle:%H:%M} by its clock. The network was "
            "trained on nights: what it says of sleep by day is not validated. If the clock is "
            "that of another time zone, this means nothing."
        )
    age = _find_age(recording.raw.info, recording.start.date())
    if age is not None and 0 <= age < _ADULT:
        warn(
            f"By the date of birth in the recording, the sleeper was {age} year{_pl(age)} old. "
            "What the network says of children is not validated by this package."
        )


def _find_age(info: mne.Info, day: date) -> int | None:
    """Age in whole years, where the recording has a date of birth."""
    born = (info.get("subject_info") or {}).get("birthday")
    if not isinstance(born, date):
        return None
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))
