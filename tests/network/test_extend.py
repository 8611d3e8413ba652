"""Networks with other stages and more signals begin as what they were made from."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mne_wav2sleep import load_weights, save_weights
from mne_wav2sleep.network import Calibration, Wav2Sleep, Wav2SleepConfig, extend_weights


def make_weights(folder, signals=("ECG", "THX"), **options):
    torch.manual_seed(3)
    config = Wav2SleepConfig(
        signals=signals if isinstance(signals, dict) else {name: name for name in signals},
        initial_channels=2,
        max_channels=4,
        feature_dim=8,
        mixer_heads=2,
        mixer_dim_ff=8,
        **options,
    )
    loaded = load_weights(save_weights(Wav2Sleep(config), folder))
    calibration = Calibration(temperatures={"ECG": 1.5})
    return replace(loaded, scorer="ours", caution="Beware.", calibration=calibration)


@pytest.fixture
def x():
    torch.manual_seed(4)
    return {"ECG": torch.randn(2, 6 * 1024), "THX": torch.randn(2, 6 * 256)}


def test_n1_and_n2_share_the_probability_of_light(tmp_path, x):
    weights = make_weights(tmp_path)
    kept = {name: tensor.clone() for name, tensor in weights.network.state_dict().items()}
    extended = extend_weights(weights, n_stages=5)
    assert extended.stage_names == ("WAKE", "N1", "N2", "N3", "REM")
    assert (extended.scorer, extended.caution) == ("ours", "Beware.")
    assert extended.calibration == Calibration()
    four, five = (one.network(x).softmax(-1) for one in (weights, extended))
    assert_close(five[..., [0, 3, 4]], four[..., [0, 2, 3]], rtol=0, atol=1e-6)
    assert_close(five[..., 1], four[..., 1] / 2, rtol=0, atol=1e-6)
    assert_close(five[..., 2], four[..., 1] / 2, rtol=0, atol=1e-6)
    # The weights that were given are as before, and all other tensors are theirs.
    after, old = extended.network.state_dict(), weights.network.state_dict()
    assert all((old[name] == kept[name]).all() for name in kept)
    assert all((after[n] == kept[n]).all() for n in kept if not n.startswith("classifier"))
    assert not any(p.requires_grad for p in extended.network.parameters())
    assert not extended.network.training


def test_merging_stages_undoes_splitting_them(tmp_path):
    weights = make_weights(tmp_path)
    again = extend_weights(extend_weights(weights, n_stages=5), n_stages=4)
    assert again.config == weights.config
    assert_close(dict(again.network.state_dict()), dict(weights.network.state_dict()))


def test_the_bias_of_merged_stages_stands_for_both(tmp_path):
    weights = make_weights(tmp_path, n_classes=5)
    state = weights.network.state_dict()
    state["classifier.weight"][:] = 0
    state["classifier.bias"][:] = torch.tensor([0.1, 0.2, 0.4, 0.5, 0.6])
    merged = extend_weights(weights, n_stages=4).network.state_dict()["classifier.bias"]
    assert_close(merged, torch.tensor([0.1, 0.3 + np.log(2), 0.5, 0.6], dtype=torch.float32))


def test_an_added_signal_changes_nothing_where_it_is_absent(tmp_path, x):
    weights = make_weights(tmp_path)
    extended = extend_weights(weights, add_signals={"PPG": "ECG", "EOG-L": None})
    assert extended.modalities == ("ECG", "EOG-L", "PPG", "THX")
    assert extended.calibration == weights.calibration
    assert torch.equal(extended.network(x), weights.network(x))
    # A copy gives the features of the encoder that it is made from.
    z = extended.network.encode({"ECG": x["ECG"], "PPG": x["ECG"]})
    assert torch.equal(z["PPG"], z["ECG"])
    before = weights.network.state_dict()
    before["signal_encoders.encoders.ECG.linear.bias"] += 1  # it is not shared
    assert torch.equal(extended.network.encode({"PPG": x["ECG"]})["PPG"], z["PPG"])


def test_random_encoders_depend_on_the_seed_alone(tmp_path):
    weights = make_weights(tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    states = [
        extend_weights(weights, add_signals={"PPG": None}, seed=seed).network.state_dict()
        for seed in (0, 0, 1)
    ]
    assert torch.equal(torch.rand(3), expected)
    name = "signal_encoders.encoders.PPG.linear.weight"
    assert torch.equal(states[0][name], states[1][name])
    assert not torch.equal(states[0][name], states[2][name])


def test_a_concatenating_mixer_ignores_an_added_signal_at_first(tmp_path, x):
    weights = make_weights(tmp_path, epoch_mixer="concat")
    extended = extend_weights(weights, add_signals={"PPG": "ECG"}).network
    expected = weights.network(x)
    assert_close(extended(x), expected, rtol=0, atol=1e-6)
    assert_close(extended(x | {"PPG": torch.randn(2, 6 * 1024)}), expected, rtol=0, atol=1e-6)


def test_extended_weights_are_saved_and_loaded(tmp_path, x):
    # The ECG's encoder has the name that that of PPG would have.
    weights = make_weights(tmp_path / "a", {"ECG": "PPG", "THX": "THX"})
    extended = extend_weights(weights, n_stages=5, add_signals={"PPG": "ECG"})
    assert dict(extended.config.signals) == {"ECG": "PPG", "THX": "THX", "PPG": "PPG_"}
    with pytest.warns(RuntimeWarning, match="Beware"):
        loaded = load_weights(save_weights(extended, tmp_path / "b"))
    x["PPG"] = x["ECG"]
    assert torch.equal(loaded.network(x), extended.network(x))


def test_nothing_to_add_gives_equal_weights(tmp_path, x):
    weights = make_weights(tmp_path)
    same = extend_weights(weights, n_stages=4)
    assert (same.config, same.calibration) == (weights.config, weights.calibration)
    assert torch.equal(same.network(x), weights.network(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_stages": 3}, "n_stages.*4, and 5, but got 3"),
        ({"add_signals": {"EEG": None}}, r"'EEG', which is not a signal. Use some of ABD, EOG-L,"),
        ({"add_signals": {"ECG": None}}, r"ECG, which the weights .* read already.*encoders.ECG"),
        ({"add_signals": {"PPG": "ABD"}}, "as that of 'ABD', but the weights .* read ECG, THX"),
        ({"add_signals": {"PPG": "THX"}}, "reads 1024 samples per epoch, and that of THX 256"),
        ({"add_signals": {"PPG": "PPG"}}, "as that of 'PPG', but the weights"),
    ],
)
def test_what_cannot_be_added_is_refused(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        extend_weights(make_weights(tmp_path), **options)


def test_signals_are_given_as_a_mapping(tmp_path):
    with pytest.raises(TypeError, match="add_signals must be"):
        extend_weights(make_weights(tmp_path), add_signals=["PPG"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_default_type_does_not_change_new_parts(dtype, tmp_path):
    weights = make_weights(tmp_path, epoch_mixer="concat")
    options = {"n_stages": 5, "add_signals": {"PPG": None}}
    expected = extend_weights(weights, **options).network.state_dict()
    torch.set_default_dtype(dtype)
    try:
        found = extend_weights(weights, **options).network.state_dict()
        loaded = load_weights(tmp_path).network.state_dict()
    finally:
        torch.set_default_dtype(torch.float32)
    assert {tensor.dtype for tensor in (found | loaded).values()} == {torch.float32}
    assert all(torch.equal(found[name], expected[name]) for name in expected)
