"""Rendered ECG, pulse wave and belts."""

import numpy as np
import pytest
from builders import SHARED
from scipy.signal import butter, find_peaks, sosfiltfilt

from mne_wav2sleep.simulation import (
    Population,
    render_belt,
    render_ecg,
    render_ppg,
    simulate_breathing,
)


def test_pulses_follow_the_beats_by_the_pulse_delay():
    beats = np.cumsum(np.random.default_rng(0).uniform(0.8, 1.0, 100))
    calm = Population(noise=0, inverted=0, pulse_delay=(0.22, 0.0))
    ppg = render_ppg(beats, duration=80, sfreq=100, rng=np.random.default_rng(1), population=calm)
    peaks = find_peaks(ppg, distance=50)[0] / 100
    delay = peaks[np.searchsorted(peaks, beats[2:70])] - beats[2:70]
    assert np.std(delay) < 0.04
    assert 0.25 < np.median(delay) < 0.5


def test_two_sampling_rates_give_the_same_wave():
    beats = np.arange(0.5, 60, 0.9)
    silent = Population(noise=0)
    fast, slow = (
        render_ecg(beats, duration=60, sfreq=s, rng=np.random.default_rng(1), population=silent)
        for s in (256, 64)
    )
    assert np.abs(fast[::4] - slow).max() < 1e-3 * np.ptp(fast)


def test_belts_move_together_unless_breathing_is_obstructed():
    rng = np.random.default_rng(0)
    breathing = simulate_breathing(np.full(20, 2), rng=rng)
    calm = Population(noise=0, inverted=0)
    thorax, abdomen = (
        render_belt(breathing, duration=600, sfreq=16, rng=rng, place=p, population=calm)
        for p in ("thorax", "abdomen")
    )
    assert np.corrcoef(thorax, abdomen)[0, 1] > 0.7


@pytest.mark.skipif(not SHARED.exists(), reason="needs the real beats")
def test_an_ecg_on_real_beats_peaks_at_the_beats():
    record = np.load(SHARED / "realdata" / "slpdb" / "slp41.npz")
    beats = record["beat_times_s"]
    beats = beats[beats < 600]
    lead = Population(ecg_leads=("II",), inverted=0)
    rng = np.random.default_rng(0)
    ecg = render_ecg(beats, duration=600, sfreq=128, rng=rng, population=lead)
    sos = butter(2, (8, 30), "bandpass", fs=128, output="sos")
    sharp = sosfiltfilt(sos, ecg)
    peaks = find_peaks(sharp, height=0.4 * np.percentile(sharp, 99.8), distance=40)[0] / 128
    distance = np.abs(beats[:, None] - peaks[None]).min(axis=1)
    assert (distance < 0.03).mean() > 0.98
    assert abs(peaks.size - beats.size) < 0.03 * beats.size


def test_arguments_are_checked():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="ascending times"):
        render_ecg([2.0, 1.0], duration=3, sfreq=64, rng=rng)
    with pytest.raises(ValueError, match="kind of each of the 1 beats"):
        render_ecg([1.0], duration=3, sfreq=64, rng=rng, kinds=["N", "V"])
    breathing = simulate_breathing([2], rng=rng)
    with pytest.raises(ValueError, match="less than the duration of 60 s"):
        render_ppg([1.0], duration=60, sfreq=64, rng=rng, breathing=breathing)
    with pytest.raises(ValueError, match="'thorax' or 'abdomen'"):
        render_belt(breathing, duration=30, sfreq=64, rng=rng, place="neck")
