"""What was not measured is masked there, and only there."""

import json

import mne
import numpy as np
import pytest
import yasa
from conftest import make_wave
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_wav2sleep import SleepStagerW2S, Validity
from mne_wav2sleep.signals import (
    FLAT,
    MEASURED,
    NOT_FINITE,
    NOT_RECORDED,
    SATURATED,
    find_invalid,
    judge_epochs,
)

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
    validity = Validity(flat_s={}, rail_s={})
    stager, _ = stage(raw, small_folder, validity=validity)
    assert (stager.availability == "measured").all(axis=None)
    with pytest.raises(TypeError, match="validity"):
        SleepStagerW2S(raw, weights=small_folder, validity={"flat_s": 3})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch_share": 50}, "epoch_share must be from 0 to 1, got 50"),
        ({"level": -0.1}, "level must be from 0 to 1"),
        ({"flat_s": {"ECG": 0}}, "flat_s of ECG must be above 0 s, got 0. Leave the modality out"),
    ],
)
def test_senseless_limits_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Validity(**settings)


def test_flat_lines_rails_and_holes_are_told_apart():
    wave = make_wave(SFREQ, 600)
    n = round(10 * SFREQ)
    wave[1 * n : 2 * n] = 2e-5
    wave[3 * n : round(3.3 * n)] = 1.0  # 3 s: a rail, but no flat line yet
    wave[5 * n : 6 * n] = np.inf
    wave[7 * n : round(7.3 * n)] = 1e-5  # 3 s at another value: a pause
    reasons = find_invalid(wave, SFREQ, "ECG", Validity())
    block = round(0.25 * SFREQ)
    for code, first, last in ((FLAT, n, 2 * n), (SATURATED, 3 * n, 3.3 * n)):
        at = np.flatnonzero(reasons == code)
        assert abs(at[0] - first) < block
        assert abs(at[-1] + 1 - last) < block
        assert (np.diff(at) == 1).all()
    assert np.flatnonzero(reasons == NOT_FINITE).tolist() == list(range(5 * n, 6 * n))
    assert set(np.unique(reasons)) == {MEASURED, NOT_FINITE, FLAT, SATURATED}
    # A belt may stay at one value for much longer.
    assert set(np.unique(find_invalid(wave, SFREQ, "THX", Validity()))) == {MEASURED, NOT_FINITE}


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
