"""
Stage a night
=============

From a recording to stages, statistics and a picture.
"""

from mne_wav2sleep import SleepStagerW2S, simulate_night

raw = simulate_night(seed=1, verbose="error")
stager = SleepStagerW2S(raw, weights="mini", verbose="error")

# %%
# Look at the mapping first: a wrong channel gives a hypnogram that looks right.
stager.channels

# %%
# A :class:`yasa.Hypnogram`, with probabilities and on the recording's clock.
hyp = stager.predict()
hyp.proba.head()

# %%
# YASA's sleep statistics; ``low`` and ``high`` are what the network cannot tell apart.
stager.statistics()

# %%
# Stages, how probable they are, what was measured of each sensor, heart and breathing rate.
figure = stager.plot()

# %%
# Thirty seconds of it: on the left as they were recorded, on the right as the network sees them.
figure = stager.plot_signals(400)

# %%
# All of this in one file: ``stager.report().save("night.html")``.
