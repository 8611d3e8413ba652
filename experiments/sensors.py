"""Sensors that the simulator of the package does not have: an EEG, and activity counts of a wrist.

They are of the same night as its other signals: their stages, and the movements that the night was
simulated with. Neither shows stages plainly. An EEG varies between people and within a stage, and
has noise of its electrodes; a wrist that does not move may be awake.
"""

from collections.abc import Callable, Collection
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from mne_wav2sleep.modalities import EPOCH_S
from mne_wav2sleep.simulation import (
    Population,
    draw_subject,
    simulate_activity,
    simulate_breathing,
    simulate_stages,
)
from mne_wav2sleep.simulation.physiology import (
    GRID_HZ,
    Activity,
    count_points,
    draw_slow_noise,
    interpolate_stages,
)
from mne_wav2sleep.simulation.rendering import draw_movement, resample

_BANDS = {
    "delta": (0.5, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 12.0),
    "sigma": (12.0, 16.0),
    "beta": (16.0, 30.0),
}
"""Bands of the EEG in Hz; sigma is that of spindles."""
_AMPLITUDES = {
    "delta": (9.0, 9.0, 14.0, 28.0, 9.0),
    "theta": (5.0, 6.5, 7.5, 9.0, 6.5),
    "alpha": (9.0, 4.5, 4.0, 3.5, 4.0),
    "sigma": (3.0, 2.8, 4.5, 3.5, 2.6),
    "beta": (4.0, 3.0, 2.3, 1.9, 2.9),
}
"""Amplitude (RMS) of each band in WAKE, N1, N2, N3 and REM in uV: of the order of what is seen in
adults at C4, and invented as exact numbers."""
_EFFECT = (0.7, 1.3)
"""Lowest and highest factor of a person on how much stages differ, on a logarithmic scale."""
_PERSON_SD = 0.12
"""SD over people of the logarithm of the amplitude of a band in a stage."""
_WITHIN = ((0.25, 45.0), (0.15, 900.0))
"""SD of the logarithm of the amplitude of a band within a stage, and its time constant in s."""
_ELECTRODE_UV = 4.0
"""Median over people of the noise of electrodes (RMS)."""
_WRIST = (0.6, 0.95)
"""Lowest and highest share of movements of the body in which the wrist takes part."""
_HANDS = (30.0, 4.0, 2.0, 1.0, 4.0)
"""Movements of the hand alone per hour, by stage."""
_MOST_COUNTS = 255
"""Highest count of a second that the device stores."""
CHANNELS = {"ACT": ("Activity", "misc"), "EEG": ("C4-M1", "eeg")}
"""Modality -> name and MNE's type of its channel."""


def recall_activity(
    stages: NDArray[np.int64] | None,
    *,
    duration: float,
    seed: int,
    apnea_index: float,
    population: Population,
) -> tuple[NDArray[np.int64], Activity]:
    """Simulate stages and movements of a night again, which are those of its seed.

    Parameters
    ----------
    stages : array of int, shape (n_epochs,), or None
        The stages that the night was given; None if they were simulated.
    duration, seed, apnea_index, population : float, int, float, Population
        What :func:`~mne_wav2sleep.simulate_night` made the night from.

    Returns
    -------
    stages : array of int, shape (n_epochs,)
        Its stages.
    activity : Activity
        Its movements.
    """
    body, course = np.random.default_rng(seed).spawn(2)
    subject = draw_subject(body, population=population)
    if stages is None:
        stages = simulate_stages(int(duration // EPOCH_S), rng=body, subject=subject)
    breathing = simulate_breathing(stages, rng=course, subject=subject, apnea_index=apnea_index)
    return stages, simulate_activity(stages, rng=course, subject=subject, events=breathing.events)


def render_eeg(
    stages: NDArray[np.int64], activity: Activity, sfreq: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Render an EEG: noise in five bands, whose amplitudes depend on the stage, and artifacts.

    Parameters
    ----------
    stages : array of int, shape (n_epochs,)
        YASA's integers.
    activity : Activity
        Movements.
    sfreq : float
        Sampling rate in Hz. Bands above half of it are left out.
    rng : numpy.random.Generator
        Random number generator.

    Returns
    -------
    eeg : array, shape (n_samples,)
        The signal in V.
    """
    n_grid, n_samples = count_points(stages.size * EPOCH_S), round(stages.size * EPOCH_S * sfreq)
    effect = rng.uniform(*_EFFECT)
    eeg = np.zeros(n_samples)
    for name, (low, high) in _BANDS.items():
        amplitudes = np.log(_AMPLITUDES[name])
        mean = amplitudes.mean()
        table = mean + effect * (amplitudes - mean) + _PERSON_SD * rng.standard_normal(5)
        course = interpolate_stages(table, stages, n_grid)
        for sd, tau in _WITHIN:
            course += sd * draw_slow_noise(rng, n_grid, tau)
        white = rng.standard_normal(n_samples)
        if high >= sfreq / 2:
            continue
        sos = signal.butter(2, (low, high), "bandpass", fs=sfreq, output="sos")
        wave = signal.sosfilt(sos, white)
        eeg += wave / wave.std() * resample(np.exp(course), n_samples, sfreq)
    noise = np.exp(np.log(_ELECTRODE_UV) + 0.4 * rng.standard_normal())
    eeg += noise * rng.standard_normal(n_samples)
    eeg += 30.0 * draw_movement(activity, n_samples, sfreq, rng)
    return np.asarray(1e-6 * eeg)


def _draw_hands(stages: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw movements of the hand alone, in each second."""
    stage = np.repeat(np.maximum(stages, 0), int(EPOCH_S))
    moves = np.zeros(stage.size)
    for begin in np.flatnonzero(rng.random(stage.size) < np.array(_HANDS)[stage] / 3600):
        length = int(np.clip(rng.lognormal(np.log(2.0), 0.6), 1, 20))
        moves[begin : begin + length] += rng.lognormal(0.0, 0.6)
    return moves


def render_counts(
    stages: NDArray[np.int64], activity: Activity, sfreq: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Render activity counts of a wrist, summed over seconds.

    Parameters
    ----------
    stages : array of int, shape (n_epochs,)
        YASA's integers.
    activity : Activity
        Movements of the body.
    sfreq : float
        Sampling rate in Hz, at which the count of a second is repeated.
    rng : numpy.random.Generator
        Random number generator.

    Returns
    -------
    counts : array, shape (n_samples,)
        Counts from 0 to 255.
    """
    n_seconds = stages.size * int(EPOCH_S)
    movement = activity.movement[: n_seconds * int(GRID_HZ)]
    bouts, n_bouts = ndimage.label(movement)
    takes_part = rng.random(n_bouts + 1) < rng.uniform(*_WRIST)
    wrist = (movement * takes_part[bouts]).reshape(n_seconds, -1).sum(1)
    wrist += _draw_hands(stages, rng)
    gain, threshold = 12.0 * np.exp(0.4 * rng.standard_normal()), rng.uniform(0.2, 0.6)
    wrist *= gain * np.exp(0.3 * rng.standard_normal(n_seconds))
    counts = np.clip(np.floor(wrist - gain * threshold), 0, _MOST_COUNTS)
    at = np.arange(round(n_seconds * sfreq)) / sfreq
    return np.asarray(counts[np.minimum(at.astype(int), n_seconds - 1)])


_RENDERERS: dict[str, Callable[..., NDArray[np.float64]]] = {
    "ACT": render_counts,
    "EEG": render_eeg,
}


def add_sensors(
    raw: mne.io.RawArray,
    names: Collection[str],
    stages: NDArray[np.int64] | None,
    made_from: dict[str, Any],
) -> mne.io.RawArray:
    """Add sensors to a simulated night, in place.

    Parameters
    ----------
    raw : mne.io.RawArray
        The night, of :func:`~mne_wav2sleep.simulate_night`.
    names : collection of str
        Signals to add, of :data:`CHANNELS`.
    stages : array of int, shape (n_epochs,), or None
        The stages that the night was given; None if they were simulated.
    made_from : dict
        ``duration``, ``seed``, ``apnea_index`` and ``population`` of the night.

    Returns
    -------
    raw : mne.io.RawArray
        The same.

    Raises
    ------
    ValueError
        If a signal cannot be simulated.
    """
    if unknown := sorted(set(names) - set(CHANNELS)):
        raise ValueError(
            f"{unknown[0]} cannot be simulated, only {', '.join(CHANNELS)} and the signals of the "
            "package can. Give a table of recorded nights with --cohort."
        )
    if not names:
        return raw
    stages, activity = recall_activity(stages, **made_from)
    sfreq = raw.info["sfreq"]
    waves, kinds = [], []
    for name in sorted(names):
        # A generator for each, so that a signal does not depend on the others.
        rng = np.random.default_rng([made_from["seed"], *name.encode()])
        waves.append(_RENDERERS[name](stages, activity, sfreq, rng))
        kinds.append(CHANNELS[name])
    info = mne.create_info([one[0] for one in kinds], sfreq, [one[1] for one in kinds])
    added = mne.io.RawArray(np.stack(waves), info, verbose="error")
    return raw.add_channels([added], force_update_info=True)
