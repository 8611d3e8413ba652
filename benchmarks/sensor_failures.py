"""Measure the effect of masking sensor failures: python benchmarks/sensor_failures.py --help.

Simulated nights of held-out seeds in which the PPG is constant for 40 min, and the ECG for another
40 min, staged with and without masking of the failures, and without failures. Also all four sensors
constant for 20 min: exactly these epochs must be unscored.
"""

import argparse

import joblib
import mne
import numpy as np
import pandas as pd
import yasa

from mne_wav2sleep import SleepStagerW2S, Validity, read_hypnogram, simulate_night

FIRST_SEED = 95_000
EPOCHS = {"sensor": 80, "all": 40}
SWITCHED_OFF = Validity.off()


def fail(raw: mne.io.BaseRaw, names: list[str], first: int, n_epochs: int) -> None:
    """Hold channels at a constant value for some epochs, as after a plug was pulled."""
    sfreq = raw.info["sfreq"]
    start, stop = round(first * 30 * sfreq), round((first + n_epochs) * 30 * sfreq)
    for name in names:
        row = raw._data[raw.ch_names.index(name)]
        row[start:stop] = row[start]


def stage(raw: mne.io.BaseRaw, weights: str, validity: Validity | None = None) -> np.ndarray:
    """Stage a night; give one stage per epoch."""
    stager = SleepStagerW2S(raw, weights=weights, validity=validity, verbose="error")
    return stager.predict().hypno.to_numpy(dtype=object)


def run_night(seed: int, weights: str) -> pd.DataFrame:
    """Stage a night in all ways; give a row per epoch."""
    rng = np.random.default_rng([seed, 1])
    raw = simulate_night(seed=seed, verbose="error")
    truth = read_hypnogram(None, raw).consolidate_stages(4).hypno.to_numpy(dtype=object)
    n = truth.size
    # One failure in each half of the night, in random order.
    places = rng.permutation(
        [
            rng.integers(20, n // 2 - EPOCHS["sensor"]),
            rng.integers(n // 2, n - EPOCHS["sensor"] - 20),
        ]
    )
    where = np.full(n, "elsewhere", dtype=object)
    broken = raw.copy()
    for name, first in zip(("Pleth", "ECG"), places, strict=True):
        fail(broken, [name], int(first), EPOCHS["sensor"])
        where[first : first + EPOCHS["sensor"]] = f"{name} off"
    off = raw.copy()
    first = int(rng.integers(20, n - EPOCHS["all"] - 20))
    fail(off, ["ECG", "Pleth", "Abdomen", "Thorax"], first, EPOCHS["all"])
    unscored = np.flatnonzero(stage(off, weights) == "UNS").tolist()
    return pd.DataFrame(
        {
            "seed": seed,
            "truth": truth,
            "where": where,
            "intact": stage(raw, weights),
            "masked": stage(broken, weights),
            "not masked": stage(broken, weights, SWITCHED_OFF),
            "exact": unscored == list(range(first, first + EPOCHS["all"])),
        }
    )


def compute_kappa(epochs: pd.DataFrame, name: str) -> float:
    """Compute kappa with the true stages, epochs pooled."""
    hyps = (
        yasa.Hypnogram(epochs[column].to_numpy(), n_stages=4, scorer=column)
        for column in ("truth", name)
    )
    return float(yasa.EpochByEpochAgreement(*([h] for h in hyps)).get_agreement()["kappa"])


def main() -> None:
    """Stage all nights, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="mini")
    parser.add_argument("--nights", type=int, default=20)
    options = parser.parse_args()
    nights = joblib.Parallel(n_jobs=2)(
        joblib.delayed(run_night)(FIRST_SEED + i, options.weights) for i in range(options.nights)
    )
    epochs = pd.concat(nights)
    inside = epochs["where"] != "elsewhere"
    parts = {
        "inside the failures": inside,
        "PPG off": epochs["where"] == "Pleth off",
        "ECG off": epochs["where"] == "ECG off",
        "elsewhere": ~inside,
    }
    table = {
        part: {
            name: compute_kappa(epochs[rows], name) for name in ("intact", "masked", "not masked")
        }
        for part, rows in parts.items()
    }
    print(f"Kappa, {options.nights} simulated nights, first seed {FIRST_SEED}, epochs pooled\n")
    print(pd.DataFrame(table).T.round(3).to_string(), "\n")
    exact = sum(bool(night["exact"].iloc[0]) for night in nights)
    print(f"All sensors off for 20 min: exactly these epochs are unscored in {exact} nights")


if __name__ == "__main__":
    main()
