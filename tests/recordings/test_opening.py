import shutil
import warnings
from functools import partial
from os import PathLike

import builders
import edfio
import mne
import numpy as np
import pytest
from builders import write_edf

from mne_wav2sleep.clock import count_epochs
from mne_wav2sleep.recordings.channels import map_channels
from mne_wav2sleep.recordings.opening import open_recording, set_rates

make_raw = partial(builders.make_raw, ("ECG", "Thor"), seconds=600.0, types="eeg")


class _Path(PathLike):
    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


def test_paths_of_several_types(tmp_path, monkeypatch):
    path = write_edf(tmp_path / "night.edf")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for given in ("~/night.edf", _Path(path), str(path)):
        assert open_recording(given).reader.path == path


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("", None, r"is a folder.*Pass the path of a file in it"),
        ("empty_raw.fif", b"", r"is empty \(0 bytes\)"),
        ("text_raw.fif", b"text" * 100, r"cannot be read as a recording \(ValueError: .*[^.]\)\. "),
        ("night.txt", b"text", r"cannot be read as a recording \(.*\)\. Check"),
        ("night.eeg", b"text" * 1000, r"for a BrainVision recording, pass the \.vhdr file"),
    ],
)
def test_other_files_raise_one_sentence(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from MNE
        with pytest.raises(ValueError, match=message):
            open_recording(tmp_path / name)


def test_an_edf_with_only_annotations_raises(tmp_path):
    path = tmp_path / "hyp.edf"
    edfio.Edf([], annotations=[edfio.EdfAnnotation(0, 3600, "Sleep stage W")]).write(path)
    with pytest.raises(ValueError, match=r"hyp\.edf has no signals"):
        open_recording(path)


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("sfreq", [125.3, 34.1333, 99.9, 60 * np.pi])
def test_no_epoch_is_lost_at_odd_rates(sfreq, saved, tmp_path):
    """FIF stores the rate as float32."""
    raw = make_raw(sfreq=sfreq, seconds=3600.0)
    if saved:
        raw.save(tmp_path / "odd_raw.fif", verbose="error")
        raw = tmp_path / "odd_raw.fif"
    assert open_recording(raw).n_epochs == 120


@pytest.mark.parametrize(("samples", "epochs"), [(7679, 1), (7680, 2), (7681, 2), (3839, 0)])
def test_only_complete_epochs_count(samples, epochs):
    assert count_epochs(samples, 128.0) == epochs


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_channels_of_a_file_have_their_recorded_rates(suffix, tmp_path):
    recording = open_recording(write_edf(tmp_path / f"night{suffix}"))
    channels = set_rates(recording, map_channels(recording.raw))
    assert {channel.modality: channel.sfreq for channel in channels} == {"ECG": 256, "THX": 32}


def test_pairs_of_different_rates_raise(tmp_path):
    path = write_edf(tmp_path / "pair.edf", rates={"ECG L": 256.0, "ECG R": 128.0})
    recording = open_recording(path)
    mapping = map_channels(recording.raw, {"ECG": ("ECG L", "ECG R")})
    with pytest.raises(ValueError, match="different rates"):
        set_rates(recording, mapping)


def catch_resampling_warnings(raw):
    recording = open_recording(raw)
    with pytest.warns(RuntimeWarning) as caught:
        set_rates(recording, map_channels(raw))
    return [str(w.message) for w in caught]


def test_a_raw_that_resampled_its_channels_warns(tmp_path):
    paths = [write_edf(tmp_path / f"{name}.edf") for name in ("first", "second")]
    raws = [mne.io.read_raw(path, verbose="error") for path in paths]
    message = catch_resampling_warnings(raws[0].copy().load_data())[0]
    assert "[32.0, 256.0] Hz" in message
    assert "new names, dates and bad channels of the Raw do not carry over" in message
    both = mne.concatenate_raws(raws, verbose="error")
    both.annotations.delete(range(len(both.annotations)))
    first, second = catch_resampling_warnings(both)
    assert "first.edf" in first
    assert "second.edf" in second


def test_a_raw_that_did_not_resample_its_channels_does_not_warn(tmp_path):
    path = write_edf(tmp_path / "night.edf")
    raw = mne.io.read_raw(path, verbose="error")
    one_rate = mne.io.read_raw_edf(path, include=["Thor"], verbose="error")
    renamed = raw.copy().rename_channels({"Thor": "Chest"})
    downsampled = one_rate.copy().load_data().resample(16, verbose="error")
    for source in (one_rate, renamed, downsampled):
        set_rates(open_recording(source), map_channels(source))
    shutil.copy(__file__, path)  # no longer an EDF
    set_rates(open_recording(raw), map_channels(raw))


def test_a_name_that_is_not_by_the_conventions_of_mne_is_not_warned_of(tmp_path):
    path = tmp_path / "night.fif"
    make_raw().save(path, verbose="error")
    assert open_recording(path).duration == pytest.approx(600)
