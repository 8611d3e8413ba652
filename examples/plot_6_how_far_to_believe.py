"""
How far to believe a probability
================================

Of the epochs to which a network gives a probability of 0.8, four in five should be right. Networks
are too sure of themselves, and the fewer signals they have, the more so; the temperatures that come
with the weights mend it. Measured on nights that nobody has learnt from; yours are better, if you
have some that are scored.
"""

import tempfile

from mne_wav2sleep import simulate_night
from mne_wav2sleep.training import Night, measure_reliability, plot_reliability, prepare_nights

nights = []
with tempfile.TemporaryDirectory() as folder:
    for seed in range(600, 606):
        raw = simulate_night(
            duration=6 * 3600, modalities=["ABD", "ECG"], sfreq=64, seed=seed, verbose="error"
        )
        nights += prepare_nights([Night(raw, None, subject=f"s{seed}")], folder)
    reliability = measure_reliability(nights, "mini")

# %%
# On the diagonal, a probability is what it says. A belt alone says little, and as the network says
# it, it seems to say more.
figure = plot_reliability(reliability, "ABD")

# %%
# With both signals there is less to mend.
figure = plot_reliability(reliability, "ABD+ECG")

# %%
# How much too sure, on average over epochs: confidence less accuracy. Six nights scatter; on sixty,
# what is left after calibration is 0.02 at most (:doc:`/trust`).
gap = reliability.assign(gap=reliability["confidence"] - reliability["accuracy"])
gap.groupby(["subset", "calibrated"])["gap"].mean().unstack().round(3)
