"""Do the intervals of sleep statistics hold: python benchmarks/interval_coverage.py --help.

Simulated nights of held-out seeds, staged from each of some subsets of their sensors: how often the
95 % intervals hold what is true, how wide they are, and the same if epochs were drawn one by one.
And how well probabilities are calibrated, with the temperatures of the weights and without.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import joblib
import mne
import numpy as np
import pandas as pd

from mne_wav2sleep import SleepStagerW2S, simulate_night
from mne_wav2sleep.hypnograms.reading import read_stages
from mne_wav2sleep.hypnograms.statistics import statistics_with_intervals
from mne_wav2sleep.training import Night, measure_reliability, prepare_nights

FIRST_SEED = 97_000
STATISTICS = ("TST", "SE", "WASO", "SOL", "Lat_REM", "WAKE", "LIGHT", "DEEP", "REM")
SUBSETS = {"all four": {}, "ECG": {"ppg_name": None, "abd_name": None, "thx_name": None}}
CI = 0.95


def run_night(seed: int, weights: str, work: Path) -> tuple[pd.DataFrame, Path]:
    """One row per subset, way to draw, and statistic; and the prepared night."""
    mne.set_log_level("error")
    raw = simulate_night(seed=seed)
    hyp = read_stages(None, raw)[0]
    truth = hyp.consolidate_stages(4).sleep_statistics()
    rows = []
    for subset, names in SUBSETS.items():
        stager = SleepStagerW2S(raw, weights=weights, **names)
        staged, together = stager.predict(), stager.model.calibration
        alone = replace(together, night_share=0.0, epoch_correlation=0.0)
        for way, calibration in (("together", together), ("one by one", alone)):
            table = statistics_with_intervals(staged, calibration, CI, seed=seed)
            for name in STATISTICS:
                low, high = table.loc[name, ["low", "high"]]
                true = truth[name]
                rows.append(
                    {
                        "sensors": subset,
                        "drawn": way,
                        "statistic": name,
                        # Nothing can be said of a latency that is not there.
                        "held": np.nan if np.isnan([low, true]).any() else low <= true <= high,
                        "width": high - low,
                        "off": abs(table.loc[name, "value"] - true),
                    }
                )
    (night,) = prepare_nights([Night(raw, hyp, f"s{seed}")], work)
    return pd.DataFrame(rows), night


def main() -> None:
    """Simulate, stage, count."""
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
    rows["held"] = rows["held"].astype(float)
    table = rows.groupby(["sensors", "drawn", "statistic"], sort=False).mean()
    print(f"{options.nights} nights, {100 * CI:.0f} % intervals: share that holds the truth, mean")
    print("width, and by how much the hypnogram is off (min, %, per h)\n")
    print(table.unstack("drawn").round(2).to_string(), "\n")
    print(table["held"].groupby(["sensors", "drawn"]).mean().round(3).to_string(), "\n")
    reliability = measure_reliability([night for _, night in found], options.weights)
    off = (reliability["confidence"] - reliability["accuracy"]).rename("confidence - accuracy")
    by = [reliability["subset"], reliability["calibrated"]]
    print("Mean of confidence less accuracy over ten bins of equal size, and of its size\n")
    print(
        pd.concat([off, off.abs().rename("size")], axis=1).groupby(by).mean().round(3).to_string()
    )


if __name__ == "__main__":
    main()
