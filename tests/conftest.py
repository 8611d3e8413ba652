"""What several tests share."""

import traceback
from pathlib import Path

import matplotlib
import mne.utils
import numpy as np
import pytest
import torch

import mne_wav2sleep
from mne_wav2sleep import save_model
from mne_wav2sleep.config import Wav2SleepConfig
from mne_wav2sleep.model import Wav2Sleep
from mne_wav2sleep.signals import Signal

matplotlib.use("agg")

DATA = Path(__file__).parent / "data"

# Recordings of tests are short, and most of their waves have no heart in them.
toy_recordings = pytest.mark.filterwarnings(
    r"ignore:The recording lasts (1\.\d h|\d+\.\d min):RuntimeWarning",
    r"ignore:\S+ \(channel .*\) shows (beats|pulses|breaths) in:RuntimeWarning",
)
SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def golden():
    import golden_recipe  # here, since tests import this file where pytest sets no path

    return golden_recipe


@pytest.fixture(scope="session")
def golden_model(golden):
    """The released architecture, filled with the deterministic weights of the golden numbers."""
    model = Wav2Sleep(Wav2SleepConfig()).eval()
    weights = golden.fill_weights({k: tuple(v.shape) for k, v in model.state_dict().items()})
    model.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
    return model.requires_grad_(False)


@pytest.fixture(scope="session")
def golden_folder(golden_model, tmp_path_factory):
    """A model folder with those weights."""
    return save_model(golden_model, tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory):
    """A model folder with a small network of random weights, for tests of everything else."""
    torch.manual_seed(0)
    config = Wav2SleepConfig(
        initial_channels=4, max_channels=8, feature_dim=16, mixer_heads=2, mixer_dim_ff=32
    )
    return save_model(Wav2Sleep(config), tmp_path_factory.mktemp("small"))


def make_signal(data, sfreq, n_epochs):
    """A signal that was measured throughout."""
    return Signal(data, sfreq, np.zeros(n_epochs, dtype=np.int8))


def make_wave(sfreq, seconds, seed=0):
    """A quasi-periodic wave in volts with noise, shape (n_samples,)."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(sfreq * seconds)) / sfreq
    f = rng.uniform(0.2, 1.2)
    return 1e-4 * (np.sin(2 * np.pi * f * t) + 0.2 * rng.standard_normal(t.size))


def assert_clean(error):
    """An error says what is wrong in one line, and comes from us or from MNE's checks."""
    assert isinstance(
        error, ValueError | TypeError | FileNotFoundError | mne_wav2sleep.WeightsError
    ), repr(error)
    assert "\n" not in str(error), str(error)
    assert 20 < len(str(error)) < 600, str(error)
    # It comes from nowhere deep inside.
    raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    homes = [Path(module.__file__).parent for module in (mne_wav2sleep, mne.utils)]
    assert any(raised_in.is_relative_to(home) for home in homes), raised_in
