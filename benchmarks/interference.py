"""Measure what hum, noise and bursts change: python benchmarks/interference.py --help.

Simulated nights of held-out seeds, to which hum of the mains, white noise, or bursts of movement
are added, of several heights, relative to the R wave or half of a breath or pulse. They are staged
as they are; without the hum that is found; with samples beyond a multiple of the ordinary range
clipped; and with 5-s blocks of more than a multiple of the ordinary range replaced by the mean. For
each: the share of the stages that are not those of the clean night, and kappa with the true stages.
Also what the package measures and would say; and, for clean nights with other rhythms, apnea and
sampling rates, and for recordings in --real, the same measures.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import joblib
import mne
import numpy as np
import pandas as pd
from scipy import signal
from sklearn.metrics import cohen_kappa_score

from mne_wav2sleep import load_weights, read_hypnogram, simulate_night
from mne_wav2sleep.network.backends import Engine, choose_device
from mne_wav2sleep.signals import Signal
from mne_wav2sleep.signals.batch import make_batch
from mne_wav2sleep.signals.beats import choose_epochs, find_beats
from mne_wav2sleep.signals.hum import remove_hum
from mne_wav2sleep.signals.quality import find_bursts, find_doubts

FIRST_SEED = 95_000
CHANNELS = {"ABD": "Abdomen", "ECG": "ECG", "PPG": "Pleth", "THX": "Thorax"}
CASES = [
    # What is recorded alone or together, and the sampling rates.
    (("ECG",), 128.0),
    (("ECG",), 64.0),
    (("PPG",), 128.0),
    (("THX",), 32.0),
    (("ECG", "THX"), 128.0),
]


def stage(waves: dict[str, np.ndarray], sfreq: float, weights, engine) -> np.ndarray:
    """Stage waves as they are; give the index of the stage of each epoch."""
    n_epochs = int(min(wave.size for wave in waves.values()) / sfreq / 30)
    signals = {
        name: Signal(wave, sfreq, np.zeros(n_epochs, dtype=np.int8)) for name, wave in waves.items()
    }
    x, available = make_batch(signals, **asdict(weights.preprocessing))
    names = tuple(sorted(x))
    logits = engine.mix(engine.encode(x), available, [names])[names]
    return np.asarray(logits)[0, :n_epochs].argmax(1)


def cut(wave: np.ndarray, sfreq: float, seconds: float) -> np.ndarray:
    """Cut a wave into blocks, shape (n_blocks, n_samples)."""
    size = int(seconds * sfreq)
    return wave[: wave.size // size * size].reshape(-1, size)


def measure_height(wave: np.ndarray, sfreq: float, modality: str) -> float:
    """Measure the usual height of R waves, or half of the range of breaths and pulses."""
    blocks = cut(wave, sfreq, 30)
    if modality == "ECG":
        return float(np.median(np.abs(blocks - np.median(blocks, 1, keepdims=True)).max(1)))
    return float(np.median(np.ptp(np.quantile(blocks, [0.02, 0.98], axis=1), axis=0)) / 2)


def clip(wave: np.ndarray, sfreq: float, limit: float) -> np.ndarray:
    """Clip what is beyond a multiple of the usual deviation from the median in 5 s."""
    center = np.median(wave)
    reach = limit * np.median(np.abs(cut(wave, sfreq, 5) - center).max(1))
    return np.clip(wave, center - reach, center + reach)


def mask(wave: np.ndarray, sfreq: float, limit: float) -> np.ndarray:
    """Replace 5-s blocks whose range is more than a multiple of the usual one by the mean."""
    blocks = cut(wave, sfreq, 5)
    extent = np.ptp(blocks, axis=1)
    bad = np.zeros(wave.size, dtype=bool)
    bad[: blocks.size] = np.repeat(extent > limit * np.median(extent), blocks.shape[1])
    return np.where(bad, wave[~bad].mean(), wave)


REMEDIES = {
    "as it is": lambda wave, sfreq, _: wave,
    "hum removed": lambda wave, sfreq, modality: remove_hum(wave, sfreq, modality)[0],
    "low-pass": lambda wave, sfreq, modality: signal.sosfiltfilt(
        signal.butter(4, 15 if modality in ("ECG", "PPG") else 4, fs=sfreq, output="sos"), wave
    ),
    "clipped at 3": lambda wave, sfreq, _: clip(wave, sfreq, 3),
    "masked above 3": lambda wave, sfreq, _: mask(wave, sfreq, 3),
    "masked above 5": lambda wave, sfreq, _: mask(wave, sfreq, 5),
    "masked above 10": lambda wave, sfreq, _: mask(wave, sfreq, 10),
}
TRIED = {
    "clean": tuple(REMEDIES),
    "hum": ("as it is", "hum removed"),
    "noise": ("as it is", "low-pass"),
    "bursts": ("as it is", *list(REMEDIES)[3:]),
}


def make_disturbances(sfreq: float, n_samples: int, rng: np.random.Generator):
    """Yield kind, parameters, height and samples of what is added, in units of the wave."""
    t = np.arange(n_samples) / sfreq
    for mains in (50.0, 60.0):
        # The mains are never exactly at their frequency, and have harmonics.
        phase = 2 * np.pi * (mains + 0.04) * t + 0.5
        hum = np.sin(phase) + 0.2 * np.sin(3 * phase + 1)
        for height in (0.1, 0.2, 0.5, 1.0, 10.0):
            yield "hum", f"{mains:g} Hz", height, height * hum
    noise = rng.standard_normal(n_samples)
    for height in (0.05, 0.1, 0.2):
        yield "noise", "white", height, height * noise
    sos = signal.butter(2, (0.2, 5.0), "bandpass", fs=sfreq, output="sos")
    movement = signal.sosfiltfilt(sos, rng.standard_normal(n_samples))
    movement /= np.quantile(np.abs(movement), 0.98)
    for every in (300, 900):
        for height in (5.0, 10.0, 30.0):
            yield "bursts", f"every {every} s", height, height * movement * (t % every < 5)


def measure(wave: np.ndarray, sfreq: float, modality: str) -> dict[str, object]:
    """Measure a wave as the package does."""
    n_epochs = int(wave.size / sfreq / 30)
    wave, hum = remove_hum(wave, sfreq, modality)
    found = Signal(wave, sfreq, np.zeros(n_epochs, dtype=np.int8))
    beats = find_beats(found, modality, choose_epochs(found, 60))
    bursts = find_bursts(found, modality)
    doubts = find_doubts(beats, modality, "it", bursts)
    shown = {
        "hum": bool(hum),
        "noise": any("noise above" in doubt for doubt in doubts),
        "bursts": any("bursts of" in doubt for doubt in doubts),
        "few beats": any(" shows " in doubt for doubt in doubts),
    }
    return {
        "background": beats["background"].median(),
        "bursts": 100 * np.nanmean(bursts),
        "plausible": beats["plausible"].mean(),
        "said": " ".join(name for name, is_shown in shown.items() if is_shown) or "-",
    }


def run_night(modalities: tuple[str, ...], sfreq: float, seed: int, options) -> pd.DataFrame:
    """Stage a night with all that is added, and all remedies; give a row for each."""
    weights = load_weights(options.weights, verbose="error")
    engine = Engine(weights.network, choose_device("cpu"), "float32")
    raw = simulate_night(
        duration=3600 * options.hours,
        seed=seed,
        sfreq=sfreq,
        modalities=modalities,
        verbose="error",
    )
    hyp = read_hypnogram(None, raw).consolidate_stages(len(weights.stage_names))
    names = [*weights.stage_names]
    truth = np.array([names.index(one) for one in hyp.hypno])
    clean = {m: raw.get_data([CHANNELS[m]])[0] for m in modalities}
    heights = {m: measure_height(wave, sfreq, m) for m, wave in clean.items()}
    before = stage(clean, sfreq, weights, engine)
    rng = np.random.default_rng(seed)
    n_samples = clean[modalities[0]].size
    rows = []
    cases = [("clean", "", 0.0, np.zeros(n_samples)), *make_disturbances(sfreq, n_samples, rng)]
    for kind, what, height, added in cases:
        waves = {m: wave + heights[m] * added for m, wave in clean.items()}
        row = {"modalities": "+".join(modalities), "sfreq": sfreq, "seed": seed}
        row |= {"kind": kind, "what": what, "height": height}
        row |= measure(waves[modalities[0]], sfreq, modalities[0])
        for name in TRIED[kind]:
            treated = {m: REMEDIES[name](wave, sfreq, m) for m, wave in waves.items()}
            after = stage(treated, sfreq, weights, engine)
            row[name] = 100 * np.mean(after != before)
            row[f"kappa, {name}"] = cohen_kappa_score(truth, after)
        rows.append(row)
    return pd.DataFrame(rows)


def measure_clean(seed: int, hours: float) -> list[dict[str, object]]:
    """Measure a clean night of every kind at several sampling rates."""
    rows = []
    rhythm = ("sinus", "sinus", "atrial_fibrillation", "ectopy", "paced")[seed % 5]
    apnea_index = (0.0, 15.0, 45.0)[seed % 3]
    for name, channel in CHANNELS.items():
        for sfreq in {"ECG": (64, 128, 256), "PPG": (25, 64, 128)}.get(name, (8, 32, 128)):
            raw = simulate_night(
                duration=3600 * hours,
                seed=seed,
                sfreq=sfreq,
                modalities=[name],
                rhythm=rhythm,
                apnea_index=apnea_index,
                verbose="error",
            )
            row = measure(raw.get_data([channel])[0], sfreq, name)
            rows.append({"modality": name, "sfreq": sfreq, "seed": seed, "what": rhythm} | row)
    return rows


def read_real(folder: Path):
    """Yield file, modality, samples and sampling rate of real recordings."""
    icu = np.load(folder / "icu_ecg_ppg_resp_8min_125hz.npz")
    for name, modality in (("ecg", "ECG"), ("ppg", "PPG"), ("resp", "THX")):
        yield "intensive care", modality, icu[name].astype(float), 125.0
    ectopy = np.load(folder / "ecg_ectopy_30min_360hz.npz")["ecg_mv"].astype(float)
    yield "MIT-BIH 106", "ECG", ectopy, 360.0
    raw = mne.io.read_raw(folder / "psg_nox_2min.edf", encoding="latin1", verbose="error")
    named = {"ECG": "ECG", "Pulse Waveform": "PPG", "Chest": "THX", "Abdomen": "ABD"}
    for channel, modality in named.items():
        yield "Nox", modality, raw.get_data([channel])[0], raw.info["sfreq"]
    for path in sorted((folder / "aauwss").glob("*.npz")):
        night = np.load(path)
        for key in night.files:
            if night[key].size >= 1000:
                modality = "PPG" if "ppg" in key.lower() else "ECG"
                wave = night[key].astype(float).ravel()
                yield path.stem, modality, wave, wave.size / 30


def main() -> None:
    """Stage all nights, measure clean ones, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="mini")
    parser.add_argument("--nights", type=int, default=4, help="nights to stage of each case")
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--clean", type=int, default=30, help="clean nights to measure")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--real", type=Path, help="folder of real recordings")
    options = parser.parse_args()
    pd.set_option("display.width", 250, "display.max_rows", 1000, "display.max_columns", 50)
    work = joblib.Parallel(n_jobs=options.jobs)
    tasks = (
        joblib.delayed(run_night)(*case, FIRST_SEED + i, options)
        for case in CASES
        for i in range(options.nights)
    )
    nights = pd.concat(work(tasks))
    by = ["modalities", "sfreq", "what", "height"]
    print(f"{options.nights} nights of {options.hours:g} h, first seed {FIRST_SEED}, means.")
    print("Without a heading: stages changed in %. Said: of nights.")
    for kind, rows in nights.groupby("kind", sort=False):
        numbers = [name for name in rows.columns if f"kappa, {name}" in rows or "kappa" in name]
        numbers = [name for name in numbers if rows[name].notna().any()]
        table = rows.groupby(by)[[*numbers, "background", "bursts", "plausible"]].mean()
        table["said"] = rows.groupby(by)["said"].agg(
            lambda said: ", ".join(f"{n} {text}" for text, n in said.value_counts().items())
        )
        print(f"\n{kind}\n{table.round(2).to_string()}")
    seeds = range(FIRST_SEED + 500, FIRST_SEED + 500 + options.clean)
    clean = work(joblib.delayed(measure_clean)(seed, options.hours) for seed in seeds)
    table = pd.DataFrame([row for rows in clean for row in rows])
    print("\nClean nights: the largest of each, and nights with a warning")
    by = ["modality", "sfreq"]
    largest = table.groupby(by)[["background", "bursts"]].max().round(3)
    for name in ("hum", "noise", "bursts"):
        is_said = table["said"].str.contains(name)
        largest[f"{name} said"] = is_said.groupby([table[one] for one in by]).sum()
    print(largest.to_string())
    if options.real:
        rows = [
            {"file": file, "modality": modality, "sfreq": sfreq} | measure(wave, sfreq, modality)
            for file, modality, wave, sfreq in read_real(options.real)
        ]
        print(f"\nReal recordings\n{pd.DataFrame(rows).round(3).to_string()}")


if __name__ == "__main__":
    main()
