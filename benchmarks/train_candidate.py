"""Train a candidate for the bundled weights: python benchmarks/train_candidate.py --help.

The recipe is another one than that of train_mini.py, whose nights and splits it takes. The encoders
are first pretrained to predict physiology (beats, rates of heart and breath, movement) from waves,
without stages: of simulated pieces, and of pieces rendered from real beats. Properties of an epoch
are differences of the same two features in all encoders, so that mixers find them in one place.
Then the other parts are trained on whole nights, with features relative to those of the night.

Folders are those of train_mini.py, and an npz per record with ``stages`` for --hypnograms (half of
the simulated nights have them), and with ``beat_times_s`` and ``duration_s`` for --beats
(pretraining alone). With --fold, a part of the people who are not in the test set is left out of
training, and scored: settings are chosen by this. Prepared nights are kept in --work; run the same
command again to resume.
"""

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import torch
from mini_mixers import MixerSettings, read_features, score, train_mixers
from tqdm import tqdm
from train_mini import (
    CONFIG,
    PREPROCESSING,
    SEED,
    Plan,
    calibrate_mini,
    find_records,
    plan_real,
    prepare,
    split_subjects,
)

sys.path.append(str(Path(__file__).parents[1] / "experiments"))
from pretraining import Piece, PretrainingSettings, pretrain_encoders, render_piece

from mne_wav2sleep import save_weights
from mne_wav2sleep.network import Calibration, LoadedWeights, Wav2Sleep
from mne_wav2sleep.network.info import describe_config
from mne_wav2sleep.network.registry import REGISTRY
from mne_wav2sleep.simulation import (
    Population,
    breathing_from_beats,
    draw_subject,
    simulate_activity,
    simulate_beats,
    simulate_breathing,
)
from mne_wav2sleep.training import Masking

RELATIVE = replace(CONFIG, relative_features=True)
PRETRAINING = PretrainingSettings(n_pieces=4000, n_epochs=20, n_steps=4000, seed=SEED)
MIXERS = MixerSettings(
    # Each signal is often the only one, as the network has to work with any subset.
    masking=Masking(drop={"ABD": 0.6, "THX": 0.6, "ECG": 0.4, "PPG": 0.4}),
    dataset_weights={"simulated": 1.0, "sleep-accel": 1.0, "slpdb": 1.3},
)
N_FOLDS = {"slpdb": 3, "sleep-accel": 4}
N_APART = 4  # simulated nights for validation
SHOWN = (("ECG",), ("PPG",), ("ABD", "ECG", "PPG", "THX"))
SHORTEST_INTERVAL_S = 0.3  # between beats that a detector found


def read_hypnograms(folder: Path) -> dict[Path, np.ndarray]:
    """Read the stages of all hypnograms in a folder and its subfolders, in a random order."""
    paths = sorted(folder.rglob("*.npz"))
    if not paths:
        raise SystemExit(f"There are no hypnograms (*.npz) in {folder}.")
    order = np.random.default_rng(SEED).permutation(len(paths))
    return {paths[i]: np.load(paths[i])["stages"].astype(int) for i in order}


def plan_simulated(n_nights: int, hypnograms: Sequence[Path]) -> list[Plan]:
    """List simulated nights, every second of which has the stages of a hypnogram."""
    sources = [hypnograms[i // 2 % len(hypnograms)] if i % 2 else None for i in range(n_nights)]
    return [Plan("simulated", f"s{i}", source, i) for i, source in enumerate(sources)]


def read_beats(
    folders: Mapping[str, Path], split: dict[str, dict[str, list[str]]], beats_only: Path | None
) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Read beats, their kinds and the duration in s of records of people who are trained on."""
    chosen = split["slpdb"]["training"]
    records = find_records(folders["slpdb"], "slpdb")
    paths = [path for name, some in records.items() if name in chosen for path in some]
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
    if number % 2:
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
        RELATIVE, PRETRAINING, folder, make, origin, in_pairs=True, n_jobs=n_jobs
    )
    for name, explained in report["explained"].items():
        print(name, {what: round(share, 2) for what, share in explained.items()}, flush=True)
    torch.manual_seed(SEED)
    network = Wav2Sleep(RELATIVE)
    network.signal_encoders.load_state_dict(state)
    info = describe_config(RELATIVE, name="mini", preprocessing=PREPROCESSING)
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


def main() -> None:
    """Pretrain, prepare nights, train, and score or write the model folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slpdb", type=Path, required=True)
    parser.add_argument("--sleep-accel", type=Path, required=True)
    parser.add_argument(
        "--hypnograms", type=Path, required=True, help="stages of half of the simulated nights"
    )
    parser.add_argument("--beats", type=Path, help="more beats, without stages, for pretraining")
    parser.add_argument("--work", type=Path, default=Path("candidate-work"))
    parser.add_argument("--simulated", type=int, default=240, help="simulated nights")
    parser.add_argument("--copies", type=int, default=12, help="renderings of each real night")
    parser.add_argument("--fold", type=int, choices=range(4), help="leave out its people")
    parser.add_argument("--jobs", type=int, default=2, help="nights prepared in parallel")
    parser.add_argument("--pretrain-only", action="store_true")
    parser.add_argument("--prepare-only", action="store_true")
    options = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    folders = {"slpdb": options.slpdb, "sleep-accel": options.sleep_accel}
    split = split_subjects(folders)
    hypnograms = read_hypnograms(options.hypnograms)
    out = options.work
    if options.fold is not None:
        split = hold_out(split, options.fold)
        out = options.work / f"fold{options.fold}"
        held = {name: parts["validation"] for name, parts in split.items()}
        print(f"Left out in fold {options.fold}: {held}", flush=True)
    beats = read_beats(folders, split, options.beats)
    nights_dir = options.work / "nights"
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
        joblib.delayed(prepare)(plan, nights_dir, augment=augment) for plan, augment in jobs
    )
    nights = list(tqdm(prepared, total=len(jobs), desc="Preparing"))
    if options.prepare_only:
        return
    apart = nights[len(training) :]
    features = read_features(nights, start, out / "features.joblib")
    known, others = features[: len(training)], features[len(training) :]
    mixed = train_mixers(known, start, MIXERS, SEED)
    if options.fold is not None:
        for subset in SHOWN:
            print("+".join(subset), score(others, mixed, subset), flush=True)
        return
    mixed = replace(mixed, calibration=calibrate_mini(mixed, apart, options.simulated, nights_dir))
    entry = REGISTRY["mini"]
    mixed = replace(mixed, scorer=entry.scorer, caution=entry.caution)
    save_weights(mixed, out / "candidate", dtype=torch.float16)


if __name__ == "__main__":
    main()
