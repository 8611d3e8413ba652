"""Evaluation: the same stages as the stager's, from raw and from prepared nights."""

import subprocess
import sys
import tempfile
from dataclasses import replace

import pandas as pd
import pytest
from builders import START, make_hypnogram, make_raw, toy_recordings

from mne_wav2sleep import SleepStagerW2S, load_weights, simulate_night
from mne_wav2sleep.cohorts import (
    Night,
    calibrate,
    evaluate,
    measure_reliability,
    prepare_nights,
)
from mne_wav2sleep.network import Calibration
from mne_wav2sleep.network.backends import list_subsets

pytestmark = toy_recordings

MODALITIES = ("ABD", "ECG", "PPG", "THX")


@pytest.fixture(scope="module")
def weights():
    return load_weights("mini", verbose="error")


@pytest.mark.parametrize("epochs", [1440, 1441, 2600])
def test_long_nights_are_evaluated_in_the_windows_of_staging(epochs, tmp_path, small_folder):
    raw = make_raw(("Thor",), sfreq=8.0, seconds=epochs * 30, start=START)
    scored = Night(raw, make_hypnogram(epochs), "a")
    night = prepare_nights([scored], tmp_path, dtype="float32")
    weights = load_weights(small_folder)
    weights = replace(weights, calibration=Calibration({"THX": 2.5}))
    hyp = SleepStagerW2S(raw, weights, verbose="error").predict()
    expert = make_hypnogram(epochs, start=hyp.start).consolidate_stages(4)
    expected = expert.evaluate(hyp).get_confusion_matrix()
    found = evaluate(night, weights).confusion[("cohort", "THX")]
    pd.testing.assert_frame_equal(
        found.loc[list(expected.index), list(expected.columns)], expected, check_names=False
    )


@pytest.fixture(scope="module")
def raw_nights():
    """Two hours of two subjects, with the stages in their annotations."""
    options = {"duration": 7200, "modalities": ["ECG", "THX"], "sfreq": 64, "verbose": "error"}
    return [Night(simulate_night(seed=seed, **options), None, f"s{seed}") for seed in range(2)]


def test_evaluation_stages_as_the_stager_does(weights, tmp_path):
    raw = make_raw(("ECG", "Pleth", "Abdo", "Thor"), seconds=40 * 30, start=START)
    night = prepare_nights([Night(raw, make_hypnogram(40), "a")], tmp_path, dtype="float32")
    found = evaluate(night, weights)
    assert list(found.pooled.loc["cohort"].index) == ["+".join(s) for s in list_subsets(MODALITIES)]
    for subset in (("ECG",), MODALITIES):
        others = {m: None for m in MODALITIES if m not in subset}
        with pytest.warns(RuntimeWarning, match="40 epochs"):
            hyp = SleepStagerW2S(raw, weights=weights, ch_names=others).predict()
        expert = make_hypnogram(40, start=hyp.start).consolidate_stages(4)
        agreement = expert.evaluate(hyp).get_agreement()
        row = found.pooled.loc[("cohort", "+".join(subset))]
        assert row["kappa"] == pytest.approx(agreement["kappa"])
        assert row["accuracy"] == pytest.approx(agreement["accuracy"])
        assert found.confusion[("cohort", "+".join(subset))].to_numpy().sum() == 40
    three = evaluate(night, weights, subsets=[("ECG",)], n_stages=3)
    assert list(three.pooled.index) == [("cohort", "ECG")]
    assert "F1 NREM" in three.pooled
    stages = ["WAKE", "NREM", "REM"]
    matrix = three.confusion[("cohort", "ECG")]
    assert list(matrix.index) == list(matrix.columns) == stages
    assert repr(three).count("\n") == 3
    with pytest.raises(ValueError, match="n_stages"):
        evaluate(night, weights, n_stages=5)
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(night, weights, subsets=[("EOG-L",)])
    with pytest.raises(ValueError, match="subsets"):
        evaluate(night, weights, subsets="some")


def run_evaluate(nights, weights, **options):
    found = evaluate(nights, weights, **options)
    by_night = found.by_night.drop(columns="night")  # the name of the file
    return pd.concat([found.pooled.reset_index(), by_night, *found.confusion.values()])


def run_calibrate(nights, weights, **options):
    return pd.DataFrame(calibrate(nights, weights, **options).temperatures, index=[0])


@pytest.mark.parametrize("run", [run_evaluate, run_calibrate, measure_reliability])
def test_raw_nights_give_what_prepared_ones_do(run, raw_nights, weights, tmp_path, monkeypatch):
    prepared = prepare_nights(raw_nights, tmp_path / "prepared")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(temporary)
    expected = run(prepared, weights)
    pd.testing.assert_frame_equal(run(raw_nights, weights), expected)
    pd.testing.assert_frame_equal(run([raw_nights[0], prepared[1]], weights), expected)
    assert not list(temporary.iterdir())
    pd.testing.assert_frame_equal(run(raw_nights, weights, cache=tmp_path / "kept"), expected)
    kept = sorted(path.name for path in (tmp_path / "kept").glob("*.safetensors"))
    assert kept == sorted(night.path.name for night in prepared)


def test_no_files_are_left_behind_by_an_error(raw_nights, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(raw_nights[:1], weights, subsets=[("PPG",)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("compute", [evaluate, calibrate, measure_reliability])
def test_a_device_that_cannot_be_used_is_refused_before_nights_are_prepared(
    compute, weights, tmp_path
):
    night = Night(make_raw(("ECG",), seconds=600), make_hypnogram(), "a")
    with pytest.raises(ValueError, match=r"device='toaster' cannot be used here"):
        compute([night], weights, device="toaster", cache=tmp_path / "nights")
    assert not (tmp_path / "nights").exists()


SCRIPT = """
import sys
if {blocked}:
    sys.modules["pytorch_lightning"] = None  # importing it fails, as if it were not installed
from mne_wav2sleep import load_weights, simulate_night
from mne_wav2sleep.cohorts import Night, calibrate, evaluate, measure_reliability
weights = load_weights("mini", verbose="error")
raw = simulate_night(duration=1800, modalities=["THX"], sfreq=32, seed=0, verbose="error")
nights = [Night(raw, None, "a")]
for function in (evaluate, calibrate, measure_reliability):
    function(nights, weights, verbose="error")
assert {blocked} or "pytorch_lightning" not in sys.modules
"""


@pytest.mark.parametrize("blocked", [True, False])
def test_cohorts_do_not_need_lightning(blocked, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(blocked=blocked))
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
