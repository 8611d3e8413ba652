import mne
import numpy as np
import pytest
from builders import SHARED, make_signal
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_wav2sleep import SleepStagerW2S, simulate_night
from mne_wav2sleep.signals.quality import choose_epochs, find_beats, find_doubts, summarise
from mne_wav2sleep.simulation import render_ecg, render_ppg

SFREQ = 128.0
N_EPOCHS = 40
CHANNELS = {"ABD": "Abdomen", "ECG": "ECG", "PPG": "Pleth", "THX": "Thorax"}


def look(data, sfreq, modality):
    signal = make_signal(data, sfreq, int(data.size / sfreq / 30))
    return find_beats(signal, modality, choose_epochs(signal))


def night_of(**options):
    return simulate_night(duration=N_EPOCHS * 30, sfreq=SFREQ, seed=5, verbose="error", **options)


@pytest.fixture(scope="module")
def raw():
    return night_of()


def draw(render, rate, duration):
    """A heart that never changes its rate."""
    beats = np.arange(0.5, duration - 1, 60 / rate)
    return render(beats, duration=duration, sfreq=SFREQ, rng=np.random.default_rng(0))


@pytest.mark.parametrize("rate", [45, 60, 100, 150])
def test_hearts_are_counted(rate):
    for render, modality in ((render_ecg, "ECG"), (render_ppg, "PPG")):
        wave = draw(render, rate, N_EPOCHS * 30)
        beats = look(wave, SFREQ, modality)
        assert beats["rate"].median() == pytest.approx(rate, rel=0.02)
        assert beats["plausible"].mean() > 0.9


@pytest.mark.parametrize("sfreq", [2.0, 4.0, 25.0, 99.7])
@pytest.mark.parametrize("rate", [5, 8, 15, 25])
def test_breaths_are_counted(sfreq, rate):
    t = np.arange(N_EPOCHS * 30 * sfreq) / sfreq
    beats = look(np.sin(2 * np.pi * rate / 60 * t), sfreq, "THX")
    assert beats["rate"].median() == pytest.approx(rate, rel=0.1)
    assert beats["plausible"].mean() > 0.9


@pytest.mark.parametrize("modality", list(CHANNELS))
def test_simulated_waves_are_plausible(raw, modality):
    beats = look(raw.get_data([CHANNELS[modality]])[0], SFREQ, modality)
    assert beats["plausible"].mean() > 0.75
    assert find_doubts(beats, modality, "any") == []


@pytest.mark.parametrize("modality", ["ECG", "PPG"])
def test_polarity_is_seen(raw, modality):
    data = raw.get_data([CHANNELS[modality]])[0]
    if modality == "ECG" and np.median(data) > data.mean():  # the subject's lead is inverted
        data = -data
    if modality == "PPG" and np.mean(np.diff(data) ** 3) < 0:
        data = -data
    ways = [summarise(look(sign * data, SFREQ, modality).assign(measured=True)) for sign in (1, -1)]
    assert [way["polarity"] for way in ways] == ["upright", "inverted"]
    assert ways[0]["rate"] == pytest.approx(ways[1]["rate"], rel=0.02)


@given(st.floats(-6, 6), st.floats(-10, 10))
@settings(max_examples=20, deadline=None)
def test_gain_and_offset_change_nothing(gain, offset):
    wave = draw(render_ecg, 60, 90)
    beats = look(10**gain * (wave + offset * np.ptp(wave)), SFREQ, "ECG")
    np.testing.assert_allclose(beats, look(wave, SFREQ, "ECG"), rtol=1e-4, atol=1e-6)


def no_hearts():
    rng = np.random.default_rng(0)
    n = int(N_EPOCHS * 30 * SFREQ)
    yield "noise", rng.standard_normal(n)
    yield "drift", np.cumsum(rng.standard_normal(n))
    yield (
        "saturation of oxygen",
        np.round(96 + 0.2 * np.cumsum(rng.standard_normal(n // 128)))[np.arange(n) // 128],
    )
    yield "breathing", np.sin(2 * np.pi * 0.25 * np.arange(n) / SFREQ)


@pytest.mark.parametrize("modality", ["ECG", "PPG"])
@pytest.mark.parametrize(("what", "data"), list(no_hearts()))
def test_no_heart_is_said(what, data, modality):
    (doubt,) = find_doubts(look(data, SFREQ, modality), modality, what)
    assert doubt.startswith(f"{modality} (channel {what!r}) shows ")
    assert "name another channel" in doubt


def test_noise_is_no_breath():
    (doubt,) = find_doubts(look(next(no_hearts())[1], SFREQ, "THX"), "THX", "belt")
    assert "4 to 45 per minute" in doubt


def test_hearts_unlike_most_are_said():
    data = night_of(rhythm="atrial_fibrillation").get_data(["ECG"])[0]
    (doubt,) = find_doubts(look(data, SFREQ, "ECG"), "ECG", "ECG")
    assert "beats irregularly" in doubt
    # Some extra beats are no reason for a warning.
    assert (
        find_doubts(look(night_of(rhythm="ectopy").get_data(["ECG"])[0], SFREQ, "ECG"), "ECG", "")
        == []
    )
    steady = draw(render_ecg, 60, N_EPOCHS * 30)
    (doubt,) = find_doubts(look(steady, SFREQ, "ECG"), "ECG", "ECG")
    assert "keeps to 60.0 beats per minute" in doubt


def test_what_cannot_be_judged_gives_nothing():
    for sfreq, modality in ((4.0, "ECG"), (2.0, "PPG"), (0.2, "THX"), (64.0, "EOG-L")):
        noise = np.random.default_rng(0).standard_normal(int(sfreq * 30 * N_EPOCHS))
        beats = look(noise, sfreq, modality)
        assert beats.isna().all(axis=None)
        assert find_doubts(beats, modality, "any") == []
    few = look(np.random.default_rng(0).standard_normal(64 * 30 * 5), 64.0, "ECG")
    assert find_doubts(few, "ECG", "ECG") == []


def test_apnoeas_are_no_fault_of_a_belt():
    t = np.arange(N_EPOCHS * 30 * 25) / 25.0
    breaths = np.sin(2 * np.pi * 0.25 * t) * (t % 31 < 17)  # 14 s of nothing, twice a minute
    noise = 0.05 * np.random.default_rng(0).standard_normal(t.size)
    assert find_doubts(look(breaths + noise, 25.0, "THX"), "THX", "Thor") == []


@pytest.mark.parametrize("sfreq", [360.0, 5000.0])
def test_fast_channels_are_judged_as_others(sfreq):
    beats = np.arange(0.5, 119, 1.0)
    wave = render_ecg(beats, duration=120, sfreq=sfreq, rng=np.random.default_rng(0))
    found = look(wave.astype(float) * 1e160, sfreq, "ECG")  # in any unit
    assert found["rate"].median() == pytest.approx(60, rel=0.01)
    assert (found["plausible"] == 1).all()


@pytest.mark.skipif(not SHARED.exists(), reason="needs real recordings")
def test_real_hearts_and_breaths():
    folder = SHARED / "realdata"
    icu = np.load(folder / "icu_ecg_ppg_resp_8min_125hz.npz")
    for name, modality in (("ecg", "ECG"), ("ppg", "PPG"), ("resp", "THX")):
        beats = look(icu[name].astype(float), 125.0, modality)
        assert beats["plausible"].mean() > 0.9
        assert beats["rate"].median() == pytest.approx(21 if name == "resp" else 91, abs=2)
    ectopy = np.load(folder / "ecg_ectopy_30min_360hz.npz")["ecg_mv"].astype(float)
    (doubt,) = find_doubts(look(ectopy, 360.0, "ECG"), "ECG", "MLII")
    assert "beats irregularly" in doubt
    raw = mne.io.read_raw(
        folder / "psg_nox_2min.edf", encoding="latin1", preload=True, verbose="error"
    )
    for channel, modality in (("ECG", "ECG"), ("Pulse Waveform", "PPG"), ("Chest", "THX")):
        assert look(raw.get_data([channel])[0], raw.info["sfreq"], modality)["plausible"].all()
    for lookalike in ("Pulse", "Heart Rate"):
        assert not look(raw.get_data([lookalike])[0], raw.info["sfreq"], "PPG")["plausible"].any()


def test_the_stager_warns_of_a_channel_with_no_heart(raw):
    broken = raw.copy()
    broken._data[broken.ch_names.index("Pleth")] = next(no_hearts())[1]
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


def test_quality_of_days_is_that_of_all_of_their_epochs(small_folder):
    t = np.arange(14 * 3600 * 8) / 8.0
    belt = np.where(t < 13 * 3600, np.sin(2 * np.pi * 0.25 * t), np.sin(2 * np.pi * 0.4 * t))
    belt[: 3600 * 8] = np.nan
    raw = mne.io.RawArray(belt[None], mne.create_info(["Thor"], 8.0, "misc"), verbose="error")
    quality = SleepStagerW2S(raw, weights=small_folder, verbose="error").quality()
    assert quality.loc["THX", "valid"] == pytest.approx(13 / 14)
    assert quality.loc["THX", "rate"] == pytest.approx(15, rel=0.01)
    assert quality.loc["THX", "polarity"] == "unknown"
