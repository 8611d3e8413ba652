"""Warnings about recordings unlike those that the networks were trained on."""

import datetime

import mne
import numpy as np
import pytest
from builders import START

from mne_wav2sleep.recordings.opening import open_recording
from mne_wav2sleep.staging.domain import warn_of_domain


def open_hours(hours, start=START, birthday=None):
    info = mne.create_info(["ECG"], 1.0, "ecg")
    raw = mne.io.RawArray(np.zeros((1, round(hours * 3600))), info, verbose="error")
    raw.set_meas_date(start)
    if birthday:
        raw.info["subject_info"] = {"birthday": birthday}
    return open_recording(raw)


@pytest.mark.parametrize(
    "recording",
    [
        open_hours(8),
        open_hours(3),
        open_hours(12),
        open_hours(8, start=None),
        open_hours(8, birthday=datetime.date(1950, 1, 1)),
        open_hours(8, birthday=datetime.date(2006, 3, 1)),  # 18 on that day
        open_hours(8, birthday=datetime.date(2030, 1, 1)),  # not born yet
    ],
)
def test_nights_of_adults_give_no_warning(recording):
    warn_of_domain(recording)  # warnings are errors here


@pytest.mark.parametrize(
    ("recording", "message"),
    [
        (open_hours(1.5), r"lasts 1\.5 h \(180 epochs of 30 s\).*naps"),
        (open_hours(30 / 3600), r"lasts 0\.5 min \(1 epoch of 30 s\)"),
        (open_hours(48), r"lasts 48\.0 h.*overlapping windows.*intensive care"),
        (open_hours(8, START.replace(hour=8)), r"middle of the recording is at 12:30"),
        (open_hours(8, birthday=datetime.date(2006, 3, 2)), "17 years old"),
        (open_hours(8, birthday=datetime.date(2023, 2, 1)), "1 year old"),
    ],
)
def test_other_recordings_are_warned_about(recording, message):
    with pytest.warns(RuntimeWarning, match=message):
        warn_of_domain(recording)
