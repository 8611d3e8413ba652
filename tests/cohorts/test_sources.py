"""Prepared nights in a folder that is kept: what is found again, and what is prepared anew."""

import os
import shutil
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
from builders import START, make_hypnogram, make_raw, toy_recordings, write_edf
from scipy.io import savemat

from mne_wav2sleep import write_hypnogram
from mne_wav2sleep.cohorts import Night, open_night, prepare_nights
from mne_wav2sleep.cohorts.sources import hash_file, hash_sources, list_files
from mne_wav2sleep.signals import Validity

pytestmark = toy_recordings


@pytest.fixture
def recording(tmp_path):
    return write_edf(tmp_path / "p01.edf", {"ECG": 64.0, "Thor": 16.0}, 600)


def prepare(path, folder, hyp=None, **options):
    """Prepare one night, and return it."""
    hyp = make_hypnogram() if hyp is None else hyp
    return prepare_nights([Night(path, hyp, "a")], folder, **options)[0]


def make_old(*paths):
    """Let files be old enough for their times to show the next change."""
    for path in paths:
        os.utime(path, (1e9, 1e9))
    time.sleep(2.1)  # the time of the change of a file cannot be set


def change_in_place(path, at):
    """Change a byte of a file, but neither its size nor the time of its contents."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x55]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps no time of a change (ctime)")
@pytest.mark.parametrize("is_old", [True, False])
def test_a_change_that_keeps_size_and_time_is_seen(is_old, recording, tmp_path):
    if is_old:
        make_old(recording)
    before = prepare(recording, tmp_path / "kept")
    assert bool(list((tmp_path / "kept").glob("sources/*.json"))) == is_old
    change_in_place(recording, recording.stat().st_size // 2)
    after = prepare(recording, tmp_path / "kept")
    assert after.path != before.path
    assert after.contents[0] != before.contents[0]


def test_a_file_that_did_not_change_is_not_read_again(recording, tmp_path):
    make_old(recording)
    night = prepare(recording, tmp_path / "kept")
    [note] = (tmp_path / "kept" / "sources").iterdir()
    kept = note.read_text("utf-8")
    note.write_text(kept.replace(night.contents[0], "0" * 16), "utf-8")  # which shows that it is
    assert hash_file(recording, tmp_path / "kept", is_recording=True) == "0" * 16
    files = kept.partition('"files": ')[2].partition(', "hash"')[0]
    forged = [
        f'{{"files": {f}, "hash": "{digest}"}}'
        for f, digest in (
            (files, "not a hash"),
            (files, "A" * 16),
            ("[]", "0" * 16),
            ('[["/etc/hostname"]]', "0" * 16),  # of another file
            (files.replace("]]", '], ["\\u0000"]]'), "0" * 16),
            (files.replace("]]", '], ["\\ud800", {}]]'), "0" * 16),
            ('[{"0": 1}]', "0" * 16),
        )
    ]
    damaged = ("", "[]", '{"files": 3, "hash": "0"}', kept[:30], "[" * 100_000)
    for text in (*damaged, *forged):
        note.write_text(text, "utf-8")
        digest = hash_file(recording, tmp_path / "kept", is_recording=True)
        assert digest == night.contents[0]
        assert note.read_text("utf-8") == kept
    with note.open("r+b") as file:
        file.truncate(2**40)
    assert hash_file(recording, tmp_path / "kept", is_recording=True) == night.contents[0]
    if hasattr(os, "mkfifo"):  # reading or writing a pipe would wait
        note.unlink()
        os.mkfifo(note)
        assert hash_file(recording, tmp_path / "kept", is_recording=True) == night.contents[0]


def test_copied_touched_and_moved_recordings_are_not_prepared_again(recording, tmp_path):
    night = prepare(recording, tmp_path / "kept")
    before = night.path.stat().st_mtime_ns
    os.utime(recording, (2e9, 2e9))
    assert prepare(recording, tmp_path / "kept") == night
    (tmp_path / "other").mkdir()
    copy = shutil.copy(recording, tmp_path / "other" / "renamed.edf")
    again = prepare(copy, tmp_path / "kept")
    assert again.path == night.path
    assert again.name == "cohort/a (renamed.edf)"
    (tmp_path / "kept").rename(tmp_path / "moved")
    recording.unlink()
    moved = prepare(copy, tmp_path / "moved")
    assert moved.path.name == night.path.name
    assert moved.path.stat().st_mtime_ns == before


def test_a_changed_hypnogram_is_seen(recording, tmp_path):
    path = tmp_path / "stages.csv"
    write_hypnogram(make_hypnogram(20), path)
    one = prepare(recording, tmp_path / "kept", path)
    before = path.stat()
    path.write_text(path.read_text().replace("N2", "N3"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    two = prepare(recording, tmp_path / "kept", path)
    assert (one.read_stages(5) != two.read_stages(5)).any()
    assert one.contents == two.contents
    assert one.scoring != two.scoring


def write_brainvision(folder):
    data = (1e8 * make_raw(("ECG", "Thor"), seconds=600).get_data()).astype("<i2")
    (folder / "n.eeg").write_bytes(data.T.tobytes())
    (folder / "n.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nDataFile=n.eeg\n"
        "[Marker Infos]\nMk1=New Segment,,1,1,0,20240301223000000000\n"
    )
    (folder / "n.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=n.eeg\n"
        "MarkerFile=n.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=2\n"
        "SamplingInterval=15625\n[Binary Infos]\nBinaryFormat=INT_16\n[Channel Infos]\n"
        "Ch1=ECG,,0.01,µV\nCh2=Thor,,0.01,µV\n",
        encoding="utf-8",
    )
    return folder / "n.vhdr", ["n.eeg", "n.vmrk"]


def write_eeglab(folder):
    raw = make_raw(("ECG",), seconds=600)
    (folder / "n.fdt").write_bytes((1e6 * raw.get_data()).astype("<f4").T.tobytes())
    eeg = {"srate": 64.0, "nbchan": 1, "pnts": raw.n_times, "trials": 1, "data": "n.fdt"}
    labels = np.array([("ECG",)], dtype=[("labels", object)])
    rest = {"chanlocs": labels, "event": [], "epoch": [], "icawinv": [], "xmin": 0.0}
    savemat(folder / "n.set", {"EEG": {**eeg, **rest}}, appendmat=False)
    return folder / "n.set", ["n.fdt"]


@pytest.mark.parametrize("write", [write_brainvision, write_eeglab])
def test_files_beside_the_header_count(write, tmp_path):
    header, others = write(tmp_path)
    assert [path.name for path in list_files(header)] == [header.name, *others]
    make_old(*(tmp_path / name for name in (header.name, *others)))
    seen = {prepare(header, tmp_path / "kept").path}
    assert list((tmp_path / "kept" / "sources").iterdir())
    for name in others:
        os.utime(tmp_path / name, (2e9, 2e9))
        assert prepare(header, tmp_path / "kept").path in seen
        path = tmp_path / name
        path.write_bytes(
            path.read_bytes().replace(b"2230", b"2231")
            if name.endswith("k")
            else bytes(1000) + path.read_bytes()[1000:]
        )
        seen.add(prepare(header, tmp_path / "kept").path)
    assert len(seen) == 1 + len(others)


def test_damage_is_found_and_the_night_is_prepared_again(recording, tmp_path):
    night = prepare(recording, tmp_path / "kept")
    whole = night.path.read_bytes()
    for at in (whole.index(b'"cohort\\"') + 3, len(whole) // 2, len(whole) - 1):
        change_in_place(night.path, at)
        with pytest.raises(ValueError, match="is damaged"):
            open_night(night.path)
        with pytest.warns(RuntimeWarning, match="is damaged. The night is prepared again"):
            assert prepare(recording, tmp_path / "kept") == night
        assert night.path.read_bytes() == whole


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_prepared_nights_are_as_readable_as_the_umask_says(umask, mode, recording, tmp_path):
    old = os.umask(umask)
    try:
        night = prepare(recording, tmp_path / "kept")
    finally:
        os.umask(old)
    assert stat.S_IMODE(night.path.stat().st_mode) == mode


SCRIPT = """
import sys
from pathlib import Path
import yasa
from mne_wav2sleep.cohorts import Night, prepare_nights
hyp = yasa.Hypnogram(["N2", "REM"] * 10, n_stages=5)
print("ready", flush=True)
sys.stdin.readline()
nights = [Night(path, hyp, path) for path in sys.argv[2:]]
prepare_nights(nights, sys.argv[1], verbose="error")
"""


@pytest.mark.slow
def test_two_processes_can_prepare_the_same_nights_at_once(tmp_path):
    rates = {"ECG": 64.0, "Thor": 16.0}
    paths = [write_edf(tmp_path / f"{i}.edf", rates, 600 + 30 * i) for i in range(2)]
    paths[1].write_bytes(paths[1].read_bytes().replace(b"\1", b"\2"))  # another recording
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    command += [str(tmp_path / "kept"), *map(str, paths)]
    both = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout.readline().strip() == b"ready"
    for process in both:
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in both:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()
    found = sorted((tmp_path / "kept").glob("*"))
    assert [path.suffix for path in found if path.is_file()] == [".safetensors"] * 2
    for path in found:
        if path.is_file():
            open_night(path)


def test_leftovers_of_killed_runs_are_removed_once_they_are_old(recording, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    old, new = kept / ".unfinished-old", kept / ".unfinished-new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "night.safetensors").write_bytes(b"half")
    mine = kept / "thesis.unfinished"
    mine.write_bytes(b"half")
    for path in (old, mine):
        os.utime(path, (1e9, 1e9))
    prepare(recording, kept)
    assert new.exists()
    assert mine.exists()
    assert not old.exists()


def test_a_folder_that_may_only_be_read_is_used(recording, tmp_path):
    make_old(recording)
    night = prepare(recording, tmp_path / "kept")
    shutil.rmtree(tmp_path / "kept" / "sources")
    (tmp_path / "kept" / "sources").write_text("in the way, as a folder of another user is")
    assert prepare(recording, tmp_path / "kept") == night


def test_warnings_of_opening_are_shown_once(tmp_path):
    path = Path(tmp_path / "n_raw.fif")
    raw = make_raw(("ECG", "Thor"), seconds=600, start=START, types="eeg")
    raw._data[:, : raw.n_times // 3] = np.nan
    raw.save(path, verbose="error")
    with pytest.warns(RuntimeWarning, match="not measured") as caught:
        prepare(path, tmp_path / "kept")
    assert len({str(one.message) for one in caught}) == len(caught)


def test_a_raw_is_another_one_if_its_first_sample_or_the_types_of_its_channels_differ(tmp_path):
    raw = make_raw(("ECG",), seconds=60, start=START)
    later = mne.io.RawArray(raw.get_data(), raw.info, first_samp=100, verbose="error")
    typed = raw.copy().set_channel_types({"ECG": "ecg"}, on_unit_change="ignore")
    nights = [Night(one, None, "a") for one in (raw, later, typed)]
    keys = {hash_sources(night, tmp_path, "float16", Validity())[0] for night in nights}
    assert len(keys) == 3


def test_a_hypnogram_in_the_home_folder_is_known_by_its_contents(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    night = Night(make_raw(("ECG",), seconds=60, start=START), "~/stages.csv", "a")
    keys = set()
    for stage in ("W", "N2"):
        (tmp_path / "stages.csv").write_text(f"stage\n{stage}\n{stage}\n")
        keys.add(hash_sources(night, tmp_path, "float16", Validity())[0])
    assert len(keys) == 2


def test_lights_are_not_a_part_of_what_is_prepared(recording, tmp_path):
    night = Night(recording, None, "a")
    others = [replace(night, lights=lights) for lights in (None, ("22:45", None))]
    options = tmp_path, "float16", Validity()
    assert {hash_sources(one, *options) for one in (night, *others)} == {
        hash_sources(night, *options)
    }
