"""
Which sensors do I need?
========================

An audit stages the night from every subset of its signals and compares the results. Each encoder
runs once, so fifteen subsets cost little more than one.
"""

from mne_wav2sleep import SleepStagerW2S, simulate_night

raw = simulate_night(seed=2, verbose="error")
stager = SleepStagerW2S(raw, weights="mini", verbose="error")
audit = stager.audit()

# %%
# How well subsets agree with each other. A sensor that disagrees with all others is the one to look
# at; agreement means that sensors give the same stages, not that these are correct.
figure = audit.plot()

# %%
# Share of each stage by subset, in % of the epochs.
audit.stages.round(1)

# %%
# Epochs in which most subsets disagree with all signals together.
print(f"{audit.disputed.size} epochs are disputed, the first of them {audit.disputed[:10]}")

# %%
# The night is simulated, so its true stages are known: kappa of each subset with them.
import pandas as pd
import yasa

from mne_wav2sleep import align_hypnogram, read_hypnogram

hyp = stager.predict()
truth = align_hypnogram(read_hypnogram(None, raw, scorer="simulated truth"), hyp)
pd.Series(
    {
        subset: yasa.EpochByEpochAgreement([truth], [staged]).get_agreement()["kappa"]
        for subset, staged in audit.hypnograms.items()
    },
    name="kappa",
).round(2)
