"""What masking a sensor only while it fails is worth: python benchmarks/sensor_failures.py --help.

Simulated nights of held-out seeds in which the PPG stays at one value for 40 minutes, and the ECG
for another 40, staged with the failures masked and without, and intact. And all four sensors off
for 20 minutes, which must give these epochs, and no others, as unscored.
"""

import argparse

import joblib
import mne
import numpy as np
import pandas as pd
import yasa

from mne_wav2sleep import SleepStagerW2S, Validity, simulate_night
from mne_wav2sleep.hypnograms.reading import read_stages

FIRST_SEED = 95_000
EPOCHS = {"sensor": 80, "all": 40}
SWITCHED_OFF = Validity.off()


def fail(raw: mne.io.BaseRaw, names: list[str], first: int, n_epochs: int) -> None:
    """Let sensors stay where they are from an epoch on, as after a plug was pulled."""
    sfreq = raw.info["sfreq"]
    start, stop = round(first * 30 * sfreq), round((first + n_epochs) * 30 * sfreq)
    for name in names:
        row = raw._data[raw.ch_names.index(name)]
        row[start:stop] = row[start]


def stage(raw: mne.io.BaseRaw, weights: str, validity: Validity | None = None) -> np.ndarray:
    """Stages of a night."""
    stager = SleepStagerW2S(raw, weights=weights, validity=validity, verbose="error")
    return stager.predict().hypno.to_numpy(dtype=object)


def run_night(seed: int, weights: str) -> pd.DataFrame:
    """One row per epoch: the truth, what was staged, and where the epoch lies."""
    rng = np.random.default_rng([seed, 1])
    raw = simulate_night(seed=seed, verbose="error")
    truth = read_stages(None, raw)[0].consolidate_stages(4).hypno.to_numpy(dtype=object)
    n = truth.size
    # Two places apart from each other, in the two halves of the night, in any order.
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


def find_kappa(epochs: pd.DataFrame, name: str) -> float:
    """Kappa with the truth, epochs pooled."""
    hyps = (
        yasa.Hypnogram(epochs[column].to_numpy(), n_stages=4, scorer=column)
        for column in ("truth", name)
    )
    return float(yasa.EpochByEpochAgreement(*([h] for h in hyps)).get_agreement()["kappa"])


def main() -> None:
    """Run the nights and print the table."""
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
        part: {name: find_kappa(epochs[rows], name) for name in ("intact", "masked", "not masked")}
        for part, rows in parts.items()
    }
    print(f"Kappa, {options.nights} simulated nights from the seed {FIRST_SEED}, epochs pooled\n")
    print(pd.DataFrame(table).T.round(3).to_string(), "\n")
    exact = sum(bool(night["exact"].iloc[0]) for night in nights)
    print(f"All sensors off for 20 min: exactly these epochs unscored in {exact} nights")


if __name__ == "__main__":
    main()
