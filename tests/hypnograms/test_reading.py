import datetime

import edfio
import mne
import numpy as np
import pytest
import yasa
from builders import make_wave

from mne_wav2sleep import write_hypnogram
from mne_wav2sleep.hypnograms.reading import align_stages, read_stages

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
    hyp, onset = read_stages(write(kind, tmp_path), raw)
    assert list(hyp.hypno) == STAGES
    assert onset == (None if kind == "rows csv" else 0.0)
    if onset is not None:
        assert hyp.start.tz_localize(None) == START.replace(tzinfo=None)


@pytest.mark.parametrize("cut", [95, 100, 110, 118])
def test_annotations_of_a_cropped_raw_stay_on_the_clock(cut, raw):
    onsets, durations, stages = zip(*events(), strict=True)
    texts = [f"Sleep stage {EDF_PLUS[s]}" for s in stages]
    raw.set_annotations(mne.Annotations(onsets, durations, texts, orig_time=START))
    raw.crop(cut)
    hyp, onset = read_stages(None, raw)
    # The crop cuts the event that it falls into; its epoch begins before what is left.
    assert onset == 90 - cut
    assert list(hyp.hypno) == STAGES[3:]
    assert hyp.start == START + datetime.timedelta(seconds=90)


def test_a_hypnogram_is_placed_by_the_clock_of_both(raw):
    hyp = yasa.Hypnogram(STAGES, start="2024-03-01 22:31:15")
    assert read_stages(hyp, raw)[1] == 75.0
    assert read_stages(hyp, undated(raw))[1] is None


@pytest.mark.parametrize(
    ("content", "suffix", "message"),
    [
        ("stage\n0\n4\n", "csv", "4 means another stage"),
        ("stage\nW\nN7\n", "csv", "unknown stages"),
        ("time,score\n1,W\n", "csv", "has the columns"),
        ("onset,duration,stage\n0,30,Sleep stage X\n30,30,W\n", "csv", "unknown stages"),
        ("onset,duration,stage\n0,30,apnea\n", "csv", "no sleep stage"),
        ("W\n0\n4\n", "txt", "4 means another stage"),
        ("W\nhello\n", "txt", "unknown stages"),
        ("W\n\nR\n", "txt", "says nothing of epoch 2"),
        ("\nW\nR\n", "txt", "says nothing of epoch 1"),
        ("onset,duration,stage\nx,30,W\n", "csv", "'x' for onset of event 1"),
        ("onset,duration,stage\n0,30,W\n,30,N2\n", "csv", "nan for onset of event 2"),
        ('onset,duration,stage\n0,"30,5",W\n', "csv", "'30,5' for duration of event 1"),
        ("onset,duration,stage\n0,30,W\n9e12,30,N2\n", "csv", "more than 31 days"),
        ("onset,duration,stage\n0,30,W\n30,1e300,N2\n", "csv", "more than 31 days"),
        # Pages of 20 s, and two scorers.
        (
            "onset,duration,stage\n0,20,W\n20,20,N2\n40,20,R\n60,20,W\n",
            "csv",
            "has N2 at 20 s in an epoch of 30 s that is WAKE as well",
        ),
        ("onset,duration,stage\n0,60,W\n30,30,N2\n", "csv", "is WAKE as well.*of one scorer"),
        ("{", "json", "no hypnogram that YASA has written"),
        ("[1, 2]", "json", "no hypnogram that YASA has written"),
        ("\n\n", "txt", "is empty"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "xml", "declares entities"),
        ("<a><b></a>", "xml", "not well-formed"),
    ],
)
def test_stages_that_cannot_be_trusted_are_refused(content, suffix, message, raw, tmp_path):
    path = tmp_path / f"stages.{suffix}"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_stages(path, raw)


def test_other_epochs_and_stages_are_refused(raw, tmp_path):
    with pytest.raises(ValueError, match="30 s long"):
        read_stages(yasa.Hypnogram(STAGES, freq="20s"), raw)
    with pytest.raises(ValueError, match="has 2 stages"):
        read_stages(yasa.Hypnogram(["WAKE", "SLEEP"], n_stages=2), raw)
    with pytest.raises(FileNotFoundError, match="Check the path"):
        read_stages(tmp_path / "none.xml", raw)


FOUR = {"N1": "LIGHT", "N2": "LIGHT", "N3": "DEEP"}
SUFFIXES = [".json", ".csv", ".tsv", ".edf", ".txt"]


def undated(raw):
    return raw.copy().set_meas_date(None)


@pytest.mark.parametrize("start", [START, None])
@pytest.mark.parametrize("n_stages", [4, 5])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read_back(suffix, n_stages, start, raw, tmp_path):
    # Begins and ends with what nobody scored.
    stages = ["UNS", *STAGES[1:-1], "UNS"]
    stages = stages if n_stages == 5 else [FOUR.get(stage, stage) for stage in stages]
    hyp = yasa.Hypnogram(stages, n_stages=n_stages, start=start, scorer="me")
    write_hypnogram(hyp, tmp_path / f"hyp{suffix}")
    recording = raw if start else undated(raw)
    found, onset = read_stages(tmp_path / f"hyp{suffix}", recording)
    assert list(found.hypno) == stages
    assert found.n_stages == n_stages
    assert onset == (0.0 if suffix in (".csv", ".tsv") or (start and suffix != ".txt") else None)
    if start is None or suffix == ".txt":
        assert found.start is None
    else:
        assert found.start.tz_localize(None) == START.replace(tzinfo=None)
    assert found.scorer == ("me" if suffix in (".json", ".csv", ".tsv") else "expert")
    named, same = read_stages(tmp_path / f"hyp{suffix}", recording, scorer="you")
    assert (named.scorer, same, named.start) == ("you", onset, found.start)
    assert list(named.hypno) == stages


@pytest.mark.parametrize("suffix", [".json", ".edf"])
def test_a_hypnogram_lies_where_its_own_clock_says(suffix, raw, tmp_path):
    path = tmp_path / f"hyp{suffix}"
    write_hypnogram(yasa.Hypnogram(STAGES, start=START), path)
    later = START + datetime.timedelta(seconds=120)
    found, onset = read_stages(path, raw.copy().crop(120))
    assert onset == -120
    assert found.start.tz_localize(None) == START.replace(tzinfo=None)
    # ... and one of the cropped night, beside all of it.
    write_hypnogram(yasa.Hypnogram(STAGES[4:], start=later), path, overwrite=True)
    found, onset = read_stages(path, raw)
    assert (onset, list(found.hypno)) == (120, STAGES[4:])
    # Where the recording has no clock, that of the stages is kept, and says nothing of where.
    found, onset = read_stages(path, undated(raw).crop(120))
    assert onset is None
    assert found.start.tz_localize(None) == later.replace(tzinfo=None)


def write_scored_edf(path, begin, date=None, seconds=0, first=0.0):
    """A scorer's EDF+: stages from ``first`` s on, with signals where it lasts ``seconds``."""
    notes = [edfio.EdfAnnotation(first + 30 * i, 30, s) for i, s in enumerate(STAGES[:-1])]
    signals = [edfio.EdfSignal(make_wave(64.0, seconds), 64, label="ECG")] if seconds else []
    recording = edfio.Recording(startdate=date)
    edfio.Edf(signals, annotations=notes, starttime=begin, recording=recording).write(path)
    return path


@pytest.mark.parametrize("date", [START.date(), None])
def test_a_scorers_edf_of_the_same_recording(date, tmp_path):
    """The recording and the stages begin together, both with a date or both with none."""
    begin = datetime.time(22, 30)
    night = write_scored_edf(tmp_path / "night.edf", begin, date, seconds=420)
    recording = mne.io.read_raw(night, verbose="error").crop(60)
    scored = write_scored_edf(tmp_path / "stages.edf", begin, date, first=15.0)
    assert read_stages(scored, recording)[1] == 15 - 60
    # The recording itself, whatever date the Raw was given since.
    assert read_stages(night, recording)[1] == -60
    recording.set_meas_date(datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC))
    assert read_stages(night, recording)[1] == -60


def test_an_edf_without_a_date_counts_from_the_recording(raw, tmp_path):
    path = write_scored_edf(tmp_path / "stages.edf", datetime.time(22, 30))
    with pytest.warns(RuntimeWarning, match=r"has 11 epochs of 30 s and the recording 12, and no"):
        assert read_stages(path, raw)[1] is None
    write_scored_edf(path, datetime.time(22, 30), first=30.0)
    assert read_stages(path, raw)[1] == 30


def test_fractions_of_a_second_are_kept(raw, tmp_path):
    start = START + datetime.timedelta(seconds=0.25)
    write_hypnogram(yasa.Hypnogram(STAGES, start=start), tmp_path / "hyp.edf")
    found, onset = read_stages(tmp_path / "hyp.edf", raw)
    assert onset == 0.25
    assert found.start == start


@pytest.mark.parametrize("text", ["W\nN2\n?\nR\n", 'stage\r\nW\r\nN2\r\n""\r\nR\r\n\r\n'])
@pytest.mark.parametrize("suffix", [".txt", ".csv"])
def test_a_stage_per_line(text, suffix, raw, tmp_path):
    if suffix == ".csv" and not text.startswith("stage"):
        text = "stage\n" + text
    if suffix == ".txt":
        text = text.replace('""', "?")
    path = tmp_path / f"stages{suffix}"
    path.write_text("\ufeff" + text, encoding="utf-8", newline="")
    found, _ = read_stages(path, raw.crop(0, 119.9))
    assert list(found.hypno) == ["WAKE", "N2", "UNS", "REM"]


def test_events_without_a_name_or_a_stage_leave_stages_alone(raw, tmp_path):
    path = tmp_path / "stages.tsv"
    path.write_text(
        "onset\tduration\ttrial_type\n"
        "0\t30\tW\n30\tn/a\tN2\n35\t1\tn/a\n40\t3\tmovement\n\n60.4\t29.6\tR\n90\t30\tmovement\n"
    )
    found, onset = read_stages(path, raw.crop(0, 119.9))
    assert (list(found.hypno), onset) == (["WAKE", "N2", "REM", "ART"], 0.0)


def test_samples_that_look_like_annotations_are_none(tmp_path):
    """MNE's own reader looks for annotations in the samples as well, and for UTF-8."""
    path = tmp_path / "night.edf"
    looks = np.frombuffer(b"+30\x1530\x14Sleep stage N3\x14\0\0" + b"\xff\xfe" * 19, dtype="<i2")
    samples = np.tile(looks, 30 * 60 * 64 // looks.size + 1)[: 12 * 30 * 64].astype(float)
    signal = edfio.EdfSignal(
        samples, 64, label="ECG", physical_range=(-32768, 32767), digital_range=(-32768, 32767)
    )
    notes = [edfio.EdfAnnotation(30 * i, 30, s) for i, s in enumerate(STAGES)]
    edfio.Edf([signal], annotations=[*notes, edfio.EdfAnnotation(1, 1, "Aufw\u00e4rmen")]).write(
        path
    )
    data = path.read_bytes()
    assert b"Sleep stage N3\x14\0" in data
    path.write_bytes(data.replace("\u00e4".encode(), b"\xe4\x20"))  # Latin-1, as many write it
    recording = mne.io.read_raw(path, encoding="latin1", verbose="error")
    found, onset = read_stages(path, recording)
    assert (list(found.hypno), onset) == (STAGES, 0.0)


def test_an_empty_line_moves_nothing(raw, tmp_path):
    path = tmp_path / "stages.csv"
    path.write_text("stage\nW\n\nR\n")
    found, _ = read_stages(path, raw.crop(0, 89.9))
    assert list(found.hypno) == ["WAKE", "UNS", "REM"]


@pytest.mark.parametrize("n_epochs", [6, 11, 13, 40])
@pytest.mark.parametrize("suffix", [".csv", ".txt", ".json"])
def test_stages_that_do_not_fit_are_said_where_no_clock_puts_them(n_epochs, suffix, raw, tmp_path):
    path = tmp_path / f"stages{suffix}"
    if suffix == ".json":
        yasa.Hypnogram(["WAKE"] * n_epochs).to_json(str(path))
    else:
        path.write_text("stage\n" + "W\n" * n_epochs)
    match = rf"has {n_epochs} epochs of 30 s and the recording 12, and no clock"
    with pytest.warns(RuntimeWarning, match=match):
        read_stages(path, raw)


def test_events_beyond_the_end_of_the_recording_are_said(raw, tmp_path):
    write_hypnogram(yasa.Hypnogram(STAGES, start=START), tmp_path / "hyp.csv")
    with pytest.warns(RuntimeWarning, match=r"ends 6\.0 min after the beginning.*lasts 4\.0 min"):
        read_stages(tmp_path / "hyp.csv", raw.crop(120))


def test_an_epoch_that_the_recording_does_not_complete_may_be_scored(raw):
    raw.crop(0, 340)
    for n_epochs in (11, 12):
        read_stages(yasa.Hypnogram(["WAKE"] * n_epochs), undated(raw))


def test_align_keeps_who_scored_and_folds_what_never_slept():
    hyp = yasa.Hypnogram(["WAKE", "LIGHT", "REM"], n_stages=4, start=START)
    reference = yasa.Hypnogram(["WAKE", "REM"], n_stages=5, start=START, scorer="me")
    aligned = align_stages(reference, hyp)
    assert list(aligned.hypno) == ["WAKE", "REM", "UNS"]
    assert (aligned.n_stages, aligned.scorer, aligned.start) == (4, "me", hyp.start)
