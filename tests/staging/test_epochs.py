"""The table of epochs, folded stages of the stager, and files of tables."""

import importlib.util
from datetime import datetime

import mne
import numpy as np
import pandas as pd
import pytest
from builders import START, make_raw, toy_recordings

from mne_wav2sleep import SleepStagerW2S, fold_hypnogram, read_hypnogram, simulate_night
from mne_wav2sleep.hypnograms.lights import TimeInBed
from mne_wav2sleep.hypnograms.probabilities import name_stages, to_hypnogram
from mne_wav2sleep.staging.epochs import tabulate_epochs, write_table

pytestmark = toy_recordings


@pytest.fixture(scope="module")
def stager(small_folder):
    raw = simulate_night(duration=1200, modalities=["ECG", "PPG", "THX"], seed=0, verbose="error")
    bad = mne.Annotations(300, 300, "BAD", orig_time=raw.annotations.orig_time)
    lights = (300, "22:45")
    raw.set_annotations(bad)
    return SleepStagerW2S(raw, small_folder, lights=lights, verbose="error")


def test_the_table_of_a_recording(stager):
    table = stager.epoch_table()
    hyp, availability = stager.predict(), stager.availability()
    assert list(table) == [
        *("epoch", "onset", "start", "stage", "proba_WAKE", "proba_LIGHT", "proba_DEEP"),
        *("proba_REM", "measured_ECG", "measured_PPG", "measured_THX", "heart_rate"),
        *("breathing_rate", "in_bed"),
    ]
    assert table["epoch"].tolist() == list(range(40))
    assert table["onset"].tolist() == [30.0 * i for i in range(40)]
    assert table["start"].iloc[[0, 39]].tolist() == [
        datetime(2000, 1, 1, 22, 30),
        datetime(2000, 1, 1, 22, 49, 30),
    ]
    assert table["stage"].tolist() == hyp.hypno.tolist()
    known = table["stage"] != "UNS"
    assert known.sum() == 30
    for name in ("WAKE", "LIGHT", "DEEP", "REM"):
        assert table[f"proba_{name}"][known].tolist() == hyp.proba[name][known.to_numpy()].tolist()
        assert table[f"proba_{name}"][~known].isna().all()
    assert table["measured_ECG"].tolist() == availability["ECG"].tolist()
    assert table["in_bed"].tolist() == [10 <= i < 30 for i in range(40)]
    assert table["heart_rate"][known].median() == pytest.approx(
        stager.quality().loc["ECG", "rate"], abs=1.5
    )
    assert table.loc[~known, ["heart_rate", "breathing_rate"]].isna().all(axis=None)
    assert 8 < table["breathing_rate"].median() < 25


def test_stages_of_the_stager_are_folded(stager):
    for n_stages in (2, 3):
        folded, expected = stager.predict(n_stages), fold_hypnogram(stager.predict(), n_stages)
        assert folded.hypno.equals(expected.hypno)
        assert folded.proba.equals(expected.proba)
    assert stager.predict(4).n_stages == 4
    table = stager.epoch_table(2)
    assert set(table["stage"]) <= {"WAKE", "SLEEP", "UNS"}
    assert [name for name in table if name.startswith("proba")] == ["proba_WAKE", "proba_SLEEP"]
    for wrong in (1, 5, "2"):
        with pytest.raises((ValueError, TypeError), match="n_stages must be"):
            stager.predict(wrong)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_table_of_epochs_is_read_as_a_hypnogram(stager, suffix, tmp_path):
    hyp, table, path = stager.predict(), stager.epoch_table(), tmp_path / f"epochs{suffix}"
    write_table(table, path)
    read = read_hypnogram(path)
    assert list(read.hypno) == list(hyp.hypno)
    assert read.start.replace(tzinfo=None) == datetime(2000, 1, 1, 22, 30)
    write_table(table.iloc[5:], path, overwrite=True)
    assert read_hypnogram(path).start.replace(tzinfo=None) == datetime(2000, 1, 1, 22, 32, 30)
    write_table(table.assign(start=None).iloc[5:], path, overwrite=True)
    read = read_hypnogram(path)  # without a clock, onsets count from the recording
    assert read.start is None
    assert list(read.hypno) == [*["UNS"] * 5, *hyp.hypno[5:]]
    for wrong, message in (
        (table.iloc[[0, 2, 1]], "has the epoch '2' in row 2 after the header"),
        (table.assign(start="22:30"), "has the start '22:30' in its first row, which is not a"),
        (table.iloc[:0], "has no stages after its header"),
    ):
        write_table(wrong, path, overwrite=True)
        with pytest.raises(ValueError, match=message):
            read_hypnogram(path)


def test_sleep_periods_of_the_stager_are_of_the_whole_recording(stager):
    periods = stager.sleep_periods()
    assert len(periods) <= 1
    assert (periods["TST"] <= 20).all()


def make_table(start, n_epochs=6):
    proba = np.random.default_rng(0).dirichlet(np.ones(4), n_epochs)
    hyp = to_hypnogram(name_stages(proba, ("WAKE", "LIGHT", "DEEP", "REM")), start, "w")
    availability = pd.DataFrame({"ECG": ["measured"] * 5 + ["=flat"]})
    ecg = pd.DataFrame({"rate": np.arange(60.0, 66), "plausible": [1, 0, 1, 0, np.nan, 1]})
    ppg = pd.DataFrame({"rate": np.arange(70.0, 76), "plausible": [1, 1, 1, 1, 1, 0]})
    in_bed = TimeInBed(30.0, 90.0, 1, 3)
    return tabulate_epochs(hyp, availability, {"ECG": ecg, "PPG": ppg}, in_bed)


def test_rates_are_of_the_sensor_with_more_plausible_epochs():
    table = make_table(None)
    assert table["heart_rate"].tolist()[:5] == [70, 71, 72, 73, 74]
    assert np.isnan(table["heart_rate"][5])
    assert table["breathing_rate"].isna().all()
    assert table["start"].isna().all()
    assert table["in_bed"].tolist() == [False, True, True, False, False, False]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_tables_are_read_back(suffix, tmp_path):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    table = make_table(START)
    path = tmp_path / f"epochs.{suffix}"
    write_table(table, path)
    if suffix == "parquet":
        pd.testing.assert_frame_equal(pd.read_parquet(path), table, check_dtype=False)
        return
    back = pd.read_csv(path, sep="\t" if suffix == "tsv" else ",", parse_dates=["start"])
    assert back["measured_ECG"].iloc[5] == "'=flat"
    back["measured_ECG"] = table["measured_ECG"]
    pd.testing.assert_frame_equal(back, table, check_dtype=False)
    assert (
        path.read_text().splitlines()[1].replace("\t", ",").startswith("0,0.0,2024-03-01 22:30:00")
    )
    with pytest.raises(FileExistsError, match="already exists"):
        write_table(table, path)


def test_a_table_of_another_kind_or_without_pyarrow_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"must end in \.csv, \.tsv, \.parquet"):
        write_table(make_table(None), tmp_path / "epochs.xlsx")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *_: None if name == "pyarrow" else find(name)
    )
    with pytest.raises(RuntimeError, match=r"pip install 'mne-wav2sleep\[parquet\]'"):
        write_table(make_table(None), tmp_path / "epochs.parquet")
    assert not list(tmp_path.iterdir())


def test_a_recording_of_five_stages_is_folded_to_four(golden_folder):
    raw = make_raw(["ECG"], seconds=300)
    stager = SleepStagerW2S(raw, golden_folder, verbose="error")
    with pytest.raises(ValueError, match="n_stages must be from 2 to 4"):
        stager.predict(5)
