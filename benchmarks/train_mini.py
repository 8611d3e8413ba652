"""Train the bundled weights "mini": python benchmarks/train_mini.py --help.

The nights, and the people of the test set, are those of train_mini_teacher.py:

1. The encoders are pretrained to predict physiology (beats, rates of heart and breath, movement)
   from waves, without stages: of simulated pieces, and of pieces rendered from real beats.
   Properties of an epoch are differences of the same two features in all encoders, so that mixers
   find them in one place.
2. Teachers: several networks for each fold of the people who are not in the test set, which learn
   from the others. Their mean is scored on those left out: settings are chosen by this.
3. A student of each fold, which learns what its teachers say, also of people without scored stages
   (--beats); it is scored in the same way, and shows what the last step gives.
4. The network: several students learn from all teachers and from the network of
   train_mini_teacher.py (--teacher). The one that agrees most with these is kept, by people without
   scored stages who were left out of this step. Networks say wake, deep and REM sleep too seldom:
   to its logits is added what gave the students of step 3 the highest kappa on people left out. Its
   calibration is the mean of theirs, on the same people.

Mixers learn from whole nights, with features relative to those of the night. Folders are those of
train_mini_teacher.py, and an npz per record with ``stages`` for --hypnograms (half of the simulated
nights have them), and with ``beat_times_s``, ``duration_s`` and ``subject`` for --beats. All that
was finished is kept in --work; run the same command again to resume, and use another folder after a
change of settings or nights.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import joblib
import mne
import numpy as np
import torch
import yasa
from mini_mixers import (
    Features,
    MixerSettings,
    collect,
    compute_kappas,
    predict,
    read_features,
    score,
    train_mixers,
)
from tqdm import tqdm
from train_mini_teacher import (
    CONFIG,
    PREPROCESSING,
    SEED,
    Plan,
    find_records,
    plan_real,
    prepare,
    render_waves,
    split_subjects,
)

sys.path.append(str(Path(__file__).parents[1] / "experiments"))
from pretraining import Piece, PretrainingSettings, pretrain_encoders, render_piece

from mne_wav2sleep import load_weights, save_weights
from mne_wav2sleep.cohorts import Night, PreparedNight, calibrate, open_night, prepare_nights
from mne_wav2sleep.network import Calibration, LoadedWeights, Source, Wav2Sleep
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

UNSCORED = "unscored"
RELATIVE = replace(CONFIG, relative_features=True)
PRETRAINING = PretrainingSettings(n_pieces=4000, n_epochs=20, n_steps=4000, seed=SEED)
TEACHERS = MixerSettings(
    # Each signal is often the only one, as the network has to work with any subset.
    masking=Masking(drop={"ABD": 0.6, "THX": 0.6, "ECG": 0.4, "PPG": 0.4}),
    dataset_weights={"simulated": 1.0, "sleep-accel": 1.0, "slpdb": 1.3},
)
STUDENT = replace(
    TEACHERS,
    dataset_weights={"simulated": 0.8, "sleep-accel": 1.5, "slpdb": 1.3, UNSCORED: 1.0},
    n_steps=600,
    decay_steps=240,
)
N_TEACHERS = 3  # of each fold
N_STUDENTS = 2  # of all folds, of which one is chosen
N_UNSCORED = 5  # renderings of each night without stages
N_FOLDS = {"slpdb": 3, "sleep-accel": 4}
TEACHER_WEIGHT = 0.4  # of the network of --teacher, among all teachers
OFFSETS = np.arange(-0.4, 1.25, 0.1)  # of the logits of wake, deep and REM sleep
N_CALIBRATION = 8  # simulated nights for the calibration of each fold
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
    folders: Mapping[str, Path], split: dict[str, dict[str, list[str]]], beats_only: Path
) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Read beats, their kinds and the duration in s of records of people not in the test set."""
    # Pretraining sees no stages, so that people may be left out later by their stages alone.
    chosen = {*split["slpdb"]["training"], *split["slpdb"]["validation"]}
    records = find_records(folders["slpdb"], "slpdb")
    paths = [path for name, some in records.items() if name in chosen for path in some]
    beats = []
    for path in paths:
        record = np.load(path)
        beats.append((record["beat_times_s"], record["beat_type"], record["stages"].size * 30.0))
    return beats + [read_record(path) for path in sorted(beats_only.glob("*.npz"))]


def read_record(path: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Read beats that a detector found, their kinds and the duration in s."""
    record = np.load(path)
    times = np.sort(record["beat_times_s"])
    times = times[np.diff(times, prepend=-1.0) > SHORTEST_INTERVAL_S]
    return times, np.full(times.size, "N"), float(record["duration_s"])


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


def find_folds(split: dict[str, dict[str, list[str]]]) -> list[set[str]]:
    """Divide the people who are not in the test set into those that each fold leaves out."""
    folds: list[set[str]] = [set() for _ in range(max(N_FOLDS.values()))]
    for dataset, parts in split.items():
        known = np.random.default_rng(5).permutation(parts["training"] + parts["validation"])
        for i, part in enumerate(np.array_split(known, N_FOLDS[dataset])):
            folds[i].update(part.tolist())
    return folds


def render_unscored(path: Path, number: int, folder: Path) -> PreparedNight:
    """Render and prepare a night of beats without stages, unless its file exists."""
    here = folder / UNSCORED / f"{path.stem}-{number}"
    if done := list(here.glob("*.safetensors")):
        return open_night(done[0])
    mne.set_log_level("error")
    rng = np.random.default_rng([SEED, sum(path.stem.encode()), number, 11])
    factor, sfreq = float(np.exp(rng.uniform(-0.12, 0.12))), float(rng.choice([64.0, 128.0]))
    times, kinds, whole = read_record(path)
    n_epochs = int(whole * factor // 30)
    inside = times * factor < n_epochs * 30.0
    times, kinds = times[inside] * factor, kinds[inside]
    duration = n_epochs * 30.0
    breathing = breathing_from_beats(times, duration=duration, rng=rng)
    raw = render_waves(times, kinds, duration=duration, sfreq=sfreq, rng=rng, breathing=breathing)
    # Prepared nights need stages; these are not read.
    hyp = yasa.Hypnogram(["N2"] * n_epochs, n_stages=5)
    subject = str(np.load(path)["subject"])
    return prepare_nights([Night(raw, hyp, subject, UNSCORED)], here)[0]


def prepare_all(options: argparse.Namespace) -> list[PreparedNight]:
    """Prepare all nights of people who are not in the test set."""
    folders, split = options.folders, options.split
    simulated = plan_simulated(options.simulated, list(options.stages))
    real = [
        plan
        for part in ("training", "validation")
        for plan in plan_real(folders, split, part, options.copies)
    ]
    nights_dir = options.work / "nights"
    tasks = [joblib.delayed(prepare)(plan, nights_dir) for plan in simulated + real]
    paths = sorted(options.beats.glob("*.npz"))
    tasks += [
        joblib.delayed(render_unscored)(path, number, nights_dir)
        for path in paths
        for number in range(N_UNSCORED)
    ]
    prepared = joblib.Parallel(n_jobs=options.jobs, return_as="generator")(tasks)
    return list(tqdm(prepared, total=len(tasks), desc="Preparing"))


def read_nights(nights: list[PreparedNight], weights: LoadedWeights, path: Path) -> list[Features]:
    """Read the features of nights, without stages where nobody scored them."""
    features = read_features(nights, weights, path)
    return [
        replace(night, stages=np.full_like(night.stages, -1))
        if night.dataset == UNSCORED
        else night
        for night in features
    ]


def train_once(
    path: Path, features: list[Features], start: LoadedWeights, settings: MixerSettings, seed: int
) -> LoadedWeights:
    """Train mixers, unless they were trained before."""
    if not (path / "config.json").exists():
        save_weights(train_mixers(features, start, settings, seed), path)
    return load_weights(path)


def teach(features: list[Features], teachers: Sequence[LoadedWeights]) -> list[Features]:
    """Give real nights the mean of what the teachers say of all of their signals."""
    return [
        night
        if night.dataset == "simulated"
        else replace(night, proba=predict(night, teachers, tuple(sorted(night.signals))))
        for night in tqdm(features, desc="Teaching")
    ]


def run_fold(
    fold: int, held: set[str], features: list[Features], start: LoadedWeights, work: Path
) -> tuple[list[LoadedWeights], LoadedWeights]:
    """Train and score the teachers and the student of a fold."""
    # Simulated nights are left out as well, the same in all folds.
    apart = held | {f"s{i}" for i in range(N_APART)}
    known = [night for night in features if night.subject not in apart]
    others = [night for night in features if night.subject in apart]
    scored = [night for night in known if night.dataset != UNSCORED]
    teachers = [
        train_once(work / f"teacher-{fold}-{seed}", scored, start, TEACHERS, seed)
        for seed in range(N_TEACHERS)
    ]
    student = train_once(
        work / f"student-{fold}", teach(known, teachers), start, STUDENT, SEED + fold
    )
    print(f"Fold {fold} leaves out {', '.join(sorted(held))}. Kappa of 3 and 4 stages:")
    for subset in SHOWN:
        single = [score(others, [one], subset) for one in teachers]
        print(f"  {'+'.join(subset)}: each teacher {single}")
        print(f"    teachers {score(others, teachers, subset)}")
        print(f"    student {score(others, [student], subset)}", flush=True)
    return teachers, student


def add_teacher(
    taught: list[Features], nights: list[PreparedNight], teacher: LoadedWeights, path: Path
) -> list[Features]:
    """Let a network with encoders of its own have a say in what the teachers say."""
    others = teach(read_nights(nights, teacher, path), [teacher])
    return [
        night
        if night.proba is None
        else replace(night, proba=(1 - TEACHER_WEIGHT) * night.proba + TEACHER_WEIGHT * other.proba)
        for night, other in zip(taught, others, strict=True)
    ]


def choose_student(
    taught: list[Features], start: LoadedWeights, options: argparse.Namespace
) -> LoadedWeights:
    """Train several students, and choose the one that agrees most with the teachers.

    They are compared on people whose stages nobody scored, and from whom they did not learn.
    """
    unscored = sorted({night.subject for night in taught if night.dataset == UNSCORED})
    apart = {*unscored[::4], *(f"s{i}" for i in range(N_APART))}
    known = [night for night in taught if night.subject not in apart]
    others = [night for night in taught if night.subject in unscored[::4]]
    students = joblib.Parallel(n_jobs=options.jobs)(
        joblib.delayed(train_once)(
            options.work / f"student-of-all-{i}", known, start, STUDENT, SEED + i
        )
        for i in range(N_STUDENTS)
    )
    losses = [compare(others, student) for student in students]
    print(f"Cross-entropy of the students with the teachers: {np.round(losses, 3)}", flush=True)
    return students[int(np.argmin(losses))]


def compare(features: list[Features], student: LoadedWeights) -> float:
    """Compute the mean cross-entropy of what teachers and a student say of each signal."""
    return float(
        np.mean(
            [
                -(night.proba * np.log(predict(night, [student], (name,)) + 1e-6)).sum(1).mean()
                for night in features
                for name in sorted(night.signals)
            ]
        )
    )


def find_offset(
    networks: Sequence[LoadedWeights], apart: Sequence[Sequence[Features]]
) -> np.ndarray:
    """Find what to add to the logits (C) for the highest kappa of people left out.

    It is the mean of kappas of three and four stages, of both datasets, from the ECG and the PPG.
    ``apart`` has the nights that each network has not seen.
    """
    groups: dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    for network, others in zip(networks, apart, strict=True):
        for name in ("ECG", "PPG"):
            for dataset, pair in collect(others, [network], (name,)).items():
                groups.setdefault((dataset, name), []).append(pair)
    pairs = {
        key: [np.concatenate(p) for p in zip(*some, strict=True)] for key, some in groups.items()
    }

    def mean_kappa(offset: np.ndarray) -> float:
        shifted = [
            compute_kappas(stages, proba * np.exp(offset)) for stages, proba in pairs.values()
        ]
        return float(np.mean(shifted))

    offset = np.zeros(4)
    for _ in range(2):
        for stage in (0, 2, 3):
            tried = np.tile(offset, (OFFSETS.size, 1))
            tried[:, stage] = OFFSETS
            offset = max(tried, key=mean_kappa)
    print(
        f"Offset {offset.round(1)}: mean kappa {mean_kappa(np.zeros(4)):.3f} without,"
        f" {mean_kappa(offset):.3f} with it"
    )
    for key, (stages, proba) in pairs.items():
        kappas = [compute_kappas(stages, p) for p in (proba, proba * np.exp(offset))]
        print(f"  {key}: {np.round(kappas, 3).tolist()}", flush=True)
    return offset


def add_offset(weights: LoadedWeights, offset: np.ndarray) -> LoadedWeights:
    """Add an offset (C) to the logits of a network."""
    network = deepcopy(weights.network)
    network.classifier.bias += torch.from_numpy(offset).to(network.classifier.bias)
    return replace(weights, network=network)


def calibrate_folds(
    networks: Sequence[LoadedWeights], folds: Sequence[set[str]], options: argparse.Namespace
) -> Calibration:
    """Calibrate the network of each fold on nights that it has not seen, and average over folds."""
    found = []
    for i, (network, held) in enumerate(zip(networks, folds, strict=True)):
        first = options.simulated + i * N_CALIBRATION
        plans = [Plan("simulated", f"s{n}", None, n) for n in range(first, first + N_CALIBRATION)]
        for part in ("training", "validation"):
            real = plan_real(options.folders, options.split, part, 1)
            plans += [plan for plan in real if plan.subject in held]
        nights = [prepare(plan, options.work / "nights", augment=False) for plan in plans]
        found.append(calibrate(nights, network))
    sources = {
        subset: Source(
            "scored nights",
            sum(one.sources[subset].n_nights for one in found),
            sum(one.sources[subset].n_epochs for one in found),
        )
        for subset in found[0].sources
    }
    every = [one.correlation_source for one in found]
    return Calibration(
        temperatures={
            subset: float(np.exp(np.mean([np.log(one.temperatures[subset]) for one in found])))
            for subset in sources
        },
        night_share=float(np.mean([one.night_share for one in found])),
        epoch_correlation=float(np.mean([one.epoch_correlation for one in found])),
        n_nights=sum(one.n_nights for one in found),
        sources=sources,
        correlation_source=Source(
            "scored nights", sum(s.n_nights for s in every), sum(s.n_epochs for s in every)
        ),
    )


def main() -> None:
    """Pretrain, prepare nights, train teachers and students, and write the model folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slpdb", type=Path, required=True)
    parser.add_argument("--sleep-accel", type=Path, required=True)
    parser.add_argument(
        "--hypnograms", type=Path, required=True, help="stages of half of the simulated nights"
    )
    parser.add_argument("--beats", type=Path, required=True, help="more beats, without stages")
    parser.add_argument("--teacher", help="the model folder of the other recipe, for the last step")
    parser.add_argument("--work", type=Path, default=Path("mini-work"))
    parser.add_argument("--simulated", type=int, default=240, help="simulated nights")
    parser.add_argument("--copies", type=int, default=12, help="renderings of each real night")
    parser.add_argument("--jobs", type=int, default=2, help="nights prepared in parallel")
    parser.add_argument("--folds", type=int, nargs="+", help="only these folds")
    parser.add_argument("--pretrain-only", action="store_true")
    parser.add_argument("--prepare-only", action="store_true")
    options = parser.parse_args()
    is_whole = not (options.pretrain_only or options.prepare_only or options.folds)
    if is_whole and options.teacher is None:
        parser.error("--teacher is needed for the last step")
    # Read before training, which takes hours.
    teacher = load_weights(options.teacher) if is_whole else None
    options.folders = {"slpdb": options.slpdb, "sleep-accel": options.sleep_accel}
    options.split = split_subjects(options.folders)
    options.stages = read_hypnograms(options.hypnograms)
    options.work.mkdir(parents=True, exist_ok=True)
    (options.work / "split.json").write_text(json.dumps(options.split, indent=2) + "\n")
    beats = read_beats(options.folders, options.split, options.beats)
    start = make_start(
        beats, list(options.stages.values()), options.work / "encoders", options.jobs
    )
    if options.pretrain_only:
        return
    nights = prepare_all(options)
    features = read_nights(nights, start, options.work / "features.joblib")
    if options.prepare_only:
        return
    folds = find_folds(options.split)
    chosen = range(len(folds)) if options.folds is None else options.folds
    done = [run_fold(i, folds[i], features, start, options.work) for i in chosen]
    if teacher is None:
        return
    taught = teach(features, [teacher for teachers, _ in done for teacher in teachers])
    taught = add_teacher(taught, nights, teacher, options.work / "features-teacher.joblib")
    found = choose_student(taught, start, options)
    students = [student for _, student in done]
    real = [night for night in features if night.dataset in options.folders]
    apart = [[night for night in real if night.subject in held] for held in folds]
    offset = find_offset(students, apart)
    calibration = calibrate_folds([add_offset(one, offset) for one in students], folds, options)
    found = add_offset(found, offset)
    entry = REGISTRY["mini"]
    found = replace(found, calibration=calibration, scorer=entry.scorer, caution=entry.caution)
    save_weights(found, options.work / "mini", dtype=torch.float16)


if __name__ == "__main__":
    main()
