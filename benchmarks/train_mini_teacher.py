"""Train a teacher of the bundled weights: python benchmarks/train_mini_teacher.py --help.

Its network was "mini" before train_mini.py, which learns from it. It is trained on simulated
nights, and on waves rendered from the beats of the MIT-BIH Polysomnographic Database and the heart
rates of Sleep-Accel, whose timing and stages are real, and whose shapes, noise and breathing are
invented. Movement and breathing of these nights do not depend on the stages, so that only the real
timing carries information about them.

Both folders contain an npz per record: ``beat_times_s``, ``beat_type`` and ``stages`` for slpdb,
``hr_times_s``, ``hr_bpm`` and ``stages`` for Sleep-Accel; stages are 0 to 4 and -1 (unscored) per
30 s. Prepared nights and checkpoints are kept in --work; run the same command again to resume.
"""

import argparse
import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import mne
import numpy as np
import torch
import yasa
from tqdm import tqdm

from mne_wav2sleep import load_weights, save_weights, simulate_night
from mne_wav2sleep.cohorts import Night, PreparedNight, calibrate, open_night, prepare_nights
from mne_wav2sleep.network import Calibration, LoadedWeights, Preprocessing, Wav2SleepConfig
from mne_wav2sleep.network.backends import choose_device
from mne_wav2sleep.network.registry import REGISTRY
from mne_wav2sleep.simulation import (
    Population,
    beats_from_heart_rate,
    breathing_from_beats,
    draw_subject,
    render_belt,
    render_ecg,
    render_ppg,
)
from mne_wav2sleep.simulation.physiology import Breathing
from mne_wav2sleep.training import Masking, TrainingSettings, fine_tune, train
from mne_wav2sleep.training.sampling import NightDataset, PassSampler, make_loader

SEED = 2411
# Test subjects were drawn by the seed before any training; records a and b are of one subject.
N_TEST = {"slpdb": 3, "sleep-accel": 6}
N_VALIDATION = {"slpdb": 1, "sleep-accel": 3}
N_CALIBRATION = 20  # more simulated nights, since errors are correlated within a night
LATE = 10  # epochs by which the stages of a night may go on after its heart rate
STAGES = ("WAKE", "N1", "N2", "N3", "REM", "UNS")  # -1 is the last

CONFIG = Wav2SleepConfig(
    feature_dim=64,
    initial_channels=8,
    max_channels=32,
    mixer_heads=4,
    mixer_dim_ff=128,
    sequence_dilations=7,
)
PREPROCESSING = Preprocessing(padded_epochs=0)
SETTINGS = TrainingSettings(
    learning_rate=2e-3,
    warmup_steps=200,
    decay_steps=2000,
    batch_size=4,
    max_passes=30,
    patience=30,
    crop=240,
    # Each signal is often the only one, as the network has to work with any subset.
    masking=Masking(drop={"ABD": 0.6, "THX": 0.6, "ECG": 0.45, "PPG": 0.4}),
    dataset_weights={"simulated": 1.0, "sleep-accel": 1.0, "slpdb": 0.7},
    seed=SEED,
)

# In so few steps, the encoder of the PPG does not learn from stages alone. It is first trained to
# reproduce the output of the ECG's encoder for the same beats (distillation), which the mixer can
# read, since it treats all signals alike. Then all parts are trained together.
DISTILLATION_PASSES = 2
TOGETHER = replace(
    SETTINGS, learning_rate=1e-3, warmup_steps=50, decay_steps=700, max_passes=16, patience=16
)

# Encoders are trained on many short crops, the other parts on whole nights, with frozen encoders,
# which are fast. One night per step, since padding to the longest would change instance norm.
WHOLE_NIGHTS = replace(
    SETTINGS,
    learning_rate=3e-4,
    warmup_steps=50,
    decay_steps=500,
    batch_size=1,
    crop=None,
    max_passes=3,
)


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
        # slp01a and slp01b are of one person, and so are Bidslab00_1 and Bidslab00_2.
        subject = path.stem.rstrip("ab") if dataset == "slpdb" else path.stem.split("_")[0]
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


def make_beats(
    plan: Plan, rng: np.random.Generator, *, augment: bool = False
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, float]:
    """Make the times of beats (s), their kinds, the stages of the epochs, and a sampling rate."""
    record = np.load(plan.source)
    stages = record["stages"].astype(int)
    # Heart rate is up to 12% lower or higher, with the same patterns.
    factor = float(np.exp(rng.uniform(-0.12, 0.12))) if augment else 1.0
    sfreq = float(rng.choice([64.0, 128.0])) if augment else 128.0
    if "beat_times_s" in record:
        stages = stretch_stages(stages, factor)
        beats, kinds = record["beat_times_s"] * factor, record["beat_type"]
        inside = (beats >= 0) & (beats < stages.size * 30.0)
        return beats[inside], kinds[inside], stages, sfreq
    n_epochs, last = stages.size, record["hr_times_s"][-1] / 30
    if last < n_epochs - LATE:
        n_epochs = int(last)
    beats, kinds = beats_from_heart_rate(
        record["hr_times_s"],
        record["hr_bpm"] / factor,
        duration=n_epochs * 30.0,
        rng=rng,
        subject=draw_subject(rng),
    )
    return beats, kinds, stages[:n_epochs], sfreq


def start_record(plan: Plan) -> np.random.Generator:
    """Start the random numbers of a rendering of a record."""
    return np.random.default_rng([SEED, sum(plan.subject.encode()), plan.number, 7])


def render_record(plan: Plan, *, augment: bool) -> tuple[mne.io.RawArray, np.ndarray]:
    """Render waves from the real beats or heart rates of a record."""
    rng = start_record(plan)
    beats, kinds, stages, sfreq = make_beats(plan, rng, augment=augment)
    duration = stages.size * 30.0
    # A watch does not measure breathing, and belts unrelated to the stages would mislead.
    has_belts = plan.dataset == "slpdb"
    breathing = breathing_from_beats(beats, duration=duration, rng=rng) if has_belts else None
    raw = render_waves(
        beats,
        kinds,
        has_belts=has_belts,
        duration=duration,
        sfreq=sfreq,
        rng=rng,
        breathing=breathing,
    )
    return raw, stages


def render_waves(
    beats: np.ndarray,
    kinds: np.ndarray | None,
    *,
    duration: float,
    sfreq: float,
    rng: np.random.Generator,
    breathing: Breathing | None,
    has_belts: bool = False,
) -> mne.io.RawArray:
    """Render an ECG and a PPG from beats, and belts if wanted."""
    common = {"duration": duration, "sfreq": sfreq, "rng": rng, "breathing": breathing}
    waves = {
        "ECG": render_ecg(beats, kinds=kinds, **common),
        "Pleth": render_ppg(beats, kinds=kinds, **common),
    }
    if has_belts:
        for name, place in (("Abdomen", "abdomen"), ("Thorax", "thorax")):
            waves[name] = render_belt(beat_times=beats, place=place, **common)
    info = mne.create_info(list(waves), sfreq, "misc")
    return mne.io.RawArray(np.array(list(waves.values()), dtype=float), info, verbose="error")


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
    # All that it is made from: validation nights are not augmented, and simulated ones may have the
    # stages of a real one.
    kind = "" if augment else "-plain"
    if plan.dataset == "simulated":
        kind = "" if plan.source is None else f"-{plan.source.stem}"
    here = folder / plan.dataset / f"{plan.subject}-{plan.number}{kind}"
    if done := list(here.glob("*.safetensors")):
        return open_night(done[0])
    if plan.dataset == "simulated":
        raw, hyp = simulate(plan), None
    else:
        raw, stages = render_record(plan, augment=augment)
        hyp = yasa.Hypnogram([STAGES[i] for i in stages], n_stages=5)
    return prepare_nights([Night(raw, hyp, plan.subject, plan.dataset)], here)[0]


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


def distill_ppg_encoder(
    nights: list[PreparedNight], weights: Path, folder: Path, n_workers: int
) -> Path:
    """Train the PPG's encoder to reproduce the output of the ECG's for the same beats."""
    if (folder / "config.json").exists():
        return folder
    loaded = load_weights(weights)
    device = choose_device("auto")
    model = loaded.network.to(device)
    teacher = model.signal_encoders.encoders["ECG"]
    student = model.signal_encoders.encoders["PPG"]
    student.load_state_dict(teacher.state_dict())
    optimizer = torch.optim.AdamW(student.requires_grad_().parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 50, 1))
    dataset = NightDataset(
        nights,
        ["ECG", "PPG"],
        CONFIG.n_classes,
        crop=SETTINGS.crop,
        padded_epochs=0,
        masking=Masking(drop={}, flip=0.5),
    )
    for number in range(DISTILLATION_PASSES):
        # A different seed, so that crops differ from those of the other steps.
        sampler = PassSampler(
            nights, SETTINGS.dataset_weights, SETTINGS.batch_size, seed=SEED + 1, number=number
        )
        batches = make_loader(dataset, sampler, SETTINGS.batch_size, n_workers)
        for [batch] in (progress := tqdm(batches, desc="Distilling the PPG's encoder")):
            with torch.no_grad():
                wanted_BSF = teacher(batch["x"]["ECG"].to(device))
            spread_F = wanted_BSF.std((0, 1)) + 1e-3
            output_BSF = student(batch["x"]["PPG"].to(device))
            loss = ((output_BSF - wanted_BSF) / spread_F).square().mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), SETTINGS.clip)
            optimizer.step()
            schedule.step()
            progress.set_postfix(loss=f"{loss.item():.3f}")
    return save_weights(replace(loaded, network=model.cpu().requires_grad_(False)), folder)


def calibrate_mini(
    weights: LoadedWeights, apart: list[PreparedNight], n_simulated: int, folder: Path
) -> Calibration:
    """Calibrate on the validation nights, and on more simulated ones."""
    more = [
        Plan("simulated", f"s{i}", None, i) for i in range(n_simulated, n_simulated + N_CALIBRATION)
    ]
    return calibrate([*apart, *(prepare(plan, folder, augment=False) for plan in more)], weights)


def main() -> None:
    """Prepare nights, train, and write the model folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slpdb", type=Path, required=True)
    parser.add_argument("--sleep-accel", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("mini-work"))
    parser.add_argument("--simulated", type=int, default=240, help="simulated nights")
    parser.add_argument("--copies", type=int, default=12, help="renderings of each real night")
    parser.add_argument("--passes", type=int, default=SETTINGS.max_passes)
    parser.add_argument("--jobs", type=int, default=2, help="nights prepared in parallel")
    parser.add_argument("--workers", type=int, default=0, help="processes that read nights")
    parser.add_argument("--prepare-only", action="store_true")
    options = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    folders = {"slpdb": options.slpdb, "sleep-accel": options.sleep_accel}
    split = split_subjects(folders)
    options.work.mkdir(parents=True, exist_ok=True)
    (options.work / "split.json").write_text(json.dumps(split, indent=2) + "\n")
    simulated = [Plan("simulated", f"s{i}", None, i) for i in range(options.simulated)]
    n_apart = 4
    training = plan_real(folders, split, "training", options.copies) + simulated[n_apart:]
    # Shuffled, so that an interrupted preparation has nights of all datasets.
    order = np.random.default_rng(SEED).permutation(len(training))
    training = [training[i] for i in order]
    validation = plan_real(folders, split, "validation", 1) + simulated[:n_apart]
    jobs = [(plan, True) for plan in training] + [(plan, False) for plan in validation]
    prepared = joblib.Parallel(n_jobs=options.jobs, return_as="generator")(
        joblib.delayed(prepare)(plan, options.work / "nights", augment=augment)
        for plan, augment in jobs
    )
    nights = list(tqdm(prepared, total=len(jobs), desc="Preparing"))
    if options.prepare_only:
        return
    train_nights, apart = nights[: len(training)], nights[len(training) :]
    pieces = train(
        train_nights,
        options.work / "pieces",
        config=CONFIG,
        preprocessing=PREPROCESSING,
        validation=apart,
        settings=replace(SETTINGS, max_passes=options.passes, n_workers=options.workers),
    )
    taught = distill_ppg_encoder(train_nights, pieces, options.work / "taught", options.workers)
    together = fine_tune(
        train_nights,
        options.work / "together",
        weights=taught,
        trainable=("signal_encoders", "epoch_mixer", "sequence_mixer", "classifier"),
        validation=apart,
        settings=replace(TOGETHER, n_workers=options.workers),
    )
    whole = fine_tune(
        train_nights,
        options.work / "model",
        weights=together,
        trainable=("epoch_mixer", "sequence_mixer", "classifier"),
        validation=apart,
        settings=replace(WHOLE_NIGHTS, n_workers=options.workers),
    )
    weights = load_weights(whole)
    calibration = calibrate_mini(weights, apart, options.simulated, options.work / "nights")
    entry = REGISTRY["mini"]
    weights = replace(weights, calibration=calibration, scorer=entry.scorer, caution=entry.caution)
    save_weights(weights, options.work / "teacher", dtype=torch.float16)


if __name__ == "__main__":
    main()
