"""Mains hum is found, also where it is aliased, and removed without changing anything else."""

import mne
import numpy as np
import pytest
from builders import SHARED

from mne_wav2sleep import SleepStagerW2S, simulate_night
from mne_wav2sleep.signals.hum import find_hum, remove_hum
from mne_wav2sleep.simulation import render_ecg

CHANNELS = {"ABD": "Abdomen", "ECG": "ECG", "PPG": "Pleth", "THX": "Thorax"}


def simulate(modality, sfreq, seconds=600, seed=3, **options):
    """Simulate a channel."""
    raw = simulate_night(
        duration=seconds, sfreq=sfreq, seed=seed, modalities=[modality], verbose="error", **options
    )
    return raw.get_data()[0]


def make_hum(frequency, sfreq, n_samples):
    """Make hum of height 1 at a frequency that is a little off, as that of the mains is."""
    return np.sin(2 * np.pi * (frequency + 0.03) * np.arange(n_samples) / sfreq + 1)


@pytest.mark.parametrize(
    ("modality", "sfreq", "mains", "seen"),
    [
        ("ECG", 500.0, 50, 50.0),
        ("ECG", 200.0, 60, 60.0),
        ("ECG", 100.0, 50, 50.0),  # half of the sampling rate
        ("ECG", 100.0, 60, 40.0),
        ("ECG", 64.0, 50, 14.0),
        ("ECG", 64.0, 60, 4.0),  # within the band of the heart
        ("PPG", 75.0, 50, 25.0),
        ("PPG", 64.0, 60, 4.0),
        ("THX", 32.0, 50, 14.0),
        ("ABD", 25.0, 60, 10.0),
        ("ABD", 200.0, 150, 50.0),
    ],
)
def test_hum_is_found_as_it_was_sampled_and_removed(modality, sfreq, mains, seen):
    clean = simulate(modality, sfreq)
    height = np.median(np.abs(clean - np.median(clean)).reshape(20, -1).max(1))
    humming = clean + height * make_hum(mains, sfreq, clean.size)
    (line, share), *others = find_hum(humming, sfreq, modality).items()
    assert line == pytest.approx(seen, abs=0.1)
    assert share == 1
    assert others == []
    without, hum = remove_hum(humming, sfreq, modality)
    assert list(hum) == [line]
    inside = slice(int(2 * sfreq), -int(2 * sfreq))
    # Within the band of a wave, some of the wave is removed as well.
    assert np.std((without - clean)[inside]) < 0.1 * np.std((humming - clean)[inside])


@pytest.mark.parametrize("gain", [1e-160, 1.0, 1e160])
def test_strong_hum_with_harmonics_in_a_part_of_the_night_is_removed_in_any_unit(gain):
    clean = simulate("ECG", 256.0, seconds=1800)
    n = clean.size
    hum = make_hum(50, 256, n) + 0.2 * make_hum(150, 256, n) + 0.2 * make_hum(250, 256, n)
    humming = clean + 10 * np.ptp(clean) * hum * (np.arange(n) < n / 4)
    without, found = remove_hum(gain * humming, 256.0, "ECG")
    # 150 and 250 Hz are aliased to 106 and 6 Hz.
    assert {50.0, 106.0} <= set(found)
    assert np.std(without / gain) < 0.05 * np.std(humming)


@pytest.mark.parametrize("modality", list(CHANNELS))
@pytest.mark.parametrize("rhythm", ["sinus", "atrial_fibrillation", "paced"])
def test_channels_without_hum_are_returned_as_they_are(modality, rhythm):
    for sfreq in (8.0, 32.0, 64.0, 100.0, 256.0):
        data = simulate(modality, sfreq, rhythm=rhythm)
        same, hum = remove_hum(data, sfreq, modality)
        assert same is data
        assert hum == {}


@pytest.mark.parametrize("rate", [40, 60, 80, 100, 120, 150])
def test_harmonics_of_a_steady_heart_are_not_hum(rate):
    for sfreq in (60.0, 64.0, 125.0, 128.0):
        beats = np.arange(0.5, 299, 60 / rate)
        data = render_ecg(beats, duration=300, sfreq=sfreq, rng=np.random.default_rng(0))
        assert find_hum(data.astype(float), sfreq, "ECG") == {}


def test_short_slow_and_constant_channels_have_no_hum():
    assert find_hum(np.ones(128 * 60), 128.0, "ECG") == {}
    assert find_hum(make_hum(50, 128, 128 * 10), 128.0, "ECG") == {}
    assert find_hum(make_hum(50, 4, 4 * 600), 4.0, "THX") == {}
    assert find_hum(np.empty(0), 0.02, "THX") == {}
    assert find_hum(np.random.default_rng(0).standard_normal(128 * 600), 128.0, "ECG") == {}


@pytest.mark.skipif(not SHARED.exists(), reason="requires real recordings")
def test_real_recordings_have_no_hum():
    folder = SHARED / "realdata"
    icu = np.load(folder / "icu_ecg_ppg_resp_8min_125hz.npz")
    for name, modality in (("ecg", "ECG"), ("ppg", "PPG"), ("resp", "THX")):
        assert find_hum(icu[name].astype(float), 125.0, modality) == {}
    ectopy = np.load(folder / "ecg_ectopy_30min_360hz.npz")["ecg_mv"].astype(float)
    assert find_hum(ectopy, 360.0, "ECG") == {}
    raw = mne.io.read_raw(folder / "psg_nox_2min.edf", encoding="latin1", verbose="error")
    for channel, modality in (("ECG", "ECG"), ("Pulse Waveform", "PPG"), ("Chest", "THX")):
        assert find_hum(raw.get_data([channel])[0], raw.info["sfreq"], modality) == {}


@pytest.mark.parametrize(
    ("modality", "sfreq", "mains", "height"),
    [("ECG", 256.0, 60, 10.0), ("ECG", 128.0, 50, 0.4), ("THX", 128.0, 60, 2.0)],
)
def test_hum_does_not_change_the_stages_and_is_told(modality, sfreq, mains, height):
    clean = simulate_night(
        duration=3600, sfreq=sfreq, seed=7, modalities=[modality], verbose="error"
    ).set_annotations(None)
    before = SleepStagerW2S(clean, weights="mini", verbose="error")
    stages = before.predict().hypno.to_numpy(dtype=object)
    assert before.provenance()["parameters"]["hum_removed_hz"] == {modality: []}
    humming = clean.copy()
    wave = humming._data[0]
    wave += height * np.ptp(np.quantile(wave, [0.001, 0.999])) * make_hum(mains, sfreq, wave.size)
    stager = SleepStagerW2S(humming, weights="mini", verbose="error")
    changed = stager.predict().hypno.to_numpy(dtype=object) != stages
    assert changed.mean() < 0.05
    (caution,) = [text for text in stager.cautions if "hum" in text]
    assert f"{modality} (channel '{CHANNELS[modality]}') has mains hum (a line at {mains} Hz" in (
        caution
    )
    assert "removed" in caution
    provenance = stager.provenance()
    assert provenance["parameters"]["hum_removed_hz"] == {modality: [mains]}
    assert caution in provenance["cautions"]
    assert not [text for text in stager.cautions if "noise" in text]
    assert stager.quality().loc[modality, "background"] < 0.1


@pytest.mark.parametrize("sfreq", [25.0, 32.0, 64.0])
@pytest.mark.parametrize("rate", [62.0, 72.0, 80.0])
def test_a_heart_that_moves_a_belt_is_no_hum(sfreq, rate):
    t = np.arange(int(1800 * sfreq)) / sfreq
    since = t % (60 / rate)
    heart = np.exp(-6 * since) * np.sin(2 * np.pi * 4 * since)
    breath = np.sin(2 * np.pi * 0.25 * t) * (t % 60 < 35)  # an apnea of 25 s each minute
    assert find_hum(breath + 0.08 * heart, sfreq, "THX") == {}
    hum = make_hum(60, sfreq, t.size)
    assert find_hum(breath + 0.08 * heart + 2 * hum, sfreq, "THX")
