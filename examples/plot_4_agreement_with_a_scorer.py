"""
Agreement with a scorer
=======================

A scorer's hypnogram is aligned by clock time, and compared through YASA.
"""

from mne_wav2sleep import (
    SleepStagerW2S,
    compare,
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
# Scores as papers print them. The reference is put on the same epochs, and its five stages are
# folded into the four that were staged. With two folders or lists instead of two hypnograms, or
# with a cohort, all scores have intervals by subject.
found = compare(reference, hyp, verbose="error")
found.pooled["value"].round(2)

# %%
# By stage, in %.
found.by_stage[["epochs", "f1", "recall", "precision", "specificity"]].round(1)

# %%
# All tables, the figures and a report can be saved with ``found.save("agreement")``.
figure = found.plot_confusion()
