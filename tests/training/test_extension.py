"""Fine-tuning with a new head, or with an encoder for another signal."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import START, make_raw, toy_recordings
from safetensors.numpy import load_file

from mne_wav2sleep import SleepStagerW2S, load_weights, save_weights
from mne_wav2sleep.network import Preprocessing, Wav2Sleep
from mne_wav2sleep.training import fine_tune

pytestmark = [toy_recordings, pytest.mark.slow]


@pytest.fixture
def base(tiny, tmp_path):
    """Weights that read no PPG."""
    torch.manual_seed(0)
    config = replace(tiny, signals={"ABD": "ABD", "ECG": "ECG", "THX": "THX"})
    loaded = load_weights(save_weights(Wav2Sleep(config), tmp_path / "base"))
    return replace(loaded, preprocessing=Preprocessing(padded_epochs=0), scorer="ours")


@pytest.fixture
def short(quick):
    return replace(quick, max_passes=2, keep="last", batch_size=1, averaging=0.0)


def list_changed(weights, folder):
    """Name the tensors of weights that training changed, by part."""
    before = {n: t.numpy() for n, t in weights.network.state_dict().items()}
    after = load_file(folder / "model.safetensors")
    return {n for n in before if before[n].shape != after[n].shape or (before[n] != after[n]).any()}


def test_a_new_head_has_five_stages(nights, base, short, tmp_path):
    folder = tmp_path / "m"
    fine_tune(nights, folder, weights=base, settings=short, n_stages=5)
    tuned = load_weights(folder)
    assert tuned.stage_names == ("WAKE", "N1", "N2", "N3", "REM")
    assert (tuned.scorer, tuned.preprocessing) == ("ours", base.preprocessing)
    changed = list_changed(base, folder)
    assert {name.split(".")[0] for name in changed} == {"sequence_mixer", "classifier"}
    # N1 and N2, which began alike, have parted.
    weight = load_file(folder / "model.safetensors")["classifier.weight"]
    assert weight.shape[0] == 5
    assert (weight[1] != weight[2]).any()
    raw = make_raw(("ECG", "Thor"), seconds=600, types="eeg", start=START)
    with pytest.warns(RuntimeWarning, match="20 epochs"):
        hyp = SleepStagerW2S(raw, weights=folder).predict()
    assert (hyp.n_stages, hyp.scorer) == (5, "ours")
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "- Added: a head for 5 stages (N1 and N2 began as LIGHT)" in card
    assert "Comparison" not in card
    # The same call again has nothing to do, and another head is another run.
    written = (folder / "model.safetensors").stat().st_mtime_ns
    fine_tune(nights, folder, weights=base, settings=short, n_stages=5)
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(ValueError, match="config"):
        fine_tune(nights, folder, weights=base, settings=short)


def test_only_the_encoder_of_an_added_signal_is_trained(nights, base, short, tmp_path):
    folder = tmp_path / "m"
    options = {"weights": base, "settings": short, "trainable": ()}
    # Half of the nights have no PPG: their steps teach nothing, and stop nothing.
    fine_tune(nights, folder, **options, add_signals={"PPG": "ECG"})
    assert list_changed(base, folder) == set()
    tensors = load_file(folder / "model.safetensors")
    name = "signal_encoders.encoders.{}.linear.weight"
    moved = np.abs(tensors[name.format("PPG")] - tensors[name.format("ECG")])
    assert 0 < moved.max() < 1  # it began as a copy
    tuned = load_weights(folder)
    assert tuned.modalities == ("ABD", "ECG", "PPG", "THX")
    x = {"ECG": torch.randn(1, 10 * 1024), "ABD": torch.randn(1, 10 * 256)}
    assert torch.equal(tuned.network(x), base.network(x))
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "- Added: an encoder of PPG (began with those of ECG)" in card
    assert "Trained parts: signal_encoders.PPG" in card
    with pytest.raises(ValueError, match="extension"):
        fine_tune(nights, folder, **options, add_signals={"PPG": None})


def test_one_of_the_encoders_can_be_trained(nights, base, short, tmp_path):
    trainable = ["signal_encoders.THX", "classifier"]
    fine_tune(nights, tmp_path / "m", weights=base, settings=short, trainable=trainable)
    parts = {".".join(n.split(".")[:3]) for n in list_changed(base, tmp_path / "m")}
    encoder = "signal_encoders.encoders.THX"
    assert parts == {encoder, "classifier.weight", "classifier.bias"}


def test_an_encoder_needs_nights_with_its_signal(nights, base, short, tmp_path):
    options = {"weights": base, "settings": short, "add_signals": {"PPG": None}}
    with (
        pytest.warns(RuntimeWarning, match="on 2 subjects"),
        pytest.raises(ValueError, match="None of the 2 training nights has PPG, so its new"),
    ):
        fine_tune(nights[:3], tmp_path / "m", **options)
    assert not (tmp_path / "m" / "model.safetensors").exists()


def test_impossible_extensions_are_refused_before_any_work(nights, base, tiny, tmp_path):
    config = replace(base.config, epoch_mixer="concat")
    concat = load_weights(save_weights(Wav2Sleep(config), tmp_path / "concat"))
    for weights, options, message in (
        (base, {"add_signals": {"PPG": "THX"}}, "reads 1024 samples per epoch, and that of THX"),
        (base, {"n_stages": 3}, "n_stages"),
        (base, {"trainable": ["signal_encoders.PPG"]}, "signal_encoders.THX, got .*PPG"),
        (base, {"trainable": "classifier"}, "trainable must be one or more of .*got classifier"),
        (concat, {"add_signals": {"PPG": "ECG"}}, "Add 'epoch_mixer' to trainable"),
    ):
        with pytest.raises(ValueError, match=message):
            fine_tune(nights, tmp_path / "m", weights=weights, **options)
    assert not (tmp_path / "m").exists()


def test_a_concatenating_mixer_learns_an_added_signal(nights, base, short, tmp_path):
    config = replace(base.config, epoch_mixer="concat")
    concat = replace(base, config=config, network=Wav2Sleep(config))
    fine_tune(
        nights,
        tmp_path / "m",
        weights=concat,
        settings=short,
        trainable=["epoch_mixer"],
        add_signals={"PPG": "ECG"},
    )
    weight = load_file(tmp_path / "m" / "model.safetensors")["epoch_mixer.linear.weight"]
    ppg = weight.reshape(8, 4, 8)[:, 2]  # ABD, ECG, PPG, THX
    assert (ppg != 0).all()
