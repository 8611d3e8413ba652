"""Elements of rendered signals: bell curves, artifacts, and curves on the grid as samples."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, signal

from .physiology import GRID_HZ, Activity, Breathing, count_points

Wave = NDArray[np.float32]


def add_bumps(
    wave: Wave,
    times: NDArray[np.float64],
    height: NDArray[np.float64] | float,
    left: float,
    right: float,
    sfreq: float,
) -> None:
    """Add a bell curve at each time; its SD may differ before and after the peak."""
    reach = int(np.ceil(3.5 * max(left, right) * sfreq))
    heights = np.broadcast_to(np.asarray(height, dtype=np.float32), times.shape)
    inside = (times * sfreq > -reach) & (times * sfreq < wave.size + reach)
    times, heights = times[inside], heights[inside]
    center = np.round(times * sfreq).astype(np.int64)
    offset = np.arange(-reach, reach + 1)
    x = ((center - times * sfreq) / sfreq).astype(np.float32)[:, None]
    x = x + (offset / sfreq).astype(np.float32)
    x *= np.where(x < 0, np.float32(1 / left), np.float32(1 / right))
    x *= x
    x *= np.float32(-0.5)
    bells = np.exp(x, out=x)
    bells *= heights[:, None]
    index = np.clip(center[:, None] + offset + 2 * reach, 0, wave.size + 4 * reach - 1)
    total = np.bincount(index.ravel(), bells.ravel(), minlength=wave.size + 4 * reach)
    wave += total[2 * reach : 2 * reach + wave.size].astype(np.float32)


def resample(curve: NDArray[np.float64], n_samples: int, sfreq: float) -> Wave:
    """Interpolate a curve on the grid linearly to samples."""
    position = np.arange(n_samples) * (GRID_HZ / sfreq)
    left = position.astype(np.int32)
    weight = (position - left).astype(np.float32)
    short = curve.astype(np.float32)
    return np.asarray(short[left] + weight * np.diff(short, append=short[-1])[left])


def wrap_phase(phase: NDArray[np.float64], n_samples: int, sfreq: float) -> Wave:
    """Compute the fraction of the current cycle at each sample, from a phase in cycles."""
    position = np.arange(n_samples) * (GRID_HZ / sfreq)
    return np.asarray(np.interp(position, np.arange(phase.size), phase) % 1, dtype=np.float32)


def draw_movement(
    activity: Activity, n_samples: int, sfreq: float, rng: np.random.Generator
) -> Wave:
    """Draw movement artifacts of a few Hz, of about unit size."""
    knots = rng.standard_normal(int(n_samples / sfreq * 6) + 4)
    knots = signal.lfilter([1.0], [1.0, -0.6], knots)
    at = np.arange(n_samples) * (6 / sfreq)
    swings = np.interp(at, np.arange(knots.size), knots).astype(np.float32)
    size = ndimage.gaussian_filter1d(activity.movement, 1.5)
    return swings * resample(size, n_samples, sfreq)


def interpolate(curve: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate a curve on the grid at times in s."""
    return np.asarray(np.interp(times, np.arange(curve.size) / GRID_HZ, curve))


def draw_breath(breathing: Breathing, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the effect of breathing on a sensor of the heart, with a random lag."""
    wave = np.sin(2 * np.pi * breathing.phase[:n] + rng.uniform(0, 2 * np.pi))
    return np.asarray(wave * np.sqrt(breathing.depth[:n]))


def draw_posture_gains(
    activity: Activity | None, n: int, rng: np.random.Generator, spread: float
) -> NDArray[np.float64]:
    """Draw the gain of a sensor on the grid, which changes with the posture."""
    if activity is None:
        return np.ones(n)
    gains = np.exp(spread * rng.standard_normal(activity.posture[-1] + 1))
    return np.asarray(gains[activity.posture[:n]])


def check_arguments(
    duration: float,
    sfreq: float,
    breathing: Breathing | None,
    activity: Activity | None,
    beat_times: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Check the arguments that all renderers have; give the beat times as an array."""
    if not sfreq > 0 or not np.isfinite(duration) or duration * sfreq < 1:
        raise ValueError(
            "duration and sfreq must be positive and give at least one sample, got "
            f"duration={duration!r} and sfreq={sfreq!r}."
        )
    n = count_points(duration)
    for name, grid in (
        ("breathing", None if breathing is None else breathing.phase),
        ("activity", None if activity is None else activity.movement),
    ):
        if grid is not None and grid.size < n:
            raise ValueError(
                f"{name} lasts {(grid.size - 1) / GRID_HZ:.0f} s, less than the duration of "
                f"{duration:.0f} s. Simulate it for the whole recording."
            )
    times = np.asarray([] if beat_times is None else beat_times, dtype=np.float64)
    if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise ValueError(
            f"beat_times must be ascending times in seconds, got an array of shape {times.shape}. "
            "Sort them, and remove values that are not finite."
        )
    return times
