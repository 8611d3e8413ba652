"""Tables of nights."""

import os
import threading

import pytest
from builders import make_hypnogram, make_raw, toy_recordings
from typer.testing import CliRunner

from mne_wav2sleep import simulate_night
from mne_wav2sleep.cli import app
from mne_wav2sleep.cohorts import Night, prepare_nights, read_nights, write_nights

pytestmark = toy_recordings


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_names_recordings_stages_subjects_and_channels(separator, tmp_path):
    rows = [
        ("recording", "subject", "hypnogram", "dataset", "ECG", "PPG"),
        ("a.edf", "01", "a.csv", "first", "EKG II", "None"),
        ("b.edf", "NA", "", "", "", "none"),
    ]
    path = tmp_path / "nights.csv"
    path.write_text("\n".join(separator.join(row) for row in rows))
    first, second = read_nights(path)
    assert (first.recording, first.hypnogram) == (tmp_path / "a.edf", tmp_path / "a.csv")
    assert (first.subject, first.dataset) == ("01", "first")
    assert first.ch_names == {"ECG": "EKG II", "PPG": None}
    assert (second.subject, second.hypnogram, second.dataset) == ("NA", None, "cohort")
    assert second.ch_names == {"PPG": None}


@pytest.mark.parametrize(
    "word", ["NA", "nan", "NULL", "null", "None", "n/a", "#N/A", "<NA>", "-NaN"]
)
def test_words_that_pandas_takes_for_missing_are_names(word, tmp_path):
    path = tmp_path / "nights.csv"
    path.write_text(
        f"recording,hypnogram,subject,dataset,ECG\n{word},{word},{word},{word},{word}\n"
    )
    (night,) = read_nights(path)
    assert night.recording == tmp_path / word
    assert (night.subject, night.dataset) == (word, word)
    assert night.ch_names == {"ECG": None if word == "None" else word}


@pytest.mark.parametrize("word", ["NA", "nan", "null", "None", "n/a", "#N/A", "<NA>", " ", "NaT"])
def test_missing_hypnograms_and_lights(word, tmp_path):
    path = tmp_path / "nights.csv"
    path.write_text(
        "recording,subject,hypnogram,lights_off,lights_on\n"
        f"a.edf,a,{word},{word},{word}\nb.edf,b,b.xml,22:45,{word}\n"
    )
    first, second = read_nights(path)
    # "none" is the start or the end of the recording.
    assert (first.hypnogram, first.lights) == (None, "auto" if word != "None" else (None, None))
    assert (second.hypnogram, second.lights) == (tmp_path / "b.xml", ("22:45", None))
    if word == "NA":
        (tmp_path / word).touch()
        assert read_nights(path)[0].hypnogram == tmp_path / word


def test_lights_that_are_no_times_are_refused_with_their_line(tmp_path):
    path = tmp_path / "nights.csv"
    path.write_text("recording,subject,lights_off,lights_on\na.edf,a,,\nb.edf,b,late,6:30\n")
    with pytest.raises(ValueError, match=r"nights\.csv, line 3: Lights off is 'late', which is"):
        read_nights(path)


def test_a_modality_that_is_left_out_in_a_table_is_not_used(tmp_path):
    raw = simulate_night(duration=600, sfreq=32, seed=0, modalities=["ECG", "PPG"], verbose="error")
    raw.save(tmp_path / "p01_raw.fif", verbose="error")
    used = {}
    for word in (" None ", "NONE", "none", "", "Pleth"):
        (tmp_path / "nights.csv").write_text(f"recording,subject,PPG\np01_raw.fif,NA,{word}\n")
        (night,) = prepare_nights(read_nights(tmp_path / "nights.csv"), tmp_path / "prepared")
        assert night.subject == "NA"
        used[word] = night.modalities
    assert used == dict.fromkeys((" None ", "NONE", "none"), ("ECG",)) | dict.fromkeys(
        ("", "Pleth"), ("ECG", "PPG")
    )


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfrecording,subject\r\na.edf,p01\r\nb.edf,p02\r\n",  # Excel's UTF-8
        b"recording,subject,\na.edf,p01,\n\nb.edf,p02,\n",  # separators at the ends of lines
        b"recording,subject,dataset,PPG\na.edf,p01\nb.edf,p02,,\n,,,\n",  # short and empty rows
        b'"recording", "subject"\n"a.edf", p01 \n"b.edf","p02"\n',
        b"recording;subject\ra.edf;p01\rb.edf;p02\r",
    ],
)
def test_tables_as_programs_write_them_are_read(content, tmp_path):
    (tmp_path / "nights.csv").write_bytes(content)
    nights = read_nights(tmp_path / "nights.csv")
    assert [(n.recording.name, n.subject, n.dataset, n.ch_names) for n in nights] == [
        ("a.edf", "p01", "cohort", {}),
        ("b.edf", "p02", "cohort", {}),
    ]


def test_the_home_folder_is_found_wherever_a_path_may_be(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))  # on Windows
    monkeypatch.chdir(tmp_path)
    rows = ["~/a.edf,~/a.csv,p01", "~lock.edf,,p02"]  # of which no user has the name
    (tmp_path / "nights.csv").write_text("\n".join(["recording,hypnogram,subject", *rows]))
    first, second = read_nights("~/nights.csv")
    assert (first.recording, first.hypnogram) == (tmp_path / "a.edf", tmp_path / "a.csv")
    assert second.recording == tmp_path / "~lock.edf"
    with pytest.raises(ValueError, match=r"cohort/p02 \(~lock\.edf\): "):
        prepare_nights([second], "~/prepared")
    with pytest.raises(ValueError, match=r"cohort/p02 \(~lock\.edf\): "):
        prepare_nights(read_nights("nights.csv")[1:], "~/prepared")
    assert (tmp_path / "prepared").is_dir()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="requires pipes")
def test_a_table_may_come_from_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "nights")
    writer = threading.Thread(
        target=(tmp_path / "nights").write_text, args=("recording,subject\na.edf,p01\n",)
    )
    writer.start()
    assert [night.subject for night in read_nights(tmp_path / "nights")] == ["p01"]
    writer.join()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("recording,subject,ECG,ECG\na.edf,a,x,y\n", "has the column 'ECG' twice"),
        ("recording,subject\na.edf,a,x\nb.edf,b,y\n", "line 2: there are 3 values for 2 columns"),
        ("recording,subject\na.edf,a\n\na,b,c,d\n", "line 4: there are 4 values for 2 columns"),
        ('recording,subject\na.edf,a\n"b.edf,b\n', "line 3: unexpected end of data"),
        ("recording,subject\n" + "x" * 5000 + ",a\n", "line 2: a value has 5000 characters"),
        ("recording,subject\n\n", "lists no nights"),
        ("recording\na.edf\n", r"has the columns \['recording'\]\. It needs"),
        ("recording,subject,age\na.edf,a,3\n", "has the column 'age', which is not known"),
        ("recording,subject\na.edf,a\nb.edf,\n", "line 3: the recording or the subject is missing"),
        ("recording,subject\na.edf,a\nb.edf, \xa0\n", "line 3: the recording or the subject is"),
        ("", r"nights\.csv is empty\. Give a CSV in UTF-8"),
        ("\ufeff\n", r"nights\.csv is empty\."),
        ("recording,subject\na.edf,p\0\n", "line 2: there is a null byte"),
    ],
)
def test_a_table_with_other_columns_or_missing_values_is_refused(content, message, tmp_path):
    path = tmp_path / "nights.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_nights(path)
    with pytest.raises(FileNotFoundError, match="no table of nights"):
        read_nights(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("night.edf", b"0       X X X X"),
        ("empty.csv", b""),
        ("picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40),
        ("nothing.csv", bytes(4096)),
        ("open.csv", b'recording,subject\na.edf,"p01\nb.edf,p02\n'),
        ("utf16.csv", "recording,subject\na,b\n".encode("utf-16")),
        ("latin1.csv", "recording,subject\na.edf,Bj\xf6rn\n".encode("latin-1")),
        ("huge_cell.csv", b"recording,subject\na.edf," + b"x" * 10_000_000),
        ("night.csv", b"0".ljust(5000) + bytes(1000)),
    ],
)
def test_a_file_that_is_not_a_table_is_refused_in_one_line(name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    result = CliRunner().invoke(app, ["evaluate", str(path), "--cache", str(tmp_path / "nights")])
    assert result.exit_code == 1
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert result.stderr.strip() == error
    assert "'recording'" in error
    assert len(error) < 400
    with pytest.raises(ValueError, match="is a folder"):
        read_nights(tmp_path)


def test_nights_are_written_as_they_are_read(tmp_path):
    (tmp_path / "in").mkdir()
    nights = [
        Night(tmp_path / "in" / "a.edf", tmp_path / "in" / "a.xml", "01", "first"),
        Night(tmp_path / " ~b, c.edf", None, 'the "other"', "second", {"ECG": "E 1", "PPG": None}),
        Night(tmp_path.parent / "d.edf", None, "NA", lights=("22:45", None)),
        Night(tmp_path / "e.edf", None, "e", ch_names={"ECG": " E "}, lights=(None, None)),
    ]
    table = tmp_path / "nights.csv"
    write_nights(nights, table)
    assert read_nights(table) == nights
    assert "in/a.edf" in table.read_text().split("\n")[1].replace('"', "").split(",")
    with pytest.raises(FileExistsError, match="already exists"):
        write_nights(nights, table)
    write_nights(nights[:1], table, overwrite=True)
    assert table.read_text() == "recording,subject,hypnogram,dataset\nin/a.edf,01,in/a.xml,first\n"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"recording": make_raw(["ECG"], seconds=60)}, "recording=<Raw.* Give the path of a file"),
        ({"hypnogram": make_hypnogram()}, "hypnogram=<Hypnogram.* the path of a file, or None for"),
        ({"hypnogram": "NA"}, "hypnogram='NA' .* would be read as None. Give the path"),
        ({"ch_names": {"PPG": "P", "ECG": ("a", "b")}}, "ch_names=.* the name of a channel other"),
        (
            {"ch_names": {"PPG": "P", "ECG": "None"}},
            "ch_names={'ECG': 'None'}.* read as None. Give",
        ),
        ({"ch_names": {"ECG": ""}}, "ch_names={'ECG': ''} .*, which would be read as 'auto'. Give"),
        (
            {"ch_names": {"ECG": "E\0"}},
            r"ch_names={'ECG': 'E\\x00'} .*, which would be read as 'E'. Give",
        ),
        ({"onsets_from": "raw"}, "onsets_from='raw' of cohort/a .* Give None"),
        ({"meas_date_is_local": True}, "meas_date_is_local=True of cohort/a .* Give None"),
        ({"lights": (0.0, 60.0)}, "lights=.* Give 'auto', or a pair of times as texts"),
        ({"lights": None}, r"lights=None .* and \(None, None\) for the whole recording"),
        ({"lights": ("22:45 ", None)}, r"lights=\('22:45 ', None\) .* as \('22:45', None\)"),
        ({"subject": " a"}, "subject=' a' .*, which would be read as 'a'. Give a text without"),
        (
            {"dataset": "b\n"},
            r"dataset='b\\n' of b.*, which would be read as 'b'. Give a text without",
        ),
        ({"subject": "s" * 5000}, "as it could not be read: .* line 3: a value has 5000 char"),
    ],
)
def test_what_a_table_cannot_hold_is_named(tmp_path, values, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    night = Night(**{"recording": "a.edf", "hypnogram": None, "subject": "a"} | values)
    with pytest.raises(ValueError, match=message):
        write_nights([Night("b.edf", None, "b"), night], tmp_path / "nights.csv")
    assert not list(tmp_path.iterdir())


def test_no_nights_and_names_that_are_not_text_are_refused(tmp_path):
    with pytest.raises(ValueError, match="There are no nights to write"):
        write_nights([], tmp_path / "nights.csv")
    with pytest.raises(ValueError, match="is not text in UTF-8"):
        write_nights([Night("a\udce4.edf", None, "a")], tmp_path / "nights.csv")
    assert not list(tmp_path.iterdir())
