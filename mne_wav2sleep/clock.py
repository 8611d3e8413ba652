"""Number of epochs of a recording, and differences between times."""

from datetime import datetime, tzinfo

import pandas as pd

from .cautions import warn
from .modalities import EPOCH_S


def count_epochs(n_samples: float, sfreq: float) -> int:
    """Count the complete 30-s epochs of a recording.

    Parameters
    ----------
    n_samples : float
        Number of samples of the recording.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    n_epochs : int
        Number of complete epochs. A last epoch that lacks less than half a sample is complete.

    Examples
    --------
    >>> count_epochs(60 * 128 - 1, 128.0), count_epochs(60 * 128, 128.0)
    (1, 2)
    """
    # Half a sample, because at some rates an epoch is not a whole number of samples. FIF stores the
    # rate as float32, with a relative error of up to 6e-8.
    return int((n_samples + 0.5) / sfreq / EPOCH_S * (1 + 1e-7))


def subtract_clocks(
    end: datetime, begin: datetime, *, meas_date_is_local: bool | None = None
) -> float:
    """Subtract two start times, of which either may have a time zone.

    MNE labels all start times UTC, which most formats store as local time; YASA passes them on.
    Therefore UTC is a zone only if ``meas_date_is_local`` is False.

    Parameters
    ----------
    end, begin : datetime
        The times.
    meas_date_is_local : bool or None
        Whether times without a zone or labeled UTC are local times, as in
        :meth:`yasa.Hypnogram.upsample_to_data`; None to assume so, with a warning if it matters:
        if the other time has a zone of its own.

    Returns
    -------
    seconds : float
        Seconds from ``begin`` to ``end``.

    Raises
    ------
    ValueError
        If ``meas_date_is_local`` is False, and only one of the times has a time zone.

    Examples
    --------
    >>> from datetime import UTC
    >>> subtract_clocks(datetime(2024, 3, 1, 23), datetime(2024, 3, 1, 22, tzinfo=UTC))
    3600.0
    """
    times = [pd.Timestamp(time) for time in (end, begin)]
    if meas_date_is_local is False and (times[0].tz is None) != (times[1].tz is None):
        raise ValueError(
            f"Of {times[0]} and {times[1]}, only one has a time zone, so that they cannot be "
            "compared with meas_date_is_local=False. Give the other one its zone, such as "
            "yasa.Hypnogram(..., tz='Europe/Berlin')."
        )
    if meas_date_is_local is not False:
        times = _localize(times, warns=meas_date_is_local is None)
    return float((times[0] - times[1]).total_seconds())


def _has_zone(time: pd.Timestamp) -> bool:
    """Whether a time has a zone of its own, which is not MNE's label."""
    return time.tz is not None and time.tzname() != "UTC"


def _localize(times: list[pd.Timestamp], *, warns: bool) -> list[pd.Timestamp]:
    """Give local times, unlabeled or labeled UTC, the zone of the other one, if it has any."""
    zoned = [time for time in times if _has_zone(time)]
    if len(zoned) == len(times):
        return times
    if warns and any(time.utcoffset() for time in zoned):
        warn(
            f"Of the start times {times[0]} and {times[1]}, only one has a time zone of its own. "
            "The other is taken for local time in the same zone, because MNE labels the local time "
            "of most recordings UTC. Give meas_date_is_local=True if that is right, and False if "
            "it is truly UTC."
        )
    zone = zoned[0].tz if zoned else None
    return [time if _has_zone(time) else to_zone(time.tz_localize(None), zone) for time in times]


def to_zone(time: pd.Timestamp, zone: tzinfo | None) -> pd.Timestamp:
    """Give a local time a time zone.

    Parameters
    ----------
    time : pandas.Timestamp
        The time, without a zone.
    zone : tzinfo or None
        The zone; None for none.

    Returns
    -------
    time : pandas.Timestamp
        The time in the zone. At a change from summer time, the first of two such times; at one to
        it, at which there is no such time, the next one.
    """
    return time.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
