"""
Stage a night
=============

From a recording to stages, statistics and a picture. Run it with an EDF of your own, and with the
folder of a model where there is no network::

    python examples/stage_a_night.py night.edf [model-folder]
"""

import sys

import matplotlib.pyplot as plt

from mne_wav2sleep import SleepStagerW2S

weights = sys.argv[2] if len(sys.argv) > 2 else "wav2sleep"
stager = SleepStagerW2S(sys.argv[1], weights=weights)

# %%
# Look at the mapping first: a wrong channel gives a hypnogram that looks right.
print(stager.channels)

# %%
hyp = stager.predict()
print(hyp.sleep_statistics())

# %%
# Stages above, the network's doubt below.
fig, (upper, lower) = plt.subplots(2, 1, figsize=(10, 5), layout="constrained")
hyp.plot_hypnogram(ax=upper)
hyp.plot_hypnodensity(ax=lower)
fig.savefig("night.png")
