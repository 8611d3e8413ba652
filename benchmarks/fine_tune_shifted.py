"""Does fine-tuning help with a cohort unlike others: python benchmarks/fine_tune_shifted.py.

A simulated cohort of older people with wearable sensors (mne_wav2sleep.subjects.OLDER_WEARABLE): 6
nights to fine-tune with, 10 others to compare before and after with.
"""

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from mne_wav2sleep.simulate import simulate_night
from mne_wav2sleep.subjects import OLDER_WEARABLE
from mne_wav2sleep.training import Night, evaluate, fine_tune, prepare_nights
from mne_wav2sleep.weights import load_model

FIRST_SEED = 700_000


def main() -> None:
    """Simulate, fine-tune, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="mini")
    parser.add_argument("--work", type=Path, default=Path("shifted-work"))
    options = parser.parse_args()
    nights = []
    for i in range(16):
        raw = simulate_night(
            duration=7 * 3600,
            sfreq=64,
            seed=FIRST_SEED + i,
            population=OLDER_WEARABLE,
            verbose="error",
        )
        nights += prepare_nights([Night(raw, None, f"p{i}", "shifted")], options.work / "nights")
    folder = fine_tune(nights[:6], options.work / "model", weights=options.weights)
    before, after = (evaluate(nights[6:], w, subsets="recorded") for w in (options.weights, folder))
    for name, found in (("before", before), ("after", after)):
        print(f"{name}\n{found.pooled.round(3).to_string()}\n")
    gain = after.by_night["kappa"] - before.by_night["kappa"]
    rng = np.random.default_rng(0)
    means = [rng.choice(gain, gain.size).mean() for _ in range(10_000)]
    low, high = np.percentile(means, [2.5, 97.5])
    print(f"gain of kappa by night: {gain.mean():.3f} (95% interval {low:.3f} to {high:.3f})")
    base = {k: v.numpy() for k, v in load_model(options.weights).state_dict().items()}
    tuned = load_file(folder / "model.safetensors")
    kept = all((base[k] == tuned[k]).all() for k in base if k.startswith("signal_encoders"))
    print(f"encoders unchanged to the bit: {kept}")


if __name__ == "__main__":
    main()
