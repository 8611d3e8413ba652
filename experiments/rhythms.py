"""Studies of heart rhythm: weights as they are, on nights with a rhythm at rising burden."""

import platform
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import mne
import numpy as np
import yasa
from arms import PACKAGES, Place, score_night
from ectopic import EctopicECG, splice
from nights import STAGES
from numpy.typing import NDArray
from results import NightResult, Result, compute_key, list_versions, round_or_none
from scales import CohortSize
from study import RECORDED, make

from mne_wav2sleep import SleepStagerW2S, load_weights
from mne_wav2sleep.cautions import keep_cautions
from mne_wav2sleep.cohorts.comparison.pairs import Pair, count_nights
from mne_wav2sleep.hypnograms.folding import fold_hypnogram
from mne_wav2sleep.modalities import EPOCH_S
from mne_wav2sleep.network import LoadedWeights
from mne_wav2sleep.simulation import (
    Population,
    draw_subject,
    render_belt,
    render_ecg,
    render_ppg,
    simulate_activity,
    simulate_beats,
    simulate_breathing,
    simulate_stages,
)

_SEED = 2411
_EPISODE = 60
"""Epochs (30 min) of an episode of the rhythm."""
_REFRACTORY_S = 0.3
"""Shortest interval between beats where two rhythms meet."""
_LABELS = {"ABD": "Abdomen", "ECG": "ECG", "PPG": "Pleth", "THX": "Thorax"}
_WORDS = ("beats irregularly", "stays at")
"""Words of the warnings about heart rhythm: irregular, or paced at a fixed rate."""


def place_episodes(n_epochs: int, burden: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Place episodes of a rhythm in a night.

    Parameters
    ----------
    n_epochs : int
        Number of 30-s epochs.
    burden : float
        Share of the night with the rhythm.
    rng : numpy.random.Generator
        Random number generator. With the same one, a night of lower burden has a part of the
        episodes of one of higher burden.

    Returns
    -------
    inside : array of bool, shape (n_epochs,)
        Whether each epoch is in an episode.
    """
    episode = np.arange(n_epochs) // _EPISODE
    order = rng.permutation(episode[-1] + 1)
    rank = np.argsort(order)[episode]  # of the episode of each epoch
    wanted = round(burden * n_epochs)
    inside = np.zeros(n_epochs, dtype=bool)
    inside[np.argsort(rank, kind="stable")[:wanted]] = True
    return inside


def simulate_rhythm(
    size: CohortSize,
    stages: NDArray[np.int64] | None,
    rhythm: str,
    burden: float,
    seed: tuple[int, ...],
    ecg: EctopicECG | None = None,
) -> tuple[mne.io.RawArray, NDArray[np.int64]]:
    """Simulate a night with a rhythm in a share of it.

    Parameters
    ----------
    size : CohortSize
        People and sensors.
    stages : array of int, shape (n_epochs,), or None
        The stages; None to simulate them.
    rhythm : str
        Rhythm of the episodes, one of :data:`~mne_wav2sleep.simulation.RHYTHMS`; with ``ecg``,
        that of the other signals.
    burden : float
        Share of the night with the rhythm; the rest is sinus rhythm.
    seed : tuple of int
        The same seed gives the same person, breathing, movements and sensors in any rhythm.
    ecg : EctopicECG or None
        A recorded ECG, which replaces the simulated one in the episodes.

    Returns
    -------
    raw : mne.io.RawArray
        The night.
    stages : array of int, shape (n_epochs,)
        Its stages.
    """
    body, course, when, *sensors, pieces = np.random.default_rng(seed).spawn(4 + len(_LABELS))
    population = make(Population, size.population, "population")
    subject = draw_subject(body, population=population)
    if stages is None:
        n_epochs = int(body.uniform(*size.hours) * 120)
        stages = simulate_stages(n_epochs, rng=body, subject=subject)
    index = float(course.exponential(size.apnea_index))
    breathing = simulate_breathing(stages, rng=course, subject=subject, apnea_index=index)
    activity = simulate_activity(stages, rng=course, subject=subject, events=breathing.events)
    state = int(course.integers(2**31))
    inside = place_episodes(stages.size, burden, when)

    def beat(name: str) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
        rng = np.random.default_rng(state)
        return simulate_beats(
            stages, rng=rng, subject=subject, breathing=breathing, activity=activity, rhythm=name
        )

    beats = {name: beat(name) for name in {"sinus", rhythm}}
    pairs = []
    for name, (times, kinds) in beats.items():
        epoch = np.minimum((times // EPOCH_S).astype(int), stages.size - 1)
        chosen = (inside[epoch] == (name == rhythm)) | (rhythm == "sinus")
        pairs.append((times[chosen], kinds[chosen]))
    times, kinds = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    order = np.argsort(times)
    times, kinds = times[order], kinds[order]
    kept = np.diff(times, prepend=-1.0) > _REFRACTORY_S
    times, kinds = times[kept], kinds[kept]
    common: dict[str, Any] = {
        "duration": stages.size * EPOCH_S,
        "sfreq": size.sfreq,
        "activity": activity,
        "population": population,
    }
    in_samples = np.repeat(inside, round(EPOCH_S * size.sfreq))
    data = []
    for name in size.modalities:
        number = int(sensors[list(_LABELS).index(name)].integers(2**31))

        def draw(number: int = number) -> np.random.Generator:
            return np.random.default_rng(number)

        if name == "ECG":
            options = {"kinds": kinds, "breathing": breathing, **common}
            wave = render_ecg(times, rng=draw(), **options)
            if rhythm == "atrial_fibrillation":
                other = render_ecg(times, rng=draw(), fibrillation=True, **options)
                wave = np.where(in_samples, other, wave)
            if ecg is not None:
                wave = splice(wave, in_samples, ecg, size.sfreq, pieces)
        elif name == "PPG":
            wave = render_ppg(times, rng=draw(), kinds=kinds, breathing=breathing, **common)
        else:
            place = "abdomen" if name == "ABD" else "thorax"
            wave = render_belt(breathing, rng=draw(), place=place, beat_times=times, **common)
        data.append(wave)
    info = mne.create_info([_LABELS[name] for name in size.modalities], size.sfreq, "misc")
    return mne.io.RawArray(np.array(data, dtype=float), info, verbose="error"), stages


@dataclass(frozen=True)
class RhythmNight:
    """What is found of a night.

    Attributes
    ----------
    nights : list of NightResult
        Agreement from each subset.
    is_noticed : bool
        Whether staging warned of the heart rhythm.
    implausible : float or None
        Share of the measured epochs of the ECG whose beats are implausible; None without an ECG.
    """

    nights: list[NightResult]
    is_noticed: bool
    implausible: float | None


def stage_rhythm(
    raw: mne.io.RawArray,
    known: NDArray[np.int64],
    weights: LoadedWeights,
    subsets: Collection[str] | None,
    cohort: str,
    subject: str,
) -> RhythmNight:
    """Stage a night once, from subsets of its signals, and compare with the known stages.

    Parameters
    ----------
    raw : mne.io.RawArray
        The night.
    known : array of int, shape (n_epochs,)
        Its stages, as five.
    weights : LoadedWeights
        The weights.
    subsets : collection of str or None
        The subsets to report; None for all.
    cohort, subject : str
        The night.

    Returns
    -------
    found : RhythmNight
        What is found.
    """
    hyp = yasa.Hypnogram([STAGES[stage] for stage in known], n_stages=5)
    reference = fold_hypnogram(hyp, len(weights.stage_names))
    with keep_cautions([], show=False):
        stager = SleepStagerW2S(raw, weights=weights, verbose="error")
        staged = stager.audit().hypnograms  # encoders run once, for all subsets
        quality = None
        if "ECG" in raw.ch_names:  # beats of the others are not asked for
            ecg = raw.copy().pick(["ECG"])
            alone = SleepStagerW2S(ecg, weights=weights, verbose="error")
            quality = round_or_none(1 - float(alone.quality().loc["ECG", "plausible"]), 4)
    wanted = [one for one in staged if subsets is None or one in subsets]
    counts = count_nights([Pair({}, reference, staged[subset]) for subset in wanted])
    return RhythmNight(
        [score_night(cohort, subject, *pair) for pair in zip(wanted, counts, strict=True)],
        any(word in text for text in stager.cautions for word in _WORDS),
        quality,
    )


def run_rhythm(place: Place, arm: str, seed: int) -> Result:
    """Stage the test nights of the cohorts in the rhythm of an arm, unless its result is there.

    Parameters
    ----------
    place : Place
        The study.
    arm : str
        The arm.
    seed : int
        The seed: other people.

    Returns
    -------
    result : Result
        Its result.
    """
    study = place.study
    weights = load_weights(str(study.weights))
    wanted = study.arms[arm].rhythm
    assert wanted is not None
    sizes = {name: place.scale.cohorts[name] for name in study.evaluate}
    origins = {
        name: {
            "kind": "simulated" if place.stages is None else "simulated, with real hypnograms",
            "modalities": sorted(size.modalities),
            "subjects": {"training": 0, "validation": 0, "test": size.n_test},
            "key": compute_key(size.model_dump(mode="json") | {"stages": place.hash_stages(name)}),
        }
        for name, size in sizes.items()
    }
    described = {
        "start": {"config": asdict(weights.config), "sha256": weights.lineage[0].sha256},
        "trainings": [],
        "rhythm": wanted.model_dump(),
        "seed": seed,
        "evaluate": origins,
    }
    ecg = place.ectopic_ecg if wanted.name == RECORDED else None
    if ecg is not None:
        described["ectopic_ecg"] = {"sha256": ecg.sha256}
    key = compute_key(described)
    known = place.store.find(place.name, arm, seed, place.scale_name, described)
    if known is not None:
        return known
    start, found = time.process_time(), {}
    simulated = "sinus" if wanted.name == RECORDED else wanted.name
    for name, size in sizes.items():
        for number in range(size.n_test):
            given = None if place.stages is None else place.stages[name][-1 - number]
            seeds = (_SEED, *name.encode(), number, seed)
            night = simulate_rhythm(size, given, simulated, wanted.burden, seeds, ecg)
            subject = f"{name}{number:03d}"
            found[subject] = stage_rhythm(*night, weights, study.subsets, name, subject)
    result = Result(
        study=place.name,
        arm=arm,
        seed=seed,
        key=key,
        described=described,
        scale=place.scale_name,
        n_parameters=sum(p.numel() for p in weights.network.parameters()),
        n_bytes=0,
        pretraining={},
        trainings=[],
        nights=[night for one in found.values() for night in one.nights],
        noticed=[subject for subject, one in found.items() if one.is_noticed],
        implausible={
            subject: one.implausible
            for subject, one in found.items()
            if one.implausible is not None
        },
        versions=list_versions(PACKAGES) | {"processor": platform.machine()},
        staging_s=round((time.process_time() - start) / max(len(found), 1), 1),
    )
    place.store.write(result)
    return result
