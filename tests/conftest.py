"""Fixtures that several tests share."""

import signal

import golden_recipe
import hypothesis
import matplotlib
import numpy as np
import pytest
import torch

from mne_wav2sleep import remove_modality, save_weights
from mne_wav2sleep.modalities import MODALITIES, is_built_in
from mne_wav2sleep.network import Wav2Sleep, Wav2SleepConfig

matplotlib.use("agg")
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.load_profile("same")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # In the background of a shell, Ctrl-C is ignored, also by the processes that tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def golden():
    """The recipe of the golden numbers: weights, inputs and recordings."""
    return golden_recipe


@pytest.fixture
def threads():
    """Reset the number of torch's threads, which a test may change."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def make_golden(golden, config):
    """Make a network with the deterministic weights of the golden numbers."""
    model = Wav2Sleep(config).eval()
    weights = golden.fill_weights({k: tuple(v.shape) for k, v in model.state_dict().items()})
    model.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
    return model.requires_grad_(False)


@pytest.fixture(scope="session")
def golden_model(golden):
    """The released architecture with those weights."""
    return make_golden(golden, Wav2SleepConfig())


@pytest.fixture(scope="session")
def paper_model(golden):
    """The architecture of the paper with those weights."""
    return make_golden(golden, Wav2SleepConfig.of_paper())


@pytest.fixture(scope="session")
def golden_folder(golden_model, tmp_path_factory):
    """A model folder with those weights."""
    return save_weights(golden_model, tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory):
    """A model folder with a small network of random weights, for all other tests."""
    torch.manual_seed(0)
    config = Wav2SleepConfig(
        initial_channels=4, max_channels=8, feature_dim=16, mixer_heads=2, mixer_dim_ff=32
    )
    return save_weights(Wav2Sleep(config), tmp_path_factory.mktemp("small"))


@pytest.fixture(autouse=True)
def same_random_numbers():
    """Draw the same random numbers in each run of a test, alone or after others."""
    np.random.seed(0)  # noqa: NPY002 (which libraries draw from)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def only_built_in():
    """Forget the modalities that a test, or an example before it, has added."""

    def forget():
        for name in [name for name in MODALITIES if not is_built_in(name)]:
            remove_modality(name)

    forget()
    yield
    forget()
