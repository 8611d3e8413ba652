"""Heart beats of a simulated night, and breathing derived from real beats."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, signal

from ..modalities import EPOCH_S
from .physiology import (
    GRID_HZ,
    Activity,
    Breathing,
    check_stages,
    count_points,
    draw_slow_noise,
    interpolate_stages,
    respond_to_arousals,
    simulate_activity,
    simulate_breathing,
)
from .subjects import Subject, draw_subject

RHYTHMS = ("sinus", "atrial_fibrillation", "ectopy", "paced")


def _draw_modulation(
    n: int,
    stages: NDArray[np.int64],
    breathing: Breathing,
    subject: Subject,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw the respiratory and LF modulation of heart rate, relative to the rate."""
    respiratory = interpolate_stages(subject.stage_respiratory, stages, n)
    lf = interpolate_stages(subject.stage_lf, stages, n)
    rr = 60 / subject.heart_rate
    f = np.gradient(breathing.phase) * GRID_HZ
    # A sine of amplitude a gives an RMSSD of about 2 a sin(pi f rr) / sqrt(2).
    usual = subject.breathing_rate / 60
    a = subject.rmssd / rr / (np.sqrt(2) * np.sin(np.pi * min(usual * rr, 0.5)))
    # Slow breaths modulate more than fast ones (Hirsch & Bishop 1981, Am J Physiol 241:H620).
    size = a * np.sqrt(breathing.depth) * np.clip(usual / np.maximum(f, 0.05), 0.5, 1.8)
    band = signal.butter(2, (0.05, 0.14), "bandpass", fs=GRID_HZ, output="sos")
    waves = signal.sosfiltfilt(band, rng.standard_normal(n))
    waves /= waves.std()
    drift = np.exp(
        0.25 * draw_slow_noise(rng, n, 200.0) + 0.25 * draw_slow_noise(rng, n, 1500.0) - 0.06
    )
    return np.asarray(
        drift
        * (
            respiratory * size * np.sin(2 * np.pi * breathing.phase)
            + subject.lf * lf * a / np.sqrt(2) * waves
        )
    )


def _place_beats(
    rate: NDArray[np.float64], rng: np.random.Generator, duration: float, rhythm: str
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Place beats where the integral of the rate (1/s) passes thresholds (in sinus, integers)."""
    integral = np.concatenate([[0.0], np.cumsum(rate) / GRID_HZ])
    n = int(integral[-1])
    if rhythm == "atrial_fibrillation":
        # Intervals of fibrillation are independent, with a coefficient of variation of about 0.22.
        shape = 1 / 0.22**2
        thresholds = np.cumsum(0.35 + 0.65 * rng.gamma(shape * 0.42, 1 / (shape * 0.42), n))
        thresholds = thresholds[thresholds < integral[-1]]
    else:
        thresholds = np.arange(float(n)) + rng.random()
    times: NDArray[np.float64] = np.interp(thresholds, integral, np.arange(integral.size) / GRID_HZ)
    kinds = np.full(times.size, "/" if rhythm == "paced" else "N", dtype="<U1")
    if rhythm != "paced":
        # Sinus node and peak detection have a jitter of a few milliseconds.
        times = times + 0.002 * rng.standard_normal(times.size)
    if rhythm == "ectopy" and times.size > 3:
        rr = np.diff(times, prepend=2 * times[0] - times[1])
        # Ectopic beats occur in clusters, hence the slowly varying probability.
        often = 0.05 * np.exp(draw_slow_noise(rng, times.size, 100.0))
        early = rng.random(times.size) < np.minimum(often, 0.4)
        early[1:] &= ~early[:-1]
        early[0] = False
        times[early] -= rr[early] * rng.uniform(0.25, 0.45, early.sum())
        kinds[early] = np.where(rng.random(early.sum()) < 0.7, "V", "S")
    inside = (times >= 0) & (times < duration)
    return times[inside], kinds[inside]


def simulate_beats(
    stages: ArrayLike,
    *,
    rng: np.random.Generator,
    subject: Subject | None = None,
    breathing: Breathing | None = None,
    activity: Activity | None = None,
    rhythm: str = "sinus",
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Simulate beats by integral pulse frequency modulation.

    Parameters
    ----------
    stages : array_like of int, shape (n_epochs,)
        YASA's integers, one per 30-s epoch.
    rng : numpy.random.Generator
        Random number generator.
    subject : Subject, optional
        The subject; drawn if not given.
    breathing : Breathing, optional
        Breathing that modulates the rate; simulated if not given.
    activity : Activity, optional
        Arousals and movements that increase the rate; simulated if not given.
    rhythm : str
        ``"sinus"``, ``"atrial_fibrillation"``, ``"ectopy"`` or ``"paced"``.

    Returns
    -------
    beat_times : array, shape (n_beats,)
        Times of R peaks in s.
    kinds : array of str, shape (n_beats,)
        PhysioNet's codes: ``"N"`` normal, ``"S"`` supraventricular ectopic, ``"V"`` ventricular
        ectopic, ``"/"`` paced.

    Notes
    -----
    A beat is placed where the integral of the rate passes an integer (Mateo & Laguna 2000, IEEE
    Trans Biomed Eng 47:985). The rate is that of the subject, plus effects of stage, time of night,
    very slow noise, arousals and movements, times the LF and respiratory modulation.

    Examples
    --------
    >>> beat_times, kinds = simulate_beats([0, 1, 2, 2, 3], rng=np.random.default_rng(0))
    >>> bool(100 < beat_times.size < 250)
    True
    """
    stages = check_stages(stages)
    if rhythm not in RHYTHMS:
        raise ValueError(f"rhythm must be one of {', '.join(RHYTHMS)}, got {rhythm!r}.")
    subject = draw_subject(rng) if subject is None else subject
    if breathing is None:
        breathing = simulate_breathing(stages, rng=rng, subject=subject)
    if activity is None:
        activity = simulate_activity(stages, rng=rng, subject=subject, events=breathing.events)
    duration = stages.size * EPOCH_S
    n = count_points(duration)
    hours = np.arange(n) / (3600 * GRID_HZ)
    bpm = subject.heart_rate + interpolate_stages(subject.stage_heart_rate, stages, n)
    # Most of the decrease happens in the first half of the night.
    bpm += subject.heart_rate_trend * (np.sqrt(np.minimum(hours / 8, 1)) - 0.6)
    bpm += 2.4 * draw_slow_noise(rng, n, 1500.0)
    bpm += interpolate_stages(subject.stage_vlf, stages, n) * (
        draw_slow_noise(rng, n, 20.0) + 0.6 * draw_slow_noise(rng, n, 120.0)
    )
    bpm += subject.arousal_heart_rate * respond_to_arousals(activity.arousal, 5.0, 0.35)
    # Heart rate rises within seconds of a movement and recovers within about 15 s.
    effort = ndimage.gaussian_filter1d(
        signal.lfilter([1 / 60], [1, -59 / 60], activity.movement), 6
    )
    bpm += 4.0 * subject.arousal_heart_rate * effort
    posture = rng.normal(0, 1.5, activity.posture[-1] + 1)
    bpm += posture[activity.posture]
    for start, stop in breathing.events:
        bpm[int(start * GRID_HZ) : int(stop * GRID_HZ)] -= 0.5 * subject.arousal_heart_rate
    fast = _draw_modulation(n, stages, breathing, subject, rng)
    if rhythm == "atrial_fibrillation":
        bpm, fast = bpm + 12, 0.2 * fast
    rate = np.clip(bpm, 35, 170) / 60 * np.exp(np.clip(fast, -0.5, 0.5))
    if rhythm == "paced":
        rate = np.maximum(rate, (np.ceil(subject.heart_rate / 5) * 5) / 60)
    return _place_beats(rate, rng, duration, rhythm)


def beats_from_heart_rate(
    times: ArrayLike,
    bpm: ArrayLike,
    *,
    duration: float,
    rng: np.random.Generator,
    subject: Subject | None = None,
    breathing: Breathing | None = None,
    stages: ArrayLike | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Simulate beats that follow a slowly sampled heart rate, such as that of a watch.

    Parameters
    ----------
    times : array_like, shape (n,)
        Times at which the heart rate was measured, in s from the start of the recording, in any
        order.
    bpm : array_like, shape (n,)
        The heart rate in beats per minute.
    duration : float
        Duration of the recording in s.
    rng : numpy.random.Generator
        Random number generator, for the variability from beat to beat.
    subject : Subject, optional
        Subject with this variability; drawn if not given. The mean heart rate is that of ``bpm``.
    breathing : Breathing, optional
        Breathing that modulates the rate; simulated as in N2 if not given.
    stages : array_like of int, shape (n_epochs,), optional
        YASA's integers. If given, the variability depends on them as in :func:`simulate_beats`;
        otherwise it is that of N2.

    Returns
    -------
    beat_times : array, shape (n_beats,)
        Times of beats in s.
    kinds : array of str, shape (n_beats,)
        ``"N"`` for each.

    Raises
    ------
    ValueError
        If times and heart rates cannot be used, or breathing or stages do not fit.
    """
    at, measured = np.asarray(times, dtype=np.float64), np.asarray(bpm, dtype=np.float64)
    if at.ndim != 1 or at.shape != measured.shape or at.size < 2:
        raise ValueError(
            "times and bpm must be two arrays of one length, with at least two values, got shapes "
            f"{at.shape} and {measured.shape}. Give one heart rate per time."
        )
    if not (np.isfinite(at).all() and np.isfinite(measured).all()):
        raise ValueError(
            "times and bpm must be finite, got NaN or infinity. Leave out what was not measured."
        )
    order = np.argsort(at, kind="stable")
    at, measured = at[order], measured[order]
    subject = draw_subject(rng) if subject is None else subject
    n = count_points(duration)
    calm = np.full(int(np.ceil(duration / EPOCH_S)), 2)
    if breathing is None:
        breathing = simulate_breathing(calm, rng=rng, subject=subject)
    rate = ndimage.gaussian_filter1d(np.interp(np.arange(n) / GRID_HZ, at, measured), 2 * GRID_HZ)
    scored = calm if stages is None else check_stages(stages)
    fast = _draw_modulation(n, scored, _fit_grid(breathing, n), subject, rng)
    rate = np.clip(rate, 30, 200) / 60 * np.exp(np.clip(fast, -0.5, 0.5))
    return _place_beats(rate, rng, duration, "sinus")


def _fit_grid(breathing: Breathing, n: int) -> Breathing:
    """Cut breathing to a number of grid points."""
    if breathing.phase.size < n:
        raise ValueError(
            f"breathing lasts {breathing.phase.size / GRID_HZ:.0f} s, less than the recording of "
            f"{(n - 1) / GRID_HZ:.0f} s. Simulate it for the whole recording."
        )
    return Breathing(
        breathing.phase[:n],
        breathing.depth[:n],
        breathing.rib_cage[:n],
        breathing.paradox[:n],
        breathing.events,
    )


def breathing_from_beats(
    beat_times: ArrayLike, *, duration: float, rng: np.random.Generator
) -> Breathing:
    """Derive breathing from the respiratory modulation of real beats.

    Parameters
    ----------
    beat_times : array_like, shape (n_beats,)
        Times of beats in s.
    duration : float
        Duration of the recording in s.
    rng : numpy.random.Generator
        Random number generator, for what cannot be derived from beats.

    Returns
    -------
    breathing : Breathing
        Phase and depth of the modulation of heart rate from 0.12 to 0.45 Hz. Depth is the strength
        of this modulation, which depends only partly on the depth of breaths.

    Raises
    ------
    ValueError
        If there are fewer than 10 beats, or their times do not ascend.
    """
    times = np.asarray(beat_times, dtype=np.float64)
    if times.ndim != 1 or times.size < 10 or not (np.diff(times) > 0).all():
        raise ValueError(
            "beat_times must be at least 10 ascending times in seconds, got an array of shape "
            f"{times.shape}. Sort them, and remove duplicates."
        )
    n = count_points(duration)
    grid = np.arange(n) / GRID_HZ
    rate = 60 / np.clip(np.diff(times), 0.3, 2.0)
    rate = np.clip(rate, *np.percentile(rate, [0.5, 99.5]))
    curve = np.interp(grid, times[1:], rate)
    band = signal.butter(3, (0.12, 0.45), "bandpass", fs=GRID_HZ, output="sos")
    analytic = signal.hilbert(signal.sosfiltfilt(band, curve))
    envelope = ndimage.gaussian_filter1d(np.abs(analytic), 2 * GRID_HZ)
    # Heart rate rises with inspiration: a breath starts a quarter before the highest rate.
    phase = np.maximum.accumulate(np.unwrap(np.angle(analytic))) / (2 * np.pi) + 0.25
    depth = np.clip((envelope / (np.median(envelope) + 1e-9)) ** 0.5, 0.3, 3.0)
    depth *= np.exp(0.05 * draw_slow_noise(rng, n, 5.0))
    return Breathing(phase - np.floor(phase[0]), depth, np.ones(n), np.zeros(n), np.empty((0, 2)))
