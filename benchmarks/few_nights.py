"""How well few nights show a temperature: python benchmarks/few_nights.py.

Three simulated cohorts (like the training data of mini, older subjects with wearable sensors, and
those in atrial fibrillation) are staged with the weights. A temperature is fitted to 1, 2, 4 or 8
of their nights, under several priors, for every subset of the signals. Printed are the spread of
its logarithm without a prior, and how much higher the cross-entropy of the other nights is than at
their own best temperature.
"""

import argparse
import tempfile

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from mne_wav2sleep import load_weights, simulate_night
from mne_wav2sleep.cohorts import Night, prepare_nights
from mne_wav2sleep.cohorts.calibration import _PIECE, _collect_epochs, _run_scored_night
from mne_wav2sleep.network import Engine, LoadedWeights
from mne_wav2sleep.simulation import OLDER_WEARABLE

FIRST_SEED = 123_000
COHORTS = {
    "usual": {},
    "older": {"population": OLDER_WEARABLE, "rhythm": "sinus"},
    "fibrillation": {"population": OLDER_WEARABLE, "rhythm": "atrial_fibrillation"},
}
COUNTS = (1, 2, 4, 8)
DRAWS = 40
GRID = np.linspace(-1.6, 2.3, 118)
"""Logarithms of temperatures."""


def find_losses(
    weights: LoadedWeights, engine: Engine, seed: int, options: dict
) -> dict[str, tuple[np.ndarray, int]]:
    """Give, for each subset, the summed cross-entropy of a night by temperature, and its epochs."""
    raw = simulate_night(duration=7 * 3600, sfreq=64, seed=seed, verbose="error", **options)
    with tempfile.TemporaryDirectory() as folder:
        (night,) = prepare_nights([Night(raw, None, "a")], folder, verbose="error")
        found = _run_scored_night(weights, engine, night)
    losses = {}
    for subset in found[0]:
        logits, stages = _collect_epochs([found], subset)
        rows = np.arange(stages.size)
        curve = [-log_softmax(logits / np.exp(t), axis=1)[rows, stages].sum() for t in GRID]
        losses["+".join(subset)] = np.array(curve), stages.size
    return losses


def compare(nights: list[dict], temperatures: dict[str, float]) -> tuple[pd.DataFrame, pd.Series]:
    """Give the excess cross-entropy by prior, and the spread without one, by number of nights."""
    rng = np.random.default_rng(0)
    rows, spread = [], []
    for subset, temperature in temperatures.items():
        curves = np.array([night[subset][0] for night in nights])
        sizes = np.array([night[subset][1] for night in nights])
        base = np.log(temperature)
        for count in COUNTS:
            for _ in range(DRAWS):
                some = rng.permutation(len(nights)) < count
                own, other = curves[some].sum(0), curves[~some].sum(0) / sizes[~some].sum()
                fits = {"kept as before": GRID[np.abs(GRID - base).argmin()]}
                for center, name in ((base, ""), (0.0, " about 1")):
                    for width in (0.1, 0.15, 0.2, 0.3, 0.5):
                        prior = 0.5 * ((GRID - center) / width) ** 2
                        fits[f"{width}{name}"] = GRID[(own / _PIECE + prior).argmin()]
                excess = {k: np.interp(t, GRID, other) - other.min() for k, t in fits.items()}
                rows.append({"nights": count} | excess)
                alone = GRID[own.argmin()] - GRID[curves.sum(0).argmin()]
                spread.append({"nights": count, "spread": alone})
    by_count = pd.DataFrame(spread).groupby("nights")["spread"]
    return pd.DataFrame(rows).groupby("nights").mean(), by_count.std()


def main() -> None:
    """Simulate the cohorts, and print a table for each and their mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="mini")
    parser.add_argument("--nights", type=int, default=20)
    options = parser.parse_args()
    weights = load_weights(options.weights, verbose="error")
    engine = Engine(weights.network, "cpu")
    tables = []
    for name, settings in COHORTS.items():
        nights = [
            find_losses(weights, engine, FIRST_SEED + i, settings) for i in range(options.nights)
        ]
        table, spread = compare(nights, dict(weights.calibration.temperatures))
        tables.append(table)
        print(f"{name}: cross-entropy above the best (x 1000), and the spread of log(temperature)")
        print((1000 * table).assign(spread=spread).round(2).T.to_string(), "\n", flush=True)
    print(
        f"mean of the cohorts (x 1000)\n{(1000 * sum(tables) / len(tables)).round(1).T.to_string()}"
    )


if __name__ == "__main__":
    main()
