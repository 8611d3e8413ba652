"""A night with known stages, as an MNE Raw."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import mne
import numpy as np
import yasa
from numpy.typing import NDArray

from ..modalities import EPOCH_S
from ..verbosity import Verbosity, check_type, verbose
from .beats import RHYTHMS, simulate_beats
from .physiology import simulate_activity, simulate_breathing, simulate_stages
from .subjects import Population, draw_subject
from .waves import render_belt, render_ecg, render_ppg

# Channel name and MNE's type; MNE has no type for pulse waves.
_CHANNELS = {
    "ABD": ("Abdomen", "resp"),
    "ECG": ("ECG", "ecg"),
    "PPG": ("Pleth", "misc"),
    "THX": ("Thorax", "resp"),
}
_INTEGERS = {"WAKE": 0, "N1": 1, "N2": 2, "LIGHT": 2, "N3": 3, "DEEP": 3, "REM": 4}
# EDF+'s texts for stages, as in examples of MNE and YASA.
_TEXTS = {0: "W", 1: "1", 2: "2", 3: "3", 4: "R", -1: "?"}
_START = datetime(2000, 1, 1, 22, 30, tzinfo=UTC)


def annotate_stages(stages: NDArray[np.int64]) -> mne.Annotations:
    """Make annotations of stages, one per run of a stage.

    Parameters
    ----------
    stages : array of int, shape (n_epochs,)
        YASA's integers.

    Returns
    -------
    annotations : mne.Annotations
        EDF+'s texts: ``"Sleep stage W"``, ``"1"``, ``"2"``, ``"3"``, ``"R"``, ``"?"``.
    """
    begins = np.flatnonzero(np.diff(stages, prepend=stages[0] - 1))
    lengths = np.diff(begins, append=stages.size)
    return mne.Annotations(
        begins * EPOCH_S,
        lengths * EPOCH_S,
        [f"Sleep stage {_TEXTS[stage]}" for stage in stages[begins].tolist()],
        orig_time=_START,
    )


def _read_stages(hyp: yasa.Hypnogram) -> NDArray[np.int64]:
    """Convert a hypnogram to integers."""
    if not isinstance(hyp, yasa.Hypnogram):
        raise TypeError(
            f"hyp must be a yasa.Hypnogram or None, got {type(hyp).__name__}. Make one with "
            "yasa.Hypnogram(values, n_stages=5)."
        )
    if hyp.n_stages not in (4, 5) or hyp.freq != "30s":
        raise ValueError(
            "hyp must have 4 or 5 stages and epochs of 30 s, got "
            f"{hyp.n_stages} stages and epochs of {hyp.freq}. Convert it."
        )
    return np.array([_INTEGERS.get(stage, -1) for stage in hyp.hypno], dtype=np.int64)


def _add_failures(
    data: NDArray[np.float64], sfreq: float, count: int, names: list[str], rng: np.random.Generator
) -> mne.Annotations:
    """Make sensors fail temporarily, in place, and annotate the failures."""
    failures = mne.Annotations([], [], [], orig_time=_START)
    for _ in range(count):
        channel = int(rng.integers(len(names)))
        length = min(int(rng.uniform(300, 3600) * sfreq), data.shape[1] // 4)
        start = int(rng.integers(0, data.shape[1] - length + 1))
        span = data[channel, start : start + length]
        flat = rng.random() < 0.6
        if flat:
            span[:] = span[0]
        else:
            span[:] = data[channel].std() * rng.standard_normal(length)
        what = "Sensor failure: " + ("flat" if flat else "noise")
        failures.append(start / sfreq, length / sfreq, what, ch_names=[[names[channel]]])
    return failures


def _check_modalities(names: Sequence[str]) -> None:
    """Check the signals to simulate."""
    if not names or len(set(names)) < len(names) or not set(names) <= set(_CHANNELS):
        raise ValueError(
            f"modalities must be some of {', '.join(_CHANNELS)}, each once, got {names!r}."
        )


def _check_numbers(
    hyp: yasa.Hypnogram | None,
    duration: float,
    sfreq: float,
    apnea_index: float,
    sensor_failures: int,
) -> None:
    """Check the ranges of the numbers."""
    for name, value in (("duration", duration), ("sfreq", sfreq)):
        check_type(value, "numeric", name)
    if hyp is None and not duration >= EPOCH_S:
        raise ValueError(f"duration must be at least one epoch of 30 s, got {duration!r} s.")
    if not sfreq >= 2:
        raise ValueError(f"sfreq must be at least 2 Hz, got {sfreq!r} Hz.")
    for name, value in (("apnea_index", apnea_index), ("sensor_failures", sensor_failures)):
        if not value >= 0:
            raise ValueError(f"{name} must not be negative, got {value!r}.")


@verbose
def simulate_night(  # noqa: PLR0913 (keywords that users set)
    hyp: yasa.Hypnogram | None = None,
    *,
    duration: float = 8 * 3600.0,
    modalities: Sequence[str] = ("ABD", "ECG", "PPG", "THX"),
    sfreq: float = 128.0,
    seed: int | None = None,
    rhythm: str = "sinus",
    apnea_index: float = 0.0,
    sensor_failures: int = 0,
    age: float | None = None,
    population: Population | None = None,
    verbose: Verbosity = None,
) -> mne.io.RawArray:
    """Simulate a night with known stages: the physiology first, then the sensor signals.

    Parameters
    ----------
    hyp : yasa.Hypnogram, optional
        Hypnogram with 4 or 5 stages and epochs of 30 s, which sets the duration. By default, stages
        are drawn with :func:`yasa.simulate_hypnogram` and ordered into sleep cycles.
    duration : float
        Duration in s if ``hyp`` is not given, rounded down to complete epochs.
    modalities : sequence of str
        Signals to simulate, of ``"ABD"``, ``"ECG"``, ``"PPG"`` and ``"THX"``. A signal does not
        depend on the others.
    sfreq : float
        Sampling rate in Hz.
    seed : int, optional
        The same seed gives the same night bit for bit (with the same version of NumPy). By
        default, every call gives a different night.
    rhythm : str
        ``"sinus"``, ``"atrial_fibrillation"``, ``"ectopy"`` or ``"paced"``.
    apnea_index : float
        Apneas and hypopneas per hour of sleep.
    sensor_failures : int
        Number of failures, in each of which a random sensor is flat or noise for 5 to 60 min (at
        most a quarter of the recording).
    age : float, optional
        The subject's age in years; drawn if not given.
    population : Population, optional
        Distributions of subject and sensors; by default ``Population()``.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    raw : mne.io.RawArray
        Channels ``"Abdomen"``, ``"ECG"``, ``"Pleth"`` and ``"Thorax"``, ECG and belts in V, the
        pulse wave in arbitrary units. Annotations give the stages (``"Sleep stage W"``, ``"1"``,
        ``"2"``, ``"3"``, ``"R"``; ``"2"`` for light sleep of 4 stages) and sensor failures.

    Raises
    ------
    ValueError
        If an argument is out of range.
    TypeError
        If ``hyp`` is not a yasa.Hypnogram.

    Notes
    -----
    Simulated nights are meant for trying out, teaching and tests, and for training on many nights
    with known stages. They do not replace recordings: effects of stages are means and standard
    deviations from the literature and from two small public cohorts, and morphology, noise and
    artifacts are invented. Performance on simulated nights is not evidence of performance on
    patients.

    Examples
    --------
    >>> raw = simulate_night(duration=600, seed=1, verbose="error")
    >>> raw.ch_names
    ['Abdomen', 'ECG', 'Pleth', 'Thorax']
    >>> print(raw.annotations.description[0])
    Sleep stage W
    """
    names = [modalities] if isinstance(modalities, str) else list(modalities)
    _check_modalities(names)
    _check_numbers(hyp, duration, sfreq, apnea_index, sensor_failures)
    if rhythm not in RHYTHMS:
        raise ValueError(f"rhythm must be one of {', '.join(RHYTHMS)}, got {rhythm!r}.")
    population = Population() if population is None else population
    # Separate generators, so that leaving out a signal does not change the others.
    body, course, fail, *sensors = np.random.default_rng(seed).spawn(3 + len(_CHANNELS))
    subject = draw_subject(body, population=population, age=age)
    if hyp is None:
        stages = simulate_stages(int(duration // EPOCH_S), rng=body, subject=subject)
    else:
        stages = _read_stages(hyp)
    seconds = stages.size * EPOCH_S
    breathing = simulate_breathing(stages, rng=course, subject=subject, apnea_index=apnea_index)
    activity = simulate_activity(stages, rng=course, subject=subject, events=breathing.events)
    beat_times, kinds = simulate_beats(
        stages, rng=course, subject=subject, breathing=breathing, activity=activity, rhythm=rhythm
    )
    belt = partial(render_belt, breathing, beat_times=beat_times)
    render = {
        "ABD": partial(belt, place="abdomen"),
        "ECG": partial(
            render_ecg,
            beat_times,
            kinds=kinds,
            breathing=breathing,
            fibrillation=rhythm == "atrial_fibrillation",
        ),
        "PPG": partial(render_ppg, beat_times, kinds=kinds, breathing=breathing),
        "THX": partial(belt, place="thorax"),
    }
    data = np.empty((len(names), round(seconds * sfreq)))
    for row, name in zip(data, names, strict=True):
        row[:] = render[name](
            duration=seconds,
            sfreq=sfreq,
            rng=sensors[list(_CHANNELS).index(name)],
            activity=activity,
            population=population,
        )
    ch_names = [_CHANNELS[name][0] for name in names]
    info = mne.create_info(ch_names, sfreq, [_CHANNELS[name][1] for name in names])
    failures = _add_failures(data, sfreq, int(sensor_failures), ch_names, fail)
    raw = mne.io.RawArray(data, info)
    raw.set_meas_date(_START)
    raw.info["description"] = (
        f"Simulated by mne_wav2sleep.simulate_night, not a recording (seed {seed}, {rhythm} "
        f"rhythm, age {subject.age:.0f})."
    )
    return raw.set_annotations(annotate_stages(stages) + failures)
