"""Preprocessing equals that of the original implementation, and leaves constant channels out."""

import numpy as np
import pytest
from builders import DATA, make_signal

from mne_wav2sleep.signals.batch import make_batch


@pytest.mark.parametrize(
    ("file", "offset", "padding"),
    [
        ("golden_preprocessing.npz", 0.0, "mean"),
        ("golden_preprocessing.npz", 0.7, "mean"),
        ("golden_preprocessing_paper.npz", 0.7, "last"),
        ("golden_preprocessing_paper.npz", 0.0, "last"),
    ],
)
@pytest.mark.parametrize("case", ["eight_hours", "ten_hours", "long_tail"])
def test_preprocessing_matches_the_original_implementation(case, file, offset, padding, golden):
    expected = np.load(DATA / file)
    sources = golden.PREPROCESSING[case]
    n_epochs = min(int(seconds // 30) for _, _, seconds in sources.values())
    signals = {
        name: make_signal(golden.make_source(*source) + offset, source[1], n_epochs)
        for name, source in sources.items()
    }
    x, available = make_batch(signals, padded_epochs=1200, padding=padding)
    assert not available
    for name in sources:
        found = x[name][0][expected[f"{case}/{name}/index"]]
        np.testing.assert_allclose(found, expected[f"{case}/{name}/value"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("padded_epochs", [0, 30])
def test_channel_that_is_constant_on_the_grid_is_left_out(padded_epochs):
    """Sample 15 at 1000 Hz is on no grid point, but changes the mean, which padding holds."""
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
        assert make_batch({"ECG": make_signal(flat, 1000.0, 20)}, padded_epochs=padded_epochs) == (
            {},
            {},
        )
