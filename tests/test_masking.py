"""What was not measured is masked, and nothing else."""

import json

import mne
import numpy as np
import pytest
import yasa
from builders import LABELS, fail, make_raw, make_wave, toy_recordings

from mne_wav2sleep import SleepStagerW2S, Validity

pytestmark = toy_recordings


def stage(raw, folder, **kwargs):
    """Make a stager, and stage the recording."""
    stager = SleepStagerW2S(raw, weights=folder, verbose="error", **kwargs)
    return stager, stager.predict()


def test_sensor_is_masked_only_while_it_fails(small_folder):
    raw = fail(make_raw(), ["Pleth"], 40, 60)
    stager, hyp = stage(raw, small_folder)
    off = np.flatnonzero(stager.availability()["PPG"] == "flat").tolist()
    assert off == list(range(40, 60))
    others = stager.availability().drop(columns="PPG")
    assert (others == "measured").all(axis=None)
    assert "UNS" not in hyp.proba


def test_samples_of_a_masked_sensor_have_no_influence(small_folder):
    """Samples annotated BAD are replaced by the mean, and the mixer ignores their epochs."""
    probas = []
    for content in (0.0, make_wave(64.0, 600, 9) * 100, np.nan):
        raw = fail(make_raw(), ["Pleth", "Thor"], 40, 60, content)
        raw.set_annotations(mne.Annotations(1200, 600, "BAD", ch_names=[("Pleth", "Thor")]))
        probas.append(stage(raw, small_folder)[0].predict().proba.to_numpy())
    np.testing.assert_array_equal(probas[0], probas[1])
    np.testing.assert_array_equal(probas[0], probas[2])


def test_only_epochs_without_any_sensor_are_unscored(small_folder, tmp_path):
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


def test_sensor_that_measured_hardly_anything_is_left_out(small_folder):
    raw = fail(make_raw(), ["Pleth"], 3, 120)
    stager = SleepStagerW2S(raw, weights=small_folder)
    with pytest.warns(RuntimeWarning, match=r"PPG \(channel 'Pleth'\).*flat\): it is left out"):
        proba = stager.predict().proba
    assert (stager.availability()["PPG"][:3] == "left out").all()
    without = SleepStagerW2S(raw, weights=small_folder, ch_names={"PPG": None}, verbose="error")
    np.testing.assert_array_equal(proba, without.predict().proba)


def test_checks_can_be_disabled(small_folder):
    raw = fail(make_raw(), ["Pleth"], 40, 60)
    stager, _ = stage(raw, small_folder, validity=Validity.off())
    assert (stager.availability() == "measured").all(axis=None)
    with pytest.raises(TypeError, match="validity"):
        SleepStagerW2S(raw, weights=small_folder, validity={"flat_s": 3})


@pytest.mark.parametrize("rail", [3.0, 100.0])
def test_edges_of_a_saturated_span_have_no_influence(rail, small_folder):
    """The incomplete blocks at the edges of a dropout would outweigh the heart beats."""
    clean, railed = make_raw(), make_raw()
    first, last = 1000.07, 1180.11
    span = slice(round(first * 64.0), round(last * 64.0))
    railed._data[0, span] = -rail
    clean._data[0, span.start - 1 : span.stop + 1] = np.nan
    probas = [stage(raw, small_folder)[0].predict().proba for raw in (clean, railed)]
    np.testing.assert_allclose(probas[0], probas[1], atol=1e-6)
