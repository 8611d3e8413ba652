"""Sleep periods in recordings of days."""

from datetime import date, datetime

import numpy as np
import pandas as pd
import pytest
import yasa

from mne_wav2sleep.hypnograms import find_sleep_periods
from mne_wav2sleep.hypnograms.lights import TimeInBed
from mne_wav2sleep.staging.epochs import tabulate_epochs

NOON = datetime(2024, 3, 1, 12)


def make_days(n_hours, *runs, start=NOON):
    """A hypnogram that is awake but for runs of (first, last, stage), in hours."""
    stages = np.full(120 * n_hours, "WAKE", dtype=object)
    for first, last, stage in runs:
        stages[round(120 * first) : round(120 * last)] = stage
    return yasa.Hypnogram(stages, start=start)


# From noon: nights from 23:00, naps at 14:00, and some hours in which nothing was measured.
DAYS = make_days(
    72,
    (2, 2.5, "N2"),
    (11, 14, "N3"),
    (14.5, 19, "REM"),
    (26, 27, "N2"),
    (30, 35, "UNS"),
    (35, 36.5, "N2"),
    (36.5, 37.5, "UNS"),
    (37.5, 43, "N2"),
    (43.2, 43.45, "N2"),
    (60, 60.25, "N2"),
)


def test_nights_and_naps_of_three_days():
    found = find_sleep_periods(DAYS)
    hours = (found["onset"] / 3600).tolist()
    assert hours == [2, 11, 26, 35]
    ends = ((found["end"] - pd.Timestamp(NOON)).dt.total_seconds() / 3600).tolist()
    assert ends == [2.5, 19, 27, 43.45]
    assert found["start"].tolist()[1] == pd.Timestamp("2024-03-01 23:00")
    assert found["main"].tolist() == [False, True, False, True]
    assert found["day"].tolist() == [date(2024, 3, 1)] * 2 + [date(2024, 3, 2)] * 2
    assert found["unscored"].tolist() == [0, 0, 0, 60]
    for number, (first, last) in enumerate(zip(hours, ends, strict=True)):
        expected = DAYS.crop(round(120 * first), round(120 * last) - 1).sleep_statistics()
        row = found.loc[number].drop(["start", "end", "onset", "day", "main", "unscored"])
        expected.pop("UNS", None)
        assert row.dropna().to_dict() == pytest.approx(
            {name: value for name, value in expected.items() if value == value}, abs=0.006
        )


def test_what_separates_periods():
    def count(*runs):
        return len(find_sleep_periods(make_days(12, (1, 2, "N2"), *runs)))

    assert count((2 + 59.5 / 60, 4, "N2")) == 1
    assert count((3, 4, "N2")) == 2
    assert count((2, 3.5, "UNS"), (3.5, 4, "N2")) == 1
    assert count((2, 4, "UNS"), (4, 5, "N2")) == 2
    assert count((2, 3, "ART"), (3.5, 5, "N2")) == 1
    # Much that is lost, and an hour that is known to be wake.
    assert count((2, 2.5, "UNS"), (3.5, 5, "N2")) == 2
    assert count((5, 5 + 19.5 / 60, "N2")) == 1
    assert count((5, 5 + 20 / 60, "N2")) == 2


def test_sleep_by_day_is_counted_to_the_day_of_its_middle():
    found = find_sleep_periods(make_days(30, (20, 27, "N2")))
    assert found["day"].tolist() == [date(2024, 3, 1)]
    found = find_sleep_periods(make_days(30, (22, 27, "N2")))
    assert found["day"].tolist() == [date(2024, 3, 2)]


def test_a_recording_without_a_date_has_days_of_24_hours():
    hyp = make_days(50, (2, 3, "N2"), (10, 18, "N2"), (30, 37, "N2"), start=None)
    found = find_sleep_periods(hyp)
    assert found["day"].tolist() == [0, 0, 1]
    assert found["main"].tolist() == [False, True, True]
    assert found["start"].isna().all()
    assert found["onset"].tolist() == [7200, 36000, 108000]


@pytest.mark.parametrize("stage", ["WAKE", "UNS"])
def test_no_sleep_gives_no_row(stage):
    found = find_sleep_periods(make_days(12, (0, 12, stage)))
    assert len(found) == 0
    assert {"start", "end", "main", "TST", "WASO"} <= set(found)
    assert "UNS" not in found


@pytest.mark.parametrize(
    ("evening", "end"), [("2024-03-30", "2024-03-31 08:00"), ("2024-10-26", "2024-10-27 06:00")]
)
def test_local_times_after_the_clocks_change(evening, end):
    hyp = yasa.Hypnogram(960 * ["N2"], start=f"{evening} 23:00", tz="Europe/Berlin")
    period = find_sleep_periods(hyp).iloc[0]
    assert period["start"] == pd.Timestamp(f"{evening} 23:00")
    assert period["end"] == pd.Timestamp(end)
    assert period["day"] == date.fromisoformat(evening)
    hyp._proba = pd.DataFrame({"N2": np.ones(960)})
    table = tabulate_epochs(hyp, pd.DataFrame(), {}, TimeInBed(0.0, 28800.0, 0, 960))
    assert table["start"].iloc[-1] == pd.Timestamp(end) - pd.Timedelta(seconds=30)
