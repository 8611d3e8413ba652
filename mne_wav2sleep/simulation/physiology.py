"""Physiology of a simulated night: stages, breathing, arousals and movements.

Time series have a rate of :data:`GRID_HZ` and begin with the recording ("the grid"). Heart beats
are simulated in :mod:`mne_wav2sleep.simulation.beats`, signals of sensors in
:mod:`mne_wav2sleep.simulation.waves`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import yasa
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, signal

from ..modalities import EPOCH_S
from .subjects import Subject, draw_subject

GRID_HZ = 4.0
"""Rate of the grid of breathing, arousals and movements, in Hz."""

_STAGES = ["WAKE", "N1", "N2", "N3", "REM"]
# Counts of transitions between 30-s epochs, from row to column (Metzner et al. 2021,
# Communications Biology 4:1385, the default of yasa.simulate_hypnogram).
_TRANSITIONS = np.array(
    [
        [11737, 571, 84, 2, 2],
        [281, 6697, 1661, 11, 59],
        [253, 1070, 26259, 505, 272],
        [49, 176, 279, 9630, 12],
        [57, 189, 84, 2, 10071],
    ]
)


@dataclass(frozen=True)
class Breathing:
    """Breathing on the grid; arrays have shape (n_grid,).

    Attributes
    ----------
    phase : array
        Breaths since the beginning; an inspiration starts at every integer.
    depth : array
        Depth of breaths, 1 on average, 0 in an apnea.
    rib_cage : array
        Share of the rib cage in breathing, relative to wake.
    paradox : array
        1 where thorax and abdomen move in opposite directions, as in an obstructed breath, else 0.
    events : array, shape (n_events, 2)
        Start and end of apneas and hypopneas in s.
    """

    phase: NDArray[np.float64]
    depth: NDArray[np.float64]
    rib_cage: NDArray[np.float64]
    paradox: NDArray[np.float64]
    events: NDArray[np.float64]


@dataclass(frozen=True)
class Activity:
    """Arousals and movements on the grid; arrays have shape (n_grid,).

    Attributes
    ----------
    arousal : array
        Strength of an arousal at its start, 1 for a typical one, else 0.
    movement : array
        Intensity of movement, 1 in a typical one.
    posture : array of int
        Number of the posture, which changes when the subject turns.
    """

    arousal: NDArray[np.float64]
    movement: NDArray[np.float64]
    posture: NDArray[np.int64]


def count_points(duration: float) -> int:
    """Count the grid points that cover a duration in s."""
    return int(np.ceil(duration * GRID_HZ)) + 1


def draw_slow_noise(rng: np.random.Generator, n: int, tau: float) -> NDArray[np.float64]:
    """Draw noise of unit SD on the grid, with a time constant of tau seconds."""
    keep = np.exp(-1 / (tau * GRID_HZ))
    white = rng.standard_normal(n)
    white[1:] *= np.sqrt(1 - keep**2)
    return np.asarray(signal.lfilter([1.0], [1.0, -keep], white))


def interpolate_stages(
    table: NDArray[np.float64], stages: NDArray[np.int64], n: int
) -> NDArray[np.float64]:
    """Interpolate one value per stage to the grid, smoothed, as bodies respond within some 20 s."""
    seconds = np.repeat(table[np.maximum(stages, 0)], int(EPOCH_S))
    smooth = ndimage.gaussian_filter1d(seconds, 12.0, mode="nearest")
    return np.interp(np.arange(n) / GRID_HZ, np.arange(smooth.size) + 0.5, smooth)


def check_stages(stages: ArrayLike) -> NDArray[np.int64]:
    """Convert stages to an array of integers, and check them."""
    array = np.asarray(stages)
    if array.ndim != 1 or not array.size or not np.isin(array, range(-1, 5)).all():
        raise ValueError(
            "stages must be a non-empty array of YASA's integers 0 (WAKE) to 4 (REM) or -1 "
            f"(unscored), one per 30-s epoch, got {stages!r:.80}. Convert them."
        )
    return array.astype(np.int64)


def simulate_stages(
    n_epochs: int, *, rng: np.random.Generator, subject: Subject
) -> NDArray[np.int64]:
    """Simulate the stages of a night: initial wake, and cycles with N3 early and REM late.

    Parameters
    ----------
    n_epochs : int
        Number of 30-s epochs.
    rng : numpy.random.Generator
        Random number generator.
    subject : Subject
        The subject.

    Returns
    -------
    stages : array of int, shape (n_epochs,)
        YASA's integers.

    Notes
    -----
    :func:`yasa.simulate_hypnogram` draws the stages in pieces of 5 min, with transition
    probabilities (Metzner et al. 2021) that depend on the sleep cycle: cycles of about 95 min, with
    deep sleep in their first part and early in the night, and REM at their end and late in the
    night (Carskadon & Dement, Principles and Practice of Sleep Medicine).
    """
    rates = _TRANSITIONS / _TRANSITIONS.sum(axis=1, keepdims=True)
    deep = float(np.clip(1.3 - 0.012 * (subject.age - 20), 0.25, 1.3)) * np.exp(rng.normal(0, 0.3))
    cycle_epochs = 2 * np.clip(rng.normal(95, 12), 70, 125)
    settling, lability = np.exp(rng.normal(0, 0.4)), np.exp(rng.normal(0, 0.3))
    # Recordings begin before lights off, and end after the final awakening.
    lights_off = min(rng.exponential(30), n_epochs / 6)
    last_sleep = n_epochs - min(rng.exponential(16) * subject.wakefulness, n_epochs / 6)
    stages = [0] * max(round(lights_off), 1)
    onset: int | None = None
    restless = 0
    while len(stages) < n_epochs:
        if onset is None and 2 in stages:
            onset = stages.index(2)
        asleep = 0 if onset is None else len(stages) - onset
        cycle, position = divmod(asleep / cycle_epochs, 1.0)
        hours = asleep / 120
        slow = position < 0.65 and onset is not None
        rem = position > 0.84 - 0.06 * min(cycle, 4) and onset is not None
        # Most awakenings are brief; a few are long.
        if restless == 0 and onset is not None and rng.random() < 0.03 * subject.wakefulness:
            restless = int(np.clip(rng.lognormal(1.0, 0.8), 1, 24))
        awake = restless > 0 or len(stages) > last_sleep
        restless = max(restless - 1, 0)
        p = rates.copy()
        p[1:, 0] *= lability * subject.wakefulness * (0.7 + 0.08 * hours)
        p[1:4, 1] *= lability
        p[0] *= settling if onset is None else 7.0
        p[1] *= 1.8
        p[2, 3] *= deep * (0.2 + 4.5 * slow * np.exp(-hours / 2.5))
        p[3, :3] *= (0.7 if slow else 2.5) / np.sqrt(deep)
        p[2, 4] *= 9.0 if rem else 0.15
        p[4, :3] *= 1.2 if rem else 2.5
        if rem:
            p[:2, 4] *= 15.0
        if awake:
            p[0] *= 0.08
            p[1:3, 0] *= 6.0
        np.fill_diagonal(p, 0)
        p /= np.maximum(p.sum(axis=1, keepdims=True) / 0.9, 1)
        np.fill_diagonal(p, 1 - p.sum(axis=1))
        matrix = pd.DataFrame(p, index=_STAGES, columns=_STAGES)
        piece = yasa.simulate_hypnogram(
            5.0, matrix, matrix.iloc[stages[-1]], seed=int(rng.integers(2**31))
        )
        stages += [_STAGES.index(stage) for stage in piece.hypno]
    return np.array(stages[:n_epochs], dtype=np.int64)


def simulate_breathing(
    stages: ArrayLike,
    *,
    rng: np.random.Generator,
    subject: Subject | None = None,
    apnea_index: float = 0.0,
) -> Breathing:
    """Simulate breathing: rate and regularity by stage, sighs, apneas.

    Parameters
    ----------
    stages : array_like of int, shape (n_epochs,)
        YASA's integers, one per 30-s epoch.
    rng : numpy.random.Generator
        Random number generator.
    subject : Subject, optional
        The subject; drawn if not given.
    apnea_index : float
        Apneas and hypopneas per hour of sleep.

    Returns
    -------
    breathing : Breathing
        Breathing for the duration of the stages.
    """
    stages = check_stages(stages)
    subject = draw_subject(rng) if subject is None else subject
    n = count_points(stages.size * EPOCH_S)
    breath_s = 60 / subject.breathing_rate
    # Regular and irregular breathing alternate within a stage as well.
    unrest = np.exp(
        0.35 * draw_slow_noise(rng, n, 120.0) + 0.25 * draw_slow_noise(rng, n, 900.0) - 0.09
    )
    irregular = unrest * interpolate_stages(subject.stage_breath_length, stages, n)
    per_minute = subject.breathing_rate + interpolate_stages(
        subject.stage_breathing_rate, stages, n
    )
    # Half of a breath's deviation is independent, half is shared within about a minute.
    log_rate = irregular * (draw_slow_noise(rng, n, breath_s) + 0.5 * draw_slow_noise(rng, n, 40.0))
    log_rate += 0.04 * draw_slow_noise(rng, n, 1200.0)
    rate = np.clip(per_minute * np.exp(log_rate), 5, 40) / 60
    phase = np.cumsum(rate) / GRID_HZ
    breath = phase.astype(np.int64)
    own = rng.standard_normal(breath[-1] + 1)
    # A sigh about every 8 min.
    sigh = np.where(rng.random(own.size) < breath_s / 500, rng.uniform(1.8, 3.0, own.size), 1.0)
    depth = np.exp(unrest * interpolate_stages(subject.stage_breath_depth, stages, n) * own[breath])
    depth *= sigh[breath] * np.exp(0.12 * draw_slow_noise(rng, n, 60.0))
    paradox = np.zeros(n)
    events = _draw_apneas(stages, rng, apnea_index)
    time = np.arange(n) / GRID_HZ
    for start, stop in events:
        obstructive = rng.random() < 0.7
        left = rng.uniform(0.2, 0.6) if obstructive else rng.uniform(0.0, 0.3)
        inside = slice(int(start * GRID_HZ), int(stop * GRID_HZ))
        depth[inside] *= left
        paradox[inside] = obstructive
        after = (time >= stop) & (time < stop + 12)
        depth[after] *= 1 + 0.9 * np.exp(-(time[after] - stop) / 6)
    rib_cage = interpolate_stages(subject.stage_rib_cage, stages, n)
    return Breathing(phase, np.minimum(depth, 4.0), rib_cage, paradox, events)


def _draw_apneas(
    stages: NDArray[np.int64], rng: np.random.Generator, index: float
) -> NDArray[np.float64]:
    """Draw start and end of apneas in s, in series with 15 to 45 s between them."""
    wanted = round(index * np.count_nonzero(stages > 0) * EPOCH_S / 3600)
    likely = np.array([0.0, 1.2, 1.0, 0.3, 1.5])[np.maximum(stages, 0)]
    events: list[tuple[float, float]] = []
    taken = np.zeros(stages.size * int(EPOCH_S) + 1, dtype=bool)
    for _ in range(20 * wanted):
        if len(events) >= wanted or not likely.any():
            break
        start = (rng.choice(stages.size, p=likely / likely.sum()) + rng.random()) * EPOCH_S
        for _ in range(rng.geometric(0.15)):
            stop = start + float(np.clip(rng.lognormal(np.log(20), 0.35), 10, 60))
            around = slice(int(start), int(stop) + 15)
            epoch = min(int(start // EPOCH_S), stages.size - 1)
            if stop + 15 >= taken.size or taken[around].any() or stages[epoch] < 1:
                break
            taken[around] = True
            events.append((start, stop))
            start = stop + rng.uniform(15, 45)
    return np.array(sorted(events[:wanted])).reshape(-1, 2)


def simulate_activity(
    stages: ArrayLike,
    *,
    rng: np.random.Generator,
    subject: Subject | None = None,
    events: NDArray[np.float64] | None = None,
) -> Activity:
    """Simulate arousals, body movements and turns.

    Parameters
    ----------
    stages : array_like of int, shape (n_epochs,)
        YASA's integers, one per 30-s epoch.
    rng : numpy.random.Generator
        Random number generator.
    subject : Subject, optional
        The subject; drawn if not given.
    events : array, shape (n_events, 2), optional
        Start and end of apneas in s; most of them end in an arousal.

    Returns
    -------
    activity : Activity
        Arousals and movements for the duration of the stages.
    """
    stages = check_stages(stages)
    subject = draw_subject(rng) if subject is None else subject
    n = count_points(stages.size * EPOCH_S)
    stage = np.pad(np.repeat(np.maximum(stages, 0), int(EPOCH_S * GRID_HZ)), (0, 1), mode="edge")
    arousal, movement = np.zeros(n), np.zeros(n)
    begins = np.flatnonzero(rng.random(n) < subject.arousals[stage] / (3600 * GRID_HZ))
    # Awakenings are arousals, too.
    awakens = (np.flatnonzero((stages[1:] == 0) & (stages[:-1] > 0)) + 1) * EPOCH_S * GRID_HZ
    ends = np.array([]) if events is None else events[rng.random(len(events)) < 0.8, 1] * GRID_HZ
    for begin in np.concatenate([begins, awakens, ends]).astype(np.int64):
        arousal[begin] = rng.lognormal(-0.1, 0.45)
    often = subject.movements[stage] / (3600 * GRID_HZ)
    # People move more before they try to sleep.
    often[: np.argmax(stage > 0)] *= 2.5
    moves = np.flatnonzero(rng.random(n) < often)
    with_arousal = np.flatnonzero(arousal * (rng.random(n) < 0.3))
    turns = np.zeros(n, dtype=np.int64)
    for begin in np.concatenate([moves, with_arousal]):
        seconds = np.clip(rng.lognormal(np.log(4.0), 0.8), 0.5, 60)
        stop = min(begin + max(int(seconds * GRID_HZ), 1), n)
        strength = rng.lognormal(-0.3, 0.6)
        movement[begin:stop] = np.maximum(
            movement[begin:stop], strength * rng.uniform(0.3, 1.0, stop - begin)
        )
        turns[begin] = seconds > 4 and rng.random() < 0.3
    return Activity(arousal, movement, np.cumsum(turns))


def respond_to_arousals(
    arousal: NDArray[np.float64], rise_s: float, undershoot: float
) -> NDArray[np.float64]:
    """Convolve arousals with a response that peaks at 1 after rise_s, then undershoots."""
    t = np.arange(0, 60, 1 / GRID_HZ)
    late = 3 * rise_s
    response = t / rise_s * np.exp(1 - t / rise_s) - undershoot * t / late * np.exp(1 - t / late)
    return np.asarray(signal.fftconvolve(arousal, response / response.max())[: arousal.size])
