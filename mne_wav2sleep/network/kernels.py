"""Loops over the outputs of a layer that Numba compiles.

Each replaces several operations of PyTorch, every one of which would read and write all outputs, by
a single pass. Numba comes with YASA, and needs no compiler. What it has compiled is kept beside
this file or in the user's cache, see its documentation of ``NUMBA_CACHE_DIR``.

Arrays are flat, time-major: all channels of the first sample, then of the second. What belongs to a
channel is repeated to a period of at least :data:`_PERIOD` values, since a loop over 16 channels
would end before it pays to compute with vectors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_PERIOD = 128
"""Values in an inner loop at least."""
_N_PERIODS = 64
"""Periods that are summed in float32 before they are added to a sum in float64."""

# erf(z) = z P(z²) / Q(z²) for |z| < 3.8, and 1 beyond it, within 8e-8; benchmarks/fit_erf.py finds
# these coefficients.
_END = np.float32(3.8)
_P = tuple(
    np.float32(p)
    for p in (
        1.1283789,
        0.195148653,
        0.0499662797,
        0.00353204367,
        0.000140627398,
        -2.01989769e-06,
        2.12402317e-08,
    )
)
_Q = tuple(np.float32(q) for q in (1.0, 0.50627608, 0.11305272, 0.0139740436, 0.000924310502))
_HALF, _ONE, _ROOT_HALF = np.float32(0.5), np.float32(1.0), np.float32(0.5**0.5)


@dataclass(frozen=True)
class Kernels:
    """The compiled functions.

    Attributes
    ----------
    activate : callable
        Compiled :func:`_activate`.
    activate_sum : callable
        Compiled :func:`_activate_sum`.
    add_up : callable
        Compiled :func:`_add_up`.
    """

    activate: Callable[..., None]
    activate_sum: Callable[..., None]
    add_up: Callable[..., None]


@cache
def load_kernels() -> Kernels:
    """Compile the functions, or load them from the folder of Numba's caches.

    Returns
    -------
    kernels : Kernels
        Functions that may run in several threads at once.
    """
    try:
        return _compile(cache=True)
    except Exception:  # of any type: there is no such folder, it is full, or a file is damaged
        return _compile(cache=False)


def _compile(*, cache: bool) -> Kernels:
    """Compile the functions for float32, and run each on a few values."""
    # Operations keep their order, so that results do not depend on how loops become vectors.
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": {"contract"},
        "cache": cache,
    }
    kernels = Kernels(*(njit(**options)(one) for one in (_activate, _activate_sum, _add_up)))
    few = np.zeros(1, np.float32)
    kernels.activate(few, few, few, few)
    kernels.activate_sum(few, few, few, few, few)
    kernels.add_up(few, np.zeros((2, 1)))
    return kernels


@njit(inline="always")
def _repeat(values: NDArray[np.float32]) -> NDArray[np.float32]:  # pragma: no cover
    """Repeat what belongs to the channels, shape (C,) to (n * C,)."""
    repeated = np.empty(-(-_PERIOD // values.size) * values.size, np.float32)
    for i in range(repeated.size):
        repeated[i] = values[i % values.size]
    return repeated


@njit(inline="always")
def _gelu(x: np.float32) -> np.float32:  # pragma: no cover
    """Compute GELU, and NaN for NaN."""
    z = x * _ROOT_HALF
    u = min(z * z, _END * _END)
    p = _P[5] + u * _P[6]
    p = _P[4] + u * p
    p = _P[3] + u * p
    p = _P[2] + u * p
    p = _P[1] + u * p
    p = _P[0] + u * p
    q = _Q[3] + u * _Q[4]
    q = _Q[2] + u * q
    q = _Q[1] + u * q
    q = _Q[0] + u * q
    erf = z * p / q
    erf = _ONE if z > _END else erf
    erf = -_ONE if z < -_END else erf
    return _HALF * x * (_ONE + erf)


def _activate(
    y: NDArray[np.float32],
    mean: NDArray[np.float32],
    scale: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:  # pragma: no cover
    """Apply instance norm, of which the statistics are known, and GELU.

    Parameters
    ----------
    y : array of float32, shape (T * C,)
        Output of a convolution.
    mean, scale : array of float32, shape (C,)
        Mean and factor of each channel.
    out : array of float32, shape (T * C,)
        Where the result is written.
    """
    mean_n, scale_n = _repeat(mean), _repeat(scale)
    n = mean_n.size
    for first in range(0, y.size, n):
        y_n, out_n = y[first : first + n], out[first : first + n]
        for i in range(y_n.size):
            out_n[i] = _gelu((y_n[i] - mean_n[i]) * scale_n[i])


def _activate_sum(
    y: NDArray[np.float32],
    mean: NDArray[np.float32],
    scale: NDArray[np.float32],
    other: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:  # pragma: no cover
    """Apply instance norm and GELU, add the residual connection, and apply GELU.

    Parameters
    ----------
    y, mean, scale, out
        As in :func:`_activate`.
    other : array of float32, shape (T * C,)
        Output of the residual connection.
    """
    mean_n, scale_n = _repeat(mean), _repeat(scale)
    n = mean_n.size
    for first in range(0, y.size, n):
        y_n, out_n = y[first : first + n], out[first : first + n]
        other_n = other[first : first + n]
        for i in range(y_n.size):
            out_n[i] = _gelu((y_n[i] - mean_n[i]) * scale_n[i]) + other_n[i]
        for i in range(y_n.size):
            out_n[i] = _gelu(out_n[i])


def _add_up(y: NDArray[np.float32], sums: NDArray[np.float64]) -> None:  # pragma: no cover
    """Add up outputs and their squares.

    Parameters
    ----------
    y : array of float32, shape (T * C,)
        Output of a convolution.
    sums : array of float64, shape (2, C)
        Where the sums are written.
    """
    n_channels = sums.shape[1]
    # Differences from a value that is probably near the mean, since squares in float32 would not
    # tell small deviations from a large mean.
    middle_row = y.size // n_channels // 2 * n_channels
    center = _repeat(y[middle_row : middle_row + n_channels])
    n = center.size
    linear, square = np.zeros(n, np.float32), np.zeros(n, np.float32)
    sums[:] = 0
    for block in range(0, y.size, n * _N_PERIODS):
        linear[:], square[:] = 0, 0
        for first in range(block, min(block + n * _N_PERIODS, y.size), n):
            y_n = y[first : first + n]
            for i in range(y_n.size):
                difference = y_n[i] - center[i]
                linear[i] += difference
                square[i] += difference * difference
        for i in range(n):
            sums[0, i % n_channels] += linear[i]
            sums[1, i % n_channels] += square[i]
    n_samples = y.size // n_channels
    for c in range(n_channels):
        middle = float(center[c])
        sums[1, c] += middle * (2 * sums[0, c] + n_samples * middle)
        sums[0, c] += n_samples * middle
