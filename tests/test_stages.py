import datetime

import mne
import numpy as np
import pytest
import yasa
from conftest import make_wave

from mne_wav2sleep.stages import read_stages

STAGES = ["WAKE"] * 3 + ["N1", "N2", "N2", "N3", "N3", "REM", "REM", "UNS", "WAKE"]
START = datetime.datetime(2024, 3, 1, 22, 30, tzinfo=datetime.UTC)
RK = {"WAKE": 0, "N1": 1, "N2": 2, "N3": 3, "REM": 5, "UNS": 9}
NSRR = {
    "WAKE": "Wake|0",
    "N1": "Stage 1 sleep|1",
    "N2": "Stage 2 sleep|2",
    "N3": "Stage 3 sleep|3",
    "REM": "REM sleep|5",
    "UNS": "Unscored|9",
}
EDF_PLUS = {"WAKE": "W", "N1": "1", "N2": "2", "N3": "3", "REM": "R", "UNS": "?"}


@pytest.fixture
def raw():
    raw = mne.io.RawArray(
        make_wave(64.0, 30 * len(STAGES))[np.newaxis],
        mne.create_info(["ECG"], 64.0, "ecg"),
        verbose="error",
    )
    return raw.set_meas_date(START)


def events():
    return [(30.0 * i, 30.0, stage) for i, stage in enumerate(STAGES)]


def write(kind, folder):
    """The same stages in each of the forms that scorers keep them in."""
    path = folder / f"stages.{kind.split()[-1]}"
    if kind == "yasa json":
        yasa.Hypnogram(STAGES, start=START.replace(tzinfo=None)).to_json(str(path))
    elif kind == "profusion xml":
        stages = "".join(f"<SleepStage>{RK[s]}</SleepStage>" for s in STAGES)
        path.write_text(
            "<CMPStudyConfig><EpochLength>30</EpochLength>"
            f"<SleepStages>{stages}</SleepStages></CMPStudyConfig>"
        )
    elif kind == "nsrr xml":
        scored = "".join(
            f"<ScoredEvent><EventConcept>{NSRR[s]}</EventConcept><Start>{onset}</Start>"
            f"<Duration>{duration}</Duration></ScoredEvent>"
            for onset, duration, s in [*events()]
        )
        apnea = (
            "<ScoredEvent><EventConcept>Hypopnea|Hypopnea</EventConcept><Start>40.5</Start>"
            "<Duration>15</Duration></ScoredEvent>"
        )
        path.write_text(
            f"<PSGAnnotation><ScoredEvents>{apnea}{scored}</ScoredEvents></PSGAnnotation>"
        )
    elif kind == "rows csv":
        path.write_text("stage\n" + "\n".join(STAGES) + "\n")
    elif kind == "events tsv":
        rows = [f"{onset}\t{duration}\t{stage}" for onset, duration, stage in events()]
        path.write_text("onset\tduration\ttrial_type\n" + "\n".join(rows) + "\n")
    elif kind == "annotations fif":
        path = folder / "stages-annot.fif"
        onsets, durations, stages = zip(*events(), strict=True)
        texts = [f"Sleep stage {EDF_PLUS[s]}" for s in stages]
        mne.Annotations(onsets, durations, texts, orig_time=START).save(path)
    return path


@pytest.mark.parametrize(
    "kind",
    ["yasa json", "profusion xml", "nsrr xml", "rows csv", "events tsv", "annotations fif"],
)
def test_stages_are_the_same_in_whatever_form(kind, raw, tmp_path):
    hyp, onset = read_stages(write(kind, tmp_path), raw, START)
    assert list(hyp.hypno) == STAGES
    assert onset == (None if kind == "rows csv" else 0.0)
    if onset is not None:
        assert hyp.start.tz_localize(None) == START.replace(tzinfo=None)


def test_annotations_of_a_cropped_raw_stay_on_the_clock(raw):
    onsets, durations, stages = zip(*events(), strict=True)
    texts = [f"Sleep stage {EDF_PLUS[s]}" for s in stages]
    raw.set_annotations(mne.Annotations(onsets, durations, texts, orig_time=START))
    raw.crop(100)
    hyp, onset = read_stages(None, raw, START + datetime.timedelta(seconds=100))
    # The crop cuts the event that it falls into; what follows begins on the old grid.
    assert (onset + 100) % 30 in (0.0, 10.0)
    assert list(hyp.hypno)[-2:] == STAGES[-2:]


def test_a_hypnogram_is_placed_by_the_clock_of_both(raw):
    hyp = yasa.Hypnogram(STAGES, start="2024-03-01 22:31:15")
    assert read_stages(hyp, raw, START)[1] == 75.0
    assert read_stages(hyp, raw, None)[1] is None


@pytest.mark.parametrize(
    ("content", "suffix", "message"),
    [
        ("stage\n0\n4\n", "csv", "4 means another stage"),
        ("stage\nW\nN7\n", "csv", "unknown stages"),
        ("time,score\n1,W\n", "csv", "has the columns"),
        ("onset,duration,stage\n0,30,Sleep stage X\n30,30,W\n", "csv", "unknown stages"),
        ("onset,duration,stage\n0,30,apnea\n", "csv", "no sleep stage"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "xml", "declares entities"),
        ("<a><b></a>", "xml", "not well-formed"),
    ],
)
def test_stages_that_cannot_be_trusted_are_refused(content, suffix, message, raw, tmp_path):
    path = tmp_path / f"stages.{suffix}"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_stages(path, raw, START)


def test_other_epochs_and_stages_are_refused(raw, tmp_path):
    with pytest.raises(ValueError, match="30 s long"):
        read_stages(yasa.Hypnogram(STAGES, freq="20s"), raw, START)
    with pytest.raises(ValueError, match="has 2 stages"):
        read_stages(yasa.Hypnogram(["WAKE", "SLEEP"], n_stages=2), raw, START)
    with pytest.raises(FileNotFoundError, match="Check the path"):
        read_stages(tmp_path / "none.xml", raw, START)
