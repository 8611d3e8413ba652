"""Calibration: what was taken out is found again, and used."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import yasa
from builders import toy_recordings
from matplotlib import pyplot as plt
from torch.nn import functional

from mne_wav2sleep import SleepStagerW2S, WeightsError, load_weights, save_weights, simulate_night
from mne_wav2sleep.cohorts import (
    Night,
    calibrate,
    measure_reliability,
    plot_reliability,
    prepare_nights,
)
from mne_wav2sleep.cohorts.calibration import _fit_errors, _fit_temperature
from mne_wav2sleep.hypnograms.statistics import draw_stages
from mne_wav2sleep.network import Calibration, Source

pytestmark = toy_recordings

WITH = (
    '{{"temperatures": {{"ECG": 1.5}}, "night_share": 0.1, "epoch_correlation": 0.9, '
    '"n_nights": 3, {}}}'
)


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibration")
    some = []
    for seed in range(2):
        raw = simulate_night(
            duration=3 * 3600, modalities=["ECG", "THX"], sfreq=64, seed=seed, verbose="error"
        )
        some += prepare_nights([Night(raw, None, f"s{seed}")], folder)
    return some


def test_a_known_temperature_is_found():
    rng = np.random.default_rng(0)
    honest = 2 * rng.standard_normal((5000, 4))
    proba = functional.softmax(torch.tensor(honest), dim=1).numpy()
    stages = np.array([rng.choice(4, p=p) for p in proba])
    for temperature in (0.5, 1.0, 3.0):
        assert _fit_temperature(honest * temperature, stages) == pytest.approx(
            temperature, rel=0.06
        )


@pytest.mark.slow
@pytest.mark.parametrize(("shared", "slow"), [(0.0, 0.8), (0.15, 0.95)])
def test_a_known_correlation_of_errors_is_found(shared, slow):
    rng = np.random.default_rng(0)
    truth = Calibration(night_share=shared, epoch_correlation=slow)
    nights = []
    for _ in range(16):
        proba = rng.dirichlet([1.0, 2.0, 1.0, 1.0], 40).repeat(20, axis=0)
        nights.append((proba, draw_stages(proba, truth, 1, rng)[0].astype(np.int64)))
    found = _fit_errors(nights, Calibration())
    assert found.night_share == pytest.approx(shared, abs=0.08)
    assert found.epoch_correlation == pytest.approx(slow, abs=0.04)


def test_every_subset_has_a_temperature_which_is_used(nights, tmp_path):
    weights = load_weights("mini", verbose="error")
    found = calibrate(nights, weights)
    before = weights.calibration
    fitted = {"ECG", "ECG+THX", "THX"}
    # What the nights do not have keeps the temperature of the weights.
    assert {s for s, t in found.temperatures.items() if t != before.temperatures[s]} == fitted
    assert set(found.temperatures) == set(before.temperatures)
    for subset in found.temperatures:
        expected = (
            Source("scored nights", 2, 720)
            if subset in fitted
            else replace(before.source(subset.split("+")), origin="earlier calibration")
        )
        assert found.source(subset.split("+")) == expected
    # Two nights are too few to fit the correlation of errors, which stays the same.
    for name in ("night_share", "epoch_correlation", "n_nights"):
        assert getattr(found, name) == getattr(before, name)
    known = before.correlation_source or Source("not stated", before.n_nights)
    assert found.correlation_source == replace(known, origin="earlier calibration")
    raw = simulate_night(
        duration=3600, modalities=["ECG", "THX"], sfreq=64, seed=9, verbose="error"
    )
    # Where THX is missing for 10 min, the temperature is that of the ECG alone.
    raw._data[raw.ch_names.index("Thorax"), 600 * 64 : 1200 * 64] = np.nan
    probas = []
    for temperatures in ({}, {"ECG": 2.0, "ECG+THX": 4.0, "THX": 9.0}):
        calibration = Calibration(temperatures, n_nights=2)
        folder = save_weights(
            replace(weights, calibration=calibration), tmp_path / str(len(temperatures))
        )
        assert load_weights(folder, verbose="error").calibration == calibration
        stager = SleepStagerW2S(raw, weights=folder, verbose="error")
        probas.append(stager.predict().proba)
        assert stager.provenance()["parameters"]["calibration"]["temperatures"] == temperatures
    before, after = (np.log(p) - np.log(p).mean(axis=1).to_numpy()[:, None] for p in probas)
    ratio = (before / after).to_numpy()
    np.testing.assert_allclose(ratio[21:39], 2.0, rtol=1e-6)
    np.testing.assert_allclose(ratio[:19], 4.0, rtol=1e-6)
    assert (probas[0].idxmax(axis=1) == probas[1].idxmax(axis=1)).all()


def test_reliability_before_and_after_calibration(nights):
    weights = replace(load_weights("mini", verbose="error"), calibration=Calibration({"ECG": 2.0}))
    table = measure_reliability(nights, weights, n_bins=5)
    assert set(table["subset"]) == {"ECG", "THX", "ECG+THX"}
    ecg = table[table["subset"] == "ECG"].groupby("calibrated").mean(numeric_only=True)
    assert ecg.loc[True, "confidence"] < ecg.loc[False, "confidence"] - 0.05
    assert ecg.loc[True, "accuracy"] == pytest.approx(ecg.loc[False, "accuracy"], abs=0.02)
    figure = plot_reliability(table, "ECG", show=False)
    assert not plt.fignum_exists(figure.number)
    (ax,) = figure.axes
    drawn = {line.get_label(): line.get_xydata() for line in ax.lines if line.get_label()[0] != "_"}
    rows = table[(table["subset"] == "ECG") & table["calibrated"]]
    np.testing.assert_array_equal(drawn["calibrated"], rows[["confidence", "accuracy"]])
    np.testing.assert_array_equal(figure.get_size_inches() * 100, [400, 400])
    own, (_, right) = plt.subplots(1, 2)
    assert plot_reliability(table.replace("ECG", "E$_1"), "E$_1", ax=right, show=False) is own
    assert plt.fignum_exists(own.number)
    assert right.get_title(loc="left") == "E$_1"
    assert len(right.lines) == 3
    own.canvas.draw()
    plt.close(own)
    with pytest.raises(ValueError, match=r"subset must be one of .*got 'PPG'"):
        plot_reliability(table, "PPG")


@pytest.mark.slow
def test_a_rare_stage_does_not_decide():
    rng = np.random.default_rng(0)
    truth = Calibration(night_share=0.065, epoch_correlation=0.97)
    nights = []
    for _ in range(12):
        proba = np.c_[rng.dirichlet([1.0, 2.0, 1.0], 40).repeat(20, axis=0), np.full(800, 1e-4)]
        proba /= proba.sum(axis=1, keepdims=True)
        nights.append((proba, draw_stages(proba, truth, 1, rng)[0].astype(np.int64)))
    before = _fit_errors(nights, Calibration())
    nights[0][1][:10] = 3
    after = _fit_errors(nights, Calibration())
    assert after.night_share == pytest.approx(before.night_share, abs=0.02)
    assert after.epoch_correlation == pytest.approx(before.epoch_correlation, abs=0.02)


def test_certain_nights_calibrate_without_a_warning():
    stages = np.random.default_rng(0).integers(0, 4, 400)
    found = _fit_errors([(np.eye(4)[stages], stages)] * 10, Calibration())
    assert found.night_share < 0.01


def test_a_single_scored_epoch_hardly_changes_the_temperature(tmp_path):
    raw = simulate_night(duration=3600, modalities=["THX"], sfreq=64, seed=0, verbose="error")
    hyp = yasa.Hypnogram(["UNS"] * 119 + ["N2"], n_stages=5)
    nights = prepare_nights([Night(raw, hyp, "a")], tmp_path)
    found = calibrate(nights, load_weights("mini", verbose="error"))
    # The prior, for one epoch: 1 without a calibration, and that of the weights otherwise.
    mini = load_weights("mini", verbose="error")
    assert found.temperatures["THX"] == pytest.approx(
        mini.calibration.temperatures["THX"], abs=0.02
    )
    uncalibrated = calibrate(nights, replace(mini, calibration=Calibration()))
    assert uncalibrated.temperatures == {"THX": pytest.approx(1, abs=0.2)}
    assert uncalibrated.source(["THX"]) == Source("scored nights", 1, 1)
    assert uncalibrated.source(["ECG"]) == Source("median of the others")
    assert uncalibrated.correlation_source is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"temperatures": {"ECG": "hot"}}',
        '{"temperatures": {"ECG": 0}}',
        '{"temperature": 1.0}',
        '{"night_share": NaN}',
        '{"n_nights": 1.5}',
        '{"temperatures": {}, "epoch_correlation": 0.9, "n_nights": 1}',
        WITH.format('"sources": {"ECG": {"origin": "scored nights", "n_nights": "many"}}'),
        WITH.format('"sources": {"ECG": {"origin": "a dream"}}'),
        WITH.format('"sources": {"ECG": {"origin": "none", "n_epochs": -1}}'),
        WITH.format('"sources": {"ECG": {"origin": "none", "nights": ["s1.edf"]}}'),
        WITH.format('"sources": {"THX": {"origin": "none"}}'),
        WITH.format('"sources": {"EEG": {"origin": "none"}}'),
        WITH.format('"sources": ["ECG"]'),
        WITH.format('"correlation_source": "scored nights"'),
        WITH.format('"correlation_source": {"origin": "none", "n_nights": 1e300}'),
        WITH.format('"more": 1'),
        "[" * 100_000,
    ],
)
def test_a_damaged_calibration_is_refused(small_folder, tmp_path, text):
    folder = save_weights(load_weights(small_folder), tmp_path / "model")
    (folder / "calibration.json").write_text(text)
    with pytest.raises(
        WeightsError, match=r"calibration\.json is not a calibration: .*or remove it"
    ):
        load_weights(folder)
    (folder / "calibration.json").unlink()
    assert load_weights(folder).calibration == Calibration()


def test_what_is_known_of_a_calibration_is_saved_with_it(small_folder, tmp_path):
    sources = {"ECG": Source("scored nights", 5, 4321), "THX": Source("earlier calibration", 28)}
    calibration = Calibration(
        {"ECG": 1.5, "THX": 1.25, "PPG": 2.0},
        n_nights=28,
        sources=sources,
        correlation_source=Source("earlier calibration", 28),
    )
    weights = replace(load_weights(small_folder), calibration=calibration)
    found = load_weights(save_weights(weights, tmp_path / "m")).calibration
    assert found == calibration
    assert found.source(["ECG"]) == Source("scored nights", 5, 4321)
    assert found.source(["PPG"]) == Source("not stated")
    assert found.source(["PPG", "ECG"]) == Source("median of the others")
    assert found.temperature(["PPG", "ECG"]) == 1.5
    assert Calibration().source(["PPG", "ECG"]) == Source("none")
    # A file without these values, as early versions wrote and read, is the same as before.
    old = Calibration({"ECG": 1.5}, n_nights=3)
    save_weights(replace(weights, calibration=old), tmp_path / "m")
    written = json.loads((tmp_path / "m" / "calibration.json").read_text())
    assert set(written) == {"temperatures", "night_share", "epoch_correlation", "n_nights"}
    assert load_weights(tmp_path / "m").calibration == old


def test_a_second_calibration_keeps_what_the_first_was_fitted_to(nights, tmp_path):
    raw = simulate_night(duration=3 * 3600, modalities=["ECG"], sfreq=64, seed=5, verbose="error")
    ecg = prepare_nights([Night(raw, None, "other")], tmp_path)
    weights = load_weights("mini", verbose="error")
    first = calibrate(nights, replace(weights, calibration=Calibration()))
    second = calibrate(ecg, replace(weights, calibration=first))
    assert second.source(["ECG"]) == Source("scored nights", 1, 360)
    for subset in ("THX", "ECG+THX"):
        assert second.temperatures[subset] == first.temperatures[subset]
        assert second.source(subset.split("+")) == Source("earlier calibration", 2, 720)


def test_a_night_moves_a_temperature_less_than_many_do():
    rng = np.random.default_rng(0)
    honest = 2 * rng.standard_normal((20_000, 4))
    proba = functional.softmax(torch.tensor(honest), dim=1).numpy()
    stages = np.array([rng.choice(4, p=p) for p in proba])
    found = [
        _fit_temperature(3.0 * honest[:n], stages[:n], center=1.5, width=0.2)
        for n in (1, 400, 4000, 20_000)
    ]
    assert found[0] == pytest.approx(1.5, rel=0.1)
    assert found == sorted(found)
    assert 1.6 < found[1] < 2.8
    assert found[-1] == pytest.approx(3.0, rel=0.05)


def test_intervals_of_weights_without_a_calibration_warn(small_folder, tmp_path):
    raw = simulate_night(duration=3 * 3600, modalities=["THX"], sfreq=64, seed=0, verbose="error")
    with pytest.warns(RuntimeWarning, match="do not say how their errors go together"):
        table = SleepStagerW2S(raw, weights=small_folder).statistics()
    assert list(table) == ["value", "low", "high", "unit"]
    folder = save_weights(load_weights(small_folder), tmp_path / "model")
    settings = json.loads((folder / "calibration.json").read_text())
    (folder / "calibration.json").write_text(json.dumps(settings | {"n_nights": 3}))
    SleepStagerW2S(raw, weights=folder).statistics(0.8)  # warnings are errors here


def test_no_nights_are_refused():
    with pytest.raises(ValueError, match="no nights to calibrate on"):
        calibrate([], "mini")
