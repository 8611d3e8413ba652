"""The start of a Raw, for which the header of its EDF, BDF or BrainVision file is read again.

In EDF and BDF files, MNE reads a time that it cannot parse as midnight, some dates wrongly or not
at all, and ignores the time stamp of the first record. In BrainVision files, it takes the first
date that it finds for the start.
"""

from datetime import datetime, timedelta
from pathlib import Path

import mne

from ..cautions import warn
from . import brainvision
from .edf import SUFFIXES, EdfFile, open_edf
from .start import open_header


def find_start(raw: mne.io.BaseRaw, file: EdfFile | None = None) -> datetime | None:
    """Find the time of the first sample of a Raw.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    file : EdfFile or None
        Its EDF or BDF file, if MNE has just opened it; None to find out whether the date of the
        Raw was changed since.

    Returns
    -------
    start : datetime or None
        Date and time of the first sample, also if the Raw was cropped; None if it has no date, or
        no certain time. If MNE has misread the header of an EDF or BDF file, and the date of the
        Raw was not changed since, it is corrected, with a warning. The date of a later segment of a
        BrainVision recording is none, with a warning.
    """
    date = raw.info["meas_date"]
    is_new = file is not None
    path = Path(raw.filenames[0]) if raw.filenames and raw.filenames[0] else None
    if file is None and path is not None:
        file = open_source(path)
    if file is not None:
        start = file.read_start()
        is_misread = start.time != date and (is_new or file.is_read_as(date))
        if is_misread or (start.time == date and start.doubt):
            _warn_of_header(file, date)
            date = start.time
    elif path is not None and date is not None and _is_late(path, date):
        date = None
    return None if date is None else date + timedelta(seconds=raw.first_time)


def correct_start(raw: mne.io.BaseRaw, file: EdfFile | None = None) -> datetime | None:
    """Correct the date of a recording that was just opened, if MNE has misread it.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording, which is modified.
    file : EdfFile or None
        As in :func:`find_start`.

    Returns
    -------
    start : datetime or None
        As in :func:`find_start`.
    """
    start = find_start(raw, file)
    date = None if start is None else start - timedelta(seconds=raw.first_time)
    if date != raw.info["meas_date"]:
        raw.set_meas_date(date)
    return start


def open_without_clock(path: Path) -> mne.io.BaseRaw | None:
    """Open an EDF or BDF file at whose start time MNE fails.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    raw : mne.io.BaseRaw or None
        The recording without a date; None if the start time is not the reason.
    """
    try:
        file = open_edf(path)
        if file.read_start().time is not None:
            return None
        raw = open_header(path, path.stat().st_size, clock=b"01.01.8500.00.00")
        return raw.set_meas_date(None).set_annotations(file.annotations)
    except Exception:  # of any type, since there is more than one fault
        return None


def _is_late(path: Path, date: datetime) -> bool:
    """Warn if a date is that of a later segment of a BrainVision file, and return whether it is."""
    header = brainvision.find_header(path)
    if header is None:
        return False
    dated = [one for one in brainvision.read_segments(header) if one[1] is not None]
    if not dated or not dated[0][0] or dated[0][1] != date:
        return False
    warn(
        f"The start of the recording is unknown: the only date in its marker file is that of a "
        f"segment {dated[0][0] / brainvision.read_sfreq(header) / 60:.1f} min after the first "
        "sample, which MNE takes for the start. Set the true start with raw.set_meas_date, and "
        "stage that Raw."
    )
    return True


def open_source(path: Path) -> EdfFile | None:
    """Open a file of a Raw, which may have been moved or changed since.

    Parameters
    ----------
    path : Path
        The file, of any format.

    Returns
    -------
    file : EdfFile or None
        The file; None if it is not an EDF or BDF file, or not any more.
    """
    if path.suffix.lower() not in SUFFIXES:
        return None
    try:
        return open_edf(path)
    except (OSError, ValueError):
        return None


def _warn_of_header(file: EdfFile, date: datetime | None) -> None:
    """Warn of a start time that is missing, doubtful, or not the one that MNE reads."""
    start, name = file.read_start(), file.path.name
    remedy = "Correct the header, or set the date of a Raw with raw.set_meas_date."
    if start.time is None:
        warn(
            f"The header of {name} {start.doubt}: the recording has no clock, and the hypnogram "
            f"has no start. {remedy}"
        )
    elif start.doubt and not start.is_dated:
        warn(
            f"The header of {name} {start.doubt}: only its time of day, {start.time:%H:%M:%S}, is "
            f"used, on the placeholder date {start.time.date()}. {remedy}"
        )
    elif start.time != date:
        read = "nothing" if date is None else f"{date:%Y-%m-%d %H:%M:%S}"
        warn(
            f"By its header and the time stamp of its first record, {name} begins at "
            f"{start.time:%Y-%m-%d %H:%M:%S}, but MNE reads {read}. The former is used. {remedy}"
        )
    else:
        warn(f"The header of {name} {start.doubt}. {remedy}")
