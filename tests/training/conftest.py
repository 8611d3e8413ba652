"""A tiny network, nights to train it on, and a network that is trained on them."""

import json

import pytest
from builders import START, make_hypnogram, make_raw
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from mne_wav2sleep.cohorts import Night, open_night, prepare_nights
from mne_wav2sleep.cohorts.nights import compute_checksum
from mne_wav2sleep.network import Preprocessing, Wav2SleepConfig
from mne_wav2sleep.training import TrainingSettings, train


@pytest.fixture(scope="session")
def tiny():
    return Wav2SleepConfig(
        feature_dim=8,
        initial_channels=2,
        max_channels=4,
        mixer_layers=1,
        mixer_heads=2,
        mixer_dim_ff=8,
        sequence_blocks=1,
        sequence_dilations=2,
    )


@pytest.fixture(scope="session")
def quick():
    return TrainingSettings(
        learning_rate=1e-2,
        warmup_steps=2,
        decay_steps=50,
        batch_size=2,
        max_passes=4,
        averaging=0.5,
        crop=12,
    )


@pytest.fixture(scope="session")
def make_nights():
    """Make nights of random waves and stages."""

    def make(labels=("ECG", "Thor"), subjects="abcd", dataset="cohort", epochs=20):
        nights = []
        for i, subject in enumerate(subjects):
            raw = make_raw(labels, seconds=30 * epochs, types="eeg", start=START, seed=10 * i)
            nights.append(Night(raw, make_hypnogram(epochs, seed=i), subject, dataset))
        return nights

    return make


@pytest.fixture(scope="session")
def nights(make_nights, tmp_path_factory):
    """Prepared nights of two datasets with different signals."""
    return prepare_nights(
        [
            *make_nights(("ECG", "Thor"), "abc", "first"),
            *make_nights(("Pleth", "Abdo", "Thor"), "def", "second", epochs=17),
        ],
        tmp_path_factory.mktemp("nights"),
    )


@pytest.fixture(scope="session")
def change_night():
    """Write a prepared night whose tensors were changed."""

    def run(night, path, change):
        tensors = load_file(night.path)
        with safe_open(night.path, framework="numpy") as file:
            header = json.loads(file.metadata()["night"])
        change(tensors)
        header["checksum"] = compute_checksum(header, tensors)
        save_file(tensors, path, metadata={"night": json.dumps(header)})
        return open_night(path)

    return run


@pytest.fixture(scope="session")
def train_tiny(tiny, quick):
    """Train the tiny network, without padding."""

    def run(nights, folder, **options):
        options = {"config": tiny, "settings": quick} | options
        return train(nights, folder, preprocessing=Preprocessing(padded_epochs=0), **options)

    return run


@pytest.fixture(scope="session")
def trained(nights, train_tiny, tmp_path_factory):
    """The folder of the trained tiny network."""
    return train_tiny(nights, tmp_path_factory.mktemp("trained") / "m")
