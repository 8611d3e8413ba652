"""The estimate of memory, before training starts."""

import os
import warnings
from dataclasses import replace

import pytest
import torch
from builders import toy_recordings

from mne_wav2sleep.network import Wav2Sleep, Wav2SleepConfig
from mne_wav2sleep.training import TrainingSettings
from mne_wav2sleep.training.memory import check_memory, estimate_memory, find_memory

pytestmark = toy_recordings

FOUR = ["ABD", "ECG", "PPG", "THX"]


@pytest.mark.parametrize(
    ("settings", "n_recordings", "measured"),
    [
        ({}, 1, 5.3),
        ({"gradient_checkpointing": True}, 1, 2.9),
        ({}, 16, 16 * 4.9 + 0.4),
    ],
)
def test_the_estimate_is_near_what_was_measured(settings, n_recordings, measured):
    """The released size, 10 h of four signals; for 16 recordings, 16 times what one adds."""
    network = Wav2Sleep(Wav2SleepConfig())
    found = estimate_memory(
        network,
        TrainingSettings(**settings),
        n_recordings=n_recordings,
        n_epochs=1200,
        modalities=FOUR,
    )
    assert found / 1e9 == pytest.approx(measured, rel=0.2)
    assert next(network.parameters()).device.type == "cpu"  # which was left as it is


def test_frozen_encoders_need_no_memory_for_gradients():
    network, options = Wav2Sleep(Wav2SleepConfig()), {"n_recordings": 1, "n_epochs": 1200}
    network.signal_encoders.requires_grad_(False)
    network.epoch_mixer.requires_grad_(False)
    assert estimate_memory(network, TrainingSettings(), modalities=FOUR, **options) < 1e9


def test_a_run_that_needs_more_memory_than_there_is_gives_a_warning(nights, tiny, quick):
    network = Wav2Sleep(tiny)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_memory(network, quick, nights, 0, torch.device("cpu"))
    huge = replace(quick, crop=10_000_000)
    message = r"needs about \d{4,}\.\d GB .* 2 recordings at once, .*'cpu' has .*micro_batch_size"
    with pytest.warns(RuntimeWarning, match=message):
        check_memory(network, huge, nights, 0, torch.device("cpu"))
    with pytest.warns(RuntimeWarning, match="for 1 recording at once"):
        check_memory(network, replace(huge, micro_batch_size=1), nights, 0, torch.device("cpu"))
    with pytest.warns(RuntimeWarning, match="for 2 recordings at once"):  # all of a step
        check_memory(network, replace(huge, micro_batch_size=4), nights, 0, torch.device("cpu"))


def test_memory_of_the_machine_is_found():
    if not hasattr(os, "sysconf"):
        pytest.skip("no sysconf here")
    memory = find_memory(torch.device("cpu"))
    assert 1e8 < memory <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert find_memory(torch.device("mps")) is None
