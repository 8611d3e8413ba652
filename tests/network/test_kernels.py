"""Compiled loops compute what PyTorch does, with any number of channels."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional

from mne_wav2sleep.network.kernels import load_kernels


@pytest.fixture(params=[1, 3, 16, 128, 200], ids="{} channels".format)
def outputs(request):
    """Outputs of a layer, shape (n_samples, n_channels), not a multiple of any period."""
    rng = np.random.default_rng(0)
    return rng.normal(2, 3, (777, request.param)).astype(np.float32)


def describe(y):
    """The mean and factor of each channel, in float32."""
    return y.mean(0), (1 / y.std(0)).astype(np.float32)


def test_norm_and_gelu(outputs):
    mean, scale = describe(outputs)
    found = np.empty_like(outputs)
    load_kernels().activate(outputs.reshape(-1), mean, scale, found.reshape(-1))
    expected = functional.gelu(torch.from_numpy((outputs.astype(float) - mean) * scale))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_norm_gelu_and_residual_connection(outputs):
    mean, scale = describe(outputs)
    other = outputs[::-1].copy()
    found = np.empty_like(outputs)
    load_kernels().activate_sum(
        outputs.reshape(-1), mean, scale, other.reshape(-1), found.reshape(-1)
    )
    inner = functional.gelu(torch.from_numpy((outputs.astype(float) - mean) * scale))
    expected = functional.gelu(inner + torch.from_numpy(other))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2e-6)


def test_sums_tell_small_deviations_from_a_large_mean(outputs):
    y = (1000 + outputs / 100).astype(np.float32)
    sums = np.full((2, y.shape[1]), np.nan)
    load_kernels().add_up(y.reshape(-1), sums)
    mean = sums[0] / len(y)
    np.testing.assert_allclose(mean, y.mean(0, dtype=float), rtol=1e-9)
    variance = sums[1] / len(y) - mean**2
    np.testing.assert_allclose(variance, y.var(0, dtype=float), rtol=1e-3)


@pytest.mark.parametrize("value", [np.nan, 1e30, -1e30, 5.4, -5.4, 0.0])
def test_extreme_values(value):
    y = np.array([value, 1.0], np.float32)
    found = np.empty_like(y)
    none, one = np.zeros(1, np.float32), np.ones(1, np.float32)
    load_kernels().activate(y, none, one, found)
    expected = functional.gelu(torch.from_numpy(y))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2e-6)
    y[0] = -np.inf
    load_kernels().activate(y, none, one, found)
    assert np.isnan(found[0])  # as in PyTorch, since it is infinity times 0


def test_no_folder_for_what_is_compiled_is_needed():
    """Nor a compiler: the search path is empty."""
    code = """
import numpy as np
from mne_wav2sleep.network import kernels
njit = kernels.njit
def fail(cache=False, **options):
    if cache:  # as Numba does if no folder can be written
        raise RuntimeError("cannot cache function: no locator available")
    return njit(**options)
kernels.njit = fail
loaded = kernels.load_kernels()
print(loaded.add_up.stats.cache_path, loaded.activate(*np.zeros((4, 1), np.float32)))
"""
    paths = os.pathsep.join(filter(None, sys.path))
    environment = os.environ | {"PATH": "", "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == ["None", "None"], done.stderr
