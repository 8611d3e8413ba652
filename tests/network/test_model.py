"""The network gives the original network's logits, and rejects unsuitable input."""

import numpy as np
import pytest
import torch
from builders import DATA

from mne_wav2sleep.network import Wav2Sleep, Wav2SleepConfig

CASES = [
    "all_20",
    "ecg_20",
    "ppg_thx_37",
    "abd_8",
    "batch2_ppg_missing_in_second_16",
]


def as_tensors(arrays):
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.mark.parametrize("case", CASES)
def test_logits_match_the_original_network(case, golden, golden_model):
    x = as_tensors(golden.make_inputs(*golden.LOGITS[case]))
    available = {"PPG": torch.tensor([True, False])} if "missing" in case else None
    expected = np.load(DATA / "golden_logits.npz")[case]
    np.testing.assert_allclose(golden_model(x, available).numpy(), expected, rtol=0, atol=2e-4)


def list_released_shapes():
    """Derive the names and shapes of the released tensors from their description."""
    features, shapes = 128, {}
    for signal, n_blocks in {"ABD": 6, "ECG": 8, "PPG": 8, "THX": 6}.items():
        encoder, n_in = f"signal_encoders.encoders.{signal}", 1
        for i in range(n_blocks):
            n_out = min(16 * 2 ** (i // 2), 128)
            for conv, n in (("conv1", n_in), ("conv2", n_out), ("conv3", n_out)):
                shapes[f"{encoder}.cnn.{i}.{conv}.conv.weight"] = (n_out, n, 3)
            shapes[f"{encoder}.cnn.{i}.downsample.weight"] = (n_out, n_in, 1)
            n_in = n_out
        shapes[f"{encoder}.linear.weight"] = (features, 4 * n_in)
        shapes[f"{encoder}.linear.bias"] = (features,)
    shapes["epoch_mixer.register_tokens"] = (1, 1, features, 1)
    for i in range(2):
        layer = f"epoch_mixer.transformer_encoder.layers.{i}"
        linear = {
            "self_attn.in_proj_": (3 * features, features),
            "self_attn.out_proj.": (features, features),
            "linear1.": (512, features),
            "linear2.": (features, 512),
        }
        for name, shape in linear.items():
            shapes[f"{layer}.{name}weight"], shapes[f"{layer}.{name}bias"] = shape, shape[:1]
        for norm in ("norm1", "norm2"):
            shapes |= {f"{layer}.{norm}.{kind}": (features,) for kind in ("weight", "bias")}
    for block in range(2):
        for i in range(5):
            layer = f"sequence_mixer.dilated_convs.{block}.conv_layers.{i}"
            shapes[f"{layer}.conv.weight"] = (features, features, 5)
            shapes |= {f"{layer}.norm.{kind}": (1, features, 1) for kind in ("weight", "bias")}
    return shapes | {"classifier.weight": (4, features), "classifier.bias": (4,)}


def test_names_and_shapes_match_the_released_state_dict():
    model = Wav2Sleep(Wav2SleepConfig())
    found = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert len(found) == 177
    assert found == list_released_shapes()
    assert sum(p.numel() for p in model.parameters()) == 2_391_172


def test_unavailable_signal_equals_absent_signal_even_if_nan(golden, golden_model):
    x = as_tensors(golden.make_inputs(7, ("ABD", "ECG", "PPG"), 12, 2))
    absent = golden_model({name: x[name] for name in ("ABD", "ECG")})
    x["PPG"].fill_(float("nan"))
    masked = golden_model(x, {"PPG": torch.tensor([False, False])})
    torch.testing.assert_close(masked, absent, rtol=0, atol=2e-5)


def test_masked_epochs_affect_only_their_neighborhood(golden, golden_model):
    x = as_tensors(golden.make_inputs(8, ("ECG", "PPG"), 400, 1))
    mask = torch.ones(1, 400, dtype=torch.bool)
    mask[0, 200:220] = False
    change = (golden_model(x, {"PPG": mask}) - golden_model(x)).abs().amax(-1)[0]
    # Two blocks with kernel size 5 and dilations 1 to 16 reach 124 epochs on either side.
    assert change[200:220].min() > 1e-4
    assert change[: 200 - 124].max() < 1e-5
    assert change[220 + 124 :].max() < 1e-5


def test_mask_of_available_epochs_equals_no_mask(golden, golden_model):
    x = as_tensors(golden.make_inputs(9, ("ECG", "THX"), 10, 1))
    mask = torch.ones(1, 10, dtype=torch.bool)
    torch.testing.assert_close(golden_model(x, {"ECG": mask}), golden_model(x), rtol=0, atol=2e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_tensors_are_created_on_the_device_of_the_input(masked):
    with torch.device("meta"):
        model = Wav2Sleep(Wav2SleepConfig()).eval()
    x = {
        name: torch.empty(2, 5 * samples, device="meta")
        for name, samples in {"ABD": 256, "ECG": 1024, "PPG": 1024, "THX": 256}.items()
    }
    available = {"PPG": torch.empty(2, dtype=torch.bool, device="meta")} if masked else None
    logits = model(x, available)
    assert logits.device.type == "meta"
    assert logits.shape == (2, 5, 4)


@pytest.mark.parametrize("chunk", [False, True])
def test_causal_networks_do_not_see_the_future(chunk):
    torch.manual_seed(0)
    config = Wav2SleepConfig(encoder_causal=True, chunk_causal=chunk, sequence_causal=True)
    model = Wav2Sleep(config).eval()
    x = {"ABD": torch.randn(1, 20 * 256)}
    changed = {"ABD": x["ABD"].clone()}
    changed["ABD"][:, 10 * 256 :] = torch.randn(1, 10 * 256)
    with torch.inference_mode():
        change = (model(x) - model(changed)).abs().amax(-1)[0]
    assert change[10:].min() > 1e-5
    # Unless epochs are encoded separately, instance norm sees the whole night.
    assert (change[:10].max() < 1e-6) == chunk


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ({}, "one or more of the signals"),
        ({"EEG": torch.zeros(1, 1024)}, "one or more of the signals"),
        ({"ECG": torch.zeros(1, 1000)}, "whole epochs of 1024"),
        ({"ECG": torch.zeros(1024)}, "whole epochs of 1024"),
        ({"ECG": torch.zeros(1, 0)}, "whole epochs of 1024"),
        ({"ECG": torch.zeros(1, 1024), "ABD": torch.zeros(1, 512)}, "same number"),
    ],
)
def test_unsuitable_batch_is_rejected(x, message, golden_model):
    with pytest.raises(ValueError, match=message):
        golden_model(x)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"signals": {"EEG": "EEG"}}, "EEG"),
        ({"signals": {}}, "got none"),
        ({"signals": {"ECG": "A", "ABD": "A"}}, "share"),
        ({"n_classes": 3}, "4 or 5"),
        ({"feature_dim": 130}, "multiple"),
        ({"chunk_causal": True}, "causal: true"),
        ({"sequence_kernel": 4}, "should be odd"),
        ({"sequence_causal": True, "relative_features": True}, "need the whole recording"),
        ({"mixer_layers": 0}, r"mixer_layers\n  Input should be greater than or equal to 1"),
        (
            {"mixer_heads": 0},
            r"mixer_heads\n  Input should be greater than or equal to 1 .*input_value=0",
        ),
        (
            {"mixer_heads": -8},
            r"mixer_heads\n  Input should be greater than or equal to 1 .*input_value=-8",
        ),
        ({"mixer_dropout": 1.5}, r"mixer_dropout\n  Input should be less than 1"),
        (
            {"sequence_dropout": -0.1},
            r"sequence_dropout\n  Input should be greater than or equal to 0",
        ),
        ({"sequence_dropout": float("nan")}, r"sequence_dropout\n  Input should be"),
        ({"signals": {"ECG": "a.b"}}, "names an encoder 'a.b'"),
        ({"signals": {"ECG": ""}}, "names an encoder ''"),
        ({"signals": {"ECG": "keys"}}, "names an encoder 'keys'"),
    ],
)
def test_config_without_a_valid_network_is_rejected(settings, message):
    with pytest.raises(ValueError, match=message):
        Wav2SleepConfig(**settings)
