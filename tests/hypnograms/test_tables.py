from datetime import UTC, datetime

import pytest
from builders import START, assert_clean, make_raw

from mne_wav2sleep import read_hypnogram
from mne_wav2sleep.hypnograms.reading import locate_hypnogram


@pytest.fixture
def raw():
    return make_raw(["ECG"], 64.0, 360.0, types="ecg", start=START)


@pytest.mark.parametrize("text", ["W\nN2\n?\nR\n", 'stage\r\nW\r\nN2\r\n""\r\nR\r\n\r\n'])
@pytest.mark.parametrize("suffix", [".txt", ".csv"])
def test_text_and_tables_with_a_stage_per_line(text, suffix, raw, tmp_path):
    if suffix == ".csv" and not text.startswith("stage"):
        text = "stage\n" + text
    if suffix == ".txt":
        text = text.replace('""', "?")
    path = tmp_path / f"stages{suffix}"
    path.write_text("\ufeff" + text, encoding="utf-8", newline="")
    found, _ = locate_hypnogram(path, raw.crop(0, 119.9))
    assert list(found.hypno) == ["WAKE", "N2", "UNS", "REM"]


def test_events_that_are_not_stages_are_ignored(raw, tmp_path):
    path = tmp_path / "stages.tsv"
    path.write_text(
        "onset\tduration\ttrial_type\n"
        "0\t30\tW\n30\tn/a\tN2\n35\t1\tn/a\n40\t3\tmovement\n\n60.4\t29.6\tR\n90\t30\tmovement\n"
    )
    found, onset = locate_hypnogram(path, raw.crop(0, 119.9))
    assert (list(found.hypno), onset) == (["WAKE", "N2", "REM", "ART"], 0.0)


def test_an_empty_line_of_a_table_is_an_unscored_epoch(raw, tmp_path):
    path = tmp_path / "stages.csv"
    path.write_text("stage\nW\n\nR\n")
    found, _ = locate_hypnogram(path, raw.crop(0, 89.9))
    assert list(found.hypno) == ["WAKE", "UNS", "REM"]


@pytest.mark.parametrize(
    ("content", "suffix", "message"),
    [
        ("stage\n0\n4\n", "csv", "4 is another stage"),
        ("stage\nW\nN7\n", "csv", "unknown stages"),
        ("time,score\n1,W\n", "csv", "has the columns"),
        ("onset,duration,stage\n0,30,Sleep stage X\n30,30,W\n", "csv", "unknown stages"),
        ("onset,duration,stage\n0,30,apnea\n", "csv", "no sleep stage"),
        ("W\n0\n4\n", "txt", "4 is another stage"),
        ("W\nhello\n", "txt", "unknown stages"),
        ("W\n\nR\n", "txt", "has no stage for epoch 2"),
        ("\nW\nR\n", "txt", "has no stage for epoch 1"),
        ("onset,duration,stage\nx,30,W\n", "csv", "'x' for the onset of event 1"),
        ("onset,duration,stage\n0,30,W\n,30,N2\n", "csv", "'' for the onset of event 2"),
        ('onset,duration,stage\n9,30,W\n"1,020",30,W\n', "csv", "'1,020' for the onset of event 2"),
        ("onset,duration,stage\n0,30,W\n9e12,30,N2\n", "csv", "more than 31 days"),
        ("onset,duration,stage\n0,30,W\n30,1e300,N2\n", "csv", "more than 31 days"),
        # Pages of 20 s, and two scorers.
        (
            "onset,duration,stage\n0,20,W\n20,20,N2\n40,20,R\n60,20,W\n",
            "csv",
            "has N2 at 20 s in an epoch of 30 s that is also WAKE",
        ),
        ("onset,duration,stage\n0,60,W\n30,30,N2\n", "csv", "is also WAKE.*of one scorer"),
        ("{", "json", "is not a hypnogram in YASA's format"),
        ("[1, 2]", "json", "is not a hypnogram in YASA's format"),
        ("\n\n", "txt", "is empty"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "xml", "declares entities"),
        ("<a><b></a>", "xml", "not well-formed"),
        (
            "<a><ScoredEvent><EventConcept>Wake|0</EventConcept><Start>soon</Start>"
            "<Duration>30</Duration></ScoredEvent></a>",
            "xml",
            "onset or duration is not a number",
        ),
        (
            "<a><EpochLength>20</EpochLength><SleepStages><SleepStage>1</SleepStage>"
            "</SleepStages></a>",
            "xml",
            "has the EpochLength '20' .*Export it again",
        ),
        ("stage,x\nW,1\nN2,1,3,4\n", "csv", "is not a table: row 2 .* same number of columns"),
        ("Stage,stage\nW,N1\n", "csv", "it needs 'stage'.*each once"),
        ("stage\n", "csv", "has no stages after its header"),
        ("stage\n", "txt", "has no stages after its header"),
        ("garbage", "fif", "has no annotations that MNE can read.*Export the stages again"),
        ("garbage", "xyz", "has no annotations that MNE can read.*Export the stages again"),
        ("garbage", "edf", "is not an EDF or BDF file"),
    ],
)
def test_invalid_files_are_refused(content, suffix, message, raw, tmp_path):
    path = tmp_path / f"stages.{suffix}"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        locate_hypnogram(path, raw)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_that_is_not_utf8_is_refused(encoding, tmp_path):
    path = tmp_path / "stages.txt"
    path.write_bytes("W\nSchlaf läuft".encode(encoding))
    with pytest.raises(ValueError, match=r"is not text in UTF-8"):
        read_hypnogram(path)


@pytest.mark.parametrize(("scorers", "found"), [(("", "me"), "me"), (("me", "you"), "expert")])
def test_the_scorer_of_a_table(scorers, found, tmp_path):
    path = tmp_path / "stages.csv"
    path.write_text("stage;scorer\nW;{}\nN2;{}\n".format(*scorers))
    assert read_hypnogram(path).scorer == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # Two columns of one name, also those that pandas would rename.
        ("stage,stage\nW,N1\n", "'stage'.*each once"),
        ("onset,Onset ,duration,stage\n0,30,30,W\n", "'onset'.*each once"),
        ("onset,duration,stage,duration\n0,30,W,60\n", "'duration'.*each once"),
        ("scorer,stage,scorer\nme,W,you\n", "each once"),
        # Ragged rows, which pandas fills or shifts.
        ("onset,duration,stage\n0,30,W\n30,30\n", "row 2 after the header has 2 columns"),
        ("onset,duration,stage\n0,30,W\n30\n", "row 2 after the header has 1 columns"),
        ("onset,duration,stage\n0,30,W,N2\n30,30,N1,W\n", "row 1 after the header has 4 columns"),
        ("stage;note\nW;a;b\n", "row 1 after the header has 3 columns, and the header 2"),
        # Open quotes.
        ('onset,duration,stage\n0,30,"W\n30,30,N2\n', "unexpected end of data.*Close all quotes"),
        ('stage,note\nW,a\nN2,"b\nN2,c\nR,"d\n', "expected after.*Close all quotes"),
        ('onset,duration,stage\n0,30,W\n30,30,"N2\n60,30,R"\n', "row 2.*close all quotes"),
        # Onsets without durations, and the other way round.
        ("duration,stage\n30,W\n300,N2\n", "has durations other than 30 s, but no onsets"),
        ("onset,duration,stage\n22:30:00,30,W\n", "'22:30:00' for the onset of event 1"),
        ("onset,duration,stage\n2024-02-31 22:30:00,30,W\n", "'2024-02-31 22:30:00' for the onset"),
        ("onset,duration,stage\n2024-03-01 22:30:00,30,W\n30,30,N2\n", "for the onset of event 1"),
        ("onset,duration,stage\n0,half,W\n", "'half' for the duration of event 1"),
    ],
)
def test_doubtful_tables_are_refused(text, message, tmp_path):
    path = tmp_path / "stages.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_hypnogram(path)
    assert_clean(error.value)
    assert str(error.value).startswith(f"{path} ")


@pytest.mark.parametrize(
    "text",
    [
        "onset;duration;stage\n0,0;60,0;W\n60,0;30,0;N2\n90,0;30,0;R\n",
        "onset\tduration\tstage\tscorer\t\n0\t30\tW\t\t\n30\t\tW\t\t\n60,0\t\tN2\t\t\n90\t30\tR\t\t\n",
        'onset,duration,stage\n0,"60,0",W\n"60,0",30,N2\n90,30,R\n',
        'onset,duration,stage,note\n0,60,W,"a, ""b""\nc"\n60,30,N2,\n\n,,,\n90,30,R,\n',
        "onset,stage\n0,W\n30,W\n60,N2\n90,R\n",
        "duration,stage\n30,W\n30,W\n30.0,N2\n,R\n",
        "stage,,\nW,,\nW,,\nN2,,\nR,,\n",
        "stage,note,note\nW,a,b\nW,a,b\nN2,a,b\nR,a,b\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("suffix", [".csv", ".txt"])
def test_tables_that_are_written_otherwise(text, encoding, suffix, tmp_path):
    path = tmp_path / f"stages{suffix}"
    path.write_text(text, encoding)
    assert list(read_hypnogram(path).hypno) == ["WAKE", "WAKE", "N2", "REM"]


@pytest.mark.parametrize("suffix", [".txt", ".csv"])
def test_utf16_text(suffix, tmp_path):
    path = tmp_path / f"stages{suffix}"
    path.write_text("stage\r\nW\r\nN2\r\n", "utf-16", newline="")
    assert list(read_hypnogram(path).hypno) == ["WAKE", "N2"]


def test_onsets_that_are_dates(raw, tmp_path):
    path = tmp_path / "stages.csv"
    path.write_text(
        "onset,duration,description\n2024-03-01T22:30:15.5,,apnea\n2024-03-01 22:31:00,60,W\n"
        "2024-03-01 22:32:00.000,30,R\n"
    )
    found, onset = locate_hypnogram(path, raw)
    assert (list(found.hypno), onset) == (["WAKE", "WAKE", "REM"], 60.0)
    assert str(found.start) == "2024-03-01 22:31:00"


@pytest.mark.parametrize(
    ("first", "second", "start"),
    [
        ("2024-03-01T22:31:00+01:00", "2024-03-01T22:32:00+01:00", "2024-03-01 22:31:00+01:00"),
        ("2024-03-01T22:31:00Z", "2024-03-01T22:32:00.000Z", "2024-03-01 22:31:00+00:00"),
        ("2024-03-01 22:31", "2024-03-01 22:32", "2024-03-01 22:31:00"),
        ("2024-03-01 22:31", "2024-03-01T22:32:00", "2024-03-01 22:31:00"),
        # The clocks change, and a zone without a colon.
        ("2024-10-27T02:59+0200", "2024-10-27T02:00+0100", "2024-10-27 02:59:00+02:00"),
    ],
)
@pytest.mark.filterwarnings("ignore:The stages begin:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Of the start times:RuntimeWarning")
def test_onsets_with_a_zone_or_without_seconds(first, second, start, raw, tmp_path):
    path = tmp_path / "stages.tsv"
    path.write_text(f"onset\tduration\ttrial_type\n{first}\t60\tW\n{second}\tn/a\tR\n")
    alone = read_hypnogram(path)
    assert (list(alone.hypno), str(alone.start)) == (["WAKE", "WAKE", "REM"], start)
    found, onset = locate_hypnogram(path, raw)
    assert list(found.hypno) == list(alone.hypno)
    assert (
        onset == datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp() - START.timestamp()
    )


def test_onsets_of_which_some_have_a_zone_are_refused(tmp_path):
    path = tmp_path / "stages.csv"
    path.write_text("onset,stage\n2024-03-01T22:31:00Z,W\n2024-03-01T22:31:30,R\n")
    with pytest.raises(ValueError, match=r"with a time zone and without: .*30'.*same way"):
        read_hypnogram(path)


@pytest.mark.parametrize(
    ("word", "duration"), [("n/a", "60"), ("None", "60.0"), ("NA", "60"), ("null", "60,0")]
)
def test_words_for_a_missing_stage_mark_epochs(word, duration, raw, tmp_path, recwarn):
    path = tmp_path / "stages.tsv"
    path.write_text(
        f"onset\tduration\ttrial_type\n0\t30\tW\n30\t{duration}\t{word}\n90\t30\tN2\n"
        f"95\t2\t{word}\n120\tn/a\t{word}\n120\t30\tR\n120\t60\t\n"
    )
    found, onset = locate_hypnogram(path, raw.crop(0, 149.9))
    assert (list(found.hypno), onset) == (["WAKE", "UNS", "UNS", "N2", "REM"], 0.0)
    assert not found.hypno.attrs
    assert not recwarn.list


@pytest.mark.parametrize(
    "text", ["Wach\nN2\nN3\n", "stage\nEveil\nN2\nN3\n", "stage;a\nWaak;1\nN2;\nN3;\n"]
)
def test_unusual_words_for_stages_are_named(text, tmp_path):
    path = tmp_path / "stages.txt"
    path.write_text(text)
    with pytest.warns(RuntimeWarning, match="'(Wach|Eveil|Waak)' as WAKE"):
        assert list(read_hypnogram(path).hypno) == ["WAKE", "N2", "N3"]


@pytest.mark.parametrize(
    ("header", "row", "column"),
    [
        ("start,end,stage", "0,1800,W", "start"),
        ("Onset (s),Duration (s),Stage", "0,1800,W", r"onset \(s\)"),
        ("time,stage", "2000-01-01 23:30:00,W", "time"),
        ("stage;n_epochs", "W;60", "n_epochs"),
        ("onset,offset,stage", "0,600,W", "offset"),
        ("Clock,Sleep stage,stage", "22:30:00,x,W", "clock"),
    ],
)
def test_times_that_are_not_read_are_refused(header, row, column, tmp_path):
    path = tmp_path / "stages.csv"
    path.write_text(f"{header}\n{row}\n")
    with pytest.raises(ValueError, match=f"has times in the column '{column}', which is not read"):
        read_hypnogram(path)


@pytest.mark.parametrize("numbers", [[3, 2, 1], [1, 2, 4], [0, 1, 1], [1, "", 3], ["a", 2, 3]])
def test_numbered_epochs_must_be_in_order(numbers, tmp_path):
    path = tmp_path / "stages.csv"
    path.write_text("Epoch,stage\n" + "".join(f"{n},N2\n" for n in numbers))
    with pytest.raises(ValueError, match=r"has the epoch .* should follow from"):
        read_hypnogram(path)


@pytest.mark.parametrize("first", [0, 1, 17])
def test_numbered_epochs_are_read(first, tmp_path):
    path = tmp_path / "stages.csv"
    path.write_text("stage,epoch\n" + "".join(f"{s},{i}\n" for i, s in enumerate("WRW", first)))
    assert list(read_hypnogram(path).hypno) == ["WAKE", "REM", "WAKE"]


@pytest.mark.parametrize(
    ("header", "rows", "expected"),
    [
        # A code for each event, as MNE-BIDS writes it, is not that of a stage.
        ("trial_type\tvalue", ["Sleep stage 2\t1", "Sleep stage R\t4"], ["N2", "REM"]),
        ("value\ttrial_type", ["1\tN2", "4\tR"], ["N2", "REM"]),
        ("trial_type\tvalue", ["sleep_stage\tN2", "sleep_stage\tR"], ["N2", "REM"]),
        ("trial_type\tvalue", ["N2\tW", "R\tW"], ["N2", "REM"]),
    ],
)
def test_the_first_column_that_names_stages_is_read(header, rows, expected, tmp_path):
    lines = [f"onset\tduration\t{header}", *(f"{30 * i}\t30\t{row}" for i, row in enumerate(rows))]
    (tmp_path / "events.tsv").write_text("\n".join(lines) + "\n")
    assert list(read_hypnogram(tmp_path / "events.tsv").hypno) == expected
