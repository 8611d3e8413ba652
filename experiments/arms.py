"""Runs: an arm of a study with a seed is trained and evaluated, each in its folder."""

import json
import logging
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from ectopic import EctopicECG
from nights import CohortNights
from numpy.typing import NDArray
from pretraining import PretrainingSettings, pretrain_encoders
from results import (
    NightResult,
    Result,
    ResultStore,
    TrainingResult,
    compute_key,
    list_versions,
    round_or_none,
)
from scales import Scale, Training
from signs import read_signs
from study import Study, make

from mne_wav2sleep import load_weights, save_weights
from mne_wav2sleep.calibration import Calibration
from mne_wav2sleep.cohorts import Evaluation, evaluate
from mne_wav2sleep.cohorts.comparison.intervals import score_counts
from mne_wav2sleep.modalities import describe_added
from mne_wav2sleep.network import LoadedWeights, Wav2Sleep, Wav2SleepConfig
from mne_wav2sleep.network.info import describe_config
from mne_wav2sleep.output import write_whole
from mne_wav2sleep.training import fine_tune

PACKAGES = ("mne-wav2sleep", "torch", "pytorch-lightning", "numpy", "mne", "yasa")
_DIGITS = 4


@dataclass(frozen=True)
class Place:
    """What all runs of a study share.

    Attributes
    ----------
    name : str
        Name of the study.
    study : Study
        The study.
    scale_name : str
        Name of the scale.
    scale : Scale
        The scale.
    cohorts : dict of str to CohortNights
        The nights of the cohorts.
    folder : Path
        Folder of starts and runs, which studies share.
    store : ResultStore
        Where results are kept.
    stages : dict of str to list of array, or None
        Cohort -> hypnograms of its simulated nights; None if they are simulated as well.
    ectopic_ecg : EctopicECG or None
        A recorded ECG with ectopic beats, for the arms that need one.
    """

    name: str
    study: Study
    scale_name: str
    scale: Scale
    cohorts: Mapping[str, CohortNights]
    folder: Path
    store: ResultStore
    stages: Mapping[str, list[NDArray[np.int64]]] | None = None
    ectopic_ecg: EctopicECG | None = None

    def hash_stages(self, cohort: str) -> str:
        """Hash the given hypnograms of a cohort."""
        given = [] if self.stages is None else self.stages[cohort]
        return compute_key({"stages": [stages.tolist() for stages in given]})


@contextmanager
def measure_cpu(folder: Path) -> Iterator[None]:
    """Add the CPU time of a block to that of earlier ones, in ``cpu.json`` of a folder.

    Parameters
    ----------
    folder : Path
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "cpu.json"
    known = json.loads(path.read_text("utf-8")) if path.exists() else {"begun": 0, "ended": 0}
    known = {"cpu_s": 0.0} | known | {"begun": known["begun"] + 1}
    _write_json(path, known)
    start = time.process_time()
    try:
        yield
    finally:  # also if it is interrupted
        spent = time.process_time() - start
        _write_json(path, known | {"ended": known["ended"] + 1, "cpu_s": known["cpu_s"] + spent})


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a small file."""
    with write_whole(path, overwrite=True) as unfinished:
        unfinished.write_text(json.dumps(values) + "\n", encoding="utf-8")


def make_start(
    config: Wav2SleepConfig, scale: Scale, seed: int, folder: Path
) -> tuple[LoadedWeights, dict[str, Any]]:
    """Make the weights that all arms with this architecture and seed start from.

    Parameters
    ----------
    config : Wav2SleepConfig
        The architecture.
    scale : Scale
        The scale.
    seed : int
        Seed of the mixers, and of the encoders if they are not pretrained.
    folder : Path
        Folder of starts and runs.

    Returns
    -------
    weights : LoadedWeights
        Pretrained encoders, which do not depend on the seed, and random mixers.
    report : dict
        What is known of pretraining; empty without it.
    """
    report: dict[str, Any] = {}
    torch.manual_seed(seed)
    network = Wav2Sleep(config)
    if scale.pretraining is not None:
        settings = make(PretrainingSettings, scale.pretraining, "pretraining")
        # Networks that read fewer signals take their encoders from the same ones; those of signals
        # of a study's own stay random.
        every = replace(config, signals=Wav2SleepConfig().signals)
        state, report = pretrain_encoders(every, settings, folder / "encoders")
        own = network.signal_encoders.state_dict()
        network.signal_encoders.load_state_dict({n: state.get(n, own[n]) for n in own})
    info = describe_config(config, name="start")
    weights = LoadedWeights(**vars(info), network=network, calibration=Calibration())
    weights = replace(weights, preprocessing=scale.preprocessing)
    key = compute_key(
        {"config": asdict(config), "pretraining": scale.pretraining, "seed": seed}
        | {"padded": scale.padded_epochs}
        | describe_added(config.signals)
    )
    path = folder / "starts" / key
    if not (path / "model.safetensors").exists():
        path.mkdir(parents=True, exist_ok=True)
        save_weights(weights, path)
    return load_weights(path), report


def describe_trainings(place: Place, arm: str, seed: int) -> list[dict[str, Any]]:
    """Describe what the weights after each training run of an arm depend on.

    Parameters
    ----------
    place : Place
        The study.
    arm : str
        The arm.
    seed : int
        The seed.

    Returns
    -------
    described : list of dict
        For each training run, what it and those before depend on.
    """
    study, scale = place.study, place.scale
    config = scale.make_config(study.arms[arm])
    start = {
        "config": asdict(config),
        "padded_epochs": scale.padded_epochs,
        "pretraining": scale.pretraining
        and asdict(make(PretrainingSettings, scale.pretraining, "pretraining")),
        "seed": seed,
        **describe_added(config.signals),
    }
    described: list[dict[str, Any]] = []
    trainings: list[dict[str, Any]] = []
    for one in scale.list_trainings(study, arm, seed):
        origins = {name: place.cohorts[name].origin for name in one.cohorts}
        trainings.append(asdict(one) | {"cohorts": origins})
        described.append({"start": start, "trainings": list(trainings)})
    return described


def _train(place: Place, training: Training, start: LoadedWeights, folder: Path) -> TrainingResult:
    """Train in a folder, unless that was done."""
    chosen = [place.cohorts[name] for name in training.cohorts]
    nights = [night for cohort in chosen for night in cohort.parts["training"]]
    if not (folder / "model.safetensors").exists():
        with measure_cpu(folder.with_name(f"{folder.name}-notes")):
            fine_tune(
                nights,
                folder,
                weights=start,
                trainable=training.trainable,
                validation=[night for cohort in chosen for night in cohort.parts["validation"]],
                settings=training.settings,
            )
    spent = json.loads((folder.with_name(f"{folder.name}-notes") / "cpu.json").read_text("utf-8"))
    passes = pd.read_csv(folder / "metrics.csv")
    rows = passes.drop(columns=["seconds"]).round(_DIGITS).astype(object)
    return TrainingResult(
        cohorts=list(training.cohorts),
        n_nights=len(nights),
        cpu_s=round(spent["cpu_s"], 1),
        is_cpu_complete=spent["begun"] == spent["ended"],
        passes=rows.where(passes.drop(columns=["seconds"]).notna(), None).to_dict("records"),
    )


def _measure_staging(place: Place, weights: LoadedWeights) -> float:
    """Measure the CPU time of staging a prepared test night."""
    nights = [place.cohorts[name].parts["test"][0] for name in place.study.evaluate]
    nights = [night for night in nights if set(night.modalities) & set(weights.modalities)]
    evaluate(nights, weights, subsets="recorded")  # the first time, loops are compiled
    start = time.process_time()
    evaluate(nights, weights, subsets="recorded")
    return round((time.process_time() - start) / len(nights), 3)


def evaluate_nights(place: Place, weights: LoadedWeights) -> list[NightResult]:
    """Evaluate weights on the test nights of a study, from every subset of their signals.

    Parameters
    ----------
    place : Place
        The study.
    weights : LoadedWeights
        The weights.

    Returns
    -------
    nights : list of NightResult
        A result for each night and subset.
    """
    nights = [n for name in place.study.evaluate for n in place.cohorts[name].parts["test"]]
    nights = [night for night in nights if set(night.modalities) & set(weights.modalities)]
    return collect_nights(evaluate(nights, weights, subsets="all"))


def collect_nights(found: Evaluation) -> list[NightResult]:
    """Collect the agreement on each night, from each subset.

    Parameters
    ----------
    found : Evaluation
        The evaluation.

    Returns
    -------
    nights : list of NightResult
        A result for each night and subset.
    """
    keys = ["dataset", "subset", "night"]
    grouped = found.confusion_by_night.groupby(keys, sort=False)
    matrices = {key: matrix.to_numpy() for key, matrix in grouped}
    results = []
    for row in found.by_night.itertuples():
        counts = matrices[row.dataset, row.subset, row.night]
        results.append(score_night(str(row.dataset), str(row.subject), str(row.subset), counts))
    return results


def score_night(cohort: str, subject: str, subset: str, counts: NDArray[np.int64]) -> NightResult:
    """Score a night from its confusion matrix.

    Parameters
    ----------
    cohort, subject, subset : str
        The night and the subset.
    counts : array of int, shape (n_stages, n_stages)
        Number of epochs of each stage as known (rows) and by the network (columns).

    Returns
    -------
    result : NightResult
        Its agreement.
    """
    scores = score_counts(counts.astype(float))
    return NightResult(
        cohort=cohort,
        subject=subject,
        subset=subset,
        kappa=round_or_none(scores["kappa"], _DIGITS),
        accuracy=round_or_none(scores["accuracy"], 2),
        confusion=counts.tolist(),
    )


def run_arm(place: Place, arm: str, seed: int) -> Result:
    """Train and evaluate an arm with a seed, unless its result is there.

    Parameters
    ----------
    place : Place
        The study.
    arm : str
        The arm.
    seed : int
        The seed.

    Returns
    -------
    result : Result
        Its result.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    steps = describe_trainings(place, arm, seed)
    tested = {name: place.cohorts[name].origin for name in sorted(place.study.evaluate)}
    described = {**steps[-1], "evaluate": tested}
    key = compute_key(described)
    known = place.store.find(place.name, arm, seed, place.scale_name, described)
    if known is not None:
        return known
    study, scale = place.study, place.scale
    config = scale.make_config(study.arms[arm])
    weights, pretraining = make_start(config, scale, seed, place.folder)
    trainings = []
    for training, step in zip(scale.list_trainings(study, arm, seed), steps, strict=True):
        folder = place.folder / "runs" / compute_key(step)  # arms of other studies share it
        trainings.append(_train(place, training, weights, folder))
        weights = load_weights(folder)
    result = Result(
        study=place.name,
        arm=arm,
        seed=seed,
        key=key,
        described=json.loads(json.dumps(described, default=str)),
        scale=place.scale_name,
        n_parameters=sum(p.numel() for p in weights.network.parameters()),
        n_bytes=(folder / "model.safetensors").stat().st_size,
        pretraining={name: pretraining[name] for name in ("cpu_s", "explained") if pretraining},
        trainings=trainings,
        nights=evaluate_nights(place, weights),
        versions=list_versions(PACKAGES) | {"processor": platform.machine()},
        staging_s=_measure_staging(place, weights),
        signs=read_signs(folder),
    )
    place.store.write(result)
    return result
