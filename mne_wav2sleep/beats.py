"""The heart of a simulated night: when it beats, and what beats tell about breathing."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, signal

from .modalities import EPOCH_S
from .physiology import (
    GRID_HZ,
    Activity,
    Breathing,
    arousal_response,
    by_stage,
    check_stages,
    n_grid,
    simulate_activity,
    simulate_breathing,
    slow_noise,
)
from .subjects import Subject, draw_subject

RHYTHMS = ("sinus", "atrial_fibrillation", "ectopy", "paced")


def _fast_modulation(
    n: int,
    stages: NDArray[np.int64],
    breathing: Breathing,
    subject: Subject,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Respiratory and LF modulation of the rate, relative to it."""
    respiratory = by_stage(subject.stage_respiratory, stages, n)
    lf = by_stage(subject.stage_lf, stages, n)
    rr = 60 / subject.heart_rate
    f = np.gradient(breathing.phase) * GRID_HZ
    # A sine of amplitude a gives an RMSSD of about 2 a sin(pi f rr) / sqrt(2).
    usual = subject.breathing_rate / 60
    a = subject.rmssd / rr / (np.sqrt(2) * np.sin(np.pi * min(usual * rr, 0.5)))
    # Slow breaths modulate more than quick ones (Hirsch & Bishop 1981, Am J Physiol 241:H620).
    size = a * np.sqrt(breathing.depth) * np.clip(usual / np.maximum(f, 0.05), 0.5, 1.8)
    band = signal.butter(2, (0.05, 0.14), "bandpass", fs=GRID_HZ, output="sos")
    waves = signal.sosfiltfilt(band, rng.standard_normal(n))
    waves /= waves.std()
    drift = np.exp(0.25 * slow_noise(rng, n, 200.0) + 0.25 * slow_noise(rng, n, 1500.0) - 0.06)
    return np.asarray(
        drift
        * (
            respiratory * size * np.sin(2 * np.pi * breathing.phase)
            + subject.lf * lf * a / np.sqrt(2) * waves
        )
    )


def _fire(
    rate: NDArray[np.float64], rng: np.random.Generator, duration: float, rhythm: str
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Beats where the integral of the rate (1/s) passes thresholds: whole numbers, in sinus."""
    integral = np.concatenate([[0.0], np.cumsum(rate) / GRID_HZ])
    n = int(integral[-1])
    if rhythm == "atrial_fibrillation":
        # Intervals of fibrillation have no memory and a coefficient of variation of about 0.22.
        shape = 1 / 0.22**2
        thresholds = np.cumsum(0.35 + 0.65 * rng.gamma(shape * 0.42, 1 / (shape * 0.42), n))
        thresholds = thresholds[thresholds < integral[-1]]
    else:
        thresholds = np.arange(float(n)) + rng.random()
    times: NDArray[np.float64] = np.interp(thresholds, integral, np.arange(integral.size) / GRID_HZ)
    kinds = np.full(times.size, "/" if rhythm == "paced" else "N", dtype="<U1")
    if rhythm != "paced":
        # The sinus node and the detection of peaks are a few milliseconds uncertain.
        times = times + 0.002 * rng.standard_normal(times.size)
    if rhythm == "ectopy" and times.size > 3:
        rr = np.diff(times, prepend=2 * times[0] - times[1])
        # Ectopic beats come in clusters, hence the slowly changing probability.
        often = 0.05 * np.exp(slow_noise(rng, times.size, 100.0))
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
        Source of all chance.
    subject : Subject, optional
        Who sleeps; drawn if not given.
    breathing : Breathing, optional
        Breathing that modulates the rate; simulated if not given.
    activity : Activity, optional
        Arousals and movements that quicken it; simulated if not given.
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
    A beat falls where the integral of the rate passes a whole number (Mateo & Laguna 2000, IEEE
    Trans Biomed Eng 47:985). The rate is the subject's own, plus what the stage, the time of
    night, very slow noise, arousals and movements add, times the LF and respiratory modulation.

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
    n = n_grid(duration)
    hours = np.arange(n) / (3600 * GRID_HZ)
    bpm = subject.heart_rate + by_stage(subject.stage_heart_rate, stages, n)
    # Most of the fall is over after half a night.
    bpm += subject.heart_rate_trend * (np.sqrt(np.minimum(hours / 8, 1)) - 0.6)
    bpm += 2.4 * slow_noise(rng, n, 1500.0)
    bpm += by_stage(subject.stage_vlf, stages, n) * (
        slow_noise(rng, n, 20.0) + 0.6 * slow_noise(rng, n, 120.0)
    )
    bpm += subject.arousal_heart_rate * arousal_response(activity.arousal, 5.0, 0.35)
    # The heart follows work within seconds and recovers from it in a quarter of a minute.
    effort = ndimage.gaussian_filter1d(
        signal.lfilter([1 / 60], [1, -59 / 60], activity.movement), 6
    )
    bpm += 4.0 * subject.arousal_heart_rate * effort
    posture = rng.normal(0, 1.5, activity.posture[-1] + 1)
    bpm += posture[activity.posture]
    for start, stop in breathing.events:
        bpm[int(start * GRID_HZ) : int(stop * GRID_HZ)] -= 0.5 * subject.arousal_heart_rate
    fast = _fast_modulation(n, stages, breathing, subject, rng)
    if rhythm == "atrial_fibrillation":
        bpm, fast = bpm + 12, 0.2 * fast
    rate = np.clip(bpm, 35, 170) / 60 * np.exp(np.clip(fast, -0.5, 0.5))
    if rhythm == "paced":
        rate = np.maximum(rate, (np.ceil(subject.heart_rate / 5) * 5) / 60)
    return _fire(rate, rng, duration, rhythm)


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
    """Invent beats that follow a slowly sampled heart rate, such as a watch gives.

    Parameters
    ----------
    times : array_like, shape (n,)
        When the heart rate was measured, in s from the beginning of the recording, in any order.
    bpm : array_like, shape (n,)
        The heart rate in beats per minute.
    duration : float
        Duration of the recording in s.
    rng : numpy.random.Generator
        Source of the variability from beat to beat, which the heart rate does not tell.
    subject : Subject, optional
        Whose variability; drawn if not given. The level of the heart rate stays that of ``bpm``.
    breathing : Breathing, optional
        Breathing that modulates the rate; without it the sleeper breathes as in N2.
    stages : array_like of int, shape (n_epochs,), optional
        YASA's integers. If given, the variability follows them as it does in
        :func:`simulate_beats`; else it is that of N2.

    Returns
    -------
    beat_times : array, shape (n_beats,)
        Times of beats in s.
    kinds : array of str, shape (n_beats,)
        ``"N"`` for each.
    """
    at, measured = np.asarray(times, dtype=np.float64), np.asarray(bpm, dtype=np.float64)
    if at.ndim != 1 or at.shape != measured.shape or at.size < 2:
        raise ValueError(
            "times and bpm must be two arrays of one length, two values at least, got shapes "
            f"{at.shape} and {measured.shape}."
        )
    if not (np.isfinite(at).all() and np.isfinite(measured).all()):
        raise ValueError("times and bpm must be finite; leave out what was not measured.")
    order = np.argsort(at, kind="stable")
    at, measured = at[order], measured[order]
    subject = draw_subject(rng) if subject is None else subject
    n = n_grid(duration)
    calm = np.full(int(np.ceil(duration / EPOCH_S)), 2)
    if breathing is None:
        breathing = simulate_breathing(calm, rng=rng, subject=subject)
    rate = ndimage.gaussian_filter1d(np.interp(np.arange(n) / GRID_HZ, at, measured), 2 * GRID_HZ)
    scored = calm if stages is None else check_stages(stages)
    fast = _fast_modulation(n, scored, _fit_grid(breathing, n), subject, rng)
    rate = np.clip(rate, 30, 200) / 60 * np.exp(np.clip(fast, -0.5, 0.5))
    return _fire(rate, rng, duration, "sinus")


def _fit_grid(breathing: Breathing, n: int) -> Breathing:
    """Cut breathing to a number of grid points."""
    if breathing.phase.size < n:
        raise ValueError(
            f"breathing lasts {breathing.phase.size / GRID_HZ:.0f} s, shorter than the recording "
            f"of {(n - 1) / GRID_HZ:.0f} s; simulate it for the whole recording."
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
    """Take the breathing that the respiratory modulation of real beats implies.

    Parameters
    ----------
    beat_times : array_like, shape (n_beats,)
        Times of beats in s.
    duration : float
        Duration of the recording in s.
    rng : numpy.random.Generator
        Source of chance for what beats do not tell.

    Returns
    -------
    breathing : Breathing
        Phase and depth of the 0.12 to 0.45 Hz modulation of heart rate. Depth says how strongly
        breathing acts on the heart, which goes only partly with how deep breaths are.
    """
    times = np.asarray(beat_times, dtype=np.float64)
    if times.ndim != 1 or times.size < 10 or not (np.diff(times) > 0).all():
        raise ValueError(
            "beat_times must be at least 10 ascending times in seconds, got an array of shape "
            f"{times.shape}."
        )
    n = n_grid(duration)
    grid = np.arange(n) / GRID_HZ
    rate = 60 / np.clip(np.diff(times), 0.3, 2.0)
    rate = np.clip(rate, *np.percentile(rate, [0.5, 99.5]))
    curve = np.interp(grid, times[1:], rate)
    band = signal.butter(3, (0.12, 0.45), "bandpass", fs=GRID_HZ, output="sos")
    analytic = signal.hilbert(signal.sosfiltfilt(band, curve))
    envelope = ndimage.gaussian_filter1d(np.abs(analytic), 2 * GRID_HZ)
    # The heart quickens as one breathes in: a breath begins a quarter before the quickest beat.
    phase = np.maximum.accumulate(np.unwrap(np.angle(analytic))) / (2 * np.pi) + 0.25
    depth = np.clip((envelope / (np.median(envelope) + 1e-9)) ** 0.5, 0.3, 3.0)
    depth *= np.exp(0.05 * slow_noise(rng, n, 5.0))
    return Breathing(phase - np.floor(phase[0]), depth, np.ones(n), np.zeros(n), np.empty((0, 2)))
