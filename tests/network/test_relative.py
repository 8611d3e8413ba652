"""Features relative to the rest of the recording."""

import pytest
import torch

from mne_wav2sleep import load_weights, save_weights
from mne_wav2sleep.calibration import Calibration
from mne_wav2sleep.errors import WeightsError
from mne_wav2sleep.network import Engine, LoadedWeights, Preprocessing, Wav2Sleep, Wav2SleepConfig
from mne_wav2sleep.network.info import describe_config
from mne_wav2sleep.network.relative import subtract_means
from mne_wav2sleep.training import TrainingSettings
from mne_wav2sleep.training.checks import check_crop

TINY = {
    "initial_channels": 4,
    "max_channels": 8,
    "feature_dim": 8,
    "mixer_heads": 2,
    "mixer_dim_ff": 16,
    "sequence_dilations": 2,
}


@pytest.fixture
def features():
    return {name: torch.randn(2, 12, 8) for name in ("ECG", "THX")}


def test_the_mean_is_of_the_epochs_that_have_the_signal(features):
    measured = torch.rand(2, 12) > 0.3
    found = subtract_means(features, {"ECG": measured})
    for row in range(2):
        mean = features["ECG"][row][measured[row]].mean(0)
        torch.testing.assert_close(found["ECG"][row], features["ECG"][row] - mean)
    torch.testing.assert_close(found["THX"], features["THX"] - features["THX"].mean(1, True))
    absent = subtract_means(features, {"ECG": torch.zeros(2, 12, dtype=torch.bool)})
    assert torch.equal(absent["ECG"], features["ECG"])


@pytest.mark.parametrize("relative", [False, True])
def test_what_is_common_to_a_night_changes_stages_only_without(relative, features):
    model = Wav2Sleep(Wav2SleepConfig(relative_features=relative, **TINY)).eval()
    shifted = {name: z + torch.randn(2, 1, 8) for name, z in features.items()}
    with torch.inference_mode():
        change = (model.mix(features) - model.mix(shifted)).abs().max()
    assert (change < 1e-5) == relative


def test_a_night_is_the_same_alone_and_beside_a_longer_one(features):
    model = Wav2Sleep(Wav2SleepConfig(relative_features=True, **TINY)).eval()
    measured = torch.ones(2, 12, dtype=torch.bool)
    measured[0, 9:] = False  # padded to the length of the other
    available = dict.fromkeys(features, measured)
    alone = {name: z[:1, :9] for name, z in features.items()}
    with torch.inference_mode():
        relative = subtract_means(features, available)
        own = subtract_means(alone, {})
        logits = Engine(model, "cpu").mix(features, available, [("ECG", "THX")])
        plain = model.mix(features, available)
    for name in features:
        torch.testing.assert_close(relative[name][:1, :9], own[name])
    torch.testing.assert_close(logits[("ECG", "THX")], plain)


def make_weights():
    config = Wav2SleepConfig(relative_features=True, **TINY)
    info = describe_config(config, name="x", preprocessing=Preprocessing(padded_epochs=0))
    network = Wav2Sleep(config).eval().requires_grad_(False)
    return LoadedWeights(**vars(info), network=network, calibration=Calibration())


def test_it_is_kept_in_a_model_folder(tmp_path):
    weights = make_weights()
    folder = save_weights(weights, tmp_path / "model")
    assert load_weights(folder).config == weights.config
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"padded_epochs": 0', '"padded_epochs": 1200'))
    with pytest.raises(WeightsError, match="padding would count as well: padded_epochs is 1200"):
        load_weights(folder)


def test_nights_are_not_cropped_in_training():
    settings = TrainingSettings(crop=100)
    with pytest.raises(ValueError, match=r"would crop it to 100 epochs\. Set crop to None"):
        check_crop(make_weights(), settings)
    check_crop(make_weights(), TrainingSettings())
