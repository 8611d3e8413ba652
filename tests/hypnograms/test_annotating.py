import datetime

import mne
import numpy as np
import pytest
from builders import START, make_hypnogram, make_raw, toy_recordings
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_wav2sleep import SleepStagerW2S, read_hypnogram, simulate_night
from mne_wav2sleep.hypnograms.annotating import annotate_raw

pytestmark = toy_recordings
FOUR = ("WAKE", "LIGHT", "DEEP", "REM", "UNS")
FIVE = ("WAKE", "N1", "N2", "N3", "REM", "UNS")


def make_belt(seconds=1200.0, start=START, sfreq=10.0):
    return make_raw(["Thor"], sfreq, seconds, start=start)


def make_stages(n_epochs=40, *, stages=FOUR, start=START):
    return make_hypnogram(n_epochs, stages=stages, start=start)


@pytest.mark.parametrize("names", [FOUR, FIVE])
@pytest.mark.parametrize("start", [START, None])
def test_annotations_round_trip_through_a_file(tmp_path, names, start):
    hyp = make_stages(stages=names, start=start)
    raw = annotate_raw(make_belt(start=start), hyp)
    raw.save(tmp_path / "night_raw.fif", verbose="error")
    again = mne.io.read_raw(tmp_path / "night_raw.fif", verbose="error")
    found = read_hypnogram(None, again)
    assert list(found.hypno) == list(hyp.hypno)
    assert found.n_stages == hyp.n_stages


@given(st.integers(0, 39), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_a_cropped_recording_gets_its_part_of_the_stages(first, length):
    hyp = make_stages()
    last = min(first + length, 40)
    raw = make_belt().crop(first * 30, last * 30, include_tmax=False)
    annotate_raw(raw, hyp)
    texts = {"W": "WAKE", "R": "REM", "?": "UNS"}
    for annotation in raw.annotations:
        begin = annotation["onset"] - raw.first_time + first * 30
        name = annotation["description"].removeprefix("Sleep stage ")
        epochs = hyp.hypno.iloc[round(begin / 30) : round((begin + annotation["duration"]) / 30)]
        assert len(epochs) >= 1
        assert (epochs == texts.get(name, name)).all()
    assert raw.annotations.duration.sum() == pytest.approx((last - first) * 30)


def test_other_annotations_are_kept():
    raw = make_belt()
    raw.set_annotations(mne.Annotations([5, 60], [1, 2], ["BAD_move", "Sleep stage W"]))
    with pytest.raises(ValueError, match=r"already has 1 annotation of sleep.*overwrite=True"):
        annotate_raw(raw, make_stages())
    annotate_raw(raw, make_stages(), overwrite=True)
    assert "BAD_move" in raw.annotations.description
    stages = [a for a in raw.annotations if a["description"].startswith("Sleep stage")]
    assert sum(a["duration"] for a in stages) == pytest.approx(1200)


def test_stages_before_and_after_the_hypnogram_are_kept():
    """300 s to 900 s of 1200 s were staged; a scorer has staged all of them."""
    hyp = make_stages(20, start=START + datetime.timedelta(seconds=300))
    night = make_belt()
    texts = ["Sleep stage N2", "Sleep stage W", "Sleep stage R", "BAD_move", "Sleep stage W"]
    night.set_annotations(mne.Annotations([0, 240, 330, 100, 870], [240, 90, 540, 900, 330], texts))
    with pytest.raises(ValueError, match="already has 3 annotations of sleep stages"):
        annotate_raw(night, hyp)
    annotate_raw(night, hyp, overwrite=True)
    old = [a for a in night.annotations if a["onset"] < 300 or a["onset"] >= 900]
    assert [(a["onset"], a["duration"], a["description"]) for a in old] == [
        (0, 240, "Sleep stage N2"),
        (100, 900, "BAD_move"),
        (240, 60, "Sleep stage W"),
        (900, 300, "Sleep stage W"),
    ]
    found = read_hypnogram(None, night)
    assert list(found.hypno[10:30]) == list(hyp.hypno)


def test_a_stage_that_is_longer_than_the_hypnogram_is_split():
    raw = make_belt().set_annotations(mne.Annotations(0, 1200, "Sleep stage W"))
    hyp = make_stages(20, start=START + datetime.timedelta(seconds=300))
    annotate_raw(raw, hyp, overwrite=True)
    awake = [(a["onset"], a["duration"]) for a in raw.annotations]
    assert awake[0] == (0, 300)
    assert awake[-1] == (900, 300)
    assert raw.annotations.duration.sum() == pytest.approx(1200)


@pytest.mark.parametrize("sfreq", [10.0, 125.3, 512 / 3])
def test_onsets_coincide_with_samples(tmp_path, sfreq):
    """With fractional rates and start times, after a crop, through FIF."""
    start = START.replace(microsecond=123457)
    raw = make_belt(start=start, sfreq=sfreq).crop(tmin=100.01)
    raw.save(tmp_path / "night_raw.fif", verbose="error")
    again = mne.io.read_raw(tmp_path / "night_raw.fif", verbose="error")
    begin = again.info["meas_date"] + datetime.timedelta(seconds=again.first_time)
    hyp = make_stages(30, start=begin)
    annotate_raw(again, hyp)
    onsets = again.annotations.onset - again.first_time
    assert onsets[0] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(onsets / 30, np.round(onsets / 30), rtol=0, atol=1e-9)
    assert again.annotations.duration.sum() == pytest.approx(900, abs=1e-9)


@pytest.mark.parametrize(
    ("raw", "hyp", "message"),
    [
        (make_belt(900, None), make_stages(start=None), "without a date in both"),
        (make_belt(1200, None), make_stages(), "stages begin at .* and the Raw has no date"),
        (make_belt(1200), make_stages(start=None), "Raw begins at .* and the stages have no"),
        (make_belt(1300, None), make_stages(start=None), "without a date in both"),
        (make_belt(), make_stages(start=START.replace(day=2)), "no time in common"),
    ],
)
def test_another_recording_is_refused(raw, hyp, message):
    with pytest.raises(ValueError, match=message):
        annotate_raw(raw, hyp)
    assert len(raw.annotations) == 0


def test_gaps_are_refused():
    with pytest.raises(ValueError, match="staged with its gaps"):
        annotate_raw(make_belt(), make_stages(), has_gaps=True)


def test_the_stager_annotates_a_part_of_its_recording():
    raw = simulate_night(duration=3600, modalities=["THX"], sfreq=64, seed=0, verbose="error")
    stager = SleepStagerW2S(raw, weights="mini", verbose="error")
    hyp = stager.predict()
    part = raw.copy().crop(600, 1200, include_tmax=False)
    stager.annotate(part, overwrite=True)
    found = read_hypnogram(None, part)
    assert list(found.hypno) == list(hyp.hypno[20:40])


@pytest.mark.parametrize("text", ["N2", "Stage - N2", "W", "Sleep stage ?"])
def test_existing_stages_are_recognized_by_all_their_labels(text):
    raw = make_belt().set_annotations(mne.Annotations(0, 30, text))
    with pytest.raises(ValueError, match="already has 1 annotation of sleep stages"):
        annotate_raw(raw, make_stages())


def test_a_recording_with_other_channels_is_refused(small_folder):
    t = np.arange(3600 * 8) / 8.0
    info = mne.create_info(["Thor"], 8.0, "misc")
    raw = mne.io.RawArray(np.sin(1.5 * t)[None], info, verbose="error").set_meas_date(START)
    stager = SleepStagerW2S(raw, weights=small_folder, verbose="error")
    with pytest.raises(ValueError, match="has none of the channels that were staged, Thor, but A"):
        stager.annotate(raw.copy().rename_channels({"Thor": "A"}))
