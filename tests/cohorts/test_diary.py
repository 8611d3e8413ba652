"""Sleep diaries, and lights in tables of nights."""

from dataclasses import replace
from pathlib import Path

import pytest
from builders import START, assert_clean, make_raw, write_edf

from mne_wav2sleep.cohorts import Night, add_diary, diary, read_diary, read_nights

LIGHTS = ("22:45", "06:30")


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def make_nights(*names):
    return [Night(f"data/{name}.edf", None, name.split("_")[0]) for name in names]


def test_lights_in_a_table_of_nights(tmp_path):
    path = write(
        tmp_path / "nights.csv",
        "recording,subject,lights_off,lights_on",
        "a.edf,a,22:45,06:30",
        "b.edf,b,2024-03-01 22:45,",
        "c.edf,c,,",
        "d.edf,d,none,none",
        "e.edf,e,,6:30 am",
    )
    assert [night.lights for night in read_nights(path)] == [
        ("22:45", "06:30"),
        ("2024-03-01 22:45", None),
        "auto",
        (None, None),
        (None, "6:30 am"),
    ]


@pytest.mark.parametrize("lights", ["22:45", ("22:45",), 3])
def test_lights_of_a_night_are_checked(lights):
    with pytest.raises(TypeError, match="lights must be 'auto', None, or a pair"):
        Night("a.edf", None, "a", lights=lights)


def test_a_diary_by_subject(tmp_path):
    path = write(
        tmp_path / "diary.tsv",
        "subject\tlights_off\tlights_on",
        "P02\t22:45\t06:30",
        " p01 \t10:30 pm\t",
        "p03\t\t",
    )
    nights = make_nights("p01", "p02", "p03", "p04")
    nights[2] = replace(nights[2], lights=("23:00", None))
    found = add_diary(nights, path)
    assert [night.lights for night in found] == [
        ("10:30 pm", None),
        LIGHTS,
        ("23:00", None),
        "auto",
    ]
    assert [replace(night, lights="auto") for night in found][:2] == nights[:2]
    assert add_diary(nights, read_diary(path)) == found


@pytest.mark.parametrize(
    "name", ["p02_b.edf", "p02_b", "data/p02_b.edf", "./data/p02_b", "data\\p02_b"]
)
def test_a_diary_by_recording(name, tmp_path):
    path = write(tmp_path / "d.csv", "recording;lights_off;lights_on", f"{name};22:45;06:30")
    nights = make_nights("p01_a", "p02_a", "p02_b", "p03_b")
    assert [night.lights == LIGHTS for night in add_diary(nights, path)] == [
        False,
        False,
        True,
        False,
    ]


def test_subjects_of_the_same_name_are_told_apart_by_their_dataset(tmp_path):
    path = write(tmp_path / "d.csv", "dataset,subject,lights_off,lights_on", "Two,p01,22:45,06:30")
    nights = [Night(f"{name}.edf", None, "p01", name) for name in ("one", "two")]
    assert [night.lights for night in add_diary(nights, path)] == ["auto", LIGHTS]


def test_nights_of_a_subject_are_told_apart_by_the_date(tmp_path):
    # From 22:30 on 1 March, from 0:30 on 3 March (the night of the 2nd), and without a date.
    starts = (START, START.replace(day=3, hour=0), None)
    raws = [make_raw(["ECG"], 8.0, 3600, start=start) for start in starts]
    nights = [Night(raw, None, "p01") for raw in raws]
    path = write(
        tmp_path / "d.csv",
        "subject,date,lights_off,lights_on",
        "p01,2024-03-02,23:30,06:30",
        "p01,2024-03-01,22:45,06:30",
        "p01,2024-03-03,22:50,",
    )
    with pytest.warns(RuntimeWarning, match=r"1 entry of the sleep diary belongs to none of the 3"):
        found = add_diary(nights, path)
    assert [night.lights for night in found] == [LIGHTS, ("23:30", "06:30"), "auto"]
    # A file is opened for its date only if there is one.
    edf = write_edf(tmp_path / "p01.edf", seconds=60, notes=())
    assert add_diary([Night(edf, None, "p01")], read_diary(path)[:0]) == [Night(edf, None, "p01")]


def test_a_recording_of_a_day_belongs_to_its_night(tmp_path):
    raw = make_raw(["ECG"], 1.0, 24 * 3600, start=START.replace(hour=10))
    path = write(
        tmp_path / "d.csv", "subject,date,lights_off,lights_on", "p01,2024-03-01,22:45,06:30"
    )
    assert add_diary([Night(raw, None, "p01")], path)[0].lights == LIGHTS


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ("recording,lights_off,lights_on", "c.edf,22:45,"),
            "belongs to none of the 2 nights (d.csv, l",
        ),
        (("subject,lights_off,lights_on", "c,22:45,", "d,22:45,"), "2 entries of the sleep diary"),
    ],
)
def test_entries_of_other_nights_are_warned_of(lines, message, tmp_path):
    nights = make_nights("a", "b")
    with pytest.warns(RuntimeWarning) as warned:
        assert add_diary(nights, write(tmp_path / "d.csv", *lines)) == nights
    assert message in str(warned[0].message)


def test_missing_values_in_a_diary(tmp_path):
    path = write(
        tmp_path / "d.csv",
        "recording,subject,date,lights_off,lights_on",
        "NA,p01,NA,22:45,NA",
        "nan,p02,n/a,nan,NaN",
        "NA,,,23:00,06:00",
    )
    nights = make_nights("p01", "p02", "NA")
    found = [night.lights for night in add_diary(nights, path)]
    assert found == [("22:45", None), "auto", ("23:00", "06:00")]


@pytest.mark.parametrize(
    ("entry", "advice"),
    [
        (("X1", "", None), "Add a column 'recording' with the file, and its folder if files have"),
        (("X1", "night1.edf", None), "Name the recording with its folder, as shown here, or give"),
    ],
)
def test_nights_that_an_entry_may_be_about_are_named_with_their_folders(entry, advice):
    subject, recording, date = entry
    nights = [Night(f"/data/{name}/night1.edf", None, "X1") for name in "ab"]
    entries = [diary.DiaryEntry("line 2", recording, subject, "", date, LIGHTS)]
    with pytest.raises(ValueError) as error:
        add_diary(nights, entries)
    named = [str(Path(name, "night1.edf")) for name in "ab"]
    assert f"(cohort/X1 ({named[0]}), cohort/X1 ({named[1]}))" in str(error.value)
    assert advice in str(error.value)
    nights = [Night(f"/{name}/x/night1.edf", None, "X1") for name in "ab"]
    with pytest.raises(ValueError, match=r"cohort/X1 \(a.x.night1\.edf\), cohort/X1 \(b.x.nig"):
        add_diary(nights, entries)


def test_lights_that_are_no_times_are_refused_with_their_entry():
    entry = diary.DiaryEntry("d.csv, line 2", "", "a", "", None, ("late", None))
    with pytest.raises(ValueError, match=r"d\.csv, line 2: Lights off is 'late'"):
        add_diary(make_nights("a"), [entry])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("subject,lights_off,lights_on", "p01,22:45,"), "d.csv, line 2 may be about several nig"),
        (
            ("subject,lights_off,lights_on", "p02,22:45,", "p02,23:00,"),
            "d.csv, line 2 and d.csv, line 3 are both about cohort/p02",
        ),
        (("lights_off,lights_on", "22:45,"), "d.csv, line 2: there is no recording and no subject"),
        (("subject,lights_off", "p01,22:45"), "It needs 'lights_off' and 'lights_on'"),
        (("subject,lights_off,lights_on",), "d.csv lists no nights"),
        (
            ("subject,date,lights_off,lights_on", "p01,01.03.2024,22:45,"),
            "d.csv, line 2: '01.03.2024' is not a date such as 2024-03-01",
        ),
        (
            ("subject,bedtime,lights_off,lights_on", "p01,1,2,3"),
            "the column 'bedtime', which is not",
        ),
    ],
)
def test_a_diary_that_is_unclear_is_refused(lines, message, tmp_path):
    nights = make_nights("p01_a", "p01_b", "p02")
    with pytest.raises(ValueError) as error:
        add_diary(nights, write(tmp_path / "d.csv", *lines))
    assert message in str(error.value)
    assert_clean(error.value)


def test_an_absent_diary_and_wrong_nights_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no sleep diary at"):
        read_diary(tmp_path / "d.csv")
    with pytest.raises(TypeError, match="Each of nights must be an instance of Night"):
        add_diary(["a.edf"], [])


def test_entries_are_not_compared_with_all_nights(monkeypatch):
    nights = [Night(f"d/p{i}.edf", None, f"p{i}") for i in range(100)]
    entries = [
        diary.DiaryEntry("line", "", f"P{i}", "", None, ("22:45", None)) for i in range(50)
    ] + [diary.DiaryEntry("line", f"d/p{i}", "", "", None, ("22:50", None)) for i in range(50, 100)]
    compared = []
    original = diary._is_subject
    monkeypatch.setattr(
        diary, "_is_subject", lambda *pair: compared.append(pair) or original(*pair)
    )
    found = [night.lights[0] for night in add_diary(nights, entries)]
    assert found == ["22:45"] * 50 + ["22:50"] * 50
    assert len(compared) == 100
