import numpy as np
import pytest
import yasa
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_wav2sleep.hypnograms.probabilities import name_stages, to_hypnogram
from mne_wav2sleep.hypnograms.statistics import draw_stages, statistics_with_intervals
from mne_wav2sleep.network import Calibration

STAGES = ("WAKE", "LIGHT", "DEEP", "REM")
INDEPENDENT = Calibration(night_share=0.0, epoch_correlation=0.0)


def draw(proba, calibration, n_draws=400, seed=0):
    return draw_stages(proba, calibration, n_draws, np.random.default_rng(seed))


def make_uncertain_night(n_epochs=400, unknown=(), seed=0):
    logits = np.random.default_rng(seed).standard_normal((n_epochs // 20, 4)).repeat(20, axis=0)
    proba = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    proba[list(unknown)] = np.nan
    return to_hypnogram(name_stages(proba, STAGES), None, "test")


@given(st.floats(0, 0.9), st.floats(0, 0.99), st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_every_stage_is_drawn_with_its_probability(share, slow, seed):
    proba = np.tile([0.05, 0.6, 0.0, 0.35], (30, 1))
    calibration = Calibration(night_share=share, epoch_correlation=slow)
    found = np.bincount(draw(proba, calibration, 20_000, seed)[:, ::29].ravel(), minlength=4)
    np.testing.assert_allclose(found / found.sum(), proba[0], atol=0.02)
    assert found[2] == 0


def test_correlated_errors_widen_intervals():
    proba = np.tile([0.25, 0.25, 0.25, 0.25], (800, 1))
    kinds = (
        INDEPENDENT,
        Calibration(night_share=0.0, epoch_correlation=0.95),
        Calibration(night_share=0.2, epoch_correlation=0.95),
    )
    spread = [(draw(proba, kind) == 0).mean(axis=1).std() for kind in kinds]
    assert spread[0] == pytest.approx(np.sqrt(0.25 * 0.75 / 800), rel=0.15)
    assert spread[1] > 3 * spread[0]
    assert spread[2] > 1.3 * spread[1]


def test_intervals_of_certain_stages_have_no_width():
    proba = np.eye(4)[np.random.default_rng(0).integers(0, 4, 200)]
    hyp = to_hypnogram(name_stages(proba, STAGES), None, "test")
    table = statistics_with_intervals(hyp, Calibration(), 0.95)
    for column in ("low", "high"):
        known = table.drop("SFI")
        np.testing.assert_allclose(known[column], known["value"], atol=0.011)


def test_intervals_are_nested_and_reproducible():
    hyp = make_uncertain_night()
    wide, narrow = (statistics_with_intervals(hyp, Calibration(), ci) for ci in (0.95, 0.5))
    assert wide.loc["SFI", ["low", "high"]].isna().all()
    wide, narrow = wide.drop("SFI"), narrow.drop("SFI")
    assert (wide["low"] <= narrow["low"]).all()
    assert (wide["high"] >= narrow["high"]).all()
    assert wide.loc["TST", "high"] - wide.loc["TST", "low"] > 5
    wide = statistics_with_intervals(hyp, Calibration(), 0.95)
    assert wide.equals(statistics_with_intervals(hyp, Calibration(), 0.95))
    assert wide["value"].to_dict() == {
        name: round(float(value), 2) for name, value in hyp.sleep_statistics().items()
    }


def test_unscored_epochs_are_unscored_in_every_draw():
    hyp = make_uncertain_night(unknown=range(100, 160))
    table = statistics_with_intervals(hyp, Calibration(), 0.9)
    assert table.loc["UNS", ["value", "low", "high"]].tolist() == [30, 30, 30]
    assert hyp.proba["WAKE"].iloc[100] == 0  # the hypnogram itself is not modified


def test_a_latency_that_most_draws_lack_has_no_interval():
    proba = np.tile([0.5, 0.5, 0.0, 0.0], (100, 1))
    hyp = to_hypnogram(name_stages(proba, STAGES), None, "test")
    table = statistics_with_intervals(hyp, Calibration(), 0.95)
    assert table.loc["Lat_REM", ["low", "high"]].isna().all()
    assert isinstance(hyp, yasa.Hypnogram)


@pytest.mark.parametrize("ci", [0, 1, 95, -0.5])
def test_an_invalid_coverage_is_refused(ci):
    with pytest.raises(ValueError, match=r"ci must be between 0 and 1, such as 0\.95, got"):
        statistics_with_intervals(make_uncertain_night(), Calibration(), ci)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"temperatures": {"ECG": 0.0}}, "temperatures.ECG"),
        ({"temperatures": {"ECG+HTX": 1.0}}, "temperatures"),
        ({"temperatures": {"ECG": float("nan")}}, "temperatures.ECG"),
        ({"night_share": 1.0}, "night_share"),
        ({"epoch_correlation": -0.1}, "epoch_correlation"),
        ({"n_nights": -1}, "n_nights"),
    ],
)
def test_an_invalid_calibration_is_refused(settings, field):
    with pytest.raises(ValueError, match=f"validation error for Calibration\n{field}\n"):
        Calibration(**settings)


def test_a_subset_without_a_temperature_takes_the_median_of_the_others():
    calibration = Calibration({"THX+ECG": 2.0, "ECG": 1.0, "PPG": 1.5})
    assert calibration.temperature(["THX", "ECG"]) == 2.0
    assert calibration.temperature(("THX",)) == 1.5
    assert Calibration().temperature(("THX",)) == 1.0
