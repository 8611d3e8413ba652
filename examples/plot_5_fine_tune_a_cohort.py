"""
Fine-tune on a small cohort
===========================

Simulated nights stand in for a cohort here, of older people in atrial fibrillation, for whom little
of what the weights know of hearts holds. Yours would be ``Night("p01.edf", "p01.xml", "p01")``.
This is a small example, of short nights and few steps; ``benchmarks/fine_tune_shifted.py`` is the
real one.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

from mne_wav2sleep import simulate_night
from mne_wav2sleep.simulation import OLDER_WEARABLE
from mne_wav2sleep.training import FINE_TUNING, Masking, Night, evaluate, fine_tune, prepare_nights

work = Path(tempfile.mkdtemp())

# %%
# Nights are put on the network's grid once, and read from disk from then on. The stages are the
# Raw's own annotations here (``None``).
nights = []
for i in range(7):
    raw = simulate_night(
        duration=4 * 3600,
        sfreq=64,
        seed=i,
        population=OLDER_WEARABLE,
        rhythm="atrial_fibrillation",
        verbose="error",
    )
    nights += prepare_nights([Night(raw, None, subject=f"p{i}")], work / "prepared")

# %%
# Subjects are parted between training and validation, and the signal encoders stay as they are. All
# nights have the same sensors, so that none needs to be masked.
folder = fine_tune(
    nights[:5],
    work / "model",
    weights="mini",
    trainable=("epoch_mixer", "sequence_mixer", "classifier"),
    settings=replace(FINE_TUNING, max_passes=8, masking=Masking(drop={})),
)

# %%
# Before and after, on people that neither has seen.
for weights in ("mini", folder):
    print(evaluate(nights[5:], weights, subsets="recorded").pooled.round(2).T, "\n")

# %%
# The folder has a card that says what it learnt from, and how well it does.
print((folder / "README.md").read_text()[:1500])
