"""
Which sensors do I need?
========================

An audit stages the night from every subset of its sensors, and compares. Each encoder runs once, so
that fifteen subsets cost little more than one.
"""

from mne_wav2sleep import SleepStagerW2S, simulate_night

raw = simulate_night(seed=2, verbose="error")
stager = SleepStagerW2S(raw, weights="mini", verbose="error")
audit = stager.audit()

# %%
# How well subsets agree with each other. A sensor that disagrees with all others is the one to look
# at; agreement says that sensors see the same, not that it is true.
figure = audit.plot()

# %%
# What each of them makes of the night, in % of the epochs.
audit.stages.round(1)

# %%
# Epochs in which most subsets say something else than all sensors together.
print(f"{audit.disputed.size} epochs are in dispute, the first of them {audit.disputed[:10]}")

# %%
# Here the truth is known, as the night is simulated: kappa of each subset with it.
import pandas as pd
import yasa

from mne_wav2sleep import align_stages, read_stages

hyp = stager.predict()
scored, _ = read_stages(None, raw, scorer="simulated truth")
truth = align_stages(scored, hyp)
pd.Series(
    {
        subset: yasa.EpochByEpochAgreement([truth], [staged]).get_agreement()["kappa"]
        for subset, staged in audit.hypnograms.items()
    },
    name="kappa",
).round(2)
