import numpy as np
import pytest
from builders import DATA, make_signal
from hypothesis import given
from hypothesis import strategies as st

from mne_wav2sleep.signals.batch import make_batch
from mne_wav2sleep.signals.grid import interpolate_to_grid, zscore


@pytest.mark.parametrize("case", ["eight_hours", "ten_hours", "long_tail"])
def test_preprocessing_is_the_original_one(case, golden):
    expected = np.load(DATA / "golden_preprocessing.npz")
    sources = golden.PREPROCESSING[case]
    n_epochs = min(int(seconds // 30) for _, _, seconds in sources.values())
    signals = {
        name: make_signal(golden.make_source(*source), source[1], n_epochs)
        for name, source in sources.items()
    }
    x, available = make_batch(signals)
    assert not available
    for name in sources:
        found = x[name][0].numpy()[expected[f"{case}/{name}/index"]]
        np.testing.assert_allclose(found, expected[f"{case}/{name}/value"], rtol=0, atol=1e-4)


@given(
    sfreq=st.floats(0.5, 2000),
    n_epochs=st.integers(1, 3),
    samples_per_epoch=st.sampled_from([256, 1024]),
    seconds=st.floats(0.1, 70),
)
def test_a_ramp_stays_a_ramp(sfreq, n_epochs, samples_per_epoch, seconds):
    """Linear interpolation of i / sfreq is the time itself, up to the recording's end."""
    ramp = np.arange(max(round(sfreq * seconds), 1)) / sfreq
    grid = interpolate_to_grid(ramp, sfreq, samples_per_epoch, n_epochs)
    times = np.arange(1, grid.size + 1) * 30 / samples_per_epoch
    inside = times <= ramp[-1] - 1e-9
    np.testing.assert_allclose(grid[inside], times[inside], rtol=0, atol=1e-7)
    outside = times > ramp[-1] + 1e-9
    np.testing.assert_allclose(grid[outside], ramp.mean(), rtol=0, atol=1e-9)


def test_zscore_counts_everything_and_is_unbiased():
    z = zscore(np.array([1.0, 2.0, 3.0, 10.0]))
    assert z.dtype == np.float32
    np.testing.assert_allclose([z.mean(), z.std(ddof=1)], [0, 1], atol=1e-6)


@pytest.mark.parametrize("gain", [1e-300, 1e-9, 1e300])
def test_zscore_takes_any_unit(gain):
    wave = np.random.default_rng(0).standard_normal(1000)
    np.testing.assert_allclose(zscore(wave * gain), zscore(wave), rtol=0, atol=1e-6)


def test_a_constant_signal_has_no_zscore():
    with pytest.raises(ValueError, match="constant signal"):
        zscore(np.full(10, 0.1))


@pytest.mark.parametrize("padded_epochs", [0, 30])
def test_a_glitch_between_grid_points_is_no_signal(padded_epochs):
    """Sample 15 at 1000 Hz is seen by no grid point, but moves the mean that padding holds."""
    flat = np.full(20 * 30_000, 0.1)
    flat[15] = 1.0
    wave = np.sin(np.arange(20 * 30_000) / 500)
    with pytest.warns(RuntimeWarning, match="ECG is left out"):
        x, _ = make_batch(
            {"ECG": make_signal(flat, 1000.0, 20), "THX": make_signal(wave, 1000.0, 20)},
            padded_epochs=padded_epochs,
        )
    assert set(x) == {"THX"}
    with pytest.warns(RuntimeWarning, match="ECG is left out"):
        assert make_batch({"ECG": make_signal(flat, 1000.0, 20)}) == ({}, {})
