"""Simulated nights: known stages, plausible bodies, recordings that look like recordings."""

import numpy as np
import pytest
import yasa
from conftest import SHARED
from scipy.signal import butter, find_peaks, sosfiltfilt

from mne_wav2sleep import match_channels
from mne_wav2sleep.simulate import simulate_night
from mne_wav2sleep.subjects import Population
from mne_wav2sleep.waves import render_ecg


def stages_of(raw):
    """Stages per epoch, from the annotations."""
    texts = {"W": 0, "1": 1, "2": 2, "3": 3, "R": 4, "?": -1}
    runs = [a for a in raw.annotations if a["description"].startswith("Sleep stage")]
    return np.concatenate(
        [np.full(round(a["duration"] / 30), texts[a["description"][-1]]) for a in runs]
    )


def test_same_seed_same_night_to_the_bit():
    night = {"duration": 1800, "sfreq": 64, "sensor_failures": 1, "apnea_index": 20}
    first, again, other = (simulate_night(seed=s, **night) for s in (3, 3, 4))
    assert (first.get_data() == again.get_data()).all()
    assert first.annotations == again.annotations
    assert first.info["description"] == again.info["description"]
    assert not (first.get_data() == other.get_data()).any()


def test_a_signal_does_not_depend_on_the_others():
    both = simulate_night(duration=600, seed=0)
    alone = simulate_night(duration=600, seed=0, modalities=["PPG"])
    assert alone.ch_names == ["Pleth"]
    assert (alone.get_data() == both.get_data(["Pleth"])).all()


def test_the_recording_says_what_it_is_and_all_four_signals_are_found():
    raw = simulate_night(duration=600, seed=0)
    assert raw.info["description"].startswith("Simulated")
    assert raw.info["meas_date"].hour == 22
    assert raw.times[-1] == pytest.approx(600, abs=0.01)
    assert np.isfinite(raw.get_data()).all()
    assert match_channels(raw)["channel"].to_dict() == {
        "ABD": "Abdomen",
        "ECG": "ECG",
        "PPG": "Pleth",
        "THX": "Thorax",
    }


@pytest.mark.parametrize("n_stages", [4, 5])
def test_a_given_hypnogram_comes_back_as_annotations(n_stages):
    values = {
        5: ["WAKE", "N1", "N2", "N2", "N3", "UNS", "REM", "REM", "WAKE"],
        4: ["WAKE", "LIGHT", "LIGHT", "DEEP", "UNS", "REM"],
    }[n_stages]
    hyp = yasa.Hypnogram(values, n_stages=n_stages)
    raw = simulate_night(hyp, duration=7, seed=0, sfreq=32)
    names = {"LIGHT": 2, "DEEP": 3, "WAKE": 0, "N1": 1, "N2": 2, "N3": 3, "REM": 4, "UNS": -1}
    assert stages_of(raw).tolist() == [names[v] for v in values]
    assert raw.n_times == 30 * 32 * len(values)


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
