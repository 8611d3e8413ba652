"""Interpolation to the network's grid, and z-scoring."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mne_wav2sleep.signals.grid import interpolate_to_grid, zscore


@given(
    sfreq=st.floats(0.5, 2000),
    n_epochs=st.integers(1, 3),
    samples_per_epoch=st.sampled_from([256, 1024]),
    seconds=st.floats(0.1, 70),
)
def test_interpolation_of_a_ramp_gives_the_time(sfreq, n_epochs, samples_per_epoch, seconds):
    """Linear interpolation of i / sfreq gives the time, up to the end of the recording."""
    ramp = np.arange(max(round(sfreq * seconds), 1)) / sfreq
    grid = interpolate_to_grid(ramp, sfreq, samples_per_epoch, n_epochs)
    times = np.arange(1, grid.size + 1) * 30 / samples_per_epoch
    inside = times <= ramp[-1] - 1e-9
    np.testing.assert_allclose(grid[inside], times[inside], rtol=0, atol=1e-7)
    outside = times > ramp[-1] + 1e-9
    np.testing.assert_allclose(grid[outside], ramp.mean(), rtol=0, atol=1e-9)


def test_zscore_uses_the_unbiased_standard_deviation():
    z = zscore(np.array([1.0, 2.0, 3.0, 10.0]))
    assert z.dtype == np.float32
    np.testing.assert_allclose([z.mean(), z.std(ddof=1)], [0, 1], atol=1e-6)


@pytest.mark.parametrize("gain", [1e-300, 1e-9, 1e300])
def test_zscore_does_not_depend_on_the_unit(gain):
    wave = np.random.default_rng(0).standard_normal(1000)
    np.testing.assert_allclose(zscore(wave * gain), zscore(wave), rtol=0, atol=1e-6)


def test_zscore_of_a_constant_signal_is_rejected():
    with pytest.raises(ValueError, match="constant signal"):
        zscore(np.full(10, 0.1))
