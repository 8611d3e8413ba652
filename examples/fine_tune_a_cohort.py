"""
Fine-tune on your own scored nights
===================================

Simulated nights stand in for a cohort here; yours would be ``Night("p01.edf", "p01.xml", "p01")``.
Run it with a folder to write to::

    python examples/fine_tune_a_cohort.py work

It takes some minutes on two cores.
"""

import sys
from pathlib import Path

from mne_wav2sleep.simulate import simulate_night
from mne_wav2sleep.subjects import OLDER_WEARABLE
from mne_wav2sleep.training import Night, evaluate, fine_tune, prepare_nights

work = Path(sys.argv[1] if len(sys.argv) > 1 else "fine-tuning")

# %%
# The stages are the Raw's own annotations here (``None``); a file or a yasa.Hypnogram will do too.
nights = []
for i in range(8):
    raw = simulate_night(duration=6 * 3600, sfreq=64, seed=i, population=OLDER_WEARABLE)
    nights += prepare_nights([Night(raw, None, subject=f"p{i}")], work / "prepared")

# %%
# Encoders and epoch mixer stay as they are; subjects are parted between training and validation.
ours, others = nights[:5], nights[5:]
folder = fine_tune(ours, work / "model", weights="mini")

# %%
# Before and after, on people that neither has seen.
for weights in ("mini", folder):
    print(evaluate(others, weights, subsets="recorded").pooled.round(2))
