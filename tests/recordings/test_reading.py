from functools import partial

import builders
import mne
import numpy as np
import pytest
from builders import make_wave, write_discontinuous

from mne_wav2sleep.recordings.channels import map_channels
from mne_wav2sleep.recordings.opening import open_recording, set_rates
from mne_wav2sleep.recordings.reading import read_signals
from mne_wav2sleep.signals import Reason, Validity

make_raw = partial(builders.make_raw, ("ECG", "Thor"), seconds=600.0, types="eeg")


def read(source, **options):
    recording = open_recording(source)
    channels = set_rates(recording, map_channels(recording.raw))
    return read_signals(recording, channels, Validity(), **options)


def find_epochs(signal, reason):
    return np.flatnonzero(signal.epochs == reason).tolist()


def test_gaps_of_a_file_are_masked(tmp_path):
    path = write_discontinuous(tmp_path / "gap.edf", np.r_[0:200, 300:700])
    assert open_recording(path).n_epochs == 23
    with pytest.warns(RuntimeWarning, match=r"\(1\.67 min not recorded\): 3 of 23 epochs"):
        signals = read(path)
    wave = make_wave(32.0, 600, 1)
    thorax = signals["THX"].data
    np.testing.assert_allclose(thorax[: 200 * 32], wave[: 200 * 32], rtol=0, atol=1e-7)
    np.testing.assert_allclose(thorax[300 * 32 :], wave[200 * 32 :], rtol=0, atol=1e-7)
    # Two thirds of epoch 6, from 180 to 210 s, were recorded.
    assert np.flatnonzero(signals["THX"].epochs != Reason.MEASURED).tolist() == [7, 8, 9]
    assert find_epochs(signals["THX"], Reason.NOT_RECORDED) == [7, 8, 9]
    with pytest.warns(RuntimeWarning, match="hours 0.1 to 0.1"):
        part = read(path, start=270.0, stop=390.0)
    np.testing.assert_allclose(part["THX"].data[30 * 32 :], thorax[300 * 32 : 390 * 32 + 1])


def test_many_short_gaps_do_not_shift_channels_of_different_rates(tmp_path):
    onsets = np.arange(300) * 1.16  # at 8 Hz, 0.16 s is not a whole number of samples
    path = write_discontinuous(tmp_path / "gaps.edf", onsets, rates={"ECG": 64.0, "Thor": 8.0})
    with pytest.warns(RuntimeWarning, match="not recorded"):
        signals = read(path)
    for name, sfreq in (("ECG", 64.0), ("THX", 8.0)):
        assert abs(signals[name].data.size / sfreq - (onsets[-1] + 1)) < 1 / sfreq
        wave = make_wave(sfreq, 300, name == "THX")
        last = signals[name].data[-round(sfreq) :]
        np.testing.assert_allclose(last, wave[-round(sfreq) :], rtol=0, atol=1e-7)


def test_annotations_after_a_gap_are_kept(tmp_path):
    """MNE ignores the gap, and drops annotations after the end of the shortened recording."""
    path = write_discontinuous(
        tmp_path / "notes.edf", np.r_[0:200, 300:700], notes="+630\x1560\x14BAD\x14\0"
    )
    with pytest.warns(RuntimeWarning):
        signals = read(path)
    assert find_epochs(signals["THX"], Reason.BAD) == [21, 22]


def test_bad_annotations_mask_their_spans_and_channels():
    raw = make_raw()
    raw.set_annotations(
        mne.Annotations([60, 200, 400], [45, 60, 30], ["BAD_ACQ_SKIP", "bad cable", "Bad one"])
    )
    raw.annotations.append(500, 60, "BAD", ch_names=[("ECG",)])
    with pytest.warns(RuntimeWarning, match="bad"):
        signals = read(raw)
    common = [2, 7, 8, 13]  # exactly half of epoch 3 is bad
    assert find_epochs(signals["THX"], Reason.BAD) == common
    assert find_epochs(signals["ECG"], Reason.BAD) == [*common, 17, 18]
    later = raw.copy().crop(60)  # does not move annotations
    with pytest.warns(RuntimeWarning, match="bad"):
        assert find_epochs(read(later)["THX"], Reason.BAD) == [0, 5, 6, 11]


def test_a_channel_that_is_flat_but_for_rounding_is_left_out():
    raw = make_raw()
    raw._data[0] = 0.1 + 1e-17 * np.random.default_rng(0).standard_normal(raw.n_times)
    raw._data[0, ::2] += 2e-17
    raw._data[0, 5] = np.nextafter(0.1, 1)
    with pytest.warns(RuntimeWarning, match=r"ECG .* was not measured .* it is left out"):
        signals = read(raw)
    assert (signals["ECG"].epochs == Reason.FLAT).all()
    assert (signals["THX"].epochs == Reason.MEASURED).all()


@pytest.mark.parametrize(("count", "value"), [(1, 32767.0), (3, 1e30), (1, -1e200)])
def test_extreme_samples_warn_and_are_kept(count, value):
    raw = make_raw()
    raw._data[0, 5000 : 5000 + count] = value
    with pytest.warns(RuntimeWarning, match=rf"ECG .* has {count} extreme sample.*nearly flat"):
        signals = read(raw)
    assert (signals["ECG"].data == raw._data[0]).all()


def test_a_movement_is_not_extreme():
    raw = make_raw()
    raw._data[0, 5000:5200] *= 20  # 3 s
    read(raw)
