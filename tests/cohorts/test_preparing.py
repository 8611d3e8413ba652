"""Preparing nights: clocks, broken nights, reuse of files, and messages."""

import datetime
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mne
import numpy as np
import pytest
import yasa
from builders import START, make_hypnogram, make_raw, toy_recordings
from scipy.io import savemat

from mne_wav2sleep import read_hypnogram, write_hypnogram
from mne_wav2sleep.cohorts import (
    Night,
    calibrate,
    evaluate,
    measure_reliability,
    open_night,
    prepare_nights,
)

pytestmark = toy_recordings

ECG_AND_BELT = ("ECG", "Thor")


def make_short(labels=ECG_AND_BELT, epochs=20):
    return make_raw(labels, seconds=30 * epochs, types="eeg", start=START)


def test_epochs_follow_the_hypnograms_clock(tmp_path):
    """Stages start after 75 s, so that epochs start at 15 s and the first two are unscored."""
    raw = make_short(("ECG",), 10)
    raw._data[0] = raw.times  # each sample is its own time
    hyp = make_hypnogram(5, start=START.replace(tzinfo=None) + datetime.timedelta(seconds=75))
    night = prepare_nights([Night(raw, hyp, "a")], tmp_path, dtype="float32")[0]
    assert night.n_epochs == 9
    stages = list(night.read_hypnogram(5).hypno)
    assert stages == ["UNS"] * 2 + list(hyp.hypno) + ["UNS"] * 2
    wave = night.read_signals(["ECG"])["ECG"]
    times = np.arange(1, wave.size + 1) * 30 / 1024 + 15
    expected = np.interp(times, raw.times[15 * 64 :], raw.times[15 * 64 :])
    fit = np.polyfit(expected[:-100], wave[:-100], 1)
    np.testing.assert_allclose(np.polyval(fit, expected[:-100]), wave[:-100], atol=1e-4)
    # A part of it has the same samples.
    piece = night.read_signals(["ECG"], 3, 2)["ECG"]
    np.testing.assert_array_equal(piece, wave[3 * 1024 : 5 * 1024])


@pytest.mark.parametrize(
    ("night", "message"),
    [
        (Night(make_short(), make_hypnogram(25), "a"), "5 more than the recording"),
        (Night(make_short(), make_hypnogram(15), "a"), "5 fewer than the recording"),
        (Night(make_short(), make_hypnogram(start="2024-03-02 22:30"), "a"), "do not overlap"),
        (Night(make_short(), yasa.Hypnogram(["UNS"] * 20), "a"), "none of its epochs is scored"),
        (Night(make_short(), None, "a"), "no sleep stage"),
        (Night(make_short(("EEG",)), make_hypnogram(), "a"), "Name one"),
        (Night("nowhere.edf", make_hypnogram(), "a"), r"nowhere\.edf"),
    ],
)
def test_a_broken_night_is_named_and_does_not_stop_others(night, message, tmp_path):
    good = Night(make_short(), make_hypnogram(), "good")
    with pytest.raises(ValueError, match=f"1 of 2 nights cannot be used. cohort/a.*{message}"):
        prepare_nights([night, good], tmp_path)
    with pytest.warns(RuntimeWarning, match=message):
        prepared = prepare_nights([night, good], tmp_path, on_error="warn")
    assert [n.subject for n in prepared] == ["good"]


def test_broken_nights_of_one_name_are_each_named(tmp_path):
    nights = [Night(tmp_path / visit / "a.edf", make_hypnogram(), "p01") for visit in "12"]
    with pytest.raises(ValueError, match="2 of 2 nights cannot be used") as caught:
        prepare_nights(nights, tmp_path)
    lines = str(caught.value).split("\n")
    assert [line.split(":")[0] for line in lines[1:]] == ["cohort/p01 (a.edf)"]
    for visit in "12":
        assert str(tmp_path / visit / "a.edf") in str(caught.value)


def test_prepared_nights_are_reused_until_something_changes(tmp_path):
    raw = make_short()
    path = prepare_nights([Night(raw, make_hypnogram(), "a")], tmp_path)[0].path
    before = path.stat().st_mtime_ns
    again = prepare_nights([Night(raw, make_hypnogram(), "a")], tmp_path)[0]
    assert again.path.stat().st_mtime_ns == before
    assert prepare_nights([again], tmp_path / "other") == [again]
    assert prepare_nights([Night(raw, make_hypnogram(seed=1), "a")], tmp_path)[0].path != path
    raw._data[0, 5] += 1e-3
    assert prepare_nights([Night(raw, make_hypnogram(), "a")], tmp_path)[0].path != path
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="damaged"):
        open_night(path)


def test_a_recording_has_one_subject(tmp_path):
    nights = [Night(tmp_path / "a.edf", None, subject) for subject in "pq"]
    with pytest.raises(ValueError, match=r"for two subjects, 'p' \(cohort\) and 'q' \(cohort\)"):
        prepare_nights(nights, tmp_path / "prepared")


def test_warnings_name_the_night_and_point_to_the_users_code(tmp_path):
    raw = make_short()
    raw._data[:, : raw.n_times // 3] = np.nan
    with pytest.warns(RuntimeWarning, match=r"^cohort/p1.*was not measured for") as caught:
        prepare_nights([Night(raw, make_hypnogram(), "p1")], tmp_path)
    assert {Path(one.filename).name for one in caught} == {Path(__file__).name}


def test_preparing_does_not_log_every_file(tmp_path):
    make_short().save(tmp_path / "night_raw.fif", verbose="error")
    with mne.utils.use_log_level("info"), mne.utils.catch_logging() as log:
        prepare_nights([Night(tmp_path / "night_raw.fif", make_hypnogram(), "a")], tmp_path)
    assert "Opening" not in log.getvalue()


def test_nights_in_parallel_are_the_same(tmp_path):
    paths = []
    for i in range(2):
        paths.append(tmp_path / f"{i}_raw.fif")
        make_raw(ECG_AND_BELT, seconds=600, start=START, seed=i).save(paths[-1], verbose="error")
    nights = [Night(path, make_hypnogram(), str(i)) for i, path in enumerate(paths)]
    one = prepare_nights(nights, tmp_path / "one")
    two = prepare_nights(nights, tmp_path / "two", n_jobs=2)
    for a, b in zip(one, two, strict=True):
        assert a.path.name == b.path.name
        assert a.path.read_bytes() == b.path.read_bytes()


def test_a_list_of_different_nights_is_needed(tmp_path):
    raw, hyp = make_short(), make_hypnogram()
    night = Night(raw, hyp, "a")
    for measure in (prepare_nights, evaluate, calibrate, measure_reliability):
        with pytest.raises(TypeError, match=r"^nights must be a list .*a single one\. Put"):
            measure(night, tmp_path if measure is prepare_nights else "mini", verbose="error")
    for wrong, message in (
        (None, r"nights must be a list of nights, got None\. Put the nights in a list"),
        ((n for n in [night]), "nights must be a list of nights, got <generator .*Put the"),
        ("nights.csv", r"list of nights, got 'nights\.csv'\. Read a table with read_nights"),
        ([raw], "each of nights must be"),
    ):
        with pytest.raises(TypeError, match=message):
            prepare_nights(wrong, tmp_path)
    with pytest.raises(ValueError, match="cohort/a is given twice"):
        prepare_nights([night, Night(raw, hyp, "a")], tmp_path)
    two_scorers = [night, Night(raw, make_hypnogram(seed=1), "a")]
    prepared = prepare_nights(two_scorers, tmp_path)
    with pytest.raises(ValueError, match="is given twice"):
        prepare_nights([prepared[0], *prepared], tmp_path)
    with pytest.raises(ValueError, match=r"n_jobs must be 1 or more, or -1 .*, got 0"):
        prepare_nights([night], tmp_path, n_jobs=0)


def test_faults_of_the_code_are_told_from_unusable_nights(tmp_path, monkeypatch):
    def fail(*_args, **_options):
        raise KeyError("ECG")

    monkeypatch.setattr("mne_wav2sleep.cohorts.preparing.read_signals", fail)
    with pytest.raises(ValueError, match="cohort/a: KeyError: 'ECG'") as caught:
        prepare_nights([Night(make_short(), make_hypnogram(), "a")], tmp_path)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_channel_that_is_constant_on_the_grid_is_left_out_as_in_staging(tmp_path):
    info = mne.create_info(["ECG", "Thor"], 1000.0, "misc")
    data = np.zeros((2, 300_000))
    data[1] = np.sin(np.arange(300_000) / 500)
    # Halfway between two points of the grid, so that it has none of these samples.
    data[0, np.round((np.arange(0, 10_240, 8) + 0.5) * 30_000 / 1024).astype(int)] = 1e-3
    raw = mne.io.RawArray(data, info, verbose="error").set_meas_date(START)
    with pytest.warns(RuntimeWarning, match="cohort/a: ECG is left out, because its channel is co"):
        [night] = prepare_nights([Night(raw, make_hypnogram(10), "a")], tmp_path)
    assert night.modalities == ("THX",)


@pytest.mark.filterwarnings("ignore:.*Data will be preloaded")  # by older versions of MNE
def test_stages_in_the_annotations_of_a_paused_recording_are_refused(tmp_path):
    """They do not count the pause; those of a file with clock times do."""
    path = tmp_path / "night.set"
    raw = make_short(("ECG",))
    names = ["boundary", *["Sleep stage N2"] * 20]
    latency = [5 * 60 * 64 + 0.5, *(1.0 + np.arange(20) * 30 * 64)]
    events = np.array(
        list(zip(names, latency, [90 * 64.0] + [30 * 64.0] * 20, strict=True)),
        dtype=[("type", object), ("latency", object), ("duration", object)],
    )
    labels = np.array([("ECG",)], dtype=[("labels", object)])
    eeg = {"srate": 64.0, "nbchan": 1, "pnts": raw.n_times, "trials": 1, "data": raw.get_data()}
    savemat(path, {"EEG": {**eeg, "chanlocs": labels, "event": events, "epoch": [], "icawinv": []}})
    with pytest.raises(
        ValueError, match=r"was paused, first after 5\.0 min, and the stages in its"
    ):
        prepare_nights([Night(path, None, "a")], tmp_path)
    with pytest.warns(RuntimeWarning, match=r"1\.5 min not recorded\): 3 of 23 epochs are masked"):
        night = prepare_nights([Night(path, make_hypnogram(23), "a")], tmp_path)[0]
    grid = night.read_signals(["ECG"])["ECG"].reshape(23, -1)[:, :-1]  # the last is the next's
    measured = grid.std(axis=1) > 0
    assert np.flatnonzero(~measured).tolist() == [10, 11, 12]


def make_events(kept, stages, word="W"):
    """Make annotations of an epoch each, of which some are missing."""
    words = {"WAKE": word, "REM": "R"}
    texts = [words.get(stages[i], stages[i]) for i in kept]
    return mne.Annotations([30.0 * i for i in kept], 30.0, texts, orig_time=START)


@pytest.mark.parametrize(
    ("kept", "share"), [([0, 1, 19], 85), ([0, *range(12, 20)], 55), ([*range(0, 20, 3)], 63)]
)
def test_a_night_of_which_most_stages_are_missing_is_refused(kept, share, tmp_path):
    raw = make_short()
    raw.set_annotations(make_events(kept, list(make_hypnogram().hypno)))
    message = rf"cohort/a: its hypnogram has no stage in {share}% of the epochs.*Check that no"
    with (
        pytest.raises(ValueError, match=message),
        pytest.warns(RuntimeWarning, match=rf"^cohort/a: .*has no stage in .*{share}%"),
    ):
        prepare_nights([Night(raw, None, "a")], tmp_path)
    # The hypnogram remembers it.
    with pytest.warns(RuntimeWarning, match=rf"has no stage in .*{share}%"):
        hyp = read_hypnogram(None, raw)
    with pytest.raises(ValueError, match=message):
        prepare_nights([Night(raw, hyp, "a")], tmp_path)


def test_fewer_missing_or_unusual_stages_are_warned_of(tmp_path):
    raw, stages = make_short(), list(make_hypnogram().hypno)
    kept = [i for i in range(20) if i not in (4, 7, 12)]
    raw.set_annotations(make_events(kept, stages, "Waak"))
    with pytest.warns(RuntimeWarning) as caught:
        [night] = prepare_nights([Night(raw, None, "p1")], tmp_path)
    texts = sorted(str(one.message) for one in caught)
    assert len(texts) == 2
    assert texts[0].startswith("cohort/p1: The recording has names of stages")
    assert texts[1].startswith("cohort/p1: The recording has no stage in 3 of the 20 epochs (15%)")
    expected = [stage if i in kept else "UNS" for i, stage in enumerate(stages)]
    assert list(night.read_hypnogram(5).hypno) == expected


def test_marked_epochs_may_be_many(tmp_path):
    hyp = yasa.Hypnogram(["WAKE", *["UNS"] * 18, "N2"])
    write_hypnogram(hyp, tmp_path / "scored.csv")
    [night] = prepare_nights([Night(make_short(), tmp_path / "scored.csv", "a")], tmp_path)
    assert list(night.read_hypnogram(5).hypno) == list(hyp.hypno)


@pytest.mark.parametrize("subject", ["\u7761" * 300, "s\udcfc1", "../a/b", "a\nb", "NUL\0"])
def test_subjects_may_have_any_name(subject, tmp_path):
    [night] = prepare_nights([Night(make_short(), make_hypnogram(), subject)], tmp_path)
    assert open_night(night.path).subject == night.subject == subject
    assert night.path.parent == tmp_path


def test_a_full_disk_is_no_fault_of_a_night(tmp_path):
    script = """
import subprocess, sys
from builders import START, make_hypnogram, make_raw
from mne_wav2sleep.cohorts import Night, prepare_nights
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", "disk"]).returncode:
    sys.exit(77)
stages = make_hypnogram(60)
raws = [make_raw(["ECG"], seconds=1800, start=START, seed=i) for i in range(6)]
nights = [Night(raw, stages, f"s{i}") for i, raw in enumerate(raws)]
try:
    prepare_nights(nights, "disk/nights", on_error="warn")
except OSError as error:
    print(error.errno, error)
"""
    command = ["unshare", "--mount", "--map-root-user", sys.executable, "-c", script]
    if shutil.which("unshare") is None:
        pytest.skip("needs a namespace in which a small disk can be mounted")
    (tmp_path / "disk").mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("needs a namespace in which a small disk can be mounted")
    assert done.stdout.startswith("28 cohort-s2"), done.stderr
    assert "No space left on device" in done.stdout
    assert "Free some space" in done.stdout
    assert "cannot be used" not in done.stderr
