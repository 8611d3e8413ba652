import datetime

import mne
import pytest
from builders import START, assert_clean, make_raw

from mne_wav2sleep import read_hypnogram
from mne_wav2sleep.hypnograms.reading import locate_hypnogram

STAGES = ["WAKE", "WAKE", "N2", "N2", "N3", "REM"]


@pytest.fixture
def raw():
    return make_raw(["ECG"], 64.0, 360.0, types="ecg", start=START)


@pytest.mark.parametrize("suffix", [".txt", ".csv", "-annot.fif"])
@pytest.mark.parametrize("first", [0.0, 60.0])
@pytest.mark.parametrize("date", [START, START + datetime.timedelta(seconds=90.5), None])
def test_annotations_that_mne_saves(date, first, suffix, raw, tmp_path):
    names = {"WAKE": "W", "N2": "2", "N3": "3", "REM": "R"}
    texts = [f"Sleep stage {names[s]}" for s in STAGES]
    onsets = [first + 30 * i for i in range(len(STAGES))]
    annotations = mne.Annotations(
        [*onsets, first + 3, first + 7.5], [30.0] * 6 + [2, 3], [*texts, "a, b", "lights"], date
    )
    annotations.save(tmp_path / f"stages{suffix}")
    found, onset = locate_hypnogram(tmp_path / f"stages{suffix}", raw)
    later = 0.0 if date is None else (date - START).total_seconds()
    assert (list(found.hypno), onset) == (STAGES, first + later)
    begin = START + datetime.timedelta(seconds=first + later)
    assert found.start.tz_localize(None) == begin.replace(tzinfo=None)
    alone = read_hypnogram(tmp_path / f"stages{suffix}")
    if date is None:
        assert (alone.start, alone.n_epochs) == (None, 6 + first / 30)
    else:
        assert alone.start.tz_localize(None) == begin.replace(tzinfo=None)


def test_annotations_of_channels(tmp_path):
    path = tmp_path / "stages.txt"
    mne.Annotations([0, 30], 30, ["W", "N2"], ch_names=[["ECG"], []]).save(path)
    assert list(read_hypnogram(path).hypno) == ["WAKE", "N2"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("# orig_time : soon\n0,30,W\n", "has the orig_time 'soon'"),
        ("# orig_time : 9999-12-31 23:59:59\n9,30,W\n", "has the date 9999"),
        ("0,30\n", "has the row '0,30'; annotations of MNE have 3"),
        ("# onset, duration\n0,30\n", "the third for the description"),
        ("# onset, duration, description, x\n0,30,W,1,2\n", "have 4 columns there"),
        ("22:30:00,30,W\n", "has '22:30:00' for the onset of event 1"),
        ("", "no sleep stage among its events"),
    ],
)
def test_invalid_annotations_of_mne_are_refused(rows, message, tmp_path):
    path = tmp_path / "stages.txt"
    path.write_text(f"# MNE-Annotations\n{rows}")
    with pytest.raises(ValueError, match=message) as error:
        read_hypnogram(path)
    assert_clean(error.value)


LUNA = [
    # Six columns, as WRITE-ANNOTS writes them.
    "# N2 | scored by me\n# W\nclass\tinstance\tchannel\tstart\tstop\tmeta\n"
    "W\t.\t.\t0.00\t60.00\t.\nhypopnea\t.\tflow\t70.1\t82.3\tdepth=0.4\n"
    "N2\t.\t.\t60.00\t120.00\t.\nN3\t.\t.\t120\t150\t.\nR\t.\t.\t150\t180\t.\n",
    "class\tinstance\tstart\tstop\nW\t.\te:1\te:2\nN2\t.\te:3\t.\nN2\t.\te:4\t.\nN3\t.\te:5\te:5\n"
    "R\t.\te:6\t.\n",
    "W 0 +60\nN2 60 ...\nN3 120 150\nR 150 +30\n",
    "W 0 ...\nN2 60 ...\nN3 120 ...\nR 150 ...\n",
    "W e:1 ...\nN2 e:3 ...\nN3 e:5 ...\nR e:6 ...\n",
    "class instance start stop\nW . 0 +60\nN2 . 60 +60\nN3 . 120 ...\nR . 150 ...\n",
    "N3\t120\t150\nR\t150\t180\nW\t0\t30\nW\t30\t60\nN2\t60\t120\narousal\t22:31:05\t22:31:09\n",
]


@pytest.mark.parametrize("text", LUNA)
def test_annot_files_of_luna(text, raw, tmp_path):
    path = tmp_path / "stages.annot"
    path.write_text(text)
    found, onset = locate_hypnogram(path, raw)
    assert (list(found.hypno), onset) == (STAGES, 0.0)
    assert found.start == START


def test_an_annot_file_without_rows_is_refused(tmp_path):
    path = tmp_path / "stages.annot"
    path.write_text("# N2 | scored by me\nclass\tinstance\tchannel\tstart\tstop\tmeta\n")
    with pytest.raises(ValueError, match="no sleep stage among its events: there are none"):
        read_hypnogram(path)


def test_eannot_files_of_luna(tmp_path):
    path = tmp_path / "stages.eannot"
    path.write_text("W\nN1\nN2\n?\nR\n")
    assert list(read_hypnogram(path).hypno) == ["WAKE", "N1", "N2", "UNS", "REM"]


@pytest.mark.parametrize(
    "row",
    [
        "N2\t.\t.\t22:31:00\t22:31:30\t.",  # of which clock?
        "N2\t.\t.\t0+00:00:30\t+30\t.",
        "N2\te:2:20\t.",  # epochs of 20 s
        "N2\t30\t...\narousal\t22:31:05\t+3",  # until when?
        "N2\t30",
        "N2\t.\t.\t30\t60",
        "N2\t.\t.\te:1000000000\t.\t.",
    ],
)
def test_stages_of_luna_that_are_placed_otherwise_are_refused(row, tmp_path):
    path = tmp_path / "stages.annot"
    path.write_text(f"W\t0\t30\n{row}\n")
    with pytest.raises(ValueError, match=r"has the stage 'N2.*WRITE-ANNOTS") as error:
        read_hypnogram(path)
    assert_clean(error.value)


@pytest.mark.parametrize("suffix", ["-annot.fif", "-annot.txt", "-annot.csv"])
def test_annotations_of_the_year_1970_have_no_date(suffix, tmp_path):
    texts = ["Sleep stage W", "Sleep stage N2"]
    annotations = mne.Annotations([30, 1800], [1770, 600], texts, orig_time=0)
    path = tmp_path / f"night{suffix}"
    annotations.save(path, verbose="error")
    hyp, onset = locate_hypnogram(path, None)
    assert (hyp.start, onset, hyp.n_epochs) == (None, 30.0, 79)
