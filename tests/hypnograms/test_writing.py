import csv
from datetime import UTC, date, datetime, timedelta

import mne
import pandas as pd
import pytest
import yasa
from builders import START, make_hypnogram, make_raw, write_edf

from mne_wav2sleep import read_hypnogram, write_hypnogram
from mne_wav2sleep.hypnograms.reading import locate_hypnogram
from mne_wav2sleep.output import HYPNOGRAM_SUFFIXES

FOUR = ("WAKE", "LIGHT", "DEEP", "REM", "UNS")
FIVE = ("WAKE", "N1", "N2", "N3", "REM", "UNS")


@pytest.mark.parametrize("start", [START, None])
@pytest.mark.parametrize("names", [FOUR, FIVE])
@pytest.mark.parametrize("suffix", HYPNOGRAM_SUFFIXES)
def test_files_round_trip_without_a_recording(suffix, names, start, tmp_path):
    hyp = make_hypnogram(40, stages=names, start=start)
    path = tmp_path / f"hyp{suffix}"
    write_hypnogram(hyp, path)
    found = read_hypnogram(path)
    assert list(found.hypno) == list(hyp.hypno)
    assert (found.n_stages, found.scorer) == (hyp.n_stages, "expert")
    if suffix in (".json", ".edf") and start is not None:
        assert found.start.tz_localize(None) == START.replace(tzinfo=None)
    else:
        assert found.start is None


@pytest.mark.parametrize("start", [START, None])
@pytest.mark.parametrize("suffix", HYPNOGRAM_SUFFIXES)
def test_files_round_trip_with_a_recording(suffix, start, tmp_path):
    hyp = make_hypnogram(40, stages=FIVE, start=start)
    path = tmp_path / f"hyp{suffix}"
    write_hypnogram(hyp, path)
    found = read_hypnogram(path, make_raw(["Thor"], 10.0, 1200.0, start=start))
    assert list(found.hypno) == list(hyp.hypno)
    if start is None or suffix == ".txt":
        assert found.start is None
    else:
        assert found.start.tz_localize(None) == START.replace(tzinfo=None)


@pytest.mark.parametrize("names", [FOUR, FIVE])
def test_edf_is_read_by_mne(tmp_path, names):
    hyp = make_hypnogram(40, stages=names, start=START)
    path = tmp_path / "hypnogram.edf"
    write_hypnogram(hyp, path)
    annotations = mne.read_annotations(path)
    assert annotations.onset[0] == 0
    assert set(annotations.description) <= {
        f"Sleep stage {name}" for name in ("W", "N1", "N2", "N3", "R", "LIGHT", "DEEP", "?")
    }
    raw = make_raw(["Thor"], 10.0, 1200.0, start=START).set_annotations(annotations)
    assert list(read_hypnogram(None, raw).hypno) == list(hyp.hypno)
    # The header has the start.
    assert path.read_bytes()[88 + 80 :][:16] == b"01.03.2422.30.00"


@pytest.mark.parametrize("begin", ["1985-01-01 21:30", "1985-01-01 00:30", "1985-01-02 01:30"])
@pytest.mark.parametrize("suffix", [".edf", ".json"])
def test_a_placeholder_date_stays_one(suffix, begin, tmp_path):
    hyp = make_hypnogram(40, stages=FIVE, start=pd.Timestamp(begin, tz="UTC"))
    write_hypnogram(hyp, tmp_path / f"hyp{suffix}")
    night = datetime.combine(date(2024, 3, 1), hyp.start.time(), UTC)
    raw = make_raw(["Thor"], 10.0, 1500.0, start=night - timedelta(minutes=5))
    with pytest.warns(RuntimeWarning, match="placed by the time of day, 5.0 min after"):
        found, onset = locate_hypnogram(tmp_path / f"hyp{suffix}", raw)
    assert (found.start, onset) == (night, 300.0)


def test_text_has_a_stage_per_line(tmp_path):
    hyp = yasa.Hypnogram(["WAKE", "N1", "N2", "N3", "REM", "UNS"], n_stages=5)
    write_hypnogram(hyp, tmp_path / "stages.txt")
    assert (tmp_path / "stages.txt").read_text().split() == ["W", "N1", "N2", "N3", "R", "?"]
    with pytest.raises(ValueError, match=r"must end in \.json, "):
        write_hypnogram(hyp, "stages.xlsx")


def test_a_recording_is_never_replaced(tmp_path):
    path = write_edf(tmp_path / "night.edf")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="holds a recording"):
        write_hypnogram(make_hypnogram(), path)
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="holds a recording"):
        write_hypnogram(make_hypnogram(), path, overwrite=True)
    assert path.read_bytes() == before
    write_hypnogram(make_hypnogram(), tmp_path / "hyp.edf")
    with pytest.raises(FileExistsError, match=r"already exists.*overwrite=True"):
        write_hypnogram(make_hypnogram(), tmp_path / "hyp.edf")
    write_hypnogram(make_hypnogram(), tmp_path / "hyp.edf", overwrite=True)


def test_wrong_folders_and_types_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        write_hypnogram(make_hypnogram(), tmp_path / "none" / "hyp.json")
    with pytest.raises(TypeError, match="hyp must be an instance of Hypnogram"):
        write_hypnogram(["W"], tmp_path / "hyp.json")


@pytest.mark.parametrize(
    ("hyp", "message"),
    [
        (make_hypnogram(stages=FOUR).upsample("10s"), "4 stages, per 10s"),
        (yasa.Hypnogram(["WAKE", "SLEEP"], n_stages=2), "has 2 stages, per 30s"),
        (make_hypnogram(start=START.replace(year=1924)), "begins in 1924"),
    ],
)
def test_hypnograms_that_a_file_cannot_represent_are_refused(hyp, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_hypnogram(hyp, tmp_path / "hyp.edf")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize(
    "scorer",
    [
        "=cmd()",
        '=HYPERLINK("http://localhost", "x")',
        "+1",
        "-2+3",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "＝1",  # noqa: RUF001
        "'=1",
        "''=1",
        "'quoted'",
        "O'Neil, MD",
        'a "b"\nc\rd',
        "NA",
        "None",
    ],
)
def test_a_scorer_is_no_formula_and_keeps_the_name(scorer, suffix, tmp_path):
    path = tmp_path / f"hyp{suffix}"
    write_hypnogram(yasa.Hypnogram(["WAKE", "N2"], scorer=scorer), path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="," if suffix == ".csv" else "\t"))
    cell, same = (row[-1] for row in rows[1:])
    assert cell == same
    assert cell[0] not in "=+-@\t\r＝"  # noqa: RUF001
    assert read_hypnogram(path).scorer == scorer


def test_other_scorers_are_written_as_they_are(tmp_path):
    write_hypnogram(yasa.Hypnogram(["WAKE", "N2"], scorer="me"), tmp_path / "hyp.csv")
    assert (tmp_path / "hyp.csv").read_text() == (
        "onset,duration,value,trial_type,scorer\n0.0,30.0,0,WAKE,me\n30.0,30.0,2,N2,me\n"
    )
