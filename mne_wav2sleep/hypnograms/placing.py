"""Placing scored stages in a recording, by the clock or by onsets."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import mne
import pandas as pd
import yasa

from ..cautions import warn
from ..clock import count_epochs, subtract_clocks
from ..formats.meas_date import find_start
from ..formats.start import NO_DATE
from ..modalities import EPOCH_S
from .aligning import change_hypnogram

_DAY_S = 86400.0
_LONGEST_S = 7 * _DAY_S
"""Time after the placeholder date that counts as the same, for recordings of several days."""
_CLOCK_S = 1e-3
"""Largest difference between equal times."""


@dataclass(frozen=True)
class Scoring:
    """Scored stages, and what their source tells about their time.

    Attributes
    ----------
    hyp : yasa.Hypnogram
        The stages.
    begin : datetime or None
        Time from which onsets are counted, if the source has a clock.
    first : float
        Seconds from ``begin`` to the first epoch.
    is_dated : bool
        Whether the date of ``begin`` is real.
    onset : float or None
        Seconds from the start of the recording to the first epoch, if there is no clock; None if
        unknown.
    is_of_raw : bool
        Whether ``onset`` counts from the first sample of the Raw, even if it was cropped.
    """

    hyp: yasa.Hypnogram
    begin: datetime | None = None
    first: float = 0.0
    is_dated: bool = True
    onset: float | None = None
    is_of_raw: bool = False


def is_placeholder(date: datetime) -> bool:
    """Whether a date is the placeholder of an anonymized EDF, or counts from it.

    Parameters
    ----------
    date : datetime
        The date, in any time zone.

    Returns
    -------
    is_placeholder : bool
        True if only its time of day is real.
    """
    return 0 <= _subtract_local(date, NO_DATE) < _LONGEST_S


def place_scoring(
    scoring: Scoring,
    raw: mne.io.BaseRaw | None,
    *,
    onsets_from: str | None = None,
    meas_date_is_local: bool | None = None,
    check_length: bool = True,
) -> tuple[yasa.Hypnogram, float | None]:
    """Place stages in a recording.

    Parameters
    ----------
    scoring : Scoring
        The stages.
    raw : mne.io.BaseRaw or None
        The recording, or a part of it.
    onsets_from, meas_date_is_local
        As in :func:`~mne_wav2sleep.read_hypnogram`.
    check_length : bool
        Whether to warn if the stages and the recording differ in length, or have no time in
        common, and may not belong together.

    Returns
    -------
    hyp : yasa.Hypnogram
        The stages, with a start if it is known.
    onset : float or None
        Seconds from the first sample of the Raw to the first epoch; None if unknown.
    """
    if raw is None:
        return _give_start(scoring), scoring.onset
    start, onset = find_start(raw), None
    if start is not None and scoring.begin is not None:
        onset = _locate_clock(scoring, scoring.begin, raw, start, meas_date_is_local)
    if onset is None and scoring.onset is not None:
        onset = _locate_onset(scoring, raw, onsets_from)
    if check_length:
        _warn_of_difference(scoring, onset, raw, start)
    if onset is None:
        return _give_start(scoring), None
    hyp = scoring.hyp
    if start is not None and (
        hyp.start is None or _is_on_other_clock(hyp.start, start, onset, meas_date_is_local)
    ):
        hyp = change_hypnogram(hyp, start=start + timedelta(seconds=onset))
    return hyp, onset


def _give_start(scoring: Scoring) -> yasa.Hypnogram:
    """Give stages the start that their source has."""
    if scoring.hyp.start is not None or scoring.begin is None or not scoring.is_dated:
        return scoring.hyp
    return change_hypnogram(scoring.hyp, start=scoring.begin + timedelta(seconds=scoring.first))


def _locate_clock(
    scoring: Scoring,
    begin: datetime,
    raw: mne.io.BaseRaw,
    start: datetime,
    meas_date_is_local: bool | None,
) -> float | None:
    """Locate stages by the time at which they begin; None if the times of day do not matter."""
    first = scoring.first
    is_raw_dated = not is_placeholder(start)
    if scoring.is_dated and is_raw_dated:
        onset = first + subtract_clocks(begin, start, meas_date_is_local=meas_date_is_local)
        return onset
    zero = start - timedelta(seconds=raw.first_time)
    whole = _subtract_local(begin, zero)
    # Midnight of the placeholder date is one itself, unless both begin then.
    if whole and not all(_subtract_local(time, NO_DATE) for time in (begin, zero)):
        return None
    onset = first + _subtract_local(begin, start)
    has_overlap = -scoring.hyp.n_epochs * EPOCH_S < onset < raw.n_times / raw.info["sfreq"]
    if not scoring.is_dated and not is_raw_dated and has_overlap:
        return onset
    if not whole % _DAY_S and is_raw_dated and not raw.first_samp:
        return None  # onsets mean the same
    near = (whole + _DAY_S / 2) % _DAY_S - _DAY_S / 2
    if near:
        warn(
            f"The stages count from {begin:%H:%M:%S} and the recording begins at {zero:%H:%M:%S}, "
            "and not both have a date. Stages are placed by the time of day, "
            f"{abs(near) / 60:.1f} min {'after' if near > 0 else 'before'} the start of the "
            "recording. Check that, and give both a date."
        )
    return near + first - raw.first_time


def _locate_onset(scoring: Scoring, raw: mne.io.BaseRaw, onsets_from: str | None) -> float:
    """Convert an onset in the recording to one in a Raw that was cropped."""
    onset, first = float(scoring.onset or 0.0), raw.first_time
    if scoring.is_of_raw or onsets_from == "raw" or not first:
        return onset
    if onsets_from is None:
        warn(
            f"The Raw begins {first / 60:.1f} min after the start of its recording "
            "(raw.first_time), from which the onsets of the stages are counted. Give "
            "onsets_from='recording' if that is right, and onsets_from='raw' if they count from "
            "the start of the Raw."
        )
    return onset - first


def _is_on_other_clock(
    begin: datetime, start: datetime, onset: float, meas_date_is_local: bool | None
) -> bool:
    """Whether stages that begin at an onset have a start on another clock than the recording."""
    is_confirmed = meas_date_is_local is not None and pd.Timestamp(begin).tz is not None
    return is_confirmed or abs(_subtract_local(begin, start) - onset) > _CLOCK_S


def _subtract_local(end: datetime, begin: datetime) -> float:
    """Subtract local times, whatever their zones."""
    times = [pd.Timestamp(time).tz_localize(None) for time in (end, begin)]
    return float((times[0] - times[1]).total_seconds())


def _warn_of_difference(
    scoring: Scoring, onset: float | None, raw: mne.io.BaseRaw, start: datetime | None
) -> None:
    """Warn if stages and a recording may not belong together."""
    is_dated = scoring.begin is not None and scoring.is_dated
    if onset is None:
        _warn_of_length(scoring.hyp, raw)
    elif is_dated and start is not None and not is_placeholder(start):
        _warn_of_no_overlap(scoring, onset, raw, start)
    if not is_dated and scoring.hyp.start is None:
        _warn_of_end(scoring.hyp, onset, raw)


def _warn_of_no_overlap(
    scoring: Scoring, onset: float, raw: mne.io.BaseRaw, start: datetime
) -> None:
    """Warn if stages with a date have no time in common with the recording."""
    duration = scoring.hyp.n_epochs * EPOCH_S
    end = raw.n_times / raw.info["sfreq"]
    if onset + duration <= 0 or onset >= end:
        warn(
            f"The stages begin {abs(onset) / 3600:.1f} h {'after' if onset > 0 else 'before'} the "
            f"Raw, which begins at {start:%Y-%m-%d %H:%M:%S} and lasts {end / 3600:.1f} h: they "
            "have no time in common. Check the dates and time zones of both."
        )


def _warn_of_end(hyp: yasa.Hypnogram, onset: float | None, raw: mne.io.BaseRaw) -> None:
    """Warn if stages without a date end after the recording."""
    end = 0.0 if onset is None else onset + (hyp.n_epochs - 1) * EPOCH_S
    if end > (lasts := raw.n_times / raw.info["sfreq"]):
        warn(
            f"The hypnogram ends {(end + EPOCH_S) / 60:.1f} min after the start of the recording, "
            f"which lasts {lasts / 60:.1f} min: it may belong to another recording, or to this one "
            "before it was cropped. Give stages with a date, or those of this recording."
        )


def _warn_of_length(hyp: yasa.Hypnogram, raw: mne.io.BaseRaw) -> None:
    """Warn if stages of unknown onset do not match the epochs of the recording."""
    sfreq = raw.info["sfreq"]
    n_epochs = count_epochs(raw.n_times, sfreq)
    # A last epoch that is incomplete may be scored.
    if not n_epochs <= hyp.n_epochs <= max(n_epochs, math.ceil(raw.n_times / sfreq / EPOCH_S)):
        warn(
            f"The hypnogram has {hyp.n_epochs} epochs of 30 s and the recording {n_epochs}, and "
            "they do not both have a date, so the stages may be misplaced. Give the hypnogram a "
            "start and the recording a date, or crop both to the same length."
        )
