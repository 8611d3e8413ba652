"""Which nights of a cohort are remarkable, and which sentences say the same."""

import numpy as np
import pandas as pd
import pytest

from mne_wav2sleep.reports.screening import (
    find_outliers,
    find_stages,
    get_numbers,
    get_texts,
    group_sentences,
    rank_nights,
    screen_nights,
)


def make_table(n_nights=12, **columns):
    table = pd.DataFrame(index=[f"n{i}" for i in range(n_nights)])
    table["status"] = "staged"
    for name, values in columns.items():
        table[name] = [*values, *[np.nan] * (n_nights - len(values))]
    return table


def find_texts(table, unreadable=None):
    found = screen_nights(table, unreadable or {})
    return {night: [(one.points, one.text) for one in some] for night, some in found.items()}


def test_columns_may_be_absent_or_of_another_type():
    table = pd.DataFrame({"TST": ["400", "x", None, np.inf], "subject": [1, None, "b", ""]})
    assert get_numbers(table, "TST").tolist()[:1] == [400]
    assert get_numbers(table, "TST").isna().tolist() == [False, True, True, True]
    assert get_numbers(table, "SE").isna().all()
    assert get_texts(table, "subject").tolist() == ["1", "", "b", ""]
    assert get_texts(table, "dataset").tolist() == [""] * 4
    assert find_stages(pd.DataFrame({"%REM": [1.0], "%N1": [2.0], "%DEEP": [np.nan]})) == [
        "%N1",
        "%REM",
    ]


def test_outliers_have_a_modified_z_score():
    values = pd.Series([*range(1, 10), 100.0])
    # median 5.5, median absolute deviation 2.5
    assert find_outliers(values).iloc[-1] == pytest.approx(0.6745 * 94.5 / 2.5)
    most_equal = pd.Series([5.0] * 9 + [6.0])  # the mean absolute deviation is 0.1
    assert find_outliers(most_equal).iloc[-1] == pytest.approx(1 / 0.1253314)
    assert find_outliers(pd.Series([5.0] * 10)).isna().all()
    assert find_outliers(values[1:]).isna().all()  # of less than ten


@pytest.mark.parametrize(
    ("columns", "points", "text"),
    [
        ({"unscored": [0.5, 0.19]}, 4, "50% of the epochs without a stage"),
        ({"unscored": [0.2, 0.19]}, 2, "20% of the epochs without a stage"),
        ({"certainty": [0.59, 0.61]}, 3, "low certainty"),
        ({"certainty": [0.7] + 11 * [0.9, 0.91, 0.89][:1] + []}, 3, "low certainty"),
        ({"measured_ECG": [0.49, 0.5]}, 2, "ECG measured in 49% of the night"),
        (
            {"plausible_PPG": [0.1, 0.5]},
            2,
            "plausible beats in 10% of the inspected epochs of PPG",
        ),
        (
            {"plausible_THX": [0.1, 0.5]},
            2,
            "plausible breaths in 10% of the inspected epochs of THX",
        ),
        ({"TST": [60, *range(400, 411)]}, 2, "unusually low TST of 60 min"),
        ({"SE": [99, *np.linspace(60, 61, 11)]}, 2, "unusually high SE of 99 %"),
        ({"%DEEP": [0, *np.linspace(20, 21, 11)]}, 2, "unusually low DEEP of 0 %"),
        ({"n_warnings": [5, 4]}, 1, "5 warnings"),
        ({"hours": [2.9, 3, 16]}, 2, "lasts 2.9 h"),
        ({"hours": [16.1, 3, 16]}, 2, "lasts 16.1 h"),
        ({"copies": ["n1 | n2"]}, 2, "same contents as n1 | n2"),
        (
            {"start": ["2024-03-01 13:00:05", *["2024-03-01 22:00:00"] * 11], "hours": [4] * 12},
            1,
            "by day, from 2024-03-01 13:00",
        ),
        ({"start": [None, *["2024-03-01 22:00:00"] * 11]}, 1, "no clock"),
    ],
)
def test_each_reason_to_look_at_a_night(columns, points, text):
    assert find_texts(make_table(**columns)) == {"n0": [(points, text)]}


def test_clocks_in_other_forms_are_read_one_by_one():
    starts = [
        "2024-03-01T13:00",
        "01.03.2024 13:00",
        "x",
        "2024-03-01 13:00+00:00",
        "2024-03-01 13",
    ]
    table = make_table(start=[*starts, *["2024-03-01 22:00:00"] * 7], hours=[4] * 4)
    assert {night: points for night, [(points, _)] in find_texts(table).items()} == {
        "n0": 1,
        "n1": 1,
        "n3": 1,
    }  # n4 has no duration


def test_nights_are_ranked_by_their_points():
    table = make_table(
        certainty=[0.9, 0.5, 0.4, 0.9, 0.9],
        unscored=[0, 0, 0, 0.9, 0],
        reason=[None, None, None, None, None, "'a.edf' is empty.", "'b.edf' is empty.", "No."],
    )
    table.loc[["n5", "n6", "n7"], "status"] = "failed"
    found = screen_nights(table, {"n4": "it is damaged"})
    assert [one.text for one in found["n4"]] == ["Its hypnogram cannot be read: it is damaged"]
    assert [one.text for one in found["n7"]] == ["Not staged: No."]
    failed = get_texts(table, "reason")[table["status"] == "failed"]
    kinds = group_sentences(failed.items(), table)
    # One of the two that failed alike, and of the equal ones the less certain first.
    assert rank_nights(table, found, kinds, 20) == ["n5", "n7", "n4", "n3", "n2", "n1"]
    assert rank_nights(table, found, kinds, 3) == ["n5", "n4", "n3"]


def test_sentences_that_differ_in_names_and_numbers_are_one_kind():
    table = make_table(
        recording=["/data/My night.edf", r"C:\data\b.edf", "/data/c.edf", "/data/d.edf"]
    )
    sentences = [
        ("n0", "/data/My night.edf lasts 12.5 s. Don't worry."),
        ("n1", r"C:\data\b.edf lasts 3 s. Don't worry."),
        ("n2", "'c.edf' lasts 7 s.  Don't worry."),
        ("n2", "other.edf lasts 8 s. Don't worry."),
        ("n3", "It is damaged."),
    ]
    first, second = group_sentences(sentences, table)
    assert first.text == "[…] lasts […] s. Don't worry."
    assert first.example == "/data/My night.edf lasts 12.5 s. Don't worry."
    assert list(first.nights) == ["n0", "n1", "n2"]
    assert (second.text, list(second.nights)) == ("It is damaged.", ["n3"])
    # A sentence that is always the same keeps its names and numbers.
    [only] = group_sentences([("n0", "30 s of 'ECG'"), ("n1", "30 s of 'ECG'")], table)
    assert only.text == only.example == "30 s of 'ECG'"


def test_sentences_of_strangers_may_be_long():
    sentence = "'" * 100_000 + "a/" * 100_000
    [kind] = group_sentences([("n0", sentence), ("n1", sentence + "b")], make_table())
    assert len(kind.text) <= 400
