"""
Calibrated probabilities
========================

Among the epochs to which a network gives a probability of 0.8, four in five should be right.
Networks are overconfident, the more so the fewer signals they have; the temperatures that come with
the weights correct this. Measure reliability on nights that were not used for training, ideally on
your own, if some are scored.
"""

from mne_wav2sleep import simulate_night
from mne_wav2sleep.cohorts import Night, measure_reliability, plot_reliability

nights = []
for seed in range(600, 606):
    raw = simulate_night(
        duration=6 * 3600, modalities=["ABD", "ECG"], sfreq=64, seed=seed, verbose="error"
    )
    nights.append(Night(raw, None, subject=f"s{seed}"))
reliability = measure_reliability(nights, "mini", verbose="error")

# %%
# On the diagonal, confidence equals accuracy. A belt alone says little about the stages, and
# without calibration the network is overconfident.
figure = plot_reliability(reliability, "ABD")

# %%
# With both signals there is less to correct.
figure = plot_reliability(reliability, "ABD+ECG")

# %%
# Mean overconfidence: confidence minus accuracy. Six nights scatter; on sixty, what is left after
# calibration is at most 0.02 (:doc:`/trust`).
gap = reliability.assign(gap=reliability["confidence"] - reliability["accuracy"])
gap.groupby(["subset", "calibrated"])["gap"].mean().unstack().round(3)
