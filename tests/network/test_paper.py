"""The paper's own model (2024): its numbers, its tensors, and its config."""

import numpy as np
import pytest
import torch
import yaml
from builders import DATA, make_paper_folder

from mne_wav2sleep import load_weights, save_weights
from mne_wav2sleep.errors import WeightsError
from mne_wav2sleep.network import (
    Calibration,
    LoadedWeights,
    Preprocessing,
    Wav2Sleep,
    Wav2SleepConfig,
    extend_weights,
    fast,
)
from mne_wav2sleep.network.info import describe_config

CASES = list(np.load(DATA / "golden_logits_paper.npz"))


def as_tensors(arrays):
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.mark.parametrize("is_fast", [False, True], ids=["plain", "fast"])
@pytest.mark.parametrize("case", CASES)
def test_logits_match_the_original_network(case, is_fast, golden, paper_model):
    x = as_tensors(golden.make_inputs(*golden.LOGITS[case]))
    available = {"PPG": torch.tensor([True, False])} if "missing" in case else None
    expected = np.load(DATA / "golden_logits_paper.npz")[case]
    backend = fast.FastWav2Sleep(paper_model) if is_fast else paper_model
    found = backend.mix(backend.encode(x), available).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)


def list_paper_shapes():
    """Derive the names and shapes of the paper's tensors from their description."""
    channels = {256: (16, 32, 64, 64, 128, 128), 1024: (16, 16, 32, 32, 64, 64, 128, 128)}
    shapes = {}
    for signal, samples in {"ABD": 256, "ECG": 1024, "PPG": 1024, "THX": 256}.items():
        encoder, n_in = f"signal_encoders.encoders.{signal}", 1
        for i, n_out in enumerate(channels[samples]):
            for conv, n in (("conv1", n_in), ("conv2", n_out), ("conv3", n_out)):
                shapes[f"{encoder}.cnn.{i}.{conv}.conv.weight"] = (n_out, n, 3)
            shapes[f"{encoder}.cnn.{i}.downsample.weight"] = (n_out, n_in, 1)
            n_in = n_out
        shapes[f"{encoder}.linear.weight"], shapes[f"{encoder}.linear.bias"] = (128, 512), (128,)
    for block in range(2):
        for i in range(6):
            layer = f"sequence_mixer.dilated_convs.{block}.conv_layers.{i}"
            shapes[f"{layer}.conv.weight"] = (128, 128, 7)
            shapes |= {f"{layer}.norm.norm.{kind}": (128,) for kind in ("weight", "bias")}
    return shapes


def test_names_and_shapes_match_the_state_dict_of_the_authors(paper_model, golden_model):
    found = {name: tuple(tensor.shape) for name, tensor in paper_model.state_dict().items()}
    # The mixer of epochs and the classifier are those of the released model.
    others = {
        name: tuple(tensor.shape)
        for name, tensor in golden_model.state_dict().items()
        if name.startswith(("epoch_mixer.", "classifier."))
    }
    assert len(found) == 183
    assert found == list_paper_shapes() | others
    assert sum(p.numel() for p in paper_model.parameters()) == 3_578_500


def test_authors_folder_is_loaded_and_saved_bit_for_bit(golden, paper_model, tmp_path):
    loaded = load_weights(make_paper_folder(tmp_path / "authors", paper_model.state_dict()))
    assert loaded.config == Wav2SleepConfig.of_paper() == paper_model.config
    assert loaded.preprocessing == Preprocessing(padding="last")
    again = load_weights(save_weights(loaded, tmp_path / "ours"))
    assert (again.config, again.preprocessing) == (loaded.config, loaded.preprocessing)
    assert again.network.state_dict().keys() == paper_model.state_dict().keys()
    x = as_tensors(golden.make_inputs(*golden.LOGITS["abd_8"]))
    assert torch.equal(again.network(x), paper_model(x))


def test_a_signal_is_added_whose_encoder_begins_as_another():
    network = Wav2Sleep(Wav2SleepConfig.of_paper({"ABD": "ABD"})).eval().requires_grad_(False)
    info = describe_config(network.config, name="m", preprocessing=Preprocessing.of_paper())
    weights = LoadedWeights(**vars(info), network=network, calibration=Calibration())
    extended = extend_weights(weights, add_signals={"THX": "ABD", "ECG": None})
    assert extended.preprocessing == weights.preprocessing
    belt = torch.randn(1, 2 * 256)
    z = extended.network.encode({"ABD": belt, "THX": belt})
    assert torch.equal(z["THX"], network.encode({"ABD": belt})["ABD"])


def test_small_encoders():
    config = Wav2SleepConfig.of_paper(size="small")
    assert config.list_channels("ECG") == (16, 16, 32, 32, 32, 32, 32, 32)
    assert config.list_channels("THX") == (16, 16, 32, 32, 32, 32)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("n_recorded", [0, 1, 2, 7, 20])
def test_padding_that_is_encoded_once_has_the_features_of_all_of_it(causal, n_recorded):
    torch.manual_seed(0)
    config = Wav2SleepConfig.of_paper({"ABD": "ABD", "ECG": "ECG"}, encoder_causal=causal)
    network = Wav2Sleep(config).eval()
    x = {"ABD": torch.randn(1, 20 * 256), "ECG": torch.randn(1, 20 * 1024)}
    for one in x.values():
        one[:, one.shape[1] * n_recorded // 20 + 3 :] = 1.7  # padding begins within an epoch
    with torch.inference_mode():
        found = fast.FastWav2Sleep(network).encode(x)
        exact = network.double().encode({name: one.double() for name, one in x.items()})
    for name in x:
        torch.testing.assert_close(found[name].double(), exact[name], rtol=0, atol=2e-4)


@pytest.mark.usefixtures("threads")
def test_any_number_of_threads_gives_the_same_bits(paper_model):
    x = {"ECG": torch.randn(1, 200 * 1024)}
    found = []
    for n_threads in (1, 2, 3):
        torch.set_num_threads(n_threads)
        found.append(fast.FastWav2Sleep(paper_model).encode(x)["ECG"])
    assert all(torch.equal(one, found[0]) for one in found)


@pytest.mark.parametrize("n_epochs", [1, 3])
def test_short_recordings_and_small_networks(n_epochs):
    torch.manual_seed(0)
    config = Wav2SleepConfig({"ABD": "ABD"}, 4, 8, 5, 20, encoder_downsampling="max_pool")
    network = Wav2Sleep(config).eval()
    x = {"ABD": torch.randn(2, n_epochs * 256)}
    with torch.inference_mode():
        expected = network.encode(x)["ABD"]
        found = fast.FastWav2Sleep(network).encode(x)["ABD"]
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_values_that_are_not_finite_are_not_hidden(paper_model):
    x = torch.randn(1, 8 * 256)
    x[0, 77] = torch.nan
    assert fast.FastWav2Sleep(paper_model).encode({"ABD": x})["ABD"].isnan().any()


def change(section, **values):
    """Change settings of a section of the config; None removes one."""

    def apply(config):
        for key, value in values.items():
            if value is None:
                del config[section][key]
            else:
                config[section][key] = value

    return apply


@pytest.mark.parametrize(
    ("apply", "message"),
    [
        (change("signal_encoders", initial_channels=16), "either size .* got both"),
        (change("signal_encoders", size=None), "either size .* got neither"),
        (change("signal_encoders", size="huge"), "size should be 'large' or 'small', got 'huge'"),
        (change("signal_encoders", size=["large"]), "size should be 'large' or 'small', got"),
        (change("signal_encoders", max_channels=64), "'max_channels', which is not a known .*pap"),
        (change("signal_encoders", norm="batch"), "signal_encoders.norm is 'batch'; only"),
        (change("signal_encoders", signal_map={"EOG-L": "EOG-L"}), r"are ABD, .*, got \['EOG-L'\]"),
        (change("signal_encoders", signal_map={"ECG": ["ECG"]}), "signals.ECG: Input should be"),
        (change("signal_encoders", signal_map=["ECG"]), "signal_map should be a mapping, got a li"),
        (change("signal_encoders", signal_map=None), "it has no 'signal_map'"),
        (change("signal_encoders", signal_map={}), "signals should be one or more of .*, got none"),
        (change("signal_encoders", feature_dim=64), "feature_dim is 128, but that of .* is 64"),
        (change("sequence_mixer", kernel_size=7), "'kernel_size', which is not a known setting"),
        (change("sequence_mixer", norm="batch"), "sequence_mixer.norm is 'batch'"),
        (change("epoch_mixer", permute_signals="maybe"), "should be true or false, got 'maybe'"),
        (change("epoch_mixer", layers=10**9), "mixer_layers: .* less than or equal to 32"),
        (lambda config: config.pop("num_classes"), "it has no 'num_classes'"),
        (lambda config: config.update(num_classes=9), "n_classes: "),
    ],
)
def test_other_configs_are_refused_in_one_sentence(apply, message, tmp_path):
    config = yaml.safe_load((DATA / "paper_config.yaml").read_text())
    apply(config)
    folder = make_paper_folder(tmp_path / "m", {}, config)
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"block_channels": {"EEG": (1,) * 6}}, "names the encoder 'EEG', but those of the sig"),
        ({"block_channels": {"ABD": (1, 2)}}, "has 2 numbers for the encoder 'ABD', which has 6"),
        ({"block_channels": {"ABD": (1,) * 5 + (10**6,)}}, "block_channels.ABD.5"),
        ({"block_channels": {"ABD": ("8",) * 6}}, "valid integer"),
        ({"encoder_norm_eps": 0.0}, "encoder_norm_eps"),
        ({"encoder_downsampling": "average"}, "'stride' or 'max_pool'"),
        ({"sequence_norm": "batch"}, "'channels_first' or 'channels_last'"),
    ],
)
def test_config_without_a_valid_network_is_rejected(settings, message):
    with pytest.raises(ValueError, match=message):
        Wav2SleepConfig(**settings)
