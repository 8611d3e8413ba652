import datetime

import edfio
import mne
import numpy as np
import pytest
import yasa
from builders import START, make_raw, make_wave

from mne_wav2sleep import read_hypnogram, write_hypnogram
from mne_wav2sleep.hypnograms.reading import locate_hypnogram
from mne_wav2sleep.output import HYPNOGRAM_SUFFIXES

STAGES = ["WAKE"] * 3 + ["N1", "N2", "N2", "N3", "N3", "REM", "REM", "UNS", "WAKE"]
RK = {"WAKE": 0, "N1": 1, "N2": 2, "N3": 3, "REM": 5, "UNS": 9}
NSRR = {
    "WAKE": "Wake|0",
    "N1": "Stage 1 sleep|1",
    "N2": "Stage 2 sleep|2",
    "N3": "Stage 3 sleep|3",
    "REM": "REM sleep|5",
    "UNS": "Unscored|9",
}
KINDS = [
    *("yasa json", "profusion xml", "nsrr xml", "rows csv", "events tsv", "lines txt"),
    *("dated edf", "undated edf", "annotations fif"),
]
EDF_PLUS = {"WAKE": "W", "N1": "1", "N2": "2", "N3": "3", "REM": "R", "UNS": "?"}


@pytest.fixture
def raw():
    return make_raw(["ECG"], 64.0, 30 * len(STAGES), types="ecg", start=START)


def events():
    return [(30.0 * i, 30.0, stage) for i, stage in enumerate(STAGES)]


def write(kind, folder):
    """Write the same stages in a format of scorers."""
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
    elif kind == "lines txt":
        path.write_text("\n".join(STAGES) + "\n")
    elif kind in ("dated edf", "undated edf"):
        start = START.replace(tzinfo=None) if kind == "dated edf" else None
        write_hypnogram(yasa.Hypnogram(STAGES, start=start), path, overwrite=True)
    elif kind == "annotations fif":
        path = folder / "stages-annot.fif"
        onsets, durations, stages = zip(*events(), strict=True)
        texts = [f"Sleep stage {EDF_PLUS[s]}" for s in stages]
        mne.Annotations(onsets, durations, texts, orig_time=START).save(path, overwrite=True)
    return path


@pytest.mark.parametrize(
    "kind",
    ["yasa json", "profusion xml", "nsrr xml", "rows csv", "events tsv", "annotations fif"],
)
def test_all_formats_give_the_same_stages(kind, raw, tmp_path):
    hyp, onset = locate_hypnogram(write(kind, tmp_path), raw)
    assert list(hyp.hypno) == STAGES
    assert onset == (None if kind == "rows csv" else 0.0)
    if onset is not None:
        assert hyp.start.tz_localize(None) == START.replace(tzinfo=None)


@pytest.mark.parametrize("cut", [95, 100, 110, 118])
def test_annotations_of_a_cropped_raw_keep_their_time(cut, raw):
    onsets, durations, stages = zip(*events(), strict=True)
    texts = [f"Sleep stage {EDF_PLUS[s]}" for s in stages]
    raw.set_annotations(mne.Annotations(onsets, durations, texts, orig_time=START))
    raw.crop(cut)
    hyp, onset = locate_hypnogram(None, raw)
    # The first event was shortened by the crop; its epoch begins before the recording.
    assert onset == 90 - cut
    assert list(hyp.hypno) == STAGES[3:]
    assert hyp.start == START + datetime.timedelta(seconds=90)


def test_a_hypnogram_is_placed_by_its_start(raw):
    hyp = yasa.Hypnogram(STAGES, start="2024-03-01 22:31:15")
    assert locate_hypnogram(hyp, raw)[1] == 75.0
    assert locate_hypnogram(hyp, undated(raw))[1] is None


def test_other_epochs_and_stages_are_refused(raw, tmp_path):
    with pytest.raises(ValueError, match="30 s long"):
        locate_hypnogram(yasa.Hypnogram(STAGES, freq="20s"), raw)
    with pytest.raises(ValueError, match="has 2 stages"):
        locate_hypnogram(yasa.Hypnogram(["WAKE", "SLEEP"], n_stages=2), raw)
    with pytest.raises(FileNotFoundError, match="Check the path"):
        locate_hypnogram(tmp_path / "none.xml", raw)


FOUR = {"N1": "LIGHT", "N2": "LIGHT", "N3": "DEEP"}


def undated(raw):
    return raw.copy().set_meas_date(None)


@pytest.mark.parametrize("start", [START, None])
@pytest.mark.parametrize("n_stages", [4, 5])
@pytest.mark.parametrize("suffix", HYPNOGRAM_SUFFIXES)
def test_files_round_trip(suffix, n_stages, start, raw, tmp_path):
    # The first and last epochs are unscored.
    stages = ["UNS", *STAGES[1:-1], "UNS"]
    stages = stages if n_stages == 5 else [FOUR.get(stage, stage) for stage in stages]
    hyp = yasa.Hypnogram(stages, n_stages=n_stages, start=start, scorer="me")
    write_hypnogram(hyp, tmp_path / f"hyp{suffix}")
    recording = raw if start else undated(raw)
    found, onset = locate_hypnogram(tmp_path / f"hyp{suffix}", recording)
    assert list(found.hypno) == stages
    assert found.n_stages == n_stages
    assert onset == (0.0 if suffix in (".csv", ".tsv") or (start and suffix != ".txt") else None)
    if start is None or suffix == ".txt":
        assert found.start is None
    else:
        assert found.start.tz_localize(None) == START.replace(tzinfo=None)
    assert found.scorer == ("me" if suffix in (".json", ".csv", ".tsv") else "expert")
    named, same = locate_hypnogram(tmp_path / f"hyp{suffix}", recording, scorer="you")
    assert (named.scorer, same, named.start) == ("you", onset, found.start)
    assert list(named.hypno) == stages


@pytest.mark.parametrize("suffix", [".json", ".edf"])
def test_a_dated_file_is_placed_by_its_own_start(suffix, raw, tmp_path):
    path = tmp_path / f"hyp{suffix}"
    write_hypnogram(yasa.Hypnogram(STAGES, start=START), path)
    later = START + datetime.timedelta(seconds=120)
    found, onset = locate_hypnogram(path, raw.copy().crop(120))
    assert onset == -120
    assert found.start.tz_localize(None) == START.replace(tzinfo=None)
    # A hypnogram of the cropped recording, and the whole recording.
    write_hypnogram(yasa.Hypnogram(STAGES[4:], start=later), path, overwrite=True)
    found, onset = locate_hypnogram(path, raw)
    assert (onset, list(found.hypno)) == (120, STAGES[4:])
    # Without a date of the recording, the start is kept but the onset is unknown.
    found, onset = locate_hypnogram(path, undated(raw).crop(120))
    assert onset is None
    assert found.start.tz_localize(None) == later.replace(tzinfo=None)


def write_scored_edf(path, begin, date=None, seconds=0, first=0.0):
    """Write EDF+ stages from ``first`` s on, with a signal of ``seconds`` if not 0."""
    notes = [edfio.EdfAnnotation(first + 30 * i, 30, s) for i, s in enumerate(STAGES[:-1])]
    signals = [edfio.EdfSignal(make_wave(64.0, seconds), 64, label="ECG")] if seconds else []
    recording = edfio.Recording(startdate=date)
    edfio.Edf(signals, annotations=notes, starttime=begin, recording=recording).write(path)
    return path


@pytest.mark.parametrize("date", [START.date(), None])
def test_a_scored_edf_of_the_same_recording(date, tmp_path):
    """The recording and the stages begin together, with or without a date in both."""
    begin = datetime.time(22, 30)
    night = write_scored_edf(tmp_path / "night.edf", begin, date, seconds=420)
    recording = mne.io.read_raw(night, verbose="error").crop(60)
    scored = write_scored_edf(tmp_path / "stages.edf", begin, date, first=15.0)
    assert locate_hypnogram(scored, recording)[1] == 15 - 60
    # The recording itself, even if the date of the Raw was changed since.
    assert locate_hypnogram(night, recording)[1] == -60
    recording.set_meas_date(datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC))
    assert locate_hypnogram(night, recording)[1] == -60


def test_onsets_of_an_undated_edf_are_relative_to_the_recording(raw, tmp_path):
    path = write_scored_edf(tmp_path / "stages.edf", datetime.time(22, 30))
    with pytest.warns(RuntimeWarning, match="has 11 epochs of 30 s and the recording 12, and"):
        assert locate_hypnogram(path, raw)[1] is None
    write_scored_edf(path, datetime.time(22, 30), first=30.0)
    assert locate_hypnogram(path, raw)[1] == 30


def test_fractions_of_a_second_are_kept(raw, tmp_path):
    start = START + datetime.timedelta(seconds=0.25)
    write_hypnogram(yasa.Hypnogram(STAGES, start=start), tmp_path / "hyp.edf")
    found, onset = locate_hypnogram(tmp_path / "hyp.edf", raw)
    assert onset == 0.25
    assert found.start == start


def test_samples_are_not_taken_for_annotations(tmp_path):
    """MNE's own reader also searches the samples for annotations, and expects UTF-8."""
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
    path.write_bytes(data.replace("\u00e4".encode(), b"\xe4\x20"))  # Latin-1, which is common
    recording = mne.io.read_raw(path, encoding="latin1", verbose="error")
    found, onset = locate_hypnogram(path, recording)
    assert (list(found.hypno), onset) == (STAGES, 0.0)


@pytest.mark.parametrize("n_epochs", [6, 11, 13, 40])
@pytest.mark.parametrize("suffix", [".csv", ".txt", ".json"])
def test_a_length_that_differs_from_an_undated_recording_warns(n_epochs, suffix, raw, tmp_path):
    path = tmp_path / f"stages{suffix}"
    if suffix == ".json":
        yasa.Hypnogram(["WAKE"] * n_epochs).to_json(str(path))
    else:
        path.write_text("stage\n" + "W\n" * n_epochs)
    match = rf"has {n_epochs} epochs of 30 s and the recording 12, and they do not both have"
    with pytest.warns(RuntimeWarning, match=match):
        locate_hypnogram(path, raw)


def test_events_after_the_end_of_the_recording_warn(raw, tmp_path):
    write_hypnogram(yasa.Hypnogram(STAGES, start=START), tmp_path / "hyp.csv")
    with pytest.warns(RuntimeWarning, match=r"ends 6\.0 min after the start.*lasts 4\.0 min"):
        locate_hypnogram(tmp_path / "hyp.csv", raw.crop(0, 240, include_tmax=False))


def test_an_incomplete_last_epoch_may_be_scored(raw):
    raw.crop(0, 340)
    for n_epochs in (11, 12):
        locate_hypnogram(yasa.Hypnogram(["WAKE"] * n_epochs), undated(raw))


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_read_without_a_recording(kind, tmp_path):
    hyp = read_hypnogram(write(kind, tmp_path))
    assert list(hyp.hypno) == STAGES
    assert (hyp.n_stages, hyp.scorer) == (5, "expert")
    if kind in ("yasa json", "annotations fif", "dated edf"):
        assert hyp.start.tz_localize(None) == START.replace(tzinfo=None)
    else:
        assert hyp.start is None
    assert read_hypnogram(str(write(kind, tmp_path)), scorer="me").scorer == "me"


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_read_with_a_recording(kind, raw, tmp_path):
    path = write(kind, tmp_path)
    hyp = read_hypnogram(path, raw)
    assert list(hyp.hypno) == STAGES
    if kind in ("rows csv", "lines txt", "undated edf"):  # which have neither a date nor onsets
        assert hyp.start is None
    else:
        assert hyp.start.tz_localize(None) == START.replace(tzinfo=None)
    hyp = read_hypnogram(path, undated(raw))
    assert list(hyp.hypno) == STAGES
    if kind in ("yasa json", "dated edf"):
        assert hyp.start.tz_localize(None) == START.replace(tzinfo=None)
    else:
        assert hyp.start is None


def write_events(folder, first):
    """Write the stages as events, from ``first`` s after the start of the recording on."""
    path = folder / "stages.tsv"
    rows = [f"{onset + first}\t{duration}\t{stage}" for onset, duration, stage in events()]
    path.write_text("onset\tduration\ttrial_type\n" + "\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("is_given", [True, False])
def test_later_stages_are_padded_at_the_start_of_an_undated_recording(is_given, raw, tmp_path):
    recording = make_raw(["ECG"], 64.0, 60 + 30 * len(STAGES)) if is_given else None
    hyp = read_hypnogram(write_events(tmp_path, 60), recording)
    assert list(hyp.hypno) == ["UNS", "UNS", *STAGES]
    assert (hyp.start, hyp.n_stages, hyp.scorer) == (None, 5, "expert")


@pytest.mark.parametrize("is_given", [True, False])
def test_earlier_stages_are_cropped_at_the_start_of_an_undated_recording(is_given, raw, tmp_path):
    recording = undated(raw) if is_given else None
    hyp = read_hypnogram(write_events(tmp_path, -90), recording)
    assert list(hyp.hypno) == STAGES[3:]
    assert hyp.start is None


def test_stages_of_a_dated_recording_keep_all_their_epochs(raw, tmp_path):
    for first in (15, -90):
        hyp = read_hypnogram(write_events(tmp_path, first), raw)
        assert list(hyp.hypno) == STAGES
        assert hyp.start == START + datetime.timedelta(seconds=first)


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (45, "begin 45 s after the start of the recording, which is not a multiple of 30 s"),
        (-40, "begin 40 s before the start of the recording, which is not a multiple of 30 s"),
        (-360, "end 0 min before the recording begins"),
        (-420, "end 1 min before the recording begins"),
    ],
)
def test_stages_that_do_not_match_an_undated_recording_are_refused(first, message, tmp_path):
    path = write_events(tmp_path, first)
    for recording in (None, make_raw(["ECG"], 64.0, 600.0)):
        with pytest.raises(ValueError, match=message):
            read_hypnogram(path, recording)


def test_annotations_of_an_undated_recording_are_padded(raw):
    onsets, durations, stages = zip(*events()[2:], strict=True)
    undated_raw = undated(raw).set_annotations(mne.Annotations(onsets, durations, stages))
    assert list(read_hypnogram(None, undated_raw).hypno) == ["UNS", "UNS", *STAGES[2:]]
    assert list(read_hypnogram(None, undated_raw.crop(60)).hypno) == STAGES[2:]


@pytest.mark.parametrize("has_next", [True, False])
@pytest.mark.parametrize("is_dated", [True, False])
def test_a_crop_at_the_edge_of_an_epoch(is_dated, has_next, raw):
    """MNE keeps the previous stage, with a duration of 0."""
    recording = raw if is_dated else undated(raw)
    kept = [0, 1, 2, *([3] if has_next else []), *range(4, 12)]
    onsets, durations, stages = zip(*[events()[i] for i in kept], strict=True)
    recording.set_annotations(mne.Annotations(onsets, durations, stages)).crop(90)
    assert recording.annotations.duration[0] == 0
    hyp = read_hypnogram(None, recording)
    if is_dated:
        assert hyp.start == START + datetime.timedelta(seconds=90 if has_next else 120)
        assert list(hyp.hypno) == STAGES[3 if has_next else 4 :]
    else:
        assert list(hyp.hypno) == ["N1" if has_next else "UNS", *STAGES[4:]]


def test_stages_without_durations_last_an_epoch(raw):
    onsets, _, stages = zip(*events(), strict=True)
    raw.set_annotations(mne.Annotations(onsets, 0, stages)).crop(90)
    assert list(read_hypnogram(None, raw).hypno) == STAGES[3:]


def test_nothing_to_read_is_refused(tmp_path):
    with pytest.raises(ValueError, match="source and raw are both None"):
        read_hypnogram(None)
    with pytest.raises(ValueError, match="is a folder, not a hypnogram"):
        read_hypnogram(tmp_path)
    with pytest.raises(TypeError, match="source must be an instance of"):
        read_hypnogram(STAGES)
