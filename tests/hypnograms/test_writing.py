import datetime
from pathlib import Path

import mne
import numpy as np
import pytest
import yasa
from builders import toy_recordings
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_wav2sleep import SleepStagerW2S, simulate_night, write_hypnogram
from mne_wav2sleep.hypnograms.reading import read_stages
from mne_wav2sleep.hypnograms.writing import annotate_raw

pytestmark = toy_recordings
START = datetime.datetime(2024, 3, 1, 22, 30, tzinfo=datetime.UTC)
FOUR = ("WAKE", "LIGHT", "DEEP", "REM", "UNS")
FIVE = ("WAKE", "N1", "N2", "N3", "REM", "UNS")


def make_hypnogram(n_epochs=40, names=FOUR, start=START, seed=0):
    stages = np.random.default_rng(seed).choice(names, n_epochs)
    stages[0] = names[1]  # says whether there are four stages
    return yasa.Hypnogram(list(stages), n_stages=len(names) - 1, start=start, scorer="me")


def make_raw(seconds=1200.0, start=START, sfreq=10.0):
    info = mne.create_info(["Thor"], sfreq, "misc")
    raw = mne.io.RawArray(np.zeros((1, round(seconds * sfreq))), info, verbose="error")
    return raw.set_meas_date(start)


@pytest.mark.parametrize("names", [FOUR, FIVE])
@pytest.mark.parametrize("start", [START, None])
def test_annotations_go_through_a_file_and_back(tmp_path, names, start):
    hyp = make_hypnogram(names=names, start=start)
    raw = annotate_raw(make_raw(start=start), hyp)
    raw.save(tmp_path / "night_raw.fif", verbose="error")
    again = mne.io.read_raw(tmp_path / "night_raw.fif", verbose="error")
    found, _ = read_stages(None, again)
    assert list(found.hypno) == list(hyp.hypno)
    assert found.n_stages == hyp.n_stages


@given(st.integers(0, 39), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_a_part_of_the_recording_gets_its_part(first, length):
    hyp = make_hypnogram()
    last = min(first + length, 40)
    raw = make_raw().crop(first * 30, last * 30, include_tmax=False)
    annotate_raw(raw, hyp)
    texts = {"W": "WAKE", "R": "REM", "?": "UNS"}
    for annotation in raw.annotations:
        begin = annotation["onset"] - raw.first_time + first * 30
        name = annotation["description"].removeprefix("Sleep stage ")
        epochs = hyp.hypno.iloc[round(begin / 30) : round((begin + annotation["duration"]) / 30)]
        assert len(epochs) >= 1
        assert (epochs == texts.get(name, name)).all()
    assert raw.annotations.duration.sum() == pytest.approx((last - first) * 30)


def test_what_was_annotated_is_kept():
    raw = make_raw()
    raw.set_annotations(mne.Annotations([5, 60], [1, 2], ["BAD_move", "Sleep stage W"]))
    with pytest.raises(ValueError, match=r"1 annotations of sleep stages already.*overwrite=True"):
        annotate_raw(raw, make_hypnogram())
    annotate_raw(raw, make_hypnogram(), overwrite=True)
    assert "BAD_move" in raw.annotations.description
    stages = [a for a in raw.annotations if a["description"].startswith("Sleep stage")]
    assert sum(a["duration"] for a in stages) == pytest.approx(1200)


def test_stages_outside_of_what_was_staged_are_kept():
    """Staged from 300 s to 900 s of 1200 s, beside a scorer's stages of all of it."""
    hyp = make_hypnogram(20, start=START + datetime.timedelta(seconds=300))
    night = make_raw()
    texts = ["Sleep stage N2", "Sleep stage W", "Sleep stage R", "BAD_move", "Sleep stage W"]
    night.set_annotations(mne.Annotations([0, 240, 330, 100, 870], [240, 90, 540, 900, 330], texts))
    with pytest.raises(ValueError, match="has 3 annotations of sleep stages already"):
        annotate_raw(night, hyp)
    annotate_raw(night, hyp, overwrite=True)
    old = [a for a in night.annotations if a["onset"] < 300 or a["onset"] >= 900]
    assert [(a["onset"], a["duration"], a["description"]) for a in old] == [
        (0, 240, "Sleep stage N2"),
        (100, 900, "BAD_move"),
        (240, 60, "Sleep stage W"),
        (900, 300, "Sleep stage W"),
    ]
    found = read_stages(None, night)[0]
    assert list(found.hypno[10:30]) == list(hyp.hypno)


def test_one_stage_around_all_that_was_staged_is_parted():
    raw = make_raw().set_annotations(mne.Annotations(0, 1200, "Sleep stage W"))
    hyp = make_hypnogram(20, start=START + datetime.timedelta(seconds=300))
    annotate_raw(raw, hyp, overwrite=True)
    awake = [(a["onset"], a["duration"]) for a in raw.annotations]
    assert awake[0] == (0, 300)
    assert awake[-1] == (900, 300)
    assert raw.annotations.duration.sum() == pytest.approx(1200)


@pytest.mark.parametrize("sfreq", [10.0, 125.3, 512 / 3])
def test_onsets_are_those_of_the_samples(tmp_path, sfreq):
    """At no whole rate and second, from a crop at no whole second, through FIF."""
    start = START.replace(microsecond=123457)
    raw = make_raw(start=start, sfreq=sfreq).crop(tmin=100.01)
    raw.save(tmp_path / "night_raw.fif", verbose="error")
    again = mne.io.read_raw(tmp_path / "night_raw.fif", verbose="error")
    begin = again.info["meas_date"] + datetime.timedelta(seconds=again.first_time)
    hyp = make_hypnogram(30, start=begin)
    annotate_raw(again, hyp)
    onsets = again.annotations.onset - again.first_time
    assert onsets[0] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(onsets / 30, np.round(onsets / 30), rtol=0, atol=1e-9)
    assert again.annotations.duration.sum() == pytest.approx(900, abs=1e-9)


@pytest.mark.parametrize(
    ("raw", "hyp", "message"),
    [
        (make_raw(900, None), make_hypnogram(start=None), "without a date in both"),
        (make_raw(1200, None), make_hypnogram(), "stages begin at .* and the Raw has no date"),
        (make_raw(1200), make_hypnogram(start=None), "Raw begins at .* and the stages have no"),
        (make_raw(1300, None), make_hypnogram(start=None), "without a date in both"),
        (make_raw(), make_hypnogram(start=START.replace(day=2)), "no time in common"),
    ],
)
def test_another_recording_is_refused(raw, hyp, message):
    with pytest.raises(ValueError, match=message):
        annotate_raw(raw, hyp)
    assert len(raw.annotations) == 0


def test_gaps_are_refused():
    with pytest.raises(ValueError, match="staged with its gaps"):
        annotate_raw(make_raw(), make_hypnogram(), has_gaps=True)


@pytest.mark.parametrize("names", [FOUR, FIVE])
def test_edf_opens_in_mne_and_gives_the_same(tmp_path, names):
    hyp = make_hypnogram(names=names)
    path = tmp_path / "hypnogram.edf"
    write_hypnogram(hyp, path)
    annotations = mne.read_annotations(path)
    assert annotations.onset[0] == 0
    assert set(annotations.description) <= {
        f"Sleep stage {name}" for name in ("W", "N1", "N2", "N3", "R", "LIGHT", "DEEP", "?")
    }
    raw = make_raw().set_annotations(annotations)
    assert list(read_stages(None, raw)[0].hypno) == list(hyp.hypno)
    # ... and it knows when.
    assert path.read_bytes()[88 + 80 :][:16] == b"01.03.2422.30.00"


def test_a_stage_per_line(tmp_path):
    hyp = yasa.Hypnogram(["WAKE", "N1", "N2", "N3", "REM", "UNS"], n_stages=5)
    write_hypnogram(hyp, tmp_path / "stages.txt")
    assert (tmp_path / "stages.txt").read_text().split() == ["W", "N1", "N2", "N3", "R", "?"]
    with pytest.raises(ValueError, match=r"must end in \.json, "):
        write_hypnogram(hyp, Path("stages.xlsx"))


def test_the_stager_annotates_what_it_staged():
    raw = simulate_night(duration=3600, modalities=["THX"], sfreq=64, seed=0, verbose="error")
    stager = SleepStagerW2S(raw, weights="mini", verbose="error")
    hyp = stager.predict()
    part = raw.copy().crop(600, 1200, include_tmax=False)
    stager.annotate(part, overwrite=True)
    found = read_stages(None, part)[0]
    assert list(found.hypno) == list(hyp.hypno[20:40])


@pytest.mark.parametrize("text", ["N2", "Stage - N2", "W", "Sleep stage ?"])
def test_a_scorers_stages_are_seen_whatever_they_are_called(text):
    raw = make_raw().set_annotations(mne.Annotations(0, 30, text))
    with pytest.raises(ValueError, match="1 annotations of sleep stages already"):
        annotate_raw(raw, make_hypnogram())


def test_another_night_at_the_same_time_is_refused_by_its_channels(small_folder):
    t = np.arange(3600 * 8) / 8.0
    info = mne.create_info(["Thor"], 8.0, "misc")
    raw = mne.io.RawArray(np.sin(1.5 * t)[None], info, verbose="error").set_meas_date(START)
    stager = SleepStagerW2S(raw, weights=small_folder, verbose="error")
    with pytest.raises(ValueError, match="has none of the channels that were staged, Thor, but A"):
        stager.annotate(raw.copy().rename_channels({"Thor": "A"}))


def test_a_recording_is_never_replaced(tmp_path):
    import edfio

    path = tmp_path / "night.edf"
    edfio.Edf([edfio.EdfSignal(np.sin(np.arange(640.0)), 64, label="ECG")]).write(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="holds a recording"):
        write_hypnogram(make_hypnogram(), path)
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="holds a recording"):
        write_hypnogram(make_hypnogram(), path, overwrite=True)
    assert path.read_bytes() == before
    write_hypnogram(make_hypnogram(), tmp_path / "hyp.edf")
    with pytest.raises(FileExistsError, match=r"is there already.*overwrite=True"):
        write_hypnogram(make_hypnogram(), tmp_path / "hyp.edf")
    write_hypnogram(make_hypnogram(), tmp_path / "hyp.edf", overwrite=True)


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        write_hypnogram(make_hypnogram(), tmp_path / "none" / "hyp.json")
    with pytest.raises(TypeError, match="hyp must be an instance of Hypnogram"):
        write_hypnogram(["W"], tmp_path / "hyp.json")


@pytest.mark.parametrize(
    ("hyp", "message"),
    [
        (make_hypnogram().upsample("10s"), "4 stages, per 10s"),
        (yasa.Hypnogram(["WAKE", "SLEEP"], n_stages=2), "has 2 stages, per 30s"),
        (make_hypnogram(start=START.replace(year=1924)), "begins in 1924"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(hyp, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_hypnogram(hyp, tmp_path / "hyp.edf")
    assert not list(tmp_path.iterdir())
