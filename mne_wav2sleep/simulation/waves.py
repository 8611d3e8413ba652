"""What sensors show of a body: ECG, pulse wave and belts, rendered from beats and breathing.

All of it works on real beats as well as on simulated ones. Each call draws a sensor of its own
(morphology, gain, polarity, noise) from a generator. Waves are sampled without an anti-alias
filter, so that any rate gives samples of the same wave.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, signal

from .physiology import GRID_HZ, Activity, Breathing, arousal_response, n_grid, slow_noise
from .subjects import Population

Wave = NDArray[np.float32]

# Waves of a heartbeat by lead: height (mV), time from the R peak (s), SD to the left and to the
# right (s). Orders of magnitude of healthy hearts (McSharry 2003, IEEE Trans Biomed Eng 50:289).
_LEADS = {
    "II": {
        "P": (0.13, -0.16, 0.022, 0.022),
        "Q": (-0.08, -0.030, 0.008, 0.008),
        "R": (1.1, 0.0, 0.010, 0.010),
        "S": (-0.2, 0.030, 0.010, 0.012),
        "T": (0.30, 0.27, 0.055, 0.035),
    },
    "CM5": {
        "P": (0.10, -0.15, 0.020, 0.022),
        "Q": (-0.12, -0.028, 0.008, 0.008),
        "R": (1.5, 0.0, 0.011, 0.010),
        "S": (-0.10, 0.032, 0.010, 0.012),
        "T": (0.40, 0.26, 0.060, 0.040),
    },
    "V1": {
        "P": (0.05, -0.16, 0.022, 0.024),
        "Q": (0.0, -0.030, 0.008, 0.008),
        "R": (0.45, 0.0, 0.009, 0.008),
        "S": (-0.9, 0.032, 0.012, 0.014),
        "T": (0.08, 0.27, 0.055, 0.045),
    },
}
_BREATH = np.arange(4096) / 4096


def _add_bumps(
    wave: Wave,
    times: NDArray[np.float64],
    height: NDArray[np.float64] | float,
    left: float,
    right: float,
    sfreq: float,
) -> None:
    """Add a bell to a wave at each of some times; its SD may differ before and after its top."""
    reach = int(np.ceil(3.5 * max(left, right) * sfreq))
    heights = np.broadcast_to(np.asarray(height, dtype=np.float32), times.shape)
    inside = (times * sfreq > -reach) & (times * sfreq < wave.size + reach)
    times, heights = times[inside], heights[inside]
    centre = np.round(times * sfreq).astype(np.int64)
    offset = np.arange(-reach, reach + 1)
    x = ((centre - times * sfreq) / sfreq).astype(np.float32)[:, None]
    x = x + (offset / sfreq).astype(np.float32)
    x *= np.where(x < 0, np.float32(1 / left), np.float32(1 / right))
    x *= x
    x *= np.float32(-0.5)
    bells = np.exp(x, out=x)
    bells *= heights[:, None]
    index = np.clip(centre[:, None] + offset + 2 * reach, 0, wave.size + 4 * reach - 1)
    total = np.bincount(index.ravel(), bells.ravel(), minlength=wave.size + 4 * reach)
    wave += total[2 * reach : 2 * reach + wave.size].astype(np.float32)


def _to_samples(curve: NDArray[np.float64], n_samples: int, sfreq: float) -> Wave:
    """Interpolate a curve on the grid linearly to samples."""
    position = np.arange(n_samples) * (GRID_HZ / sfreq)
    left = position.astype(np.int32)
    weight = (position - left).astype(np.float32)
    short = curve.astype(np.float32)
    return np.asarray(short[left] + weight * np.diff(short, append=short[-1])[left])


def _turns(phase: NDArray[np.float64], n_samples: int, sfreq: float) -> Wave:
    """Fraction of the current turn at each sample, from a phase in turns on the grid."""
    position = np.arange(n_samples) * (GRID_HZ / sfreq)
    return np.asarray(np.interp(position, np.arange(phase.size), phase) % 1, dtype=np.float32)


def _movement_artefact(
    activity: Activity, n_samples: int, sfreq: float, rng: np.random.Generator
) -> Wave:
    """Swings of some Hz while the body moves, of about unit size."""
    knots = rng.standard_normal(int(n_samples / sfreq * 6) + 4)
    knots = signal.lfilter([1.0], [1.0, -0.6], knots)
    at = np.arange(n_samples) * (6 / sfreq)
    swings = np.interp(at, np.arange(knots.size), knots).astype(np.float32)
    size = ndimage.gaussian_filter1d(activity.movement, 1.5)
    return swings * _to_samples(size, n_samples, sfreq)


def _at(curve: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Value of a curve on the grid at some times."""
    return np.asarray(np.interp(times, np.arange(curve.size) / GRID_HZ, curve))


def _breath(breathing: Breathing, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw what breathing does to a sensor of the heart, with a lag of its own."""
    wave = np.sin(2 * np.pi * breathing.phase[:n] + rng.uniform(0, 2 * np.pi))
    return np.asarray(wave * np.sqrt(breathing.depth[:n]))


def _posture_gain(
    activity: Activity | None, n: int, rng: np.random.Generator, spread: float
) -> NDArray[np.float64]:
    """Gain of a sensor on the grid, which changes whenever the sleeper turns."""
    if activity is None:
        return np.ones(n)
    gains = np.exp(spread * rng.standard_normal(activity.posture[-1] + 1))
    return np.asarray(gains[activity.posture[:n]])


def _check(
    duration: float,
    sfreq: float,
    breathing: Breathing | None,
    activity: Activity | None,
    beat_times: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Check what all renderers take; give the beat times."""
    if not sfreq > 0 or not np.isfinite(duration) or duration * sfreq < 1:
        raise ValueError(
            "duration and sfreq must be positive and cover at least one sample, got "
            f"duration={duration!r} and sfreq={sfreq!r}."
        )
    n = n_grid(duration)
    for name, grid in (
        ("breathing", None if breathing is None else breathing.phase),
        ("activity", None if activity is None else activity.movement),
    ):
        if grid is not None and grid.size < n:
            raise ValueError(
                f"{name} lasts {(grid.size - 1) / GRID_HZ:.0f} s, less than the duration of "
                f"{duration:.0f} s; simulate it for the whole recording."
            )
    times = np.asarray([] if beat_times is None else beat_times, dtype=np.float64)
    if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise ValueError(
            f"beat_times must be ascending times in seconds, got an array of shape {times.shape}."
        )
    return times


def render_ecg(
    beat_times: ArrayLike,
    *,
    duration: float,
    sfreq: float,
    rng: np.random.Generator,
    kinds: ArrayLike | None = None,
    breathing: Breathing | None = None,
    activity: Activity | None = None,
    fibrillation: bool = False,
    population: Population | None = None,
) -> Wave:
    """Render an electrocardiogram from beats.

    Parameters
    ----------
    beat_times : array_like, shape (n_beats,)
        Ascending times of R peaks in s.
    duration, sfreq : float
        Duration in s and sampling rate in Hz.
    rng : numpy.random.Generator
        Draws the lead, the morphology and the noise.
    kinds : array_like of str, shape (n_beats,), optional
        PhysioNet's codes: ``"V"`` is drawn wide and without a P wave, ``"/"`` with a spike of a
        pacemaker, any other as a normal beat.
    breathing : Breathing, optional
        Modulates amplitude and baseline.
    activity : Activity, optional
        Adds artefacts of movement, muscle noise, and a change of amplitude at each turn.
    fibrillation : bool
        Replace P waves by the waves of atrial fibrillation.
    population : Population, optional
        Leads, polarity, mains and noise; by default ``Population()``.

    Returns
    -------
    ecg : array of float32, shape (n_samples,)
        In volts.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> render_ecg([0.5, 1.4, 2.3], duration=3, sfreq=128, rng=rng).shape
    (384,)
    """
    times = _check(duration, sfreq, breathing, activity, beat_times)
    population = Population() if population is None else population
    kind = np.full(times.size, "N") if kinds is None else np.asarray(kinds)
    if kind.shape != times.shape:
        raise ValueError(f"kinds must name the kind of each of the {times.size} beats.")
    n_samples, n = round(duration * sfreq), n_grid(duration)
    lead = str(rng.choice(population.ecg_leads))
    gain = rng.lognormal(0, 0.35) * (-1 if rng.random() < population.inverted else 1)
    beat_gain = _at(_posture_gain(activity, n, rng, 0.15), times)
    beat_gain = beat_gain * (1 + 0.02 * rng.standard_normal(times.size))
    respiratory, wander = rng.uniform(0.02, 0.15), rng.lognormal(np.log(0.05), 0.6)
    baseline = wander * population.noise * slow_noise(rng, n, rng.uniform(0.8, 4.0))
    if breathing is not None:
        breath = _breath(breathing, n, rng)
        beat_gain *= 1 + respiratory * _at(breath, times)
        baseline += rng.lognormal(np.log(0.05), 0.6) * breath
    # The fastest heart that T waves keep their place in: QT grows with the root of RR (Bazett).
    rr = np.clip(np.diff(times, prepend=times[:1] - 0.9), 0.4, 1.6)
    ventricular, paced = kind == "V", kind == "/"
    narrow = ~(ventricular | paced)
    ecg = np.zeros(n_samples, dtype=np.float32)
    broad = rng.uniform(0.85, 1.3)
    for name, (height, delay, left, right) in _LEADS[lead].items():
        height *= rng.lognormal(0, 0.35) * (
            rng.choice([1, -0.5], p=[0.9, 0.1]) if name == "T" else 1
        )
        width = broad * rng.uniform(0.9, 1.15)
        shown = narrow if name != "P" or not fibrillation else np.zeros_like(narrow)
        at = times + delay * (np.sqrt(rr) if name == "T" else rng.uniform(0.9, 1.1))
        _add_bumps(ecg, at[shown], height * beat_gain[shown], left * width, right * width, sfreq)
    for wide, spike in ((ventricular, 0.0), (paced, 2.0)):
        if wide.any():
            at, size = times[wide], beat_gain[wide] * rng.uniform(0.8, 1.6)
            _add_bumps(ecg, at, size, 0.035, 0.045, sfreq)
            _add_bumps(ecg, at + 0.3, -0.45 * size, 0.07, 0.06, sfreq)
            if spike:
                _add_bumps(ecg, at - 0.07, spike, 0.002, 0.002, sfreq)
    if fibrillation:
        f = rng.uniform(5, 8) * np.exp(0.1 * slow_noise(rng, n, 2.0))
        turns = _turns(np.cumsum(f) / GRID_HZ, n_samples, sfreq)
        ecg += np.float32(rng.uniform(0.03, 0.1)) * np.sin(np.float32(2 * np.pi) * turns)
    ecg += _to_samples(baseline, n_samples, sfreq)
    noise = population.noise * rng.lognormal(np.log(0.012), 0.7)
    muscle = np.exp(0.4 * slow_noise(rng, n, 120.0))
    if activity is not None:
        muscle += 8 * ndimage.gaussian_filter1d(activity.movement[:n], 2.0)
        swing = population.noise * rng.lognormal(np.log(0.4), 0.6)
        ecg += np.float32(swing) * _movement_artefact(activity, n_samples, sfreq, rng)
    ecg += _to_samples(noise * muscle, n_samples, sfreq) * rng.standard_normal(
        n_samples, dtype=np.float32
    )
    mains = float(rng.choice(population.mains))
    level = population.noise * rng.lognormal(np.log(0.006), 0.8)
    if mains < sfreq / 2:
        ecg += (level * np.sin(2 * np.pi * mains / sfreq * np.arange(n_samples))).astype(np.float32)
    np.clip(ecg, -5, 5, out=ecg)  # amplifiers saturate
    ecg *= np.float32(1e-3 * gain)
    return ecg


def render_ppg(
    beat_times: ArrayLike,
    *,
    duration: float,
    sfreq: float,
    rng: np.random.Generator,
    kinds: ArrayLike | None = None,
    breathing: Breathing | None = None,
    activity: Activity | None = None,
    population: Population | None = None,
) -> Wave:
    """Render a pulse wave from beats.

    Parameters
    ----------
    beat_times : array_like, shape (n_beats,)
        Ascending times of R peaks in s.
    duration, sfreq : float
        Duration in s and sampling rate in Hz.
    rng : numpy.random.Generator
        Draws the pulse's shape and delay, the gain and the noise.
    kinds : array_like of str, shape (n_beats,), optional
        PhysioNet's codes; pulses of ectopic beats are small.
    breathing : Breathing, optional
        Modulates amplitude, baseline and delay.
    activity : Activity, optional
        Vessels constrict at arousals; movement gives artefacts.
    population : Population, optional
        Delay, damping, polarity and noise; by default ``Population()``.

    Returns
    -------
    ppg : array of float32, shape (n_samples,)
        In arbitrary units, a pulse being about 1 high.
    """
    times = _check(duration, sfreq, breathing, activity, beat_times)
    population = Population() if population is None else population
    n_samples, n = round(duration * sfreq), n_grid(duration)
    # Vessels widen and narrow slowly by themselves.
    tone = 0.25 * slow_noise(rng, n, 600.0) + 0.12 * slow_noise(rng, n, 20.0)
    tone += np.log(_posture_gain(activity, n, rng, 0.2))
    if activity is not None:
        tone -= rng.uniform(0.3, 0.9) * arousal_response(activity.arousal[:n], 7.0, 0.0)
    baseline = rng.lognormal(np.log(0.15), 0.5) * slow_noise(rng, n, rng.uniform(3, 20))
    delay = np.full(n, max(rng.normal(*population.pulse_delay), 0.08))
    delay += 0.006 * slow_noise(rng, n, 300.0)
    if breathing is not None:
        breath = _breath(breathing, n, rng)
        tone += rng.uniform(0.02, 0.15) * breath
        baseline += rng.lognormal(np.log(0.12), 0.6) * np.roll(breath, 2)
        delay += 0.004 * breath
    rr = np.clip(np.diff(times, prepend=times[:1] - 0.9), 0.3, 1.8)
    size = np.exp(_at(tone, times)) * np.clip(rr / np.median(rr), 0.3, 1.6) ** rng.uniform(0, 0.8)
    if kinds is not None:
        size = size * np.where(np.isin(np.asarray(kinds), ["V", "S"]), 0.5, 1.0)
    foot = times + _at(delay, times)
    ppg = np.zeros(n_samples, dtype=np.float32)
    damping = population.pulse_damping * rng.uniform(0.85, 1.2)
    notch, second = rng.uniform(0.15, 0.6), rng.uniform(0.33, 0.42) * np.sqrt(rr)
    late = rng.uniform(0.10, 0.18) * damping
    _add_bumps(ppg, foot + 0.15 * damping, size, 0.055 * damping, 0.10 * damping, sfreq)
    _add_bumps(ppg, foot + second, size * notch, 0.07 * damping, late, sfreq)
    ppg += _to_samples(baseline, n_samples, sfreq)
    noise = population.noise * rng.lognormal(np.log(0.015), 0.7)
    ppg += np.float32(noise) * rng.standard_normal(n_samples, dtype=np.float32)
    if activity is not None:
        swing = population.noise * rng.lognormal(np.log(1.5), 0.6)
        ppg += np.float32(swing) * _movement_artefact(activity, n_samples, sfreq, rng)
    np.clip(ppg, -4, 6, out=ppg)
    ppg *= np.float32(-1 if rng.random() < population.inverted else 1)
    return ppg


def render_belt(
    breathing: Breathing,
    *,
    duration: float,
    sfreq: float,
    rng: np.random.Generator,
    place: str = "thorax",
    beat_times: ArrayLike | None = None,
    activity: Activity | None = None,
    population: Population | None = None,
) -> Wave:
    """Render a respiratory belt.

    Parameters
    ----------
    breathing : Breathing
        How the sleeper breathes.
    duration, sfreq : float
        Duration in s and sampling rate in Hz.
    rng : numpy.random.Generator
        Draws gain, lag, shape, drift and noise.
    place : str
        ``"thorax"`` or ``"abdomen"``.
    beat_times : array_like, shape (n_beats,), optional
        Heartbeats, which shake a belt a little.
    activity : Activity, optional
        Movement gives artefacts; a turn changes gain and offset.
    population : Population, optional
        Polarity and noise; by default ``Population()``.

    Returns
    -------
    belt : array of float32, shape (n_samples,)
        In volts, a breath being about 0.2 mV high.
    """
    if place not in ("thorax", "abdomen"):
        raise ValueError(f"place must be 'thorax' or 'abdomen', got {place!r}.")
    times = _check(duration, sfreq, breathing, activity, beat_times)
    population = Population() if population is None else population
    n_samples, n = round(duration * sfreq), n_grid(duration)
    inspiration, pause = rng.uniform(0.35, 0.48), rng.uniform(0.7, 1.4)
    outward = np.maximum(_BREATH - inspiration, 0) / (1 - inspiration)
    outward = 0.5 + 0.5 * outward ** (1 / (1 + 0.3 * pause))
    warped = np.where(outward > 0.5, outward, 0.5 * _BREATH / inspiration)
    shape = (-np.cos(2 * np.pi * warped)).astype(np.float32)
    lag = 0.04 * rng.standard_normal() + 0.02 * slow_noise(rng, n, 900.0)
    if place == "abdomen":
        lag = lag + 0.45 * ndimage.gaussian_filter1d(breathing.paradox[:n], 2.0)
    share = breathing.rib_cage[:n] if place == "thorax" else 2 - breathing.rib_cage[:n]
    depth = breathing.depth[:n] * np.clip(share, 0.3, 1.7)
    depth *= _posture_gain(activity, n, rng, 0.3) * np.exp(0.1 * slow_noise(rng, n, 1800.0))
    depth = ndimage.gaussian_filter1d(depth, 1.5)
    turns = _turns(breathing.phase[:n] + lag, n_samples, sfreq)
    belt = shape[(turns * _BREATH.size).astype(np.int32) % _BREATH.size]
    belt *= _to_samples(depth, n_samples, sfreq)
    drift = population.noise * rng.lognormal(np.log(0.15), 0.6)
    baseline = drift * slow_noise(rng, n, rng.uniform(10, 60))
    if activity is not None:
        offsets = rng.normal(0, 0.5, activity.posture[-1] + 1)[activity.posture[:n]]
        # Belts are recorded with a high-pass filter: an offset fades.
        baseline += offsets - ndimage.gaussian_filter1d(offsets, 20 * GRID_HZ)
        swing = population.noise * rng.lognormal(np.log(1.2), 0.5)
        belt += np.float32(swing) * _movement_artefact(activity, n_samples, sfreq, rng)
    belt += _to_samples(baseline, n_samples, sfreq)
    if times.size:
        _add_bumps(belt, times + 0.1, rng.lognormal(np.log(0.02), 0.8), 0.06, 0.08, sfreq)
    noise = population.noise * rng.lognormal(np.log(0.01), 0.7)
    belt += np.float32(noise) * rng.standard_normal(n_samples, dtype=np.float32)
    np.clip(belt, -6, 6, out=belt)
    gain = 1e-4 * rng.lognormal(0, 0.5)
    belt *= np.float32(-gain if rng.random() < population.inverted else gain)
    return belt
