"""Channels are prepared while the network works, and take memory for no longer than needed."""

import weakref

import pytest
import torch
from builders import write_edf

from mne_wav2sleep import Validity, load_weights
from mne_wav2sleep.network import Engine
from mne_wav2sleep.recordings import open_recording
from mne_wav2sleep.recordings.channels import map_channels
from mne_wav2sleep.recordings.opening import set_rates
from mne_wav2sleep.staging.inputs import Beats, Input, prepare_inputs


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(("n_threads", "n_spare"), [(1, 0), (2, 1), (3, 1), (8, 4)])
def test_half_of_the_threads_may_prepare_what_comes_next(n_threads, n_spare, small_folder):
    engine = Engine(load_weights(small_folder).network, "cpu")
    torch.set_num_threads(n_threads)
    assert engine.n_spare_threads == n_spare
    engine.device = torch.device("cuda")  # as if there were one
    assert engine.n_spare_threads == n_threads


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_beats_follow_inputs_in_order(n_threads, small_folder, tmp_path):
    torch.set_num_threads(n_threads)
    weights = load_weights(small_folder)
    recording = open_recording(write_edf(tmp_path / "night.edf"))
    channels = set_rates(recording, map_channels(recording.raw))
    engine = Engine(weights.network, "cpu")
    window = (0, recording.n_epochs)
    found = list(prepare_inputs(recording, channels, Validity(), weights, engine, window))
    names = [one.name for one in found]
    assert names[::2] == names[1::2]
    assert sorted(names[::2]) == sorted(channel.modality for channel in channels)
    assert all(isinstance(one, Input) for one in found[::2])
    assert all(isinstance(one, Beats) and len(one.table) for one in found[1::2])


@pytest.mark.usefixtures("threads")
def test_samples_are_released_before_the_network_runs(small_folder, tmp_path, monkeypatch):
    torch.set_num_threads(1)
    weights = load_weights(small_folder)
    recording = open_recording(write_edf(tmp_path / "night.edf"))
    channels = set_rates(recording, map_channels(recording.raw))
    engine, read, arrays = Engine(weights.network, "cpu"), recording.reader.read, []

    def watch(*args):
        data, recorded = read(*args)
        arrays.extend(weakref.ref(samples) for samples in data.values())
        return data, recorded

    monkeypatch.setattr(recording.reader, "read", watch)
    window = (0, recording.n_epochs)
    for n_read, one in enumerate(
        prepare_inputs(recording, channels, Validity(), weights, engine, window)
    ):
        assert len(arrays) == n_read // 2 + 1
        assert not any(array() is not None for array in arrays), one.name
    assert len(arrays) == len(channels)
