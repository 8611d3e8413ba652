"""A night with known stages, as an MNE Raw."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import mne
import numpy as np
import yasa
from mne.utils import _validate_type
from mne.utils import verbose as _verbose
from numpy.typing import NDArray

from ..modalities import EPOCH_S
from .beats import RHYTHMS, simulate_beats
from .physiology import simulate_activity, simulate_breathing, simulate_stages
from .subjects import Population, draw_subject
from .waves import render_belt, render_ecg, render_ppg

# Name, MNE type: MNE has no type for pulse waves.
_CHANNELS = {
    "ABD": ("Abdomen", "resp"),
    "ECG": ("ECG", "ecg"),
    "PPG": ("Pleth", "misc"),
    "THX": ("Thorax", "resp"),
}
_INTEGERS = {"WAKE": 0, "N1": 1, "N2": 2, "LIGHT": 2, "N3": 3, "DEEP": 3, "REM": 4}
# EDF+'s texts of the stages, which MNE's and YASA's examples use.
_TEXTS = {0: "W", 1: "1", 2: "2", 3: "3", 4: "R", -1: "?"}
_START = datetime(2000, 1, 1, 22, 30, tzinfo=UTC)


def stage_annotations(stages: NDArray[np.int64]) -> mne.Annotations:
    """Annotate stages, one annotation per run of a stage.

    Parameters
    ----------
    stages : array of int, shape (n_epochs,)
        YASA's integers.

    Returns
    -------
    annotations : mne.Annotations
        With EDF+'s texts: ``"Sleep stage W"``, ``"1"``, ``"2"``, ``"3"``, ``"R"``, ``"?"``.
    """
    begins = np.flatnonzero(np.diff(stages, prepend=stages[0] - 1))
    lengths = np.diff(begins, append=stages.size)
    return mne.Annotations(
        begins * EPOCH_S,
        lengths * EPOCH_S,
        [f"Sleep stage {_TEXTS[stage]}" for stage in stages[begins].tolist()],
        orig_time=_START,
    )


def _stages_of(hyp: yasa.Hypnogram) -> NDArray[np.int64]:
    """Stages of a hypnogram as integers."""
    if not isinstance(hyp, yasa.Hypnogram):
        raise TypeError(
            f"hyp must be a yasa.Hypnogram or None, got {type(hyp).__name__}; make one with "
            "yasa.Hypnogram(values, n_stages=5)."
        )
    if hyp.n_stages not in (4, 5) or hyp.freq != "30s":
        raise ValueError(
            "hyp must have 4 or 5 stages and epochs of 30 s, got "
            f"{hyp.n_stages} stages and epochs of {hyp.freq}."
        )
    return np.array([_INTEGERS.get(stage, -1) for stage in hyp.hypno], dtype=np.int64)


def _fail(
    data: NDArray[np.float64], sfreq: float, count: int, names: list[str], rng: np.random.Generator
) -> mne.Annotations:
    """Let sensors fail for a while, in place; annotate where."""
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


@_verbose
def simulate_night(
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
    verbose: bool | str | int | None = None,
) -> mne.io.RawArray:
    """Simulate a night with known stages: first what the body does, then what sensors show.

    Parameters
    ----------
    hyp : yasa.Hypnogram, optional
        The stages, 4 or 5 of them, in epochs of 30 s; it sets the duration. Without it, stages
        are drawn with :func:`yasa.simulate_hypnogram` and ordered into sleep cycles.
    duration : float
        Duration in s if ``hyp`` is not given; whole epochs are simulated.
    modalities : sequence of str
        Signals to record, among ``"ABD"``, ``"ECG"``, ``"PPG"`` and ``"THX"``. A signal does not
        depend on which others are recorded.
    sfreq : float
        Sampling rate in Hz.
    seed : int, optional
        The same seed gives the same night, to the bit (with the same version of NumPy). Without
        it, every call gives another one.
    rhythm : str
        ``"sinus"``, ``"atrial_fibrillation"``, ``"ectopy"`` or ``"paced"``.
    apnea_index : float
        Apnoeas and hypopnoeas per hour of sleep.
    sensor_failures : int
        How many times a sensor, chosen at random, goes flat or gives noise for 5 to 60 min (a
        quarter of the recording at most).
    age : float, optional
        The subject's age in years; drawn if not given.
    population : Population, optional
        What subject and sensors are drawn from; by default ``Population()``.
    verbose : bool | str | int | None
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
    For trying out, teaching, tests and for training on many nights whose stages are certain. It is
    no substitute for recordings: the effects of stages are means and spreads from the literature
    and from two small public cohorts, and morphology, noise and artefacts are made up. How well a
    stager does here says nothing about how well it does on patients.

    Examples
    --------
    >>> raw = simulate_night(duration=600, seed=1, verbose="error")
    >>> raw.ch_names
    ['Abdomen', 'ECG', 'Pleth', 'Thorax']
    >>> print(raw.annotations.description[0])
    Sleep stage W
    """
    names = [modalities] if isinstance(modalities, str) else list(modalities)
    if not names or len(set(names)) < len(names) or not set(names) <= set(_CHANNELS):
        raise ValueError(
            f"modalities must be some of {', '.join(_CHANNELS)}, each once, got {modalities!r}."
        )
    for name, value in (("duration", duration), ("sfreq", sfreq)):
        _validate_type(value, "numeric", name)
    if hyp is None and not duration >= EPOCH_S:
        raise ValueError(f"duration must be at least one epoch of 30 s, got {duration!r} s.")
    if not sfreq >= 2:
        raise ValueError(f"sfreq must be at least 2 Hz, got {sfreq!r} Hz.")
    if rhythm not in RHYTHMS:
        raise ValueError(f"rhythm must be one of {', '.join(RHYTHMS)}, got {rhythm!r}.")
    for name, value in (("apnea_index", apnea_index), ("sensor_failures", sensor_failures)):
        if not value >= 0:
            raise ValueError(f"{name} must not be negative, got {value!r}.")
    population = Population() if population is None else population
    # A stream for each concern: leaving out one signal does not change another.
    body, course, fail, *sensors = np.random.default_rng(seed).spawn(3 + len(_CHANNELS))
    subject = draw_subject(body, population=population, age=age)
    if hyp is None:
        stages = simulate_stages(int(duration // EPOCH_S), rng=body, subject=subject)
    else:
        stages = _stages_of(hyp)
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
    failures = _fail(data, sfreq, int(sensor_failures), ch_names, fail)
    raw = mne.io.RawArray(data, info)
    raw.set_meas_date(_START)
    raw.info["description"] = (
        f"Simulated by mne_wav2sleep.simulate_night, not a recording (seed {seed}, {rhythm} "
        f"rhythm, age {subject.age:.0f})."
    )
    return raw.set_annotations(stage_annotations(stages) + failures)
