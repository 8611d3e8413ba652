"""
Real beats from MIT-BIH
=======================

Waveforms rendered from the real heartbeats of a night of the MIT-BIH Polysomnographic Database:
their timing is real, their shapes are not. The record is downloaded from PhysioNet with pooch;
without an internet connection, the example shows nothing.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
import pooch
import requests
import wfdb

from mne_wav2sleep import SleepStagerW2S
from mne_wav2sleep.simulation import render_ecg

URL = "https://physionet.org/files/slpdb/1.0.0/slp59.ecg"
beats = None
try:
    # Without a hash, because PhysioNet's copy is fixed by its version and nothing in it is run.
    path = Path(pooch.retrieve(URL, known_hash=None, fname="slp59.ecg"))
    # Beats are sample numbers, at 250 Hz.
    beats = wfdb.rdann(str(path.with_suffix("")), "ecg").sample / 250
    print(f"{beats.size} beats in {beats[-1] / 3600:.1f} h")
except (requests.RequestException, OSError) as error:
    print(f"Not downloaded ({type(error).__name__}), so there is nothing to show.")

# %%
if beats is not None:
    wave = render_ecg(beats, duration=beats[-1], sfreq=128.0, rng=np.random.default_rng(0))
    info = mne.create_info(["ECG"], 128.0, "ecg")
    raw = mne.io.RawArray(np.atleast_2d(wave), info, verbose="error")
    SleepStagerW2S(raw, weights="mini", verbose="error").plot()
    plt.show()
