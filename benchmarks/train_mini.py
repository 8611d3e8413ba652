"""Train the bundled weights "mini": python benchmarks/train_mini.py --slpdb DIR --sleep-accel DIR.

The encoders are first pretrained to predict physiology (beats, rates of heart and breath, movement)
from waves, without stages: of simulated pieces, and of pieces rendered from real beats. Then the
other parts are trained, and then all together, on simulated nights, and on waves rendered from the
beats of the MIT-BIH Polysomnographic Database and the heart rates of Sleep-Accel, whose timing and
stages are real, and whose shapes, noise and breathing are invented. Movement and breathing of these
nights do not depend on the stages, so that only the real timing carries information about them.

All folders contain an npz per record: ``beat_times_s``, ``beat_type`` and ``stages`` for slpdb;
``hr_times_s``, ``hr_bpm`` and ``stages`` for Sleep-Accel; ``stages`` for --hypnograms (half of the
simulated nights have them); ``beat_times_s`` and ``duration_s`` for --beats (pretraining alone).
Stages are 0 to 4 and -1 (unscored) per 30 s. With --fold, a part of the people who are not in the
test set is left out of training, and evaluated: settings are chosen by this. Prepared nights and
checkpoints are kept in --work; run the same command again to resume.
"""

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import joblib
import mne
import numpy as np
import torch
import yasa
from tqdm import tqdm

sys.path.append(str(Path(__file__).parents[1] / "experiments"))
from pretraining import Piece, PretrainingSettings, pretrain_encoders, render_piece

from mne_wav2sleep import load_weights, save_weights, simulate_night
from mne_wav2sleep.cohorts import (
    Night,
    PreparedNight,
    calibrate,
    evaluate,
    open_night,
    prepare_nights,
)
from mne_wav2sleep.network import (
    Calibration,
    LoadedWeights,
    Preprocessing,
    Wav2Sleep,
    Wav2SleepConfig,
)
from mne_wav2sleep.network.info import describe_config
from mne_wav2sleep.network.registry import REGISTRY
from mne_wav2sleep.simulation import (
    Population,
    beats_from_heart_rate,
    breathing_from_beats,
    draw_subject,
    render_belt,
    render_ecg,
    render_ppg,
    simulate_activity,
    simulate_beats,
    simulate_breathing,
)
from mne_wav2sleep.training import Masking, TrainingSettings, fine_tune

SEED = 2411
# Test subjects were drawn by the seed before any training; records a and b are of one subject.
N_TEST = {"slpdb": 3, "sleep-accel": 6}
N_VALIDATION = {"slpdb": 1, "sleep-accel": 3}
N_FOLDS = {"slpdb": 3, "sleep-accel": 4}
N_CALIBRATION = 20  # more simulated nights, since errors are correlated within a night
N_APART = 4  # simulated nights for validation
STAGES = ("WAKE", "N1", "N2", "N3", "REM", "UNS")  # -1 is the last

CONFIG = Wav2SleepConfig(
    feature_dim=64,
    initial_channels=8,
    max_channels=32,
    mixer_heads=4,
    mixer_dim_ff=128,
    sequence_dilations=7,
    relative_features=True,  # people differ more than stages do, and few were trained on
)
PREPROCESSING = Preprocessing(padded_epochs=0)
PRETRAINING = PretrainingSettings(n_pieces=4000, n_epochs=20, n_steps=4000, seed=SEED)
# First the parts that learn what stages are, with frozen encoders, which is fast.
MIXERS = TrainingSettings(
    learning_rate=3e-3,
    weight_decay=2e-2,
    warmup_steps=40,
    decay_steps=150,
    batch_size=6,
    max_passes=4,
    averaging=0.985,
    keep="last",
    crop=480,
    # Each signal is often the only one, as the network has to work with any subset.
    masking=Masking(drop={"ABD": 0.6, "THX": 0.6, "ECG": 0.4, "PPG": 0.4}),
    dataset_weights={"simulated": 1.0, "sleep-accel": 1.0, "slpdb": 1.0},
    seed=SEED,
)
TOGETHER = replace(
    MIXERS, learning_rate=5e-4, warmup_steps=20, decay_steps=100, batch_size=3, crop=240
)
SHORTEST_INTERVAL_S = 0.3  # between beats that a detector found


@dataclass(frozen=True)
class Plan:
    """A night to make: its source, and the number of its rendering."""

    dataset: str
    subject: str
    source: Path | None
    number: int


def find_records(folder: Path, dataset: str) -> dict[str, list[Path]]:
    """Group the records of a folder by subject."""
    records: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.npz")):
        subject = path.stem.rstrip("ab") if dataset == "slpdb" else path.stem
        records.setdefault(subject, []).append(path)
    return records


def split_subjects(folders: dict[str, Path]) -> dict[str, dict[str, list[str]]]:
    """Split the subjects of each dataset into test, validation and training."""
    split = {}
    for dataset, folder in folders.items():
        rng = np.random.default_rng(SEED)
        subjects = rng.permutation(sorted(find_records(folder, dataset))).tolist()
        n_test, n_validation = N_TEST[dataset], N_VALIDATION[dataset]
        split[dataset] = {
            "test": sorted(subjects[:n_test]),
            "validation": sorted(subjects[n_test : n_test + n_validation]),
            "training": sorted(subjects[n_test + n_validation :]),
        }
    return split


def stretch_stages(stages: np.ndarray, factor: float) -> np.ndarray:
    """Stretch the stages of a night in time by a factor; give one per 30 s of the new time."""
    n_epochs = int(stages.size * factor)
    return stages[np.minimum(((np.arange(n_epochs) + 0.5) / factor).astype(int), stages.size - 1)]


def render_record(plan: Plan, *, augment: bool) -> tuple[mne.io.RawArray, np.ndarray]:
    """Render waves from the real beats or heart rates of a record."""
    rng = np.random.default_rng([SEED, sum(plan.subject.encode()), plan.number, 7])
    record = np.load(plan.source)
    stages = record["stages"].astype(int)
    # Heart rate is up to 12% lower or higher, with the same patterns.
    factor = float(np.exp(rng.uniform(-0.12, 0.12))) if augment else 1.0
    sfreq = float(rng.choice([64.0, 128.0])) if augment else 128.0
    if plan.dataset == "slpdb":
        stages = stretch_stages(stages, factor)
        duration = stages.size * 30.0
        beats, kinds = record["beat_times_s"] * factor, record["beat_type"]
        inside = (beats >= 0) & (beats < duration)
        beats, kinds = beats[inside], kinds[inside]
        breathing = breathing_from_beats(beats, duration=duration, rng=rng)
        belts = True
    else:
        duration = stages.size * 30.0
        beats, kinds = beats_from_heart_rate(
            record["hr_times_s"],
            record["hr_bpm"] / factor,
            duration=duration,
            rng=rng,
            subject=draw_subject(rng),
        )
        # A watch does not measure breathing, and belts unrelated to the stages would mislead.
        breathing, belts = None, False
    common = {"duration": duration, "sfreq": sfreq, "rng": rng, "breathing": breathing}
    waves = {
        "ECG": render_ecg(beats, kinds=kinds, **common),
        "Pleth": render_ppg(beats, kinds=kinds, **common),
    }
    if belts:
        for name, place in (("Abdomen", "abdomen"), ("Thorax", "thorax")):
            waves[name] = render_belt(beat_times=beats, place=place, **common)
    info = mne.create_info(list(waves), sfreq, "misc")
    data = np.array(list(waves.values()), dtype=float)
    return mne.io.RawArray(data, info, verbose="error"), stages


def simulate(plan: Plan) -> mne.io.RawArray:
    """Simulate a night of a random population, with the stages of a real night if given."""
    rng = np.random.default_rng([SEED, plan.number])
    hyp = None
    if plan.source is not None:
        stages = np.load(plan.source)["stages"]
        hyp = yasa.Hypnogram([STAGES[stage] for stage in stages], n_stages=5)
    population = Population(
        noise=float(np.exp(rng.normal(0, 0.4))),
        inverted=0.3,
        pulse_delay=(float(rng.uniform(0.15, 0.3)), 0.03),
        pulse_damping=float(rng.uniform(0.9, 1.5)),
        stage_effect=float(rng.uniform(0.8, 1.2)),
    )
    return simulate_night(
        hyp,
        duration=30 * int(rng.integers(600, 1081)),
        sfreq=float(rng.choice([64.0, 128.0])),
        seed=int(rng.integers(2**31)),
        apnea_index=float(rng.choice([0, 0, 0, rng.exponential(15)])),
        rhythm=str(rng.choice(["sinus"] * 9 + ["ectopy"])),
        population=population,
        verbose="error",
    )


def prepare(plan: Plan, folder: Path, *, augment: bool = True) -> PreparedNight:
    """Make and prepare a night, unless its file exists."""
    mne.set_log_level("error")
    here = folder / plan.dataset / f"{plan.subject}-{plan.number}"
    if done := list(here.glob("*.safetensors")):
        return open_night(done[0])
    if plan.dataset == "simulated":
        raw, hyp = simulate(plan), None
    else:
        raw, stages = render_record(plan, augment=augment)
        hyp = yasa.Hypnogram([STAGES[i] for i in stages], n_stages=5)
    return prepare_nights([Night(raw, hyp, plan.subject, plan.dataset)], here)[0]


def read_hypnograms(folder: Path | None) -> dict[Path, np.ndarray]:
    """Read the stages of all hypnograms in a folder and its subfolders, in a random order."""
    paths = [] if folder is None else sorted(folder.rglob("*.npz"))
    order = np.random.default_rng(SEED).permutation(len(paths))
    return {paths[i]: np.load(paths[i])["stages"].astype(int) for i in order}


def plan_simulated(n_nights: int, hypnograms: Sequence[Path]) -> list[Plan]:
    """List simulated nights, every second of which has the stages of a hypnogram, if there are."""
    return [
        Plan(
            "simulated",
            f"s{i}",
            hypnograms[(i // 2) % len(hypnograms)] if i % 2 and hypnograms else None,
            i,
        )
        for i in range(n_nights)
    ]


def plan_real(
    folders: dict[str, Path], split: dict[str, dict[str, list[str]]], part: str, copies: int
) -> list[Plan]:
    """List renderings of the real nights of one part of the split."""
    return [
        Plan(dataset, subject, path, 1000 * i + copy)
        for dataset, folder in folders.items()
        for subject, paths in find_records(folder, dataset).items()
        if subject in split[dataset][part]
        for i, path in enumerate(paths)
        for copy in range(copies)
    ]


def read_beats(
    folders: Mapping[str, Path], split: dict[str, dict[str, list[str]]], beats_only: Path | None
) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Read beats, their kinds and the duration in s of records whose stages are not used."""
    test = {subject for parts in split.values() for subject in parts["test"]}
    records = find_records(folders["slpdb"], "slpdb")
    paths = [path for name, some in records.items() if name not in test for path in some]
    beats = []
    for path in paths:
        record = np.load(path)
        beats.append((record["beat_times_s"], record["beat_type"], record["stages"].size * 30.0))
    for path in sorted(beats_only.glob("*.npz")) if beats_only is not None else ():
        record = np.load(path)
        times = np.sort(record["beat_times_s"])
        times = times[np.diff(times, prepend=-1.0) > SHORTEST_INTERVAL_S]
        beats.append((times, np.full(times.size, "N"), float(record["duration_s"])))
    return beats


def make_piece(
    seed: int,
    number: int,
    n_epochs: int,
    beats: Sequence[tuple[np.ndarray, np.ndarray, float]],
    hypnograms: Sequence[np.ndarray],
) -> Piece:
    """Make a piece for pretraining, in turn of real beats and of simulated ones."""
    rng = np.random.default_rng([seed, number, 5])
    population = Population(
        noise=float(np.exp(rng.normal(0, 0.5))),
        inverted=0.5,
        pulse_delay=(float(rng.uniform(0.15, 0.3)), 0.03),
        pulse_damping=float(rng.uniform(0.9, 1.6)),
        stage_effect=float(rng.uniform(0.8, 1.2)),
    )
    duration = 30.0 * n_epochs
    subject = draw_subject(rng, population=population)
    if number % 2 and beats:
        stages = np.full(n_epochs, int(rng.integers(0, 5)))  # movements alone depend on it
        times, kinds = cut_beats(beats, duration, rng)
        breathing = breathing_from_beats(times, duration=duration, rng=rng)
        activity = simulate_activity(stages, rng=rng, subject=subject)
    else:
        stages = draw_stages(hypnograms, n_epochs, rng)
        index = float(rng.choice([0, 0, rng.exponential(20)]))
        breathing = simulate_breathing(stages, rng=rng, subject=subject, apnea_index=index)
        activity = simulate_activity(stages, rng=rng, subject=subject, events=breathing.events)
        times, kinds = simulate_beats(
            stages,
            rng=rng,
            subject=subject,
            breathing=breathing,
            activity=activity,
            rhythm=str(rng.choice(["sinus"] * 9 + ["ectopy"])),
        )
    sfreq = rng.choice([0.0, 64.0, 128.0])
    return render_piece(
        times,
        kinds,
        breathing,
        activity,
        n_epochs=n_epochs,
        population=population,
        rng=rng,
        sfreq=float(sfreq) or None,
    )


def cut_beats(
    beats: Sequence[tuple[np.ndarray, np.ndarray, float]], duration: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a piece without long holes from a random record, up to a fifth slower or faster."""
    while True:
        times, kinds, whole = beats[rng.integers(len(beats))]
        factor = float(np.exp(rng.uniform(-0.2, 0.2)))
        start = rng.uniform(0, max(whole - duration / factor, 1.0))
        inside = (times >= start) & (times < start + duration / factor)
        piece = (times[inside] - start) * factor
        if piece.size > duration / 4 and np.diff(piece, prepend=0, append=duration).max() < 15:
            return piece, kinds[inside]


def draw_stages(
    hypnograms: Sequence[np.ndarray], n_epochs: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw consecutive stages from a random hypnogram."""
    stages = hypnograms[rng.integers(len(hypnograms))]
    start = int(rng.integers(0, max(stages.size - n_epochs, 0) + 1))
    return np.resize(stages[start : start + n_epochs], n_epochs)


def make_start(
    beats: Sequence[tuple[np.ndarray, np.ndarray, float]],
    hypnograms: Sequence[np.ndarray],
    folder: Path,
    n_jobs: int,
) -> LoadedWeights:
    """Make the weights that training starts from: pretrained encoders and random mixers."""
    make = partial(make_piece, beats=beats, hypnograms=hypnograms)
    origin = joblib.hash((beats, list(hypnograms)))
    state, report = pretrain_encoders(
        CONFIG, PRETRAINING, folder, make, origin, in_pairs=True, n_jobs=n_jobs
    )
    for name, explained in report["explained"].items():
        print(name, {what: round(share, 2) for what, share in explained.items()}, flush=True)
    torch.manual_seed(SEED)
    network = Wav2Sleep(CONFIG)
    network.signal_encoders.load_state_dict(state)
    info = describe_config(CONFIG, name="mini", preprocessing=PREPROCESSING)
    return LoadedWeights(**vars(info), network=network, calibration=Calibration())


def hold_out(split: dict[str, dict[str, list[str]]], fold: int) -> dict[str, dict[str, list[str]]]:
    """Split the subjects who are not in the test set anew: those of a fold are for validation."""
    found = {}
    for dataset, parts in split.items():
        known = np.random.default_rng(5).permutation(parts["training"] + parts["validation"])
        folds = [sorted(part.tolist()) for part in np.array_split(known, N_FOLDS[dataset])]
        held = folds[fold] if fold < len(folds) else []
        rest = sorted(set(known.tolist()) - set(held))
        found[dataset] = {"test": parts["test"], "validation": held, "training": rest}
    return found


def calibrate_mini(
    weights: LoadedWeights, apart: list[PreparedNight], n_simulated: int, folder: Path
) -> Calibration:
    """Calibrate on the validation nights, and on more simulated ones."""
    more = [
        Plan("simulated", f"s{i}", None, i) for i in range(n_simulated, n_simulated + N_CALIBRATION)
    ]
    return calibrate([*apart, *(prepare(plan, folder, augment=False) for plan in more)], weights)


def report_held_out(apart: list[PreparedNight], weights: Path, fold: int) -> None:
    """Print kappa of the people of a fold, and keep their confusion matrices."""
    real = [night for night in apart if night.dataset != "simulated"]
    for n_stages in (3, 4):
        found = evaluate(real, weights, subsets=[("ECG",)], n_stages=n_stages)
        found.confusion.to_csv(weights.parent / f"confusion-{n_stages}-fold{fold}.csv")
        print(f"fold {fold}, {n_stages} stages\n{found.pooled.round(3).to_string()}", flush=True)


def main() -> None:
    """Pretrain, prepare nights, train, and write the model folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slpdb", type=Path, required=True)
    parser.add_argument("--sleep-accel", type=Path, required=True)
    parser.add_argument("--hypnograms", type=Path, help="stages of half of the simulated nights")
    parser.add_argument("--beats", type=Path, help="beats without stages, for pretraining")
    parser.add_argument("--work", type=Path, default=Path("mini-work"))
    parser.add_argument("--simulated", type=int, default=240, help="simulated nights")
    parser.add_argument("--copies", type=int, default=12, help="renderings of each real night")
    parser.add_argument("--fold", type=int, help="leave out the people of this fold, from 0 to 3")
    parser.add_argument("--jobs", type=int, default=2, help="nights prepared in parallel")
    parser.add_argument("--workers", type=int, default=0, help="processes that read nights")
    parser.add_argument("--pretrain-only", action="store_true")
    parser.add_argument("--prepare-only", action="store_true")
    options = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    folders = {"slpdb": options.slpdb, "sleep-accel": options.sleep_accel}
    split = split_subjects(folders)
    hypnograms = read_hypnograms(options.hypnograms)
    beats = read_beats(folders, split, options.beats)
    out = options.work
    if options.fold is not None:
        split = hold_out(split, options.fold)
        out = options.work / f"fold{options.fold}"
    out.mkdir(parents=True, exist_ok=True)
    (out / "split.json").write_text(json.dumps(split, indent=2) + "\n")
    if not options.prepare_only:
        start = make_start(
            beats, list(hypnograms.values()), options.work / "encoders", options.jobs
        )
        if options.pretrain_only:
            return
    simulated = plan_simulated(options.simulated, list(hypnograms))
    training = plan_real(folders, split, "training", options.copies) + simulated[N_APART:]
    # Shuffled, so that an interrupted preparation has nights of all datasets.
    order = np.random.default_rng(SEED).permutation(len(training))
    training = [training[i] for i in order]
    validation = plan_real(folders, split, "validation", 1) + simulated[:N_APART]
    jobs = [(plan, True) for plan in training] + [(plan, False) for plan in validation]
    prepared = joblib.Parallel(n_jobs=options.jobs, return_as="generator")(
        joblib.delayed(prepare)(plan, options.work / "nights", augment=augment)
        for plan, augment in jobs
    )
    nights = list(tqdm(prepared, total=len(jobs), desc="Preparing"))
    if options.prepare_only:
        return
    train_nights, apart = nights[: len(training)], nights[len(training) :]
    parts = ("epoch_mixer", "sequence_mixer", "classifier")
    mixed = fine_tune(
        train_nights,
        out / "mixers",
        weights=start,
        trainable=parts,
        validation=apart,
        settings=replace(MIXERS, n_workers=options.workers),
    )
    whole = fine_tune(
        train_nights,
        out / "model",
        weights=mixed,
        trainable=("signal_encoders", *parts),
        validation=apart,
        settings=replace(TOGETHER, n_workers=options.workers),
    )
    if options.fold is not None:
        for folder in (mixed, whole):
            report_held_out(apart, folder, options.fold)
        return
    weights = load_weights(whole)
    calibration = calibrate_mini(weights, apart, options.simulated, options.work / "nights")
    entry = REGISTRY["mini"]
    weights = replace(weights, calibration=calibration, scorer=entry.scorer, caution=entry.caution)
    save_weights(weights, options.work / "mini", dtype=torch.float16)


if __name__ == "__main__":
    main()
