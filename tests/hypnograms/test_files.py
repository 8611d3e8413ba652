import gzip
import json
import os

import mne
import numpy as np
import pytest
import yasa
from builders import START, assert_clean, make_raw

from mne_wav2sleep import read_hypnogram
from mne_wav2sleep.hypnograms.files import (
    LARGEST_BYTES,
    LARGEST_UNPACKED,
    MOST_EVENTS,
    replace_commas,
)
from mne_wav2sleep.hypnograms.reading import locate_hypnogram


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["0", "30", "60"], ["0", "30", "60"]),
        (["0", "30,5", "1020"], ["0", "30.5", "1020"]),
        (["-0,250", " 1020,75 ", ""], ["-0.250", " 1020.75 ", ""]),
        (["0,000", "30,000", "1020,000"], ["0.000", "30.000", "1020.000"]),
        (["30,000", "60,000"], ["30.000", "60.000"]),
        (["990", "1,020"], ["990", "1,020"]),  # which may be 1020
        (["1,234,567", "0,5"], ["1,234,567", "0.5"]),
        (["22:30,5"], ["22:30,5"]),
    ],
)
def test_decimal_commas(values, found):
    assert replace_commas(values) == found


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".tsv", ".json", ".xml", ".rml", ".annot"])
def test_files_that_are_too_large_are_refused(suffix, tmp_path):
    path = tmp_path / f"stages{suffix}"
    path.write_bytes(b"W")
    os.truncate(path, LARGEST_BYTES + 1)  # takes no space
    with pytest.raises(ValueError, match=rf"stages{suffix} is larger than 16 MB.*Export") as error:
        read_hypnogram(path)
    assert_clean(error.value)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".txt", "W\n" * (MOST_EVENTS + 1)),
        (".csv", "onset,duration,stage\n" + "0,30,W\n" * (MOST_EVENTS + 1)),
        (".annot", "W\t0\t30\n" * (MOST_EVENTS + 1)),
        (".txt", "# MNE-Annotations\n" + "0,30,W\n" * (MOST_EVENTS + 1)),
        (".xml", f"<a>{'<ScoredEvent/>' * (MOST_EVENTS + 1)}</a>"),
        (".xml", f"<a><SleepStages>{'<SleepStage/>' * (MOST_EVENTS + 1)}</SleepStages></a>"),
    ],
)
def test_files_with_too_many_stages_are_refused(suffix, content, tmp_path):
    path = tmp_path / f"stages{suffix}"
    path.write_text(content)
    with pytest.raises(ValueError, match="more than 200000 stages") as error:
        read_hypnogram(path)
    assert_clean(error.value)


LONG = "x" * 500_000


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".txt", LONG),
        (".txt", f"W\n{LONG}\n"),
        (".csv", f"stage\n{LONG}\n"),
        (".csv", f"stage,note\nW,{LONG}\n"),
        (".csv", f"{LONG},stage2\nW,1\n"),
        (".csv", f"onset,duration,stage\n{LONG[:100_000]},30,W\n"),
        (".annot", f"W\t{LONG}\t30\n"),
        (".txt", f"# MNE-Annotations\n{LONG},30,W\n"),
        (".txt", f"# MNE-Annotations\n# orig_time : {LONG}\n0,30,W\n"),
        (".xml", f"<a><EpochLength>{LONG}</EpochLength><SleepStages/></a>"),
        (
            ".xml",
            "<a><EpochLength>30</EpochLength><SleepStages>"
            f"<SleepStage>{LONG}</SleepStage></SleepStages></a>",
        ),
        (
            ".xml",
            f"<a><ScoredEvent><EventConcept>N2</EventConcept><Start>{LONG}</Start></ScoredEvent></a>",
        ),
        (".json", json.dumps({"values": [LONG], "freq": LONG, LONG: LONG})),
    ],
)
def test_long_texts_are_not_repeated(suffix, content, tmp_path):
    path = tmp_path / f"stages{suffix}"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"stages{suffix}") as error:
        read_hypnogram(path)
    assert_clean(error.value)


def make_json(**changes):
    fields = {"values": ["WAKE"], "n_stages": 5, "freq": "30s", "start": None, "scorer": None}
    return json.dumps(fields | {"proba": None} | changes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (make_json(n_stages=10**12), "n_stages. must be an integer between 2 and 5"),
        (make_json(n_stages="5"), "'n_stages': Input should be a valid integer"),
        (make_json(values="WAKE"), "'values': Input should be a valid list"),
        (make_json(values=["WAKE"] * (MOST_EVENTS + 1)), "'values': List should have at most 2000"),
        (make_json(values=[]), "'values': List should have at least 1 item"),
        (make_json(values=[1]), "'values.0': Input should be a valid string"),
        (make_json(values=[["WAKE"] * 9]), "'values.0': Input should be a valid string"),
        (make_json(values=["N7"]), "do not match the accepted values"),
        (make_json(freq="1ns"), "has epochs of '1ns'; wav2sleep's are 30 s long"),
        (make_json(freq="100000D", start="2024-03-01"), "has epochs of '100000D'"),
        (make_json(freq="soon"), "is not a hypnogram in YASA's format"),
        (make_json(start="now"), "Invalid isoformat string: 'now'"),
        (make_json(start="24.00.00"), "Invalid isoformat string: '24.00.00'"),
        (make_json(start=1709332200), "'start': Input should be a valid string"),
        (make_json(proba=[[1.0]]), "'proba': Input should be a valid dict"),
        (make_json(proba={"WAKE": {str(i): 1.0 for i in range(999)}}), "'proba.WAKE': Input"),
        (make_json(proba={"WAKE": [0.5, 0.5]}), "same length"),
        (make_json(proba={"WAKE": [0.5], "N1": [0.4]}), "must sum to 1"),
        (make_json(proba={str(i): [0.1] for i in range(10)}), "'proba': Dictionary should have at"),
        ("[" * 100_000, "has 100000 lists and objects"),
        (json.dumps({"values": [[]] * 100_000}), "has 100002 lists and objects"),
        ("[" * 999, "is not a hypnogram in YASA's format"),
        ('{"values":[' + "9" * 10_000 + "]}", "is not a hypnogram in YASA's format"),
        ("", "is not a hypnogram in YASA's format"),
        ("null", "Input should be a valid dictionary"),
    ],
)
def test_hostile_json_is_refused(content, message, tmp_path):
    path = tmp_path / "hyp.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        read_hypnogram(path)
    assert_clean(error.value)
    assert "hyp.json" in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_of_any_encoding(encoding, tmp_path):
    path = tmp_path / "hyp.json"
    path.write_text(json.dumps(json.loads(make_json(scorer="Zoë")), ensure_ascii=False), encoding)
    assert read_hypnogram(path).scorer == "Zoë"


def test_json_keeps_time_zone_and_probabilities(tmp_path):
    proba = yasa.hypno.pd.DataFrame({"WAKE": [0.75, 0.5], "REM": [0.25, 0.5]})
    hyp = yasa.Hypnogram(
        ["WAKE", "REM"], start="2024-03-31 01:59:30", tz="Europe/Paris", scorer="me", proba=proba
    )
    hyp.to_json(tmp_path / "hyp.json")
    found = read_hypnogram(tmp_path / "hyp.json")
    assert (found.start, found.scorer, found.freq) == (hyp.start, "me", "30s")
    assert str(found.start.tz) == "Europe/Paris"
    np.testing.assert_array_equal(found.proba, proba)


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "stages.txt")
    with pytest.raises(ValueError, match="is a pipe or a device"):
        read_hypnogram(tmp_path / "stages.txt")
    (tmp_path / "endless.csv").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="is a pipe or a device"):
        read_hypnogram(tmp_path / "endless.csv")


@pytest.mark.parametrize("name", ["stages.csv.gz", "stages.zip", "STAGES.XML.GZ"])
def test_compressed_text_is_refused(name, tmp_path):
    (tmp_path / name).write_bytes(gzip.compress(b"W\nN2\n"))
    with pytest.raises(ValueError, match=r"is compressed\. Unpack it"):
        read_hypnogram(tmp_path / name)


def test_compressed_files(tmp_path):
    raw = make_raw(["ECG"], 64.0, 60.0, types="ecg", start=START)
    path = tmp_path / "stages-annot.fif.gz"
    mne.Annotations([0, 30], 30, ["Sleep stage W", "Sleep stage 2"], START).save(path)
    assert list(locate_hypnogram(path, raw)[0].hypno) == ["WAKE", "N2"]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cannot be unpacked"):
        read_hypnogram(path)
    path.write_bytes(b"not gzip")
    with pytest.raises(ValueError, match="cannot be unpacked"):
        read_hypnogram(path)
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(LARGEST_UNPACKED // 2**20 + 1):
            file.write(bytes(2**20))
    with pytest.raises(ValueError, match=r"unpacks to more than 256 MB, the limit.*Unpack it"):
        read_hypnogram(path)
