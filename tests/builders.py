"""Signals, recordings and checks that several tests share."""

import traceback
from pathlib import Path

import mne.utils
import numpy as np
import pytest

import mne_wav2sleep
from mne_wav2sleep.signals.validity import Signal

DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).parents[2] / "shared"

# Recordings of tests are short, and most of their waves have no heart in them.
toy_recordings = pytest.mark.filterwarnings(
    r"ignore:The recording lasts (1\.\d h|\d+\.\d min):RuntimeWarning",
    r"ignore:\S+ \(channel .*\) shows (beats|pulses|breaths) in:RuntimeWarning",
)


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
