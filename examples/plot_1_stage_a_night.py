"""
Stage a night
=============

From a recording to stages, statistics and figures.
"""

from mne_wav2sleep import SleepStagerW2S, simulate_night

raw = simulate_night(seed=1, verbose="error")
stager = SleepStagerW2S(raw, weights="mini", verbose="error")

# %%
# Check the mapping first: a wrong channel gives a hypnogram that looks right.
stager.channels

# %%
# A :class:`yasa.Hypnogram`, with probabilities, timed by the recording's clock.
hyp = stager.predict()
hyp.proba.head()

# %%
# YASA's sleep statistics; ``low`` and ``high`` are the limits of their 95% intervals.
stager.statistics()

# %%
# Stages, their probabilities, what was measured of each signal, heart and breathing rate.
figure = stager.plot()

# %%
# An epoch of 30 s: on the left as recorded, on the right as the network sees it.
figure = stager.plot_signals(400)

# %%
# All of this in one file: ``stager.report().save("night.html")``.
