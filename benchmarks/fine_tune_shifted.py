"""Measure the gain of fine-tuning on an unusual cohort: python benchmarks/fine_tune_shifted.py.

The cohorts are simulated: older subjects with wearable sensors (OLDER_WEARABLE) in atrial
fibrillation, where little of what a network has learned about heart rate holds. Each has 6 nights
for fine-tuning and 10 others for the comparison. As the gain depends on the six nights, there are
several cohorts with different subjects. The epoch mixer, which weighs the signals, is trained as
well; the encoders are frozen. With --rhythm sinus, cohorts are in sinus rhythm, and are not much
harder for mini than its training data.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from mne_wav2sleep import load_weights, simulate_night
from mne_wav2sleep.cohorts import Night, evaluate, prepare_nights
from mne_wav2sleep.simulation import OLDER_WEARABLE
from mne_wav2sleep.simulation.beats import RHYTHMS
from mne_wav2sleep.training import FINE_TUNING, Masking, fine_tune

FIRST_SEED = 900_000
TRAINABLE = ("epoch_mixer", "sequence_mixer", "classifier")
# All nights of a cohort have the same sensors, so that none is masked. Selected on cohorts with
# seeds from 830,000 to 860,015.
SETTINGS = replace(FINE_TUNING, max_passes=36, masking=Masking(drop={}))


def compare(number: int, work: Path, weights: str, rhythm: str) -> tuple[float, float, float, bool]:
    """Fine-tune; give kappa before and after, the gain by night, and if encoders are unchanged."""
    nights = []
    for i in range(16):
        raw = simulate_night(
            duration=7 * 3600,
            sfreq=64,
            seed=FIRST_SEED + 1000 * number + i,
            population=OLDER_WEARABLE,
            rhythm=rhythm,
            verbose="error",
        )
        nights += prepare_nights([Night(raw, None, f"p{i}", "shifted")], work / "nights")
    folder = fine_tune(
        nights[:6], work / "model", weights=weights, trainable=TRAINABLE, settings=SETTINGS
    )
    before, after = (evaluate(nights[6:], w, subsets="recorded") for w in (weights, folder))
    gain = float((after.by_night["kappa"] - before.by_night["kappa"]).mean())
    base = {k: v.cpu().numpy() for k, v in load_weights(weights).network.state_dict().items()}
    tuned = load_file(folder / "model.safetensors")
    kept = all((base[k] == tuned[k]).all() for k in base if k.startswith("signal_encoders"))
    old, new = (float(found.pooled["kappa"].iloc[0]) for found in (before, after))
    return old, new, gain, kept


def main() -> None:
    """Simulate cohorts, fine-tune on each, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="mini")
    parser.add_argument("--work", type=Path, default=Path("shifted-work"))
    parser.add_argument("--cohorts", type=int, default=5)
    parser.add_argument("--rhythm", default="atrial_fibrillation", choices=RHYTHMS)
    options = parser.parse_args()
    gains = []
    for number in range(options.cohorts):
        work = options.work / f"cohort-{number}"
        old, new, gain, kept = compare(number, work, options.weights, options.rhythm)
        gains.append(new - old)
        print(
            f"cohort {number}: pooled kappa {old:.3f} -> {new:.3f} ({new - old:+.3f}; "
            f"{gain:+.3f} by night), encoders unchanged bit for bit: {kept}",
            flush=True,
        )
    print(
        f"gain over {len(gains)} cohorts: mean {np.mean(gains):+.3f}, from {np.min(gains):+.3f} to "
        f"{np.max(gains):+.3f}"
    )


if __name__ == "__main__":
    main()
