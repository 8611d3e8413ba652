"""
Agreement with a scorer
=======================

A scorer's hypnogram is aligned by clock time, and compared through YASA.
"""

import yasa

from mne_wav2sleep import (
    SleepStagerW2S,
    align_hypnogram,
    plot_agreement,
    read_hypnogram,
    simulate_night,
)

raw = simulate_night(seed=4, sfreq=64, verbose="error")
hyp = SleepStagerW2S(raw, weights="mini", verbose="error").predict()

# %%
# The true stages of a simulated night are annotations of its Raw. For your own nights, pass a
# file instead of None: YASA's JSON, Profusion or NSRR XML, a table, one stage per line, or EDF+
# annotations.
reference = read_hypnogram(None, raw, scorer="simulated truth")
figure = plot_agreement(reference, hyp)

# %%
# Scores as papers print them. Aligning puts the reference on the same epochs, and folds its five
# stages into the four that were staged.
agreement = yasa.EpochByEpochAgreement([align_hypnogram(reference, hyp)], [hyp])
agreement.get_agreement().round(2)

# %%
# By stage, in %.
agreement.get_agreement_bystage().round(1)
