"""Groups of nights by a table of participants."""

import pandas as pd
import pytest

from mne_wav2sleep.cohorts.comparison.groups import (
    describe_nights,
    group_nights,
    list_columns,
    open_participants,
    warn_of_unknown,
)


def make_nights(**columns):
    n = len(next(iter(columns.values())))
    columns = {"subject": [f"s{i}" for i in range(n)]} | columns
    return pd.DataFrame(columns, index=[f"n{i}" for i in range(n)])


def test_bands_of_age_and_apnea():
    nights = make_nights(age=[17.9, 18, 39, 40, 60], AHI=["4.9", "5", "15", "30", None])
    assert list(group_nights(nights, "age")) == [
        *("<18", "18 to <40", "18 to <40", "40 to <60", "60 or more")
    ]
    groups = group_nights(nights, "ahi")
    severities = ["none (<5)", "mild (5 to <15)", "moderate (15 to <30)", "severe (30 or more)"]
    assert list(groups) == [*severities, "unknown"]
    assert list(groups.cat.categories) == [*severities, "unknown"]
    assert list(group_nights(nights[:4], "AHI", [20])) == ["<20", "<20", "<20", "20 or more"]


def test_ages_of_the_oldest_and_empty_texts():
    nights = make_nights(age=["89+", ">89", "> 89", "\u2265 90.5", "30", " ", ""])
    assert list(group_nights(nights, "age")) == [*["60 or more"] * 4, "18 to <40", *["unknown"] * 2]
    assert list(group_nights(nights[:4], "age", [90])) == [*["<90"] * 3, "90 or more"]
    words = make_nights(age_group=["18-40", ">40", ""], sex=["F", "", None])
    words.loc["n1", "age_group"] = "old"
    assert list(group_nights(words, "age_group")) == ["18-40", "old", "unknown"]
    assert list(group_nights(words, "sex")) == ["F", "unknown", "unknown"]


@pytest.mark.parametrize("column", ["age", "AHI", "age_years", "ahi_nsrr"])
@pytest.mark.parametrize("cell", ["30,5", "old", -3, "-3", float("inf"), "inf", "mild"])
@pytest.mark.parametrize("edges", [None, [20]])
def test_ages_and_indices_that_are_no_numbers(column, cell, edges):
    nights = make_nights(**{column: pd.Series([30, cell, None], dtype=object).to_list()})
    with pytest.raises(
        ValueError, match=rf"'{column}' has '{cell}(\.0)?' for s1, which is not a num"
    ):
        group_nights(nights, column, edges)
    alone = make_nights(age=["old", "young"])
    with pytest.raises(ValueError, match="'age' has 'old' for s0, which is not a number from 0"):
        group_nights(alone, "age")


def test_an_index_is_not_that_of_the_oldest():
    with pytest.raises(ValueError, match=r"'ahi' has '89\+' for s0, which is not a number from 0"):
        group_nights(make_nights(ahi=["89+"]), "ahi")


def test_other_columns_are_as_they_are():
    nights = make_nights(site=["b", "a", "10", "9"], visit=[10, 9, 9, 10])
    assert list(group_nights(nights, "site").cat.categories) == ["10", "9", "a", "b", "unknown"]
    assert list(group_nights(nights, "visit").cat.categories) == ["9", "10", "unknown"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pd.Categorical(["b", None, "a"]), ["b", "unknown", "a"]),
        (pd.array([2, None, 1], dtype="Int64"), ["2", "unknown", "1"]),
        (pd.array(["b", None, "a"], dtype="string"), ["b", "unknown", "a"]),
    ],
)
def test_an_unknown_value_in_a_column_of_any_type(values, expected):
    groups = group_nights(make_nights(site=values), "site")
    assert list(groups) == expected
    assert list(groups.cat.categories) == [*sorted({*expected} - {"unknown"}), "unknown"]


def test_numbers_of_subjects_that_pandas_read_as_floats():
    nights = make_nights(subject=["1", "sub-2", None])
    table = pd.DataFrame({"subject": [2.0, 1.0, None, None], "site": ["b", "a", "c", "c"]})
    assert list(describe_nights(nights, open_participants(table))["site"][:2]) == ["a", "b"]
    table = pd.DataFrame({"night": ["n0", "n1", "n2"], "subject": [1.0, 1.0, None]})
    found = describe_nights(nights, open_participants(table))
    assert list(found["subject"]) == ["1", "1", "n2"]


@pytest.mark.parametrize(
    ("column", "edges", "message"),
    [
        ("bmi", None, r"'bmi' has 11 different numbers\. Give edges to cut them at, by={'bmi'"),
        ("site", [1], "'site' has 'x', which is not a number"),
        (
            "height",
            None,
            "There is no column 'height' to group by. Choose one such as 'subject', 'bmi', 'site'",
        ),
    ],
)
def test_columns_that_are_no_groups(column, edges, message):
    nights = make_nights(bmi=range(20, 31), site=["x"] * 11)
    with pytest.raises(ValueError, match=message):
        group_nights(nights, column, edges)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (None, {}),
        ("a", {"a": None}),
        (["a", "b"], {"a": None, "b": None}),
        ({"a": [1]}, {"a": [1]}),
        ({"a": range(1, 3)}, {"a": range(1, 3)}),
    ],
)
def test_columns_in_every_form(by, expected):
    assert list_columns(by) == expected


@pytest.mark.parametrize(
    ("by", "error", "message"),
    [
        (3, TypeError, "by must be"),
        ([3], TypeError, "each column of by must be"),
        ({"age": [40, 18]}, ValueError, "has the edges .* for 'age'"),
        ({"age": []}, ValueError, "has the edges"),
        ({"age": [float("nan")]}, ValueError, r"edges \[nan\] for 'age'. Give finite numbers"),
        ({"age": [18, float("inf")]}, ValueError, "Give finite numbers"),
        ({"age": 40}, TypeError, "edges 40 for 'age', which are not a list of numbers"),
        ({"age": "18,40"}, TypeError, "which are not a list of numbers"),
        ({"age": ["18"]}, TypeError, "which are not a list of numbers"),
    ],
)
def test_columns_in_a_wrong_form(by, error, message):
    with pytest.raises(error, match=message):
        list_columns(by)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_participants_are_matched_as_bids_names_them(separator, tmp_path):
    path = tmp_path / "participants.tsv"
    rows = ["participant_id,site", "sub-S0,NA1", "s1,n/a", "sub-9,x"]
    path.write_text("\n".join(rows).replace(",", separator), encoding="utf-8-sig")
    nights = make_nights(site=["old", "old", "old"])
    found = describe_nights(nights, open_participants(path))
    assert list(found["site"][:1]) == ["NA1"]
    assert found["site"][1:].isna().all()
    frame = pd.DataFrame({"site": ["NA1"]}, index=pd.Index(["S0"], name="subject"))
    assert describe_nights(nights, open_participants(frame))["site"].iloc[0] == "NA1"


def test_a_table_of_nights_names_their_subjects():
    nights = make_nights(subject=[None, None, None])
    table = pd.DataFrame({"night": ["N0", "n1"], "subject": ["A", "A"], "age": [30, 31]})
    found = describe_nights(nights, open_participants(table))
    assert list(found["subject"]) == ["A", "A", "n2"]
    assert list(found["age"][:2]) == [30, 31]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,age\n1,2\n", r"has the columns \['id', 'age'\]\. It needs participant_id"),
        ("subject,age\ns1,2\nS1,3\n", "two rows for the subject 'S1'. Keep one, or name the night"),
        ("night,age\na,2\na,3\n", r"two rows for the night 'a'\. Keep one\."),
        ("subject,age\nx1,2\n", "None of the subjects is in the table of participants"),
        ("subject,age\ns1,2,3,4\ns2\n", "is not a table|None of the"),
        ("", "is empty. Give a CSV in UTF-8 with the column 'participant_id'"),
    ],
)
def test_tables_of_something_else(text, message, tmp_path):
    path = tmp_path / "participants.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        describe_nights(make_nights(age=[1, 2]), open_participants(path))


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_participants(tmp_path / "nothing.csv")
    with pytest.raises(TypeError, match="participants must be"):
        open_participants(["s1"])


def test_nights_without_values_are_warned_of_once_for_all_columns():
    nights = make_nights(age=[30, None, 50], sex=["F", None, "M"], site=["a", "b", None])
    groups = {name: group_nights(nights, name) for name in ("age", "sex", "site")}
    with pytest.warns(RuntimeWarning) as caught:
        warn_of_unknown(groups, nights)
    assert [str(one.message).split(":")[0] for one in caught] == [
        "1 night of s1 has no value of 'age', 'sex'",
        "1 night of s2 has no value of 'site'",
    ]


def test_a_column_of_a_similar_name_is_suggested():
    nights = make_nights(**{f"measured_{i}": [1] for i in range(100)}, apnoea=["mild"])
    with pytest.raises(ValueError) as caught:
        group_nights(nights, "apnea")
    assert "Choose one such as 'apnoea' (of 102 columns), or" in str(caught.value)


@pytest.mark.parametrize(
    ("column", "cut"),
    [("age_years", True), ("AHI_nsrr", True), ("age_group", False), ("ahi_class", False)],
)
def test_codes_of_groups_are_not_cut_as_years_or_events(column, cut):
    groups = group_nights(make_nights(**{column: [1, 2, 31]}), column)
    assert (list(groups) == ["1", "2", "31"]) != cut
