"""Cohorts that are staged, stopped, and staged again."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import joblib
import mne
import numpy as np
import pandas as pd
import pytest
import torch
from builders import START, make_raw, toy_recordings, write_edf
from numpy.testing import assert_allclose, assert_array_equal

from mne_wav2sleep import SleepStagerW2S, load_weights
from mne_wav2sleep.cohorts import (
    Night,
    find_nights,
    load_cohort,
    preview_nights,
    stage_cohort,
)
from mne_wav2sleep.cohorts.staging import _is_shared

pytestmark = toy_recordings
FAILED_NIGHTS = pytest.mark.filterwarnings(r"ignore:\d+ of \d+ nights? could not be staged")
SECONDS = 300


def write_nights(folder, n_nights=3):
    """Write short recordings of different people."""
    folder.mkdir()
    for i in range(n_nights):
        path = folder / f"p{i}.edf"
        write_edf(path, {"ECG": 128.0, "Thor": 16.0 + i}, SECONDS, notes=())
    return folder


def read_all(folder):
    """Read all files of a cohort, without times and without what is only for the next run."""
    found = {}
    for path in sorted(folder.rglob("*")):
        is_noted = path.parent.name == "sources"  # of files that were written a while ago
        if path.is_file() and not is_noted and path.name not in ("log.txt", ".lock", "report.html"):
            content = path.read_bytes()
            if path.name.endswith(".provenance.json"):
                content = {k: v for k, v in json.loads(content).items() if k != "time"}
            found[path.relative_to(folder).as_posix()] = content
    return found


def find_times(folder):
    """When the files of the nights were written."""
    paths = [*folder.glob("rows/*"), *folder.glob("hypnograms/*")]
    return {path.name: path.stat().st_mtime_ns for path in paths}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = write_nights(tmp_path_factory.mktemp("cohort") / "recordings")
    (folder / "broken.edf").write_bytes(b"nonsense")
    return folder


@pytest.fixture(scope="module")
def whole(recordings, small_folder, tmp_path_factory):
    """The cohort, staged in one go."""
    out = tmp_path_factory.mktemp("whole") / "out"
    with pytest.warns(RuntimeWarning, match=r"1 of 4 nights could not be staged \(broken\)"):
        return stage_cohort(recordings, out, weights=small_folder, verbose="warning")


def test_the_table_has_a_row_for_each_night(whole, recordings, small_folder):
    table = whole.table
    assert list(table.index) == ["broken", "p0", "p1", "p2"]
    assert table["status"].to_dict() == dict.fromkeys(("p0", "p1", "p2"), "staged") | {
        "broken": "failed"
    }
    assert "cannot be read as a recording" in table.loc["broken", "reason"]
    assert table["reason"].notna().sum() == 1
    row = table.loc["p1"]
    stager = SleepStagerW2S(recordings / "p1.edf", small_folder, verbose="error")
    hyp, statistics = stager.predict(), stager.statistics()
    assert row["subject"] == "p1"
    assert row["dataset"] == "recordings"
    assert Path(row["recording"]) == recordings / "p1.edf"
    assert (row["channel_ECG"], row["channel_THX"]) == ("ECG", "Thor")
    assert pd.isna(row["channel_PPG"])
    assert row["measured_ECG"] == 1
    assert (row["epochs"], row["unscored"]) == (10, 0)
    assert row["certainty"] == pytest.approx(hyp.proba.max(axis=1).mean(), abs=1e-4)
    for name, one in statistics.iterrows():
        values = row[name], row[f"{name}_low"], row[f"{name}_high"]
        expected = one[["value", "low", "high"]].to_numpy(dtype=float)
        assert_array_equal(np.array(values, dtype=float), expected)
    assert row["time_in_bed"] == "whole recording"
    report = (whole.folder / "report.html").read_text(encoding="utf-8")
    assert report.count("over the whole recordings, as no time in bed is known") == 2
    of_night = [one for one in stager.cautions if not one.startswith("The weights")]
    assert row["n_warnings"] == len(of_night) == len(stager.cautions) - 1
    assert row["warnings"].split(" | ") == of_night


def test_hypnograms_are_those_of_the_stager(whole, recordings, small_folder):
    assert list(whole.hypnograms) == ["p0", "p1", "p2"]
    hyp = SleepStagerW2S(recordings / "p2.edf", small_folder, verbose="error").predict()
    pd.testing.assert_frame_equal(whole.hypnograms["p2"].proba, hyp.proba)
    assert whole.provenance("p2")["weights"]["sha256"] == load_weights(small_folder).sha256
    with pytest.raises(KeyError):
        whole.hypnograms["broken"]


@FAILED_NIGHTS
def test_a_second_start_does_nothing_twice(whole, recordings, small_folder):
    before, times = read_all(whole.folder), find_times(whole.folder)
    again = stage_cohort(recordings, whole.folder, weights=small_folder)
    pd.testing.assert_frame_equal(again.table, whole.table)
    assert find_times(whole.folder) == times
    assert read_all(whole.folder) == before
    assert "0 of 4 nights to stage, 4 complete before." in (whole.folder / "log.txt").read_text()


@pytest.mark.filterwarnings("ignore:The weights 'mini'")
def test_what_changed_is_done_again_and_said(tmp_path, small_folder, caplog):
    folder, out = write_nights(tmp_path / "in"), tmp_path / "out"
    stage_cohort(folder, out, weights=small_folder)

    def restage(**options):
        before = find_times(out)
        caplog.clear()
        found = find_nights(folder)
        stage_cohort(found, out, **{"weights": small_folder} | options, verbose="info")
        after = find_times(out)
        return {name for name in after if before.get(name) != after[name] and "prov" not in name}

    write_edf(folder / "p0.edf", {"ECG": 128.0}, SECONDS + 30, notes=())
    assert restage() == {"p0.json"}
    assert "Again, as changed: recording: 1 night (p0)." in caplog.text
    assert restage(ci=0.5) == {"p0.json", "p1.json", "p2.json"}
    assert "Again, as changed: ci: 3 nights (p0, p1, p2)." in caplog.text
    assert restage(ci=0.5, weights="mini") == {"p0.json", "p1.json", "p2.json"}
    assert "Again, as changed: weights: 3 nights" in caplog.text
    (out / "hypnograms" / "p1.json").write_text("{}")
    (out / "hypnograms" / "p2.json.provenance.json").unlink()
    (out / "rows" / "p0.json").write_text("[1")
    assert restage(ci=0.5, weights="mini") == {"p0.json", "p1.json", "p2.json"}
    assert "Again, as changed: its files here: 2 nights (p1, p2)." in caplog.text
    write_edf(folder / "p3.edf", {"ECG": 128.0}, SECONDS, notes=())
    assert restage(ci=0.5, weights="mini") == {"p3.json"}
    assert "1 of 4 nights to stage, 3 complete before." in caplog.text


@FAILED_NIGHTS
def test_what_failed_for_a_while_is_tried_again(tmp_path, small_folder, monkeypatch):
    folder, out = write_nights(tmp_path / "in", 1), tmp_path / "out"
    (folder / "broken.edf").write_bytes(b"nonsense")

    for error, reason in (
        (MemoryError(), "There is too little memory."),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "DefaultCPUAllocator"),
    ):

        def fail(*_, error=error, **__):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr("mne_wav2sleep.cohorts.worker.SleepStagerW2S", fail)
            table = stage_cohort(find_nights(folder)[1:], out, weights=small_folder).table
        assert table.loc["p0", "reason"].startswith(reason)
    table = stage_cohort(folder, out, weights=small_folder).table
    assert table["status"].to_dict() == {"broken": "failed", "p0": "staged"}
    times = find_times(out)
    stage_cohort(folder, out, weights=small_folder)
    assert find_times(out) == times
    stage_cohort(folder, out, weights=small_folder, retry_failed=True)
    assert {name for name, time in find_times(out).items() if time != times[name]} == {
        "broken.json"
    }


def test_relative_paths_are_of_the_folder_in_which_they_were_given(
    tmp_path, small_folder, monkeypatch
):
    tables = []
    for i, name in enumerate("ab"):
        (tmp_path / name / "in").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / name)  # but not joblib's processes, which are used again
        write_edf(Path("in/n.edf"), {"Thor": 16.0}, SECONDS + 30 * i, notes=())
        cohort = stage_cohort("in", "out", weights=small_folder, n_jobs=2)
        tables.append(cohort.table.loc["n", ["epochs", "recording"]].tolist())
    assert tables == [[10, str(tmp_path / "a/in/n.edf")], [11, str(tmp_path / "b/in/n.edf")]]


@FAILED_NIGHTS
def test_files_that_no_night_has_any_longer_are_removed_or_named(tmp_path, small_folder):
    pytest.importorskip("pyarrow")
    folder, out = write_nights(tmp_path / "in", 2), tmp_path / "out"
    stage_cohort(folder, out, weights=small_folder, epochs="parquet")
    (folder / "p0.edf").write_text("broken since")
    nights = find_nights(folder)
    stage_cohort(nights, out, weights=small_folder)
    found = {path.name for path in out.rglob("*") if path.is_file()}
    assert {"nights.parquet", "p0.parquet", "p1.parquet"}.isdisjoint(found)
    names = [path.name for path in (out / "hypnograms").iterdir()]
    assert sorted(names) == ["p1.json", "p1.json.provenance.json"]
    with pytest.warns(RuntimeWarning, match=r"1 night of earlier runs in .* \(p1\) is not among"):
        stage_cohort(nights[:1], out, weights=small_folder)
    assert sorted(names) == sorted(path.name for path in (out / "hypnograms").iterdir())


@FAILED_NIGHTS
def test_processes_give_the_same_as_one(whole, recordings, small_folder, tmp_path):
    stage_cohort(recordings, tmp_path / "out", weights=small_folder, n_jobs=2)
    assert read_all(tmp_path / "out") == read_all(whole.folder)


@pytest.mark.parametrize("n_jobs", [1, 2])
@FAILED_NIGHTS
def test_processes_that_only_read_give_the_same(
    n_jobs, whole, recordings, small_folder, tmp_path, monkeypatch
):
    # As with a GPU.
    monkeypatch.setattr("mne_wav2sleep.cohorts.staging._is_shared", lambda *_: True)
    out = tmp_path / "out"
    table = stage_cohort(recordings, out, weights=small_folder, n_jobs=n_jobs).table
    pd.testing.assert_frame_equal(table, whole.table, rtol=0, atol=2e-4)
    for name, hyp in load_cohort(out).hypnograms.items():
        assert_allclose(hyp.proba, whole.hypnograms[name].proba, rtol=0, atol=1e-5)


def test_a_gpu_is_shared_by_processes_of_one_machine(monkeypatch):
    monkeypatch.setattr("mne_wav2sleep.cohorts.staging.choose_device", torch.device)
    assert _is_shared("cuda", 2)
    assert not _is_shared("cpu", 2)
    assert not _is_shared("cuda", 1)
    with joblib.parallel_config(backend="threading"):
        assert not _is_shared("cuda", 2)


FORK = """
import sys
import joblib
from mne_wav2sleep import SleepStagerW2S
from mne_wav2sleep.cohorts import stage_cohort
recordings, out, weights = sys.argv[1:]
SleepStagerW2S(recordings + "/p1.edf", weights, verbose="error").predict()  # starts threads
with joblib.parallel_config(backend="multiprocessing", n_jobs=2):
    stage_cohort(recordings, out, weights=weights, verbose="error")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_pool_that_is_forked_after_staging_does_not_hang(
    whole, recordings, small_folder, tmp_path
):
    # In a process of its own, as those of pytest-xdist have threads that may hold locks.
    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(FORK)
    command = [sys.executable, script, recordings, out, small_folder]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    subprocess.run(command, check=True, timeout=120, env=environment)
    assert read_all(out) == read_all(whole.folder)


KILLED = """
import os, signal, sys, threading, time, joblib
from distributed import Client, LocalCluster
from mne_wav2sleep.cohorts import stage_cohort
if __name__ == "__main__":
    recordings, out, weights = sys.argv[1:]
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        victim, other = client.run(os.getpid).values()

        def kill():
            while not os.path.isdir(out + "/rows") or not os.listdir(out + "/rows"):
                time.sleep(0.01)
            os.kill(victim, signal.SIGKILL)
            print("killed", flush=True)

        threading.Thread(target=kill, daemon=True).start()
        with joblib.parallel_config(backend="dask"):
            stage_cohort(recordings, out, weights=weights, verbose="error")
        print(victim in client.run(os.getpid).values())
"""


def test_a_dask_cluster_that_loses_a_worker_gives_the_same(
    whole, recordings, small_folder, tmp_path
):
    pytest.importorskip("distributed")
    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(KILLED)
    command = [sys.executable, script, recordings, out, small_folder]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.stdout.split() == ["killed", "False"], ended.stderr
    assert read_all(out) == read_all(whole.folder)
    log = (out / "log.txt").read_text()
    assert [log.count(f" {name}: staged") for name in ("p0", "p1", "p2")] == [1, 1, 1]


RUN = """
import sys
from mne_wav2sleep.cohorts import stage_cohort
if __name__ == "__main__":
    stage_cohort(sys.argv[1], sys.argv[2], weights=sys.argv[3], n_jobs=2)
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
@FAILED_NIGHTS
def test_a_run_that_is_stopped_keeps_what_is_done_and_leaves_no_process(
    how, whole, recordings, small_folder, tmp_path
):
    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(RUN)
    command = [sys.executable, script, recordings, out, small_folder]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE) as run:
        while not any((out / "rows").glob("*.json")):
            assert run.poll() is None, run.stderr.read()
            time.sleep(0.01)
        number = getattr(signal, how)
        (os.killpg if how == "SIGINT" else os.kill)(run.pid, number)
        run.stderr.read()  # ends when all processes that have it have ended
        assert run.wait(60) == -number
    done = find_times(out)
    stage_cohort(recordings, out, weights=small_folder)
    assert read_all(out) == read_all(whole.folder)
    kept = {name for name, written in find_times(out).items() if done.get(name) == written}
    assert any(name.count(".") == 1 for name in kept)


def test_two_runs_in_a_folder_at_once_are_refused(whole, recordings, small_folder):
    started, end = threading.Event(), threading.Event()

    def hold():
        from mne_wav2sleep.cohorts.locking import lock_file

        with lock_file(whole.folder / ".lock", "Test."):
            started.set()
            end.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert started.wait(30)
        with pytest.raises(RuntimeError, match="Another run stages a cohort in"):
            stage_cohort(recordings, whole.folder, weights=small_folder)
    finally:
        end.set()
        thread.join()


def test_a_raw_and_texts_of_strangers(small_folder, tmp_path):
    raw = make_raw(["=ECG", "Thor"], seconds=SECONDS, start=START)
    night = Night(raw, None, "=1+1", "NA", {"ECG": "=ECG"})
    cohort = stage_cohort([night], tmp_path / "out", weights=load_weights(small_folder))
    [(name, row)] = cohort.table.iterrows()
    assert name == "1_1"
    assert list(row[["subject", "dataset", "channel_ECG"]]) == ["=1+1", "NA", "=ECG"]
    assert row["start"] == "2024-03-01 22:30:00"
    assert cohort.hypnograms[name].start == START
    text = (tmp_path / "out" / "nights.csv").read_text()
    assert ",'=1+1,NA," in text


def test_folders_of_others_are_left_alone(small_folder, tmp_path, recordings):
    with pytest.raises(FileExistsError, match=r"has other files in it, such as .* Choose a new"):
        stage_cohort(recordings, recordings, weights=small_folder)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OSError, match=r"cannot be the folder of a cohort .* Choose another"):
        stage_cohort(recordings, file, weights=small_folder)
    with pytest.raises(FileNotFoundError, match=r"There is no nights\.csv in .* Give the folder"):
        load_cohort(tmp_path)


def test_tables_of_others_are_refused(tmp_path, whole):
    path = tmp_path / "nights.csv"
    path.write_text("recording,subject\na.edf,a\n")
    with pytest.raises(ValueError, match="lacks the column 'night', so that it is not the table"):
        load_cohort(tmp_path)
    text = (whole.folder / "nights.csv").read_text()
    path.write_text(text.replace("\np1,", "\n../../p1,"))
    with pytest.raises(ValueError, match=r"has the night '\.\./\.\./p1', which cannot be"):
        load_cohort(tmp_path)
    assert repr(whole) == f"<Cohort | 3 staged, 1 failed, {whole.folder}>"


@pytest.mark.parametrize(
    ("nights", "error", "message"),
    [
        ([], ValueError, "There are no nights to stage"),
        ("absent", FileNotFoundError, "There is no folder or table of nights at absent"),
        (3, TypeError, "nights must be a list of nights"),
        (Night("a.edf", None, "a"), TypeError, "Put it in a list"),
    ],
)
def test_what_is_not_a_cohort_is_refused(nights, error, message, tmp_path, small_folder):
    with pytest.raises(error, match=message):
        stage_cohort(nights, tmp_path / "out", weights=small_folder)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda _: find_nights(3), "source"),
        (lambda _: load_cohort(None), "out_dir"),
        (lambda folder: stage_cohort(folder, None), "out_dir"),
    ],
)
def test_what_is_not_a_path_is_refused(call, name, recordings):
    with pytest.raises(TypeError, match=f"{name} must be an instance of path-like"):
        call(recordings)


def test_a_night_that_was_not_staged_is_named(whole):
    for call in (whole.provenance, whole.hypnograms.__getitem__):
        with pytest.raises(KeyError, match="No night 'broken' was staged"):
            call("broken")


def test_a_name_of_weights_comes_before_a_folder_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "mini").mkdir()
    monkeypatch.chdir(tmp_path)
    night = Night(make_raw(["Thor"], seconds=SECONDS), None, "p0")
    cohort = stage_cohort([night], "out", weights="mini", verbose="error")
    assert cohort.table.loc["p0", "status"] == "staged"


def test_a_single_recording_is_a_cohort_of_one(recordings, tmp_path, monkeypatch):
    (tmp_path / "p0.xml").touch()
    (tmp_path / "p0.edf").symlink_to(recordings / "p0.edf")
    monkeypatch.chdir(tmp_path)
    [night] = find_nights("p0.edf")
    assert (night.subject, night.dataset) == ("p0", tmp_path.name)
    assert Path(night.hypnogram).name == "p0.xml"


def test_warnings_of_the_weights_are_shown_once(whole, recordings, small_folder, tmp_path):
    assert not whole.table["warnings"].str.contains("The weights do not say").any()
    with pytest.warns(RuntimeWarning, match="The weights do not say how their errors") as caught:
        stage_cohort(find_nights(recordings)[1:], tmp_path / "out", weights=small_folder)
    assert len([one for one in caught if "weights" in str(one.message)]) == 1


def test_a_folder_without_recordings_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match="There are no recordings in"):
        find_nights(tmp_path)


def test_a_preview_shows_channels_and_problems(recordings, small_folder):
    nights = find_nights(recordings, ch_names={"ECG": None})
    nights[2] = replace(nights[2], lights=("60 s", "240 s"))
    nights[3] = replace(nights[3], lights=("900 s", None))
    preview = preview_nights(nights, small_folder)
    assert list(preview.index) == ["broken", "p0", "p1", "p2"]
    assert preview.loc["p1", "THX"] == "Thor"
    assert pd.isna(preview.loc["p1", "ECG"])
    assert preview.loc["p1", "hours"] == 0.08
    assert preview.loc["p1", "lights_off"].endswith("00:01:00")
    assert preview["lights_off"].notna().sum() == preview["lights_on"].notna().sum() == 1
    assert "cannot be read as a recording" in preview.loc["broken", "problem"]
    assert "Lights off, " in preview.loc["p2", "problem"]
    assert preview["problem"].notna().sum() == 2


def test_a_preview_has_the_warnings_of_opening(small_folder, tmp_path):
    cut = write_edf(tmp_path / "cut.edf", {"ECG": 128.0, "Thor": 16.0}, 300, notes=())
    cut.write_bytes(cut.read_bytes()[:-50_000])
    write_edf(tmp_path / "clock.edf", {"ECG": 128.0}, 300, notes=())
    content = bytearray((tmp_path / "clock.edf").read_bytes())
    content[168:184] = b"00.00.0000.00.00"
    (tmp_path / "clock.edf").write_bytes(content)
    raw = make_raw(["ECG", "Thor"], seconds=SECONDS, start=START)
    nights = [
        Night(cut, tmp_path / "lost.xml", "cut"),
        Night(tmp_path / "clock.edf", None, "clock"),
        Night(raw, None, "mapped", ch_names={"ABD": "ECG"}),
        Night(raw.copy(), None, "lights", lights=("22:00", None)),
    ]
    warned = preview_nights(nights, small_folder)["warnings"]
    for name, text in {
        "cut": "the file was cut off",
        "clock": "The recording has no clock: lights can only",
        "mapped": "'ECG' is labeled as ECG",
        "lights": "is 30 min before the recording begins",
    }.items():
        assert text in warned[name]
    assert f"There is no hypnogram at {tmp_path / 'lost.xml'}. Check" in warned["cut"]


@pytest.mark.parametrize(("ch_names", "error"), [("ECG", TypeError), ({"EKG": "ECG"}, ValueError)])
def test_channels_of_nights_are_a_mapping_of_modalities(ch_names, error, recordings):
    with pytest.raises(error, match="ch_names"):
        find_nights(recordings, ch_names=ch_names)


def test_samples_of_a_raw_that_is_annotated_are_read_from_it(small_folder, tmp_path):
    raws = [make_raw(["Thor"], seconds=SECONDS, seed=seed) for seed in range(2)]
    raws[1].set_annotations(mne.Annotations(0, SECONDS / 2, "BAD"))
    nights = [Night(raw, None, f"p{i}") for i, raw in enumerate(raws)]
    table = stage_cohort(nights, tmp_path / "out", weights=small_folder).table
    assert table["measured_THX"].to_dict() == {"p0": 1.0, "p1": 0.5}
    assert table["unscored"].to_dict() == {"p0": 0.0, "p1": 0.5}


def test_tables_of_epochs_and_of_sleep_periods(tmp_path, small_folder):
    pytest.importorskip("pyarrow")
    raw = make_raw(["Thor"], sfreq=8.0, seconds=17 * 3600, start=START)
    night = Night(raw, None, "=p", lights=("23:00", "07:30"))
    out = tmp_path / "out"
    cohort = stage_cohort([night], out, weights=small_folder, epochs="parquet")
    [name] = cohort.table.index
    epochs = pd.read_parquet(out / "epochs" / f"{name}.parquet")
    assert len(epochs) == cohort.table.loc[name, "epochs"] == 17 * 120
    assert epochs["in_bed"].sum() == 8.5 * 120
    assert list(epochs["stage"]) == list(cohort.hypnograms[name].hypno)
    assert pd.read_parquet(out / "nights.parquet")["subject"].tolist() == ["=p"]
    row = cohort.table.loc[name]
    assert (row["TIB"], row["time_in_bed"]) == (8.5 * 60, "given")
    stager = SleepStagerW2S(raw, small_folder, verbose="error")
    expected = stager.sleep_periods()
    periods = pd.read_csv(out / "periods.csv")
    assert len(periods) == len(expected) > 0
    assert periods["start"].tolist() == [str(one) for one in expected["start"]]
    assert periods["main"].tolist() == expected["main"].tolist()
    assert_allclose(periods["TST"], expected["TST"])
    assert set(periods["subject"]) == {"'=p"}


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not Unicode")
@FAILED_NIGHTS
def test_names_that_are_not_unicode(tmp_path, small_folder):
    folder = tmp_path / "in"
    folder.mkdir()
    write_edf(folder / os.fsdecode(b"n\xff.edf"), {"Thor": 16.0}, SECONDS, notes=())
    (folder / os.fsdecode(b"b\xff.edf")).touch()
    nights = find_nights(folder)
    assert list(preview_nights(nights, small_folder)["subject"]) == ["b\\udcff", "n\\udcff"]
    cohort = stage_cohort(nights, tmp_path / "out", weights=small_folder)
    assert cohort.table["status"].to_dict() == {"b": "failed", "n": "staged"}
    assert cohort.table.loc["n", "recording"].endswith("n\\udcff.edf")
    assert (tmp_path / "out" / "report.html").stat().st_size
