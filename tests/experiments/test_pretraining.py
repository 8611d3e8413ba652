"""Pretraining of encoders: what they are to predict, and that they can."""

import arms
import numpy as np
import pretraining
import pytest
import scales
import study as studies
import torch
from pretraining import TARGETS, PretrainingSettings

from mne_wav2sleep.network import Wav2Sleep, Wav2SleepConfig
from mne_wav2sleep.simulation.physiology import Activity, Breathing

SIZES = {"feature_dim": 8, "initial_channels": 2, "max_channels": 4, "mixer_heads": 2}


def test_targets_are_those_of_known_physiology():
    n_epochs, n_grid = 4, 4 * 120 + 1
    ones, zeros = np.ones(n_grid), np.zeros(n_grid)
    phase = np.arange(n_grid) / 4 * (12 / 60)  # 12 breaths a minute
    breathing = Breathing(phase, ones, ones, zeros, np.empty((0, 2)))
    activity = Activity(zeros, zeros, zeros.astype(int))
    # 60 bpm for a minute, 75 bpm for the next.
    beat_times = np.r_[np.arange(0.5, 60), np.arange(60, 120, 0.8)]
    epochs, beats, rates = pretraining.compute_targets(beat_times, breathing, activity, n_epochs)
    found = dict(zip(TARGETS, epochs.T, strict=True))
    np.testing.assert_allclose(found["heart rate"], [60, 60, 75, 75], atol=0.5)
    np.testing.assert_allclose(found["breathing rate"], 12, rtol=1e-5)
    assert np.argmax(found["slow variability of heart rate"]) in (1, 2)  # where it changes
    assert beats.sum() == pytest.approx(beat_times.size, rel=0.02)
    np.testing.assert_allclose(rates[:20], [[60, 12]] * 20, rtol=1e-4)
    np.testing.assert_allclose(rates[-20:], [[75, 12]] * 20, rtol=1e-4)


def test_pieces_are_those_of_their_number():
    one, same, other = (pretraining.simulate_piece(0, i, 2) for i in (1, 1, 2))
    assert {name: x.size for name, x in one.signals.items()} == {
        "ABD": 512,
        "ECG": 2048,
        "PPG": 2048,
        "THX": 512,
    }
    assert all(abs(x.mean()) < 1e-3 and abs(x.std() - 1) < 1e-3 for x in one.signals.values())
    np.testing.assert_array_equal(one.signals["PPG"], same.signals["PPG"])
    assert (one.signals["PPG"] != other.signals["PPG"]).any()
    assert one.epochs.shape == (2, len(TARGETS))


def test_encoders_are_trained_once_for_all_mixers(tmp_path):
    settings = PretrainingSettings(n_pieces=4, n_epochs=2, n_steps=2, batch_size=2)
    state, report = pretraining.pretrain_encoders(Wav2SleepConfig(**SIZES), settings, tmp_path)
    torch.manual_seed(0)
    random = Wav2Sleep(Wav2SleepConfig(**SIZES)).signal_encoders.state_dict()
    assert any((state[name] != random[name]).any() for name in random)
    concat = Wav2SleepConfig(**SIZES, epoch_mixer="concat")
    again, report_again = pretraining.pretrain_encoders(concat, settings, tmp_path)
    assert len(list(tmp_path.glob("*.pt"))) == 1
    assert all((state[name] == again[name]).all() for name in state)
    assert report_again["cpu_s"] == report["cpu_s"] > 0
    Wav2Sleep(concat).signal_encoders.load_state_dict(again)
    assert set(report["explained"]) == {"ABD", "ECG", "PPG", "THX"}


def test_a_network_of_fewer_signals_has_the_same_encoders(tmp_path):
    scale = scales.read_scale(scales.SCALES / "quick.yaml")
    one = scale.make_config(studies.Arm(label="", network={"signals": {"PPG": "PPG"}}))
    every, _ = arms.make_start(scale.make_config(studies.Arm(label="")), scale, 0, tmp_path)
    alone, report = arms.make_start(one, scale, 0, tmp_path)
    assert len(list((tmp_path / "encoders").glob("*.pt"))) == 1
    assert alone.modalities == ("PPG",)
    expected = every.network.signal_encoders.encoders["PPG"].state_dict()
    found = alone.network.signal_encoders.encoders["PPG"].state_dict()
    assert all((found[name] == expected[name]).all() for name in expected)
    assert report["cpu_s"] > 0


def test_an_encoder_learns_when_the_heart_beats():
    """Which is the first that it learns, and stages alone did not teach it."""
    settings = PretrainingSettings(n_pieces=8, n_epochs=4, n_steps=60, batch_size=4)
    data = pretraining._stack([pretraining.simulate_piece(0, i, 4) for i in range(8)])
    pretraining._standardize(data)
    network = Wav2Sleep(Wav2SleepConfig(**SIZES, signals={"PPG": "PPG"}))
    heads = pretraining.Heads(network.signal_encoders.encoders["PPG"])
    encoder = network.signal_encoders.encoders["PPG"]
    optimizer = torch.optim.Adam([*encoder.parameters(), *heads.parameters()], lr=1e-2)
    for _ in range(settings.n_steps):
        loss = (heads(encoder, data["PPG"])["beats"] - data["beats"]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.7  # 1 without the signal
