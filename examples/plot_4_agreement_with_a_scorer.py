"""
Agreement with a scorer
=======================

A hypnogram that somebody scored is put in place by the clock, and compared through YASA.
"""

import yasa

from mne_wav2sleep import (
    SleepStagerW2S,
    align_stages,
    plot_agreement,
    read_stages,
    simulate_night,
)

raw = simulate_night(seed=4, sfreq=64, verbose="error")
hyp = SleepStagerW2S(raw, weights="mini", verbose="error").predict()

# %%
# The true stages of a simulated night are annotations of its Raw. Of yours, give a file instead of
# None: YASA's JSON, Profusion or NSRR XML, a table, a stage per line, or an EDF+ of annotations.
reference, _ = read_stages(None, raw, scorer="simulated truth")
figure = plot_agreement(reference, hyp)

# %%
# Scores as papers print them. Five stages are folded to the four that were staged, and what the
# scorer says is put on the same epochs.
agreement = yasa.EpochByEpochAgreement([align_stages(reference, hyp)], [hyp])
agreement.get_agreement().round(2)

# %%
# Stage by stage, in %.
agreement.get_agreement_bystage().round(1)
