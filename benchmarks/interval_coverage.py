"""Measure the coverage of intervals of statistics: python benchmarks/interval_coverage.py --help.

Simulated nights of held-out seeds are staged from two subsets of their sensors: how often 95%
intervals contain the true value, how wide they are, and the same with epochs drawn independently.
Also the reliability of probabilities, with and without the temperatures of the weights.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import joblib
import mne
import numpy as np
import pandas as pd

from mne_wav2sleep import SleepStagerW2S, load_weights, read_hypnogram, simulate_night
from mne_wav2sleep.cohorts import Night, measure_reliability, prepare_nights
from mne_wav2sleep.hypnograms.statistics import statistics_with_intervals

FIRST_SEED = 97_000
STATISTICS = ("TST", "SE", "WASO", "SOL", "Lat_REM", "WAKE", "LIGHT", "DEEP", "REM")
SUBSETS = {"all four": {}, "ECG": {"PPG": None, "ABD": None, "THX": None}}
CI = 0.95


def run_night(seed: int, weights: str, work: Path) -> tuple[pd.DataFrame, Path]:
    """Stage a night; give a row per subset, correlation of errors and statistic, and the night."""
    mne.set_log_level("error")
    raw = simulate_night(seed=seed)
    hyp = read_hypnogram(None, raw)
    truth = hyp.consolidate_stages(4).sleep_statistics()
    loaded = load_weights(weights)
    correlated = loaded.calibration
    independent = replace(correlated, night_share=0.0, epoch_correlation=0.0)
    rows = []
    for subset, others in SUBSETS.items():
        stager = SleepStagerW2S(raw, weights=loaded, ch_names=others)
        staged = stager.predict()
        for errors, calibration in (("correlated", correlated), ("independent", independent)):
            table = statistics_with_intervals(staged, calibration, CI, seed=seed)
            for name in STATISTICS:
                low, high = table.loc[name, ["low", "high"]]
                true = truth[name]
                rows.append(
                    {
                        "sensors": subset,
                        "errors": errors,
                        "statistic": name,
                        # A latency may be undefined.
                        "covered": np.nan if np.isnan([low, true]).any() else low <= true <= high,
                        "width": high - low,
                        "error": abs(table.loc[name, "value"] - true),
                    }
                )
    (night,) = prepare_nights([Night(raw, hyp, f"s{seed}")], work)
    return pd.DataFrame(rows), night


def main() -> None:
    """Simulate and stage nights, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="mini")
    parser.add_argument("--nights", type=int, default=60)
    parser.add_argument("--work", type=Path, default=Path("interval-work"))
    options = parser.parse_args()
    found = joblib.Parallel(n_jobs=2)(
        joblib.delayed(run_night)(FIRST_SEED + i, options.weights, options.work)
        for i in range(options.nights)
    )
    rows = pd.concat(table for table, _ in found)
    rows["covered"] = rows["covered"].astype(float)
    table = rows.groupby(["sensors", "errors", "statistic"], sort=False).mean()
    print(
        f"{options.nights} nights, {100 * CI:.0f}% intervals: share that contains the true value,"
    )
    print("mean width, and mean absolute error of the hypnogram (min, %, per h)\n")
    print(table.unstack("errors").round(2).to_string(), "\n")
    print(table["covered"].groupby(["sensors", "errors"]).mean().round(3).to_string(), "\n")
    reliability = measure_reliability([night for _, night in found], options.weights)
    gap = (reliability["confidence"] - reliability["accuracy"]).rename("confidence - accuracy")
    by = [reliability["subset"], reliability["calibrated"]]
    print("Mean and mean absolute value of confidence - accuracy over ten bins of equal size\n")
    gaps = pd.concat([gap, gap.abs().rename("absolute")], axis=1)
    print(gaps.groupby(by).mean().round(3).to_string())


if __name__ == "__main__":
    main()
