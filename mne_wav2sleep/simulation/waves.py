"""Signals of sensors: ECG, pulse wave and belts, rendered from beats and breathing.

Beats can be real or simulated. Each call draws a new sensor (morphology, gain, polarity, noise).
Waves are sampled without an anti-aliasing filter, so that all rates give samples of the same wave.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from .physiology import (
    GRID_HZ,
    Activity,
    Breathing,
    count_points,
    draw_slow_noise,
    respond_to_arousals,
)
from .rendering import (
    Wave,
    add_bumps,
    check_arguments,
    draw_breath,
    draw_movement,
    draw_posture_gains,
    interpolate,
    resample,
    wrap_phase,
)
from .subjects import Population

# Waves of a heartbeat by lead: height (mV), time after the R peak (s), SD before and after the peak
# (s). Typical of healthy hearts (McSharry 2003, IEEE Trans Biomed Eng 50:289).
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
_PHASE = np.arange(4096) / 4096  # of a breath


def _add_beats(
    ecg: Wave,
    times: NDArray[np.float64],
    kind: NDArray[np.str_],
    gains: NDArray[np.float64],
    *,
    lead: str,
    fibrillation: bool,
    sfreq: float,
    rng: np.random.Generator,
) -> None:
    """Add the waves of all beats, of their kinds, to an ECG in mV."""
    # QT is proportional to the square root of RR (Bazett), up to 150 beats per minute.
    rr = np.clip(np.diff(times, prepend=times[:1] - 0.9), 0.4, 1.6)
    ventricular, paced = kind == "V", kind == "/"
    narrow = ~(ventricular | paced)
    broad = rng.uniform(0.85, 1.3)
    for name, (height, delay, left, right) in _LEADS[lead].items():
        height *= rng.lognormal(0, 0.35) * (
            rng.choice([1, -0.5], p=[0.9, 0.1]) if name == "T" else 1
        )
        width = broad * rng.uniform(0.9, 1.15)
        shown = narrow if name != "P" or not fibrillation else np.zeros_like(narrow)
        at = times + delay * (np.sqrt(rr) if name == "T" else rng.uniform(0.9, 1.1))
        add_bumps(ecg, at[shown], height * gains[shown], left * width, right * width, sfreq)
    for wide, spike in ((ventricular, 0.0), (paced, 2.0)):
        if wide.any():
            at, size = times[wide], gains[wide] * rng.uniform(0.8, 1.6)
            add_bumps(ecg, at, size, 0.035, 0.045, sfreq)
            add_bumps(ecg, at + 0.3, -0.45 * size, 0.07, 0.06, sfreq)
            if spike:
                add_bumps(ecg, at - 0.07, spike, 0.002, 0.002, sfreq)


def _add_noise(
    ecg: Wave,
    n: int,
    activity: Activity | None,
    population: Population,
    sfreq: float,
    rng: np.random.Generator,
) -> None:
    """Add noise of muscles, artifacts of movement and mains to an ECG in mV."""
    noise = population.noise * rng.lognormal(np.log(0.012), 0.7)
    muscle = np.exp(0.4 * draw_slow_noise(rng, n, 120.0))
    if activity is not None:
        muscle += 8 * ndimage.gaussian_filter1d(activity.movement[:n], 2.0)
        swing = population.noise * rng.lognormal(np.log(0.4), 0.6)
        ecg += np.float32(swing) * draw_movement(activity, ecg.size, sfreq, rng)
    ecg += resample(noise * muscle, ecg.size, sfreq) * rng.standard_normal(
        ecg.size, dtype=np.float32
    )
    mains = float(rng.choice(population.mains))
    level = population.noise * rng.lognormal(np.log(0.006), 0.8)
    if mains < sfreq / 2:
        ecg += (level * np.sin(2 * np.pi * mains / sfreq * np.arange(ecg.size))).astype(np.float32)


def render_ecg(  # noqa: PLR0913 (physiology and sensor are independent)
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
        Random number generator, for the lead, the morphology and the noise.
    kinds : array_like of str, shape (n_beats,), optional
        PhysioNet's codes: ``"V"`` is rendered wide and without a P wave, ``"/"`` with a pacemaker
        spike, all others as normal beats.
    breathing : Breathing, optional
        Modulates amplitude and baseline.
    activity : Activity, optional
        Adds movement artifacts and muscle noise, and changes the amplitude at each turn.
    fibrillation : bool
        Replace P waves by fibrillatory waves.
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
    times = check_arguments(duration, sfreq, breathing, activity, beat_times)
    population = Population() if population is None else population
    kind = np.full(times.size, "N") if kinds is None else np.asarray(kinds)
    if kind.shape != times.shape:
        raise ValueError(
            f"kinds must name the kind of each of the {times.size} beats, got an array of shape "
            f"{kind.shape}."
        )
    n_samples, n = round(duration * sfreq), count_points(duration)
    lead = str(rng.choice(population.ecg_leads))
    gain = rng.lognormal(0, 0.35) * (-1 if rng.random() < population.inverted else 1)
    beat_gain = interpolate(draw_posture_gains(activity, n, rng, 0.15), times)
    beat_gain = beat_gain * (1 + 0.02 * rng.standard_normal(times.size))
    respiratory, wander = rng.uniform(0.02, 0.15), rng.lognormal(np.log(0.05), 0.6)
    baseline = wander * population.noise * draw_slow_noise(rng, n, rng.uniform(0.8, 4.0))
    if breathing is not None:
        breath = draw_breath(breathing, n, rng)
        beat_gain *= 1 + respiratory * interpolate(breath, times)
        baseline += rng.lognormal(np.log(0.05), 0.6) * breath
    ecg = np.zeros(n_samples, dtype=np.float32)
    _add_beats(
        ecg, times, kind, beat_gain, lead=lead, fibrillation=fibrillation, sfreq=sfreq, rng=rng
    )
    if fibrillation:
        f = rng.uniform(5, 8) * np.exp(0.1 * draw_slow_noise(rng, n, 2.0))
        turns = wrap_phase(np.cumsum(f) / GRID_HZ, n_samples, sfreq)
        ecg += np.float32(rng.uniform(0.03, 0.1)) * np.sin(np.float32(2 * np.pi) * turns)
    ecg += resample(baseline, n_samples, sfreq)
    _add_noise(ecg, n, activity, population, sfreq, rng)
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
        Random number generator, for shape and delay of the pulse, gain and noise.
    kinds : array_like of str, shape (n_beats,), optional
        PhysioNet's codes; pulses of ectopic beats are smaller.
    breathing : Breathing, optional
        Modulates amplitude, baseline and delay.
    activity : Activity, optional
        Adds vasoconstriction at arousals, and movement artifacts.
    population : Population, optional
        Delay, damping, polarity and noise; by default ``Population()``.

    Returns
    -------
    ppg : array of float32, shape (n_samples,)
        In arbitrary units; a pulse has an amplitude of about 1.
    """
    times = check_arguments(duration, sfreq, breathing, activity, beat_times)
    population = Population() if population is None else population
    n_samples, n = round(duration * sfreq), count_points(duration)
    # Vascular tone varies slowly.
    tone = 0.25 * draw_slow_noise(rng, n, 600.0) + 0.12 * draw_slow_noise(rng, n, 20.0)
    tone += np.log(draw_posture_gains(activity, n, rng, 0.2))
    if activity is not None:
        tone -= rng.uniform(0.3, 0.9) * respond_to_arousals(activity.arousal[:n], 7.0, 0.0)
    baseline = rng.lognormal(np.log(0.15), 0.5) * draw_slow_noise(rng, n, rng.uniform(3, 20))
    delay = np.full(n, max(rng.normal(*population.pulse_delay), 0.08))
    delay += 0.006 * draw_slow_noise(rng, n, 300.0)
    if breathing is not None:
        breath = draw_breath(breathing, n, rng)
        tone += rng.uniform(0.02, 0.15) * breath
        baseline += rng.lognormal(np.log(0.12), 0.6) * np.roll(breath, 2)
        delay += 0.004 * breath
    rr = np.clip(np.diff(times, prepend=times[:1] - 0.9), 0.3, 1.8)
    size = np.exp(interpolate(tone, times)) * np.clip(rr / np.median(rr), 0.3, 1.6) ** rng.uniform(
        0, 0.8
    )
    if kinds is not None:
        size = size * np.where(np.isin(np.asarray(kinds), ["V", "S"]), 0.5, 1.0)
    foot = times + interpolate(delay, times)
    ppg = np.zeros(n_samples, dtype=np.float32)
    damping = population.pulse_damping * rng.uniform(0.85, 1.2)
    notch, second = rng.uniform(0.15, 0.6), rng.uniform(0.33, 0.42) * np.sqrt(rr)
    late = rng.uniform(0.10, 0.18) * damping
    add_bumps(ppg, foot + 0.15 * damping, size, 0.055 * damping, 0.10 * damping, sfreq)
    add_bumps(ppg, foot + second, size * notch, 0.07 * damping, late, sfreq)
    ppg += resample(baseline, n_samples, sfreq)
    noise = population.noise * rng.lognormal(np.log(0.015), 0.7)
    ppg += np.float32(noise) * rng.standard_normal(n_samples, dtype=np.float32)
    if activity is not None:
        swing = population.noise * rng.lognormal(np.log(1.5), 0.6)
        ppg += np.float32(swing) * draw_movement(activity, n_samples, sfreq, rng)
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
        Breathing of the subject.
    duration, sfreq : float
        Duration in s and sampling rate in Hz.
    rng : numpy.random.Generator
        Random number generator, for gain, lag, shape, drift and noise.
    place : str
        ``"thorax"`` or ``"abdomen"``.
    beat_times : array_like, shape (n_beats,), optional
        Times of R peaks in s; heartbeats add small deflections.
    activity : Activity, optional
        Adds movement artifacts; gain and offset change at each turn.
    population : Population, optional
        Polarity and noise; by default ``Population()``.

    Returns
    -------
    belt : array of float32, shape (n_samples,)
        In volts; a breath has a peak-to-peak amplitude of about 0.2 mV.
    """
    if place not in ("thorax", "abdomen"):
        raise ValueError(f"place must be 'thorax' or 'abdomen', got {place!r}.")
    times = check_arguments(duration, sfreq, breathing, activity, beat_times)
    population = Population() if population is None else population
    n_samples, n = round(duration * sfreq), count_points(duration)
    inspiration, pause = rng.uniform(0.35, 0.48), rng.uniform(0.7, 1.4)
    outward = np.maximum(_PHASE - inspiration, 0) / (1 - inspiration)
    outward = 0.5 + 0.5 * outward ** (1 / (1 + 0.3 * pause))
    warped = np.where(outward > 0.5, outward, 0.5 * _PHASE / inspiration)
    shape = (-np.cos(2 * np.pi * warped)).astype(np.float32)
    lag = 0.04 * rng.standard_normal() + 0.02 * draw_slow_noise(rng, n, 900.0)
    if place == "abdomen":
        lag = lag + 0.45 * ndimage.gaussian_filter1d(breathing.paradox[:n], 2.0)
    share = breathing.rib_cage[:n] if place == "thorax" else 2 - breathing.rib_cage[:n]
    depth = breathing.depth[:n] * np.clip(share, 0.3, 1.7)
    depth *= draw_posture_gains(activity, n, rng, 0.3) * np.exp(
        0.1 * draw_slow_noise(rng, n, 1800.0)
    )
    depth = ndimage.gaussian_filter1d(depth, 1.5)
    turns = wrap_phase(breathing.phase[:n] + lag, n_samples, sfreq)
    belt = shape[(turns * _PHASE.size).astype(np.int32) % _PHASE.size]
    belt *= resample(depth, n_samples, sfreq)
    drift = population.noise * rng.lognormal(np.log(0.15), 0.6)
    baseline = drift * draw_slow_noise(rng, n, rng.uniform(10, 60))
    if activity is not None:
        offsets = rng.normal(0, 0.5, activity.posture[-1] + 1)[activity.posture[:n]]
        # Belts are recorded with a high-pass filter, so that offsets decay.
        baseline += offsets - ndimage.gaussian_filter1d(offsets, 20 * GRID_HZ)
        swing = population.noise * rng.lognormal(np.log(1.2), 0.5)
        belt += np.float32(swing) * draw_movement(activity, n_samples, sfreq, rng)
    belt += resample(baseline, n_samples, sfreq)
    if times.size:
        add_bumps(belt, times + 0.1, rng.lognormal(np.log(0.02), 0.8), 0.06, 0.08, sfreq)
    noise = population.noise * rng.lognormal(np.log(0.01), 0.7)
    belt += np.float32(noise) * rng.standard_normal(n_samples, dtype=np.float32)
    np.clip(belt, -6, 6, out=belt)
    gain = 1e-4 * rng.lognormal(0, 0.5)
    belt *= np.float32(-gain if rng.random() < population.inverted else gain)
    return belt
