"""
Fine-tune on a small cohort
===========================

Simulated nights stand in for a cohort of older people with atrial fibrillation, whose heart
rhythms are unlike those that the weights were trained on. A night of yours would be
``Night("p01.edf", "p01.xml", "p01")``. This example is small, with short nights and few steps;
``benchmarks/fine_tune_shifted.py`` is the full one.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

from mne_wav2sleep import load_weights, simulate_night
from mne_wav2sleep.cohorts import Night, evaluate, prepare_nights
from mne_wav2sleep.simulation import OLDER_WEARABLE
from mne_wav2sleep.training import FINE_TUNING, Masking, fine_tune

work = Path(tempfile.mkdtemp())
mini = load_weights("mini", verbose="error")

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
# Data are split by subject, and the signal encoders are frozen. All nights have the same sensors,
# so none needs to be masked.
folder = fine_tune(
    nights[:5],
    work / "model",
    weights=mini,
    trainable=("epoch_mixer", "sequence_mixer", "classifier"),
    settings=replace(FINE_TUNING, max_passes=8, masking=Masking(drop={})),
)

# %%
# Before and after, on subjects in neither split.
for weights in (mini, folder):
    print(
        evaluate(nights[5:], weights, subsets="recorded", verbose="error").pooled.round(2).T, "\n"
    )

# %%
# The model card has the training data, and scores before and after.
print((folder / "README.md").read_text()[:1500])
