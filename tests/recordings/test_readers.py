import warnings
from dataclasses import replace
from functools import partial

import builders
import mne
import numpy as np
import pytest
from builders import RATES, make_wave, write_discontinuous, write_edf

from mne_wav2sleep.formats.edf import open_edf
from mne_wav2sleep.recordings import readers
from mne_wav2sleep.recordings.opening import open_recording
from mne_wav2sleep.recordings.readers import EdfReader, RawReader, make_reader

make_raw = partial(builders.make_raw, ("ECG", "Thor"), seconds=600.0, types="eeg")


def write_brainvision(folder):
    """Write a BrainVision recording, whose header and samples are separate files."""
    data = np.array([make_wave(64.0, 600, seed) for seed in range(2)])
    (1e6 * data.T).astype("<f4").tofile(folder / "night.eeg")
    (folder / "night.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        "DataFile=night.eeg\n[Marker Infos]\n"
    )
    (folder / "night.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        "DataFile=night.eeg\nMarkerFile=night.vmrk\nDataFormat=BINARY\n"
        "DataOrientation=MULTIPLEXED\nNumberOfChannels=2\nSamplingInterval=15625\n"
        "[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n"
        "[Channel Infos]\nCh1=ECG,,1,µV\nCh2=Thor,,1,µV\n",
        encoding="utf-8",
    )
    return folder / "night.vhdr", data


@pytest.mark.parametrize("is_raw", [False, True])
def test_a_format_with_several_files(is_raw, tmp_path):
    path, data = write_brainvision(tmp_path)
    reader = make_reader(mne.io.read_raw_brainvision(path, verbose="error") if is_raw else path)
    assert type(reader) is RawReader
    assert reader.rates == {"ECG": 64, "Thor": 64}
    found, recorded = reader.read(["Thor", "ECG"])
    np.testing.assert_allclose(found["ECG"], data[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found["Thor"], data[1], rtol=0, atol=1e-9)
    assert recorded.all()


@pytest.mark.parametrize("suffix", [".edf", ".bdf", ".EDF"])
def test_channels_have_their_own_rates_and_mne_opens_the_file_once(suffix, tmp_path, monkeypatch):
    """MNE reads all annotations of a file every time that it opens it."""
    path = write_edf(tmp_path / f"night{suffix.lower()}")
    path = path.rename(tmp_path / f"night{suffix}")
    opened, read_raw = [], mne.io.read_raw
    monkeypatch.setattr(mne.io, "read_raw", lambda *a, **k: opened.append(a) or read_raw(*a, **k))
    reader = make_reader(path)
    assert type(reader) is EdfReader
    assert reader.rates == {"ECG": 256, "Thor": 32}
    for seed, name in enumerate(("ECG", "Thor")):
        wave = make_wave(reader.rates[name], 600, seed)
        np.testing.assert_allclose(reader.read([name])[0][name], wave, rtol=0, atol=1e-7)
    assert len(opened) == 1


def test_gaps_are_nan(tmp_path):
    reader = make_reader(write_discontinuous(tmp_path / "gap.edf", np.r_[0:200, 300:700]))
    assert reader.gaps == [(200.0, 100.0)]
    assert reader.n_samples == 700 * 256
    data, recorded = reader.read(["Thor"], 190.0, 310.0)
    wave = make_wave(32.0, 600, 1)[190 * 32 : 210 * 32 + 1]
    assert data["Thor"].size == 120 * 32 + 1
    assert np.flatnonzero(~recorded).tolist() == list(range(10 * 32, 110 * 32))
    assert np.isnan(data["Thor"][~recorded]).all()
    np.testing.assert_allclose(data["Thor"][recorded], wave, rtol=0, atol=1e-7)


def test_a_raw_of_a_file_with_gaps_warns(tmp_path):
    path = write_discontinuous(tmp_path / "gap.edf", np.r_[0:200, 300:700])
    with pytest.warns(RuntimeWarning, match="stages after a gap are too early"):
        open_recording(mne.io.read_raw(path, verbose="error"))


@pytest.mark.parametrize(("jump", "message"), [(-50, "50 s earlier"), (2_600_000, "s later")])
def test_a_clock_that_was_changed_raises(jump, message, tmp_path):
    path = write_discontinuous(tmp_path / "clock.edf", np.r_[0:200, 200 + jump : 600 + jump])
    with pytest.raises(ValueError, match=f"record 201 begins .*{message}.*its clock was changed"):
        open_recording(path)


def test_concatenated_recordings_warn():
    joined = mne.concatenate_raws([make_raw(), make_raw()], verbose="error")
    message = r"times are wrong after 1 boundary, the first after 10\.0 min"
    with pytest.warns(RuntimeWarning, match=message):
        open_recording(joined)
    with pytest.warns(RuntimeWarning, match=r"wrong .*, the first after 5\.0 min"):
        open_recording(joined.copy().crop(300))
    open_recording(joined.crop(660))


@pytest.mark.parametrize("header", [{"labels": ("ECG",), "counts": (256,)}, ValueError("no")])
def test_a_header_that_disagrees_with_mne_warns(header, tmp_path, monkeypatch):
    path = write_edf(tmp_path / "night.edf", rates={**RATES, "EEG": 512.0})

    def open_wrongly(path):
        if isinstance(header, Exception):
            raise header
        return replace(open_edf(path), **header)

    monkeypatch.setattr(readers, "open_edf", open_wrongly)
    with pytest.warns(RuntimeWarning, match=r"signals, but MNE reads 3 channels.*read at 512 Hz"):
        reader = make_reader(path)
    assert reader.rates == {"ECG": 512, "Thor": 512, "EEG": 512}
    data, _ = reader.read(["ECG", "Thor"])
    assert {name: wave.size for name, wave in data.items()} == {"ECG": 600 * 512, "Thor": 600 * 512}


def test_a_file_that_was_cut_off_warns_once_with_its_length(tmp_path):
    path = write_edf(tmp_path / "night.edf", seconds=7200)
    content = path.read_bytes()
    path.write_bytes(content[: round(len(content) * 0.7)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recording = open_recording(path)
    assert [str(warning.message) for warning in caught] == [
        "The header of night.edf gives a duration of 2:00:00 (h:min:s), but the file contains "
        "1:23:59: the file was cut off. Copy or export it again, or stage only this part."
    ]
    assert recording.n_epochs == 167  # in 5039 s
    path.write_bytes(content[:236] + b"-1      " + content[244:])
    with pytest.warns(RuntimeWarning, match="Number of records"):  # from MNE: was not stopped
        open_recording(path)
