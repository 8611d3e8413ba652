"""Compiled loops compute what PyTorch does."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from mne_wav2sleep.network import loops
from mne_wav2sleep.network.layers import locate, pack, pad
from mne_wav2sleep.network.loops import Loops, activate, add_up, load_loops


@pytest.fixture(scope="module", params=["this processor", "few registers", "unknown processor"])
def compiled(request):
    """Loops for this processor, for one with few registers, and for one that LLVM only names."""
    with pytest.MonkeyPatch.context() as patch:
        name = loops.binding.get_host_cpu_name()
        if request.param == "few registers":
            features = loops.binding.get_host_cpu_features()
            few = {one: on and "512" not in one for one, on in features.items()}
            text = ",".join(f"{'+' if on else '-'}{one}" for one, on in few.items())
            patch.setattr(loops, "_describe_cpu", lambda: (name, text))
        elif request.param == "unknown processor":

            def fail():
                raise RuntimeError("LLVM does not support host CPU feature listing")

            patch.setattr(loops.binding, "get_host_cpu_features", fail)
        return Loops()


def locate_sums(sums_2C):
    """Where sums of outputs and of their squares begin."""
    return [locate(sums_2C, row, dtype=np.float64) for row in (0, 1)]


def make_samples(n_samples, n_channels, seed=0):
    """Outputs of a layer, shape (n_samples, n_channels)."""
    rng = np.random.default_rng(seed)
    return rng.normal(2, 3, (n_samples, n_channels)).astype(np.float32)


@pytest.mark.parametrize("n_samples", [0, 1, 3, 4, 9, 40, 41])
@pytest.mark.parametrize(("n_in", "n_out"), [(1, 16), (16, 16), (16, 32), (48, 80), (128, 128)])
@pytest.mark.parametrize(("taps", "stride"), [(3, 1), (3, 2), (1, 2)])
def test_convolution(compiled, taps, stride, n_in, n_out, n_samples):
    x_TC = make_samples(max((n_samples - 1) * stride + taps, 0), n_in)
    rng = np.random.default_rng(1)
    weight_OIK = rng.standard_normal((n_out, n_in, taps)).astype(np.float32)
    kernel = pack(weight_OIK)
    out_TC = np.full((n_samples + 1, n_out), np.nan, np.float32)
    sizes = n_in, n_out // 16, n_samples
    places = locate(x_TC), locate(kernel), locate(out_TC)
    compiled.run([compiled.convolve(places, sizes, taps, stride)])
    assert np.isnan(out_TC[n_samples:]).all()  # nothing is written beyond the end
    if n_samples:
        x, weight = torch.from_numpy(x_TC.T).double(), torch.from_numpy(weight_OIK).double()
        expected = functional.conv1d(x[None], weight, stride=stride)[0].T
        np.testing.assert_allclose(out_TC[:n_samples], expected, rtol=0, atol=1e-5 * n_in * taps)


@pytest.mark.parametrize("with_skipped", [False, True])
@pytest.mark.parametrize("n_channels", [16, 48])
def test_norm_and_gelu(compiled, n_channels, with_skipped):
    y_TC, skipped_TC = make_samples(77, n_channels), make_samples(77, n_channels, seed=1)
    mean, scale = y_TC.mean(0), (1 / y_TC.std(0)).astype(np.float32)
    out_TC = np.full_like(y_TC, np.nan)
    places = locate(y_TC), locate(mean), locate(scale)
    skipped = locate(skipped_TC) if with_skipped else None
    compiled.run([activate(places, skipped, locate(out_TC), (77, n_channels // 16))])
    expected = functional.gelu(torch.from_numpy((y_TC.astype(float) - mean) * scale))
    if with_skipped:
        expected = functional.gelu(expected + torch.from_numpy(skipped_TC))
    np.testing.assert_allclose(out_TC, expected, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("value", [np.nan, 1e30, -1e30, 5.3, -5.3, 0.0, -np.inf])
def test_extreme_values(compiled, value):
    y_TC = np.full((1, 16), value, np.float32)
    out_TC, none, one = np.ones_like(y_TC), np.zeros(16, np.float32), np.ones(16, np.float32)
    places = locate(y_TC), locate(none), locate(one)
    compiled.run([activate(places, None, locate(out_TC), (1, 1))])
    if np.isfinite(value):
        expected = functional.gelu(torch.from_numpy(y_TC))
        np.testing.assert_allclose(out_TC, expected, rtol=1e-6, atol=2e-6)
    else:
        assert not np.isfinite(out_TC).any()


def test_sums_tell_small_deviations_from_a_large_mean(compiled):
    y_TC = (1000 + make_samples(777, 32) / 100).astype(np.float32)
    sums_2C = np.zeros((2, 32))
    compiled.run([add_up(locate(y_TC), *locate_sums(sums_2C), (777, 2))])
    mean = sums_2C[0] / 777
    np.testing.assert_allclose(mean, y_TC.mean(0, dtype=float), rtol=1e-12)
    np.testing.assert_allclose(sums_2C[1] / 777 - mean**2, y_TC.var(0, dtype=float), rtol=1e-5)


def test_calls_are_repeated_on_later_samples(compiled):
    x_TC, kernel = make_samples(62, 16), pack(make_samples(16, 48).reshape(16, 16, 3))
    at_once, parts = np.zeros((60, 16), np.float32), np.zeros((60, 16), np.float32)
    sums_2C = np.zeros((2, 16))
    sums = locate_sums(sums_2C)
    places = locate(x_TC), locate(kernel), locate(at_once)
    compiled.run([compiled.convolve(places, (16, 1, 60), 3, 1)])
    places = locate(x_TC, step=20), locate(kernel), locate(parts, step=20)
    calls = [
        compiled.convolve(places, (16, 1, 20), 3, 1),
        add_up(locate(parts, step=20), *sums, (20, 1)),
    ]
    compiled.run(calls, 3)
    np.testing.assert_array_equal(parts, at_once)
    np.testing.assert_allclose(sums_2C[0], at_once.sum(0, dtype=float), rtol=1e-12)


def test_channels_are_filled_up_with_zeros():
    weight_OIK = np.ones((5, 3, 3), np.float32)
    padded = pad(weight_OIK)
    assert padded.shape == (16, 16, 3)
    assert padded.sum() == 45
    assert pad(weight_OIK[:, :1]).shape == (16, 16, 3)
    assert pad(weight_OIK[:, :1], reads_signal=True).shape == (16, 1, 3)


def test_other_arrays_are_refused():
    with pytest.raises(ValueError, match=r"not float32 with strides of \(16, 4\) bytes"):
        locate(np.zeros((4, 4), np.float32)[:, :2])
    with pytest.raises(ValueError, match="contiguous float32, not float64"):
        locate(np.zeros((4, 4)))


def test_loops_are_compiled_once():
    assert load_loops() is load_loops()
