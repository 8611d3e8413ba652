"""Start of a recording, number of its epochs, and differences between local times."""

from datetime import datetime, timedelta

import mne
import pandas as pd

from .modalities import EPOCH_S


def find_start(raw: mne.io.BaseRaw) -> datetime | None:
    """Find the time of the first sample of a Raw.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.

    Returns
    -------
    start : datetime or None
        Date and time of the first sample, also if the Raw was cropped; None if it has no date.
    """
    date = raw.info["meas_date"]
    return None if date is None else date + timedelta(seconds=raw.first_time)


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


def subtract_clocks(end: datetime, begin: datetime) -> float:
    """Subtract two local times, ignoring their time zones.

    MNE labels the local time of a recording as UTC; YASA and scoring files often do not.

    Parameters
    ----------
    end, begin : datetime
        Local times, with or without a time zone.

    Returns
    -------
    seconds : float
        Seconds from ``begin`` to ``end``.

    Examples
    --------
    >>> from datetime import UTC
    >>> subtract_clocks(datetime(2024, 3, 1, 23), datetime(2024, 3, 1, 22, tzinfo=UTC))
    3600.0
    """
    times = (pd.Timestamp(time).tz_localize(None) for time in (end, begin))
    return float((next(times) - next(times)).total_seconds())
