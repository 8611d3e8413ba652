"""Sleep periods: the nights and naps of a recording of days."""

from datetime import timedelta

import numpy as np
import pandas as pd
import yasa

from ..modalities import EPOCH_S
from .lights import find_sleep
from .statistics import tabulate_statistics

_AWAKE_MIN = 60.0
"""Minutes of wake between two periods (van Hees et al. 2018)."""
_LOST_MIN = 120.0
"""Minutes without any scored sleep between two periods, if less of it is known to be wake."""
_SHORTEST_MIN = 20.0
"""Minutes of sleep in a period."""
_DAY = timedelta(days=1)


def find_sleep_periods(hyp: yasa.Hypnogram) -> pd.DataFrame:
    """Find the sleep periods of a recording, and compute the sleep statistics of each.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram, of any duration.

    Returns
    -------
    periods : pandas.DataFrame
        One row per period, from its first to its last epoch of sleep: ``start`` and ``end`` (on the
        clock of the recording; NaT if the hypnogram has no start), ``onset`` (s from the start of
        the recording), ``day`` (the date that it is counted to, or the number of the 24 h),
        ``main`` (whether it is the main one of its day), ``unscored`` (min), and YASA's sleep
        statistics within, for which time in bed is the period itself.

    Notes
    -----
    As in the algorithm of van Hees et al. (2018, Sci Rep 8:12975) for accelerometers, sleep is one
    period until there are 60 min of wake, and of those from one noon to the next, that with the
    most sleep is the main one. It is ours that a period has at least 20 min of sleep, that it is
    counted to the day in which its middle is, and that ``UNS`` epochs are not wake: they end a
    period only if there is no sleep for 2 h. Without a clock, days are 24 h from the start of the
    recording.

    Examples
    --------
    >>> hyp = yasa.Hypnogram(60 * ["N2"] + 120 * ["WAKE"] + 40 * ["N2"], start="2024-03-01 22:00")
    >>> find_sleep_periods(hyp)[["onset", "main", "TST"]].to_dict("records")
    [{'onset': 0.0, 'main': True, 'TST': 30.0}, {'onset': 5400.0, 'main': False, 'TST': 20.0}]
    """
    asleep = find_sleep(hyp)
    wake = (hyp.hypno == "WAKE").to_numpy()
    at = np.flatnonzero(asleep)
    per_min = 60 / EPOCH_S
    # Between an epoch of sleep and the next one.
    n_wake = np.diff(np.cumsum(wake)[at])
    ends = (n_wake >= _AWAKE_MIN * per_min) | (np.diff(at) - 1 >= _LOST_MIN * per_min)
    groups = np.split(at, np.flatnonzero(ends) + 1) if at.size else []
    start = None if hyp.start is None else pd.Timestamp(hyp.start)
    rows = []
    for group in groups:
        if group.size < _SHORTEST_MIN * per_min:
            continue
        first, last = int(group[0]), int(group[-1])
        within = hyp.crop(first, last)
        onset, end = first * EPOCH_S, (last + 1) * EPOCH_S
        rows.append(
            {
                "start": _find_clock(start, onset),
                "end": _find_clock(start, end),
                "onset": onset,
                "day": _find_day(start, (onset + end) / 2),
                "main": False,
                "unscored": (within.hypno == "UNS").sum() / per_min,
                **tabulate_statistics(within)["value"].drop("UNS", errors="ignore"),
            }
        )
    columns = ["start", "end", "onset", "day", "main", "unscored", *tabulate_statistics(hyp).index]
    periods = pd.DataFrame(rows, columns=[name for name in columns if name != "UNS"])
    if rows:
        periods.loc[periods.groupby("day")["TST"].idxmax(), "main"] = True
    return periods.rename_axis(index="period")


def _find_clock(start: pd.Timestamp | None, seconds: float) -> pd.Timestamp:
    """Find the local time, which jumps in a night in which the clocks change; NaT without one."""
    return pd.NaT if start is None else (start + timedelta(seconds=seconds)).tz_localize(None)


def _find_day(start: pd.Timestamp | None, seconds: float) -> object:
    """Find the date from whose noon on the next 24 h contain a time, or the number of the 24 h."""
    if start is None:
        return int(seconds // _DAY.total_seconds())
    return (_find_clock(start, seconds) - _DAY / 2).date()
