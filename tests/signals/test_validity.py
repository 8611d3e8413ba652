"""What was not measured is masked there, and only there."""

import json

import mne
import numpy as np
import pytest
import yasa
from builders import make_wave, toy_recordings
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_wav2sleep import SleepStagerW2S, Validity
from mne_wav2sleep.signals.validity import (
    FLAT,
    MEASURED,
    NOT_FINITE,
    NOT_RECORDED,
    SATURATED,
    find_invalid,
    judge_epochs,
)

pytestmark = toy_recordings

SFREQ = 64.0
LABELS = ["ECG", "Pleth", "Abdo", "Thor"]


def make_raw(n_epochs=120):
    data = np.array([make_wave(SFREQ, 30 * n_epochs, seed) for seed in range(4)])
    return mne.io.RawArray(data, mne.create_info(LABELS, SFREQ, "misc"), verbose="error")


def fail(raw, labels, first, last, value=0.0):
    """Let sensors stay at one value from one epoch to another."""
    rows = [raw.ch_names.index(label) for label in labels]
    raw._data[rows, round(first * 30 * SFREQ) : round(last * 30 * SFREQ)] = value
    return raw


def stage(raw, folder, **kwargs):
    stager = SleepStagerW2S(raw, weights=folder, verbose="error", **kwargs)
    return stager, stager.predict()


def test_a_sensor_is_masked_while_it_fails_and_only_then(small_folder):
    raw = fail(make_raw(), ["Pleth"], 40, 60)
    stager, hyp = stage(raw, small_folder)
    off = np.flatnonzero(stager.availability["PPG"] == "flat").tolist()
    assert off == list(range(40, 60))
    others = stager.availability.drop(columns="PPG")
    assert (others == "measured").all(axis=None)
    assert "UNS" not in hyp.proba


def test_what_a_masked_sensor_shows_does_not_matter(small_folder):
    """Whatever is in a BAD span: the mean of the rest stands in, and the mixer never looks."""
    probas = []
    for content in (0.0, make_wave(SFREQ, 600, 9) * 100, np.nan):
        raw = fail(make_raw(), ["Pleth", "Thor"], 40, 60, content)
        raw.set_annotations(mne.Annotations(1200, 600, "BAD", ch_names=[("Pleth", "Thor")]))
        probas.append(stage(raw, small_folder)[0].predict_proba().to_numpy())
    np.testing.assert_array_equal(probas[0], probas[1])
    np.testing.assert_array_equal(probas[0], probas[2])


def test_without_any_sensor_epochs_are_unscored_and_no_others(small_folder, tmp_path):
    raw = fail(make_raw(), LABELS, 50, 70)
    raw = fail(raw, ["ECG"], 20, 30)
    _, hyp = stage(raw, small_folder)
    assert np.flatnonzero(hyp.hypno == "UNS").tolist() == list(range(50, 70))
    proba = hyp.proba
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert (proba["UNS"] == (hyp.hypno == "UNS").to_numpy()).all()
    assert hyp.n_stages == 4
    hyp.to_json(tmp_path / "night.json")
    back = yasa.Hypnogram.from_json(tmp_path / "night.json")
    assert (back == hyp).all()
    np.testing.assert_allclose(back.proba["UNS"], proba["UNS"])
    assert json.loads((tmp_path / "night.json").read_text())
    assert np.isfinite(hyp.sleep_statistics()["TIB"])


def test_a_sensor_that_hardly_measured_is_left_out(small_folder):
    raw = fail(make_raw(), ["Pleth"], 3, 120)
    stager = SleepStagerW2S(raw, weights=small_folder)
    with pytest.warns(RuntimeWarning, match=r"PPG \(channel 'Pleth'\).*flat\): it is left out"):
        proba = stager.predict_proba()
    assert (stager.availability["PPG"][:3] == "left out").all()
    without = SleepStagerW2S(raw, weights=small_folder, ppg_name=None, verbose="error")
    np.testing.assert_array_equal(proba, without.predict_proba())


def test_checks_can_be_switched_off(small_folder):
    raw = fail(make_raw(), ["Pleth"], 40, 60)
    stager, _ = stage(raw, small_folder, validity=Validity.off())
    assert (stager.availability == "measured").all(axis=None)
    with pytest.raises(TypeError, match="validity"):
        SleepStagerW2S(raw, weights=small_folder, validity={"flat_s": 3})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch_share": 50}, "epoch_share must be from 0 to 1, got 50"),
        ({"level": -0.1}, "level must be from 0 to 1"),
        ({"flat_s": {"ECG": 0}}, "flat_s of ECG must be above 0 s, or None .* got 0"),
        ({"flat_s": {"ecg": 3}}, "flat_s must be a mapping of modalities"),
        ({"rail_s": 5}, "rail_s must be a mapping of modalities"),
    ],
)
def test_senseless_limits_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Validity(**settings)


def test_limits_that_are_not_given_stay_as_they_are():
    validity = Validity(flat_s={"ECG": 3, "ABD": None, "THX": np.inf})
    assert validity.flat_s["ECG"] == 3
    assert validity.flat_s["ABD"] is validity.flat_s["THX"] is None
    assert validity.flat_s["PPG"] == Validity().flat_s["PPG"]
    assert set(Validity.off().flat_s.values()) == {None}


def test_flat_lines_rails_and_holes_are_told_apart():
    wave = make_wave(SFREQ, 600)
    n = round(10 * SFREQ)
    expected = np.full(wave.size, MEASURED)
    for code, first, last, value in (
        (FLAT, 1.01, 2.03, 2e-5),
        (SATURATED, 3.02, 3.37, 1.0),  # 3.5 s: a rail, but no flat line yet
        (NOT_FINITE, 5, 6, np.inf),
        (MEASURED, 7, 7.35, 1e-5),  # 3.5 s at another value: a pause
    ):
        wave[round(first * n) : round(last * n)] = value
        # With a sample on either side, between what was measured and what was not.
        more = code in (FLAT, SATURATED)
        expected[round(first * n) - more : round(last * n) + more] = code
    np.testing.assert_array_equal(find_invalid(wave, SFREQ, "ECG", Validity()), expected)
    # A belt may stay at one value for much longer.
    assert set(np.unique(find_invalid(wave, SFREQ, "THX", Validity()))) == {MEASURED, NOT_FINITE}


@pytest.mark.parametrize("off", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("rest", [0.0, 1e-17])
def test_what_a_filter_leaves_of_a_dead_sensor_is_flat(off, rest):
    wave = make_wave(SFREQ, 3600)
    last = round(off * wave.size)
    wave[:last] = 3e-5 + rest * np.random.default_rng(0).standard_normal(last)
    found = find_invalid(wave, SFREQ, "ECG", Validity()) == FLAT
    assert found.sum() == last + 1
    assert found[:last].all()


def make_pulse(dc, perfusion, sfreq=25.0):
    """A PPG in counts: pulses upon what the light's current makes of it."""
    t = np.arange(dc.size) / sfreq
    noise = np.random.default_rng(0).standard_normal(dc.size)
    return np.round(dc * (1 + perfusion * np.sin(2 * np.pi * 1.1 * t)) + 2 * noise)


@pytest.mark.parametrize("perfusion", [0.002, 0.01])
def test_weak_pulses_on_a_large_offset_are_no_flat_line(perfusion):
    n = 25 * 3600
    for dc in (np.linspace(250e3, 10e3, n), np.repeat([200e3, 20e3], n // 2)):
        assert not find_invalid(make_pulse(dc, perfusion), 25.0, "PPG", Validity()).any()


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_apnoeas_in_a_coarse_belt_are_no_saturation(bits):
    """Cheyne-Stokes breathing: half of each minute without a breath, at the lowest value."""
    t = np.arange(10 * 3600) / 10
    breath = np.maximum(np.sin(2 * np.pi * t / 60), 0) * (1 - np.cos(2 * np.pi * t / 4))
    belt = np.round(breath / breath.max() * (2**bits - 1))
    assert not find_invalid(belt, 10.0, "THX", Validity()).any()


@pytest.mark.parametrize("rail", [3.0, 100.0])
def test_the_network_sees_nothing_of_a_rail(rail, small_folder):
    """The edges of a dropout, of which no block is whole, would outweigh the heart."""
    clean, railed = make_raw(), make_raw()
    first, last = 1000.07, 1180.11
    span = slice(round(first * SFREQ), round(last * SFREQ))
    railed._data[0, span] = -rail
    clean._data[0, span.start - 1 : span.stop + 1] = np.nan
    probas = [stage(raw, small_folder)[0].predict_proba() for raw in (clean, railed)]
    np.testing.assert_allclose(probas[0], probas[1], atol=1e-6)


@pytest.mark.parametrize("gain", [1e-9, -1.0, 1e6])
def test_what_is_flat_does_not_depend_on_the_unit(gain):
    wave = make_wave(SFREQ, 600)
    wave[5000:9000] = 3e-5
    reasons = find_invalid(wave, SFREQ, "PPG", Validity())
    assert (reasons == FLAT).any()
    np.testing.assert_array_equal(find_invalid(gain * wave, SFREQ, "PPG", Validity()), reasons)


@settings(max_examples=200)
@given(
    sfreq=st.floats(0.5, 300),
    n_epochs=st.integers(1, 12),
    share=st.floats(0.01, 1),
    length=st.floats(0, 1.5),
    spans=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=4),
)
def test_epochs_are_judged_by_their_samples(sfreq, n_epochs, share, length, spans):
    n = max(round(length * n_epochs * 30 * sfreq), 1)
    reasons = np.zeros(n, dtype=np.int8)
    for a, b in spans:
        reasons[round(min(a, b) * n) : round(max(a, b) * n)] = FLAT
    epochs = judge_epochs(reasons, sfreq, n_epochs, share)
    assert epochs.shape == (n_epochs,)
    for i, code in enumerate(epochs):
        own = reasons[round(i * 30 * sfreq) : round((i + 1) * 30 * sfreq)]
        measured = (own == MEASURED).sum()
        if code == MEASURED:
            assert measured >= share * 30 * sfreq - 1
            assert measured
        else:
            assert measured <= share * 30 * sfreq + 1
            assert code in (FLAT, NOT_RECORDED)
