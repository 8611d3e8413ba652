"""
A night with a broken sensor
============================

The pulse oximeter comes off for an hour, and all sensors for twenty minutes. Gaps are not bridged:
a sensor is masked while it is off, and epochs in which nothing was measured get no stage.
"""

import numpy as np

from mne_wav2sleep import SleepStagerW2S, simulate_night

raw = simulate_night(seed=3, sfreq=64, verbose="error")
sfreq = 64
pulse = raw.ch_names.index("Pleth")
raw._data[pulse, 2 * 3600 * sfreq : 3 * 3600 * sfreq] = raw._data[pulse, 2 * 3600 * sfreq]
raw._data[:, 5 * 3600 * sfreq : 5 * 3600 * sfreq + 1200 * sfreq] = np.nan

stager = SleepStagerW2S(raw, weights="mini", verbose="error")
figure = stager.plot()

# %%
# Number of epochs by signal: measured, or the reason why not.
stager.availability().apply(lambda column: column.value_counts()).fillna(0).astype(int)

# %%
# Only the epochs in which nothing was measured are ``UNS``.
hyp = stager.predict()
print(np.flatnonzero(hyp.hypno == "UNS"))

# %%
# A sensor that shows noise instead of pulses is neither flat nor missing. The quality of the
# signals shows it, and staging warns.
noise = raw.copy()
noise._data[pulse] = np.random.default_rng(0).standard_normal(noise.n_times)
SleepStagerW2S(noise, weights="mini", verbose="error").quality().round(2)
