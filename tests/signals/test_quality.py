"""Beats and breaths are found and judged, in simulated and real recordings."""

import mne
import numpy as np
import pytest
from builders import SHARED, make_signal
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_wav2sleep import SleepStagerW2S, simulate_night
from mne_wav2sleep.signals import Reason, Signal
from mne_wav2sleep.signals.beats import choose_epochs, find_beats
from mne_wav2sleep.signals.quality import find_bursts, find_doubts, summarize
from mne_wav2sleep.simulation import render_ecg, render_ppg

SFREQ = 128.0
N_EPOCHS = 40
CHANNELS = {"ABD": "Abdomen", "ECG": "ECG", "PPG": "Pleth", "THX": "Thorax"}


def find_in_all_epochs(data, sfreq, modality):
    """Find the beats of all epochs of a signal that was measured throughout."""
    signal = make_signal(data, sfreq, int(data.size / sfreq / 30))
    return find_beats(signal, modality, choose_epochs(signal))


def simulate_short_night(**options):
    return simulate_night(duration=N_EPOCHS * 30, sfreq=SFREQ, seed=5, verbose="error", **options)


@pytest.fixture(scope="module")
def raw():
    return simulate_short_night()


def render_steady_heart(render, rate, duration):
    """Render a heart with a constant rate."""
    beats = np.arange(0.5, duration - 1, 60 / rate)
    return render(beats, duration=duration, sfreq=SFREQ, rng=np.random.default_rng(0))


@pytest.mark.parametrize("rate", [45, 60, 100, 150])
def test_heart_rate_is_measured(rate):
    for render, modality in ((render_ecg, "ECG"), (render_ppg, "PPG")):
        wave = render_steady_heart(render, rate, N_EPOCHS * 30)
        beats = find_in_all_epochs(wave, SFREQ, modality)
        assert beats["rate"].median() == pytest.approx(rate, rel=0.02)
        assert beats["plausible"].mean() > 0.9


@pytest.mark.parametrize("sfreq", [2.0, 4.0, 25.0, 99.7])
@pytest.mark.parametrize("rate", [5, 8, 15, 25])
def test_breathing_rate_is_measured(sfreq, rate):
    t = np.arange(N_EPOCHS * 30 * sfreq) / sfreq
    beats = find_in_all_epochs(np.sin(2 * np.pi * rate / 60 * t), sfreq, "THX")
    assert beats["rate"].median() == pytest.approx(rate, rel=0.1)
    assert beats["plausible"].mean() > 0.9


@pytest.mark.parametrize("modality", list(CHANNELS))
def test_simulated_waves_are_plausible(raw, modality):
    beats = find_in_all_epochs(raw.get_data([CHANNELS[modality]])[0], SFREQ, modality)
    assert beats["plausible"].mean() > 0.75
    assert find_doubts(beats, modality, "any") == []


@pytest.mark.parametrize("modality", ["ECG", "PPG"])
def test_polarity_is_found(raw, modality):
    data = raw.get_data([CHANNELS[modality]])[0]
    if modality == "ECG" and np.median(data) > data.mean():  # the subject's lead is inverted
        data = -data
    if modality == "PPG" and np.mean(np.diff(data) ** 3) < 0:
        data = -data
    ways = [
        summarize(
            find_in_all_epochs(sign * data, SFREQ, modality).assign(measured=True, bursts=0.0)
        )
        for sign in (1, -1)
    ]
    assert [way["polarity"] for way in ways] == ["upright", "inverted"]
    assert ways[0]["rate"] == pytest.approx(ways[1]["rate"], rel=0.02)


@given(st.floats(-6, 6), st.floats(-10, 10))
@settings(max_examples=20, deadline=None)
def test_beats_do_not_depend_on_gain_and_offset(gain, offset):
    wave = render_steady_heart(render_ecg, 60, 90)
    beats = find_in_all_epochs(10**gain * (wave + offset * np.ptp(wave)), SFREQ, "ECG")
    np.testing.assert_allclose(beats, find_in_all_epochs(wave, SFREQ, "ECG"), rtol=1e-4, atol=1e-6)


def make_signals_without_heart_beats():
    """Yield names and samples of signals."""
    rng = np.random.default_rng(0)
    n = int(N_EPOCHS * 30 * SFREQ)
    yield "noise", rng.standard_normal(n)
    yield "drift", np.cumsum(rng.standard_normal(n))
    yield (
        "oxygen saturation",
        np.round(96 + 0.2 * np.cumsum(rng.standard_normal(n // 128)))[np.arange(n) // 128],
    )
    yield "breathing", np.sin(2 * np.pi * 0.25 * np.arange(n) / SFREQ)


@pytest.mark.parametrize("modality", ["ECG", "PPG"])
@pytest.mark.parametrize(("what", "data"), list(make_signals_without_heart_beats()))
def test_channel_without_heart_beats_is_doubted(what, data, modality):
    (doubt,) = find_doubts(find_in_all_epochs(data, SFREQ, modality), modality, what)
    assert doubt.startswith(f"{modality} (channel {what!r}) shows ")
    assert "name another channel" in doubt


def test_belt_without_breaths_is_doubted():
    noise = next(make_signals_without_heart_beats())[1]
    (doubt,) = find_doubts(find_in_all_epochs(noise, SFREQ, "THX"), "THX", "belt")
    assert "4 to 45 per minute" in doubt


def test_irregular_and_paced_hearts_are_doubted():
    data = simulate_short_night(rhythm="atrial_fibrillation").get_data(["ECG"])[0]
    (doubt,) = find_doubts(find_in_all_epochs(data, SFREQ, "ECG"), "ECG", "ECG")
    assert "beats irregularly" in doubt
    # Occasional ectopic beats are no reason for a warning.
    data = simulate_short_night(rhythm="ectopy").get_data(["ECG"])[0]
    assert find_doubts(find_in_all_epochs(data, SFREQ, "ECG"), "ECG", "ECG") == []
    data = render_steady_heart(render_ecg, 60, N_EPOCHS * 30)
    (doubt,) = find_doubts(find_in_all_epochs(data, SFREQ, "ECG"), "ECG", "ECG")
    assert "stays at 60.0 beats per minute" in doubt


def test_slow_channels_eog_and_short_recordings_are_not_judged():
    for sfreq, modality in ((4.0, "ECG"), (2.0, "PPG"), (0.2, "THX"), (64.0, "EOG-L")):
        noise = np.random.default_rng(0).standard_normal(int(sfreq * 30 * N_EPOCHS))
        beats = find_in_all_epochs(noise, sfreq, modality)
        assert beats.isna().all(axis=None)
        assert find_doubts(beats, modality, "any") == []
    few = find_in_all_epochs(np.random.default_rng(0).standard_normal(64 * 30 * 5), 64.0, "ECG")
    assert find_doubts(few, "ECG", "ECG") == []


def test_belt_with_apneas_is_not_doubted():
    t = np.arange(N_EPOCHS * 30 * 25) / 25.0
    breaths = np.sin(2 * np.pi * 0.25 * t) * (t % 31 < 17)  # an apnea of 14 s, twice a minute
    noise = 0.05 * np.random.default_rng(0).standard_normal(t.size)
    assert find_doubts(find_in_all_epochs(breaths + noise, 25.0, "THX"), "THX", "Thor") == []


@pytest.mark.parametrize("sfreq", [360.0, 5000.0])
def test_fast_channels_are_judged_like_others(sfreq):
    beats = np.arange(0.5, 119, 1.0)
    wave = render_ecg(beats, duration=120, sfreq=sfreq, rng=np.random.default_rng(0))
    found = find_in_all_epochs(wave.astype(float) * 1e160, sfreq, "ECG")  # in any unit
    assert found["rate"].median() == pytest.approx(60, rel=0.01)
    assert (found["plausible"] == 1).all()


@pytest.mark.skipif(not SHARED.exists(), reason="requires real recordings")
def test_beats_and_breaths_of_real_recordings():
    folder = SHARED / "realdata"
    icu = np.load(folder / "icu_ecg_ppg_resp_8min_125hz.npz")
    for name, modality in (("ecg", "ECG"), ("ppg", "PPG"), ("resp", "THX")):
        beats = find_in_all_epochs(icu[name].astype(float), 125.0, modality)
        assert beats["plausible"].mean() > 0.9
        assert beats["rate"].median() == pytest.approx(21 if name == "resp" else 91, abs=2)
    ectopy = np.load(folder / "ecg_ectopy_30min_360hz.npz")["ecg_mv"].astype(float)
    (doubt,) = find_doubts(find_in_all_epochs(ectopy, 360.0, "ECG"), "ECG", "MLII")
    assert "beats irregularly" in doubt
    raw = mne.io.read_raw(
        folder / "psg_nox_2min.edf", encoding="latin1", preload=True, verbose="error"
    )
    for channel, modality in (("ECG", "ECG"), ("Pulse Waveform", "PPG"), ("Chest", "THX")):
        assert find_in_all_epochs(raw.get_data([channel])[0], raw.info["sfreq"], modality)[
            "plausible"
        ].all()
    for lookalike in ("Pulse", "Heart Rate"):
        assert not find_in_all_epochs(raw.get_data([lookalike])[0], raw.info["sfreq"], "PPG")[
            "plausible"
        ].any()


def test_stager_warns_of_a_channel_without_heart_beats(raw):
    broken = raw.copy()
    broken._data[broken.ch_names.index("Pleth")] = next(make_signals_without_heart_beats())[1]
    with pytest.warns(RuntimeWarning, match="lasts 20|never for results"):
        stager = SleepStagerW2S(broken, weights="mini")
    with pytest.warns(RuntimeWarning) as caught:
        stager.predict()
    shows = [str(w.message) for w in caught if " shows " in str(w.message)]
    assert len(shows) == 1
    assert shows[0].startswith("PPG (channel 'Pleth') shows pulses in 0 %")
    quality = stager.quality()
    assert quality.loc["PPG", "plausible"] < 0.1
    assert quality.loc["ECG", "plausible"] > 0.9
    assert (quality["valid"] == 1).all()


def test_quality_of_long_recordings_includes_all_windows(small_folder):
    t = np.arange(14 * 3600 * 8) / 8.0
    belt = np.where(t < 13 * 3600, np.sin(2 * np.pi * 0.25 * t), np.sin(2 * np.pi * 0.4 * t))
    belt[: 3600 * 8] = np.nan
    raw = mne.io.RawArray(belt[None], mne.create_info(["Thor"], 8.0, "misc"), verbose="error")
    quality = SleepStagerW2S(raw, weights=small_folder, verbose="error").quality()
    assert quality.loc["THX", "valid"] == pytest.approx(13 / 14)
    assert quality.loc["THX", "rate"] == pytest.approx(15, rel=0.01)
    assert quality.loc["THX", "polarity"] == "unknown"


def simulate_one(modality, sfreq, seed, seconds=1800):
    """Simulate a channel; give its samples and the usual height of its wave."""
    raw = simulate_night(
        duration=seconds, sfreq=sfreq, seed=seed, modalities=[modality], verbose="error"
    )
    data = raw.get_data()[0]
    blocks = data.reshape(seconds // 30, -1)
    return data, float(np.median(np.abs(blocks - np.median(data)).max(1)))


def find_all_doubts(data, sfreq, modality):
    signal = make_signal(data, sfreq, int(data.size / sfreq / 30))
    beats = find_beats(signal, modality, choose_epochs(signal, 60))
    return find_doubts(beats, modality, "it", find_bursts(signal, modality))


@pytest.mark.parametrize(
    ("modality", "sfreq", "height"),
    [("ECG", 200.0, 0.25), ("ECG", 64.0, 0.12), ("PPG", 75.0, 0.2), ("THX", 25.0, 0.3)],
)
def test_noise_that_the_beats_survive_is_doubted(modality, sfreq, height):
    data, size = simulate_one(modality, sfreq, seed=11)
    assert find_all_doubts(data, sfreq, modality) == []
    noise = np.random.default_rng(1).standard_normal(data.size)
    (doubt,) = find_all_doubts(data + height * size * noise, sfreq, modality)
    assert doubt.startswith(f"{modality} (channel 'it') has noise above")
    assert "(raw.filter)" in doubt


def test_noise_in_a_part_of_the_night_is_doubted():
    data, size = simulate_one("ECG", 128.0, seed=12)
    noise = np.random.default_rng(1).standard_normal(data.size)
    noise[: data.size * 2 // 3] = 0
    (doubt,) = find_all_doubts(data + 0.25 * size * noise, 128.0, "ECG")
    assert "in 33 % of its epochs" in doubt


def test_background_is_that_of_a_tone_and_in_any_unit():
    t = np.arange(120 * 256) / 256
    wave = np.sin(2 * np.pi * 0.25 * t) + 0.5 * np.sin(2 * np.pi * 80 * t)
    for gain in (1e-160, 1.0, 1e160):
        found = find_in_all_epochs(gain * wave, 256.0, "THX")
        assert found["background"].median() == pytest.approx(0.5 / np.sqrt(2), rel=0.2)


@pytest.mark.parametrize(
    ("modality", "sfreq", "every", "height"),
    [
        ("THX", 32.0, 300, 20),
        ("ABD", 16.0, 600, 25),
        ("ECG", 200.0, 240, 20),
        ("PPG", 64.0, 420, 40),
    ],
)
def test_bursts_are_counted_and_doubted(modality, sfreq, every, height):
    data, size = simulate_one(modality, sfreq, seed=13)
    t = np.arange(data.size) / sfreq
    burst = t % every < 5
    moved = data + height * size * burst * np.sin(2 * np.pi * 1.0 * t)
    signal = make_signal(moved, sfreq, 60)
    bursts = find_bursts(signal, modality)
    expected = find_bursts(make_signal(data, sfreq, 60), modality)  # ordinary movements
    expected[:: every // 30] += 1 / 3  # more than 1.5 times as large
    np.testing.assert_allclose(bursts, expected, atol=1e-9)
    (doubt,) = [one for one in find_all_doubts(moved, sfreq, modality) if "bursts" in one]
    assert f"in {100 * expected.mean():.1f} % of its 5-s spans" in doubt
    assert "Annotate them as BAD" in doubt


def test_bursts_are_not_searched_where_nothing_was_measured():
    data = np.tile(np.sin(np.arange(30 * 16) / 5), 10)
    data[30 * 16 * 4 : 30 * 16 * 5] *= 50
    epochs = np.zeros(10, dtype=np.int8)
    epochs[4] = Reason.BAD
    bursts = find_bursts(Signal(data, 16.0, epochs), "THX")
    assert np.isnan(bursts[4])
    assert np.nansum(bursts) == 0
    assert np.isnan(find_bursts(Signal(data, 16.0, epochs), "EOG-L")).all()
    assert np.isnan(find_bursts(Signal(data, 0.2, epochs), "THX")).all()


def test_stager_reports_noise_and_bursts():
    raw = simulate_night(
        duration=1800, sfreq=128, seed=14, modalities=["ECG", "THX"], verbose="error"
    ).set_annotations(None)
    t = raw.times
    rng = np.random.default_rng(0)
    ecg, belt = raw._data
    ecg += 0.08 * np.ptp(np.quantile(ecg, [0.001, 0.999])) * rng.standard_normal(t.size)
    belt += 20 * belt.std() * (t % 200 < 5) * np.sin(2 * np.pi * t)
    stager = SleepStagerW2S(raw, weights="mini", verbose="error")
    stager.predict()
    assert [text[:36] for text in stager.cautions if "noise" in text or "bursts" in text] == [
        "ECG (channel 'ECG') has noise above ",
        "THX (channel 'Thorax') has bursts of",
    ]
    quality = stager.quality()
    assert quality.loc["ECG", "background"] > 0.1 > quality.loc["THX", "background"]
    assert quality.loc["THX", "bursts"] == pytest.approx(2 * 9 / 360, abs=0.003)
    assert quality.loc["ECG", "bursts"] == 0


@pytest.mark.parametrize(("apnea", "breathing"), [(40.0, 15.0), (35.0, 20.0), (30.0, 18.0)])
def test_periodic_breathing_has_no_bursts(apnea, breathing):
    sfreq = 16.0
    t = np.arange(3600 * 16) / sfreq
    phase = t % (apnea + breathing)
    waxing = np.sin(np.pi * np.clip((phase - apnea) / breathing, 0, 1))
    rng = np.random.default_rng(0)
    belt = waxing * np.sin(2 * np.pi * 0.3 * t) + 0.02 * rng.standard_normal(t.size)
    assert not [one for one in find_all_doubts(belt, sfreq, "THX") if "bursts" in one]
