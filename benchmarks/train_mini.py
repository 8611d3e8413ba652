"""Train the bundled weights "mini": python benchmarks/train_mini.py --slpdb DIR --sleep-accel DIR.

The network learns from simulated nights, and from waves rendered on the beats of the MIT-BIH
Polysomnographic Database and the heart rates of Sleep-Accel: timing and stages are real there, and
shapes, noise and breathing are made up. Movement and breathing of those nights are never drawn from
the stages, so that nothing tells them but the real timing.

Both folders hold an npz per record: ``beat_times_s``, ``beat_type`` and ``stages`` for slpdb,
``hr_times_s``, ``hr_bpm`` and ``stages`` for Sleep-Accel; stages are 0 to 4 and -1 (unscored) per
30 s. Steps that are done are not done again: prepared nights and checkpoints stay in --work.
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

from mne_wav2sleep import load_model, save_model
from mne_wav2sleep.network.config import Calibration, Wav2SleepConfig
from mne_wav2sleep.network.model import Wav2Sleep
from mne_wav2sleep.simulation import (
    Population,
    beats_from_heart_rate,
    breathing_from_beats,
    draw_subject,
    render_belt,
    render_ecg,
    render_ppg,
)
from mne_wav2sleep.simulation.night import simulate_night
from mne_wav2sleep.training import (
    Masking,
    Night,
    PreparedNight,
    TrainingSettings,
    calibrate,
    fine_tune,
    open_night,
    prepare_nights,
    train,
)
from mne_wav2sleep.training.sampling import NightDataset, PassSampler, make_loader

SEED = 2411
# Chosen by the seed before anything was trained; records a and b are one subject.
N_TEST = {"slpdb": 3, "sleep-accel": 6}
N_VALIDATION = {"slpdb": 1, "sleep-accel": 3}
MORE = 20  # simulated nights to calibrate with, as many errors are common to a night
STAGES = ("WAKE", "N1", "N2", "N3", "REM", "UNS")  # -1 is the last

CONFIG = Wav2SleepConfig(
    feature_dim=64,
    initial_channels=8,
    max_channels=32,
    mixer_heads=4,
    mixer_dim_ff=128,
    sequence_dilations=7,
    padded_epochs=0,
)
SETTINGS = TrainingSettings(
    learning_rate=2e-3,
    warmup_steps=200,
    decay_steps=2000,
    batch_size=4,
    max_passes=30,
    patience=30,
    crop=240,
    # Every signal is often the only one, since the network has to do without any of them.
    masking=Masking(drop={"ABD": 0.6, "THX": 0.6, "ECG": 0.45, "PPG": 0.4}),
    dataset_weights={"simulated": 1.0, "sleep-accel": 1.0, "slpdb": 0.7},
    seed=SEED,
)

# The pulse wave's encoder learns nothing from stages alone in so few steps: a pulse is all but a
# sine, whose rate no average shows. It learns what the ECG's encoder says of the same beats, which
# the mixer, to which all signals are alike, understands at once. Then all learn together.
TEACHING_PASSES = 2
TOGETHER = replace(
    SETTINGS, learning_rate=1e-3, warmup_steps=50, decay_steps=700, max_passes=16, patience=16
)

# Encoders learn from many short pieces; what follows them, from whole nights, for which the frozen
# encoders cost little. One at a time: padding to the longest would change what instance norm sees.
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
    """One night to make: where it comes from, and the number of this rendering of it."""

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
    """Part the subjects of each dataset into test, validation and training."""
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
    """Stages of a night whose time runs slower by a factor, per 30 s of the new time."""
    n_epochs = int(stages.size * factor)
    return stages[np.minimum(((np.arange(n_epochs) + 0.5) / factor).astype(int), stages.size - 1)]


def render_record(plan: Plan, *, augment: bool) -> tuple[mne.io.RawArray, np.ndarray]:
    """Render waves on the real beats or heart rates of a record."""
    rng = np.random.default_rng([SEED, sum(plan.subject.encode()), plan.number, 7])
    record = np.load(plan.source)
    stages = record["stages"].astype(int)
    # A heart that beats up to an eighth slower or faster, with all its patterns.
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
        # A watch tells nothing of breathing, and made-up belts would teach that belts tell nothing.
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
    """Simulate a night of a population of its own, so that the network sees all sorts."""
    rng = np.random.default_rng([SEED, plan.number])
    population = Population(
        noise=float(np.exp(rng.normal(0, 0.4))),
        inverted=0.3,
        pulse_delay=(float(rng.uniform(0.15, 0.3)), 0.03),
        pulse_damping=float(rng.uniform(0.9, 1.5)),
        stage_effect=float(rng.uniform(0.8, 1.2)),
    )
    return simulate_night(
        duration=30 * int(rng.integers(600, 1081)),
        sfreq=float(rng.choice([64.0, 128.0])),
        seed=int(rng.integers(2**31)),
        apnea_index=float(rng.choice([0, 0, 0, rng.exponential(15)])),
        rhythm=str(rng.choice(["sinus"] * 9 + ["ectopy"])),
        population=population,
        verbose="error",
    )


def prepare(plan: Plan, folder: Path, *, augment: bool = True) -> PreparedNight:
    """Make a night and put it on the network's grid, unless it is there."""
    mne.set_log_level("error")
    here = folder / plan.dataset / f"{plan.subject}-{plan.number}"
    if done := list(here.glob("*.safetensors")):
        return open_night(done[0])
    if plan.source is None:
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


def teach_pulse_wave(nights: list[PreparedNight], weights: Path, folder: Path) -> Path:
    """Let the PPG's encoder learn to say what the ECG's says of the same heart beats."""
    if (folder / "config.json").exists():
        return folder
    model = load_model(weights)
    teacher = model.signal_encoders.encoders["ECG"]
    pupil = model.signal_encoders.encoders["PPG"]
    pupil.load_state_dict(teacher.state_dict())
    optimizer = torch.optim.AdamW(pupil.requires_grad_().parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 50, 1))
    dataset = NightDataset(
        nights,
        ["ECG", "PPG"],
        CONFIG.n_classes,
        crop=SETTINGS.crop,
        padded_epochs=0,
        masking=Masking(drop={}, flip=0.5),
    )
    for number in range(TEACHING_PASSES):
        # Seeded so that no piece comes as it does in the other stages.
        sampler = PassSampler(
            nights, SETTINGS.dataset_weights, SETTINGS.batch_size, seed=SEED + 1, number=number
        )
        batches = make_loader(dataset, sampler, SETTINGS.batch_size, n_workers=0)
        for batch in (progress := tqdm(batches, desc="Teaching the PPG's encoder")):
            with torch.no_grad():
                wanted_BSF = teacher(batch["x"]["ECG"])
            spread_F = wanted_BSF.std((0, 1)) + 1e-3
            told_BSF = pupil(batch["x"]["PPG"])
            loss = ((told_BSF - wanted_BSF) / spread_F).square().mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(pupil.parameters(), SETTINGS.clip)
            optimizer.step()
            schedule.step()
            progress.set_postfix(loss=f"{loss.item():.3f}")
    return save_model(model.requires_grad_(False), folder)


def calibrate_mini(
    model: Wav2Sleep, apart: list[PreparedNight], n_simulated: int, folder: Path
) -> Calibration:
    """Calibrate on the validation nights, and on simulated ones that follow the others."""
    more = [Plan("simulated", f"s{i}", None, i) for i in range(n_simulated, n_simulated + MORE)]
    return calibrate([*apart, *(prepare(plan, folder, augment=False) for plan in more)], model)


def main() -> None:
    """Prepare, train, and write the model folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slpdb", type=Path, required=True)
    parser.add_argument("--sleep-accel", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("mini-work"))
    parser.add_argument("--simulated", type=int, default=240, help="simulated nights")
    parser.add_argument("--copies", type=int, default=12, help="renderings of each real night")
    parser.add_argument("--passes", type=int, default=SETTINGS.max_passes)
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
    # Interleaved, so that an interrupted preparation has something of everything.
    order = np.random.default_rng(SEED).permutation(len(training))
    training = [training[i] for i in order]
    validation = plan_real(folders, split, "validation", 1) + simulated[:n_apart]
    jobs = [(plan, True) for plan in training] + [(plan, False) for plan in validation]
    prepared = joblib.Parallel(n_jobs=2, return_as="generator")(
        joblib.delayed(prepare)(plan, options.work / "nights", augment=augment)
        for plan, augment in jobs
    )
    nights = list(tqdm(prepared, total=len(jobs), desc="Preparing"))
    if options.prepare_only:
        return
    learnt, apart = nights[: len(training)], nights[len(training) :]
    pieces = train(
        learnt,
        options.work / "pieces",
        config=CONFIG,
        validation=apart,
        settings=replace(SETTINGS, max_passes=options.passes),
    )
    taught = teach_pulse_wave(learnt, pieces, options.work / "taught")
    together = fine_tune(
        learnt,
        options.work / "together",
        weights=taught,
        trainable=("signal_encoders", "epoch_mixer", "sequence_mixer", "classifier"),
        validation=apart,
        settings=TOGETHER,
    )
    whole = fine_tune(
        learnt,
        options.work / "model",
        weights=together,
        trainable=("epoch_mixer", "sequence_mixer", "classifier"),
        validation=apart,
        settings=WHOLE_NIGHTS,
    )
    model = load_model(whole)
    model.calibration = calibrate_mini(model, apart, options.simulated, options.work / "nights")
    save_model(model, options.work / "mini", dtype=torch.float16)


if __name__ == "__main__":
    main()
