"""Evaluation: the same stages as the stager's, from raw and from prepared nights."""

import subprocess
import sys
import tempfile
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
import yasa
from builders import START, make_hypnogram, make_raw, toy_recordings
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix, f1_score

from mne_wav2sleep import SleepStagerW2S, fold_hypnogram, load_weights, simulate_night
from mne_wav2sleep.cohorts import (
    Night,
    calibrate,
    evaluate,
    measure_reliability,
    prepare_nights,
)
from mne_wav2sleep.cohorts.comparison.pairs import Pair, compute_sleep_stats
from mne_wav2sleep.cohorts.evaluation import run_night
from mne_wav2sleep.hypnograms.probabilities import to_proba
from mne_wav2sleep.network import Calibration, Engine
from mne_wav2sleep.network.backends import list_subsets
from mne_wav2sleep.network.extend import extend_weights

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


def spoil(raw, case):
    """Let sensors fail for a while, also where windows overlap."""
    sfreq, seconds = raw.info["sfreq"], raw.times[-1]
    if case == "gaps":  # samples that are missing
        raw._data[0, int(5000 * sfreq) : int(9000 * sfreq)] = np.nan
        raw._data[1, int((seconds - 5000) * sfreq) : int((seconds - 2000) * sfreq)] = np.nan
        raw._data[:, int(34_000 * sfreq) : int(35_000 * sfreq)] = np.nan
    elif case == "drift":  # the mean of a window is not that of the night
        for row in raw._data:
            row += np.linspace(0, 5, row.size) * row.std()
        raw._data[1, int(20_000 * sfreq) : int(24_000 * sfreq)] = np.nan
        raw.annotations.append(30_000, 2500, "BAD_movement")
    elif case == "dead":  # for longer than a window
        raw._data[1, : int(36_500 * sfreq)] = raw._data[1, 0]
    return raw


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")  # of 20 h, and of the failures
@pytest.mark.slow
@pytest.mark.parametrize(
    ("hours", "case"), [(11, "drift"), (13, "gaps"), (13, "drift"), (13, "dead"), (20, "drift")]
)
def test_evaluation_and_calibration_stage_long_nights_as_the_stager_does(
    hours, case, weights, tmp_path
):
    options = {"modalities": ["ECG", "THX"], "sfreq": 32, "seed": 4, "verbose": "error"}
    raw = spoil(simulate_night(duration=hours * 3600, **options), case)
    hyp = SleepStagerW2S(raw, weights).predict()
    engine = Engine(weights.network, "cpu")
    for dtype, atol in (("float32", 3e-3), ("float16", 0.02)):
        night = Night(raw, None, "a")
        nights = prepare_nights([night], tmp_path / dtype, dtype=dtype)
        (output,) = run_night(weights, engine, nights[0], "recorded").values()
        measured = output.measured.any(axis=1).to_numpy()
        stages = np.array(weights.stage_names)[output.logits.argmax(1)]
        differ = np.where(measured, stages, "UNS") != hyp.hypno.to_numpy(dtype=str)
        assert differ.mean() <= (0 if dtype == "float32" else 0.002)
        # The probabilities that calibration and reliability see are those of the hypnogram.
        whole = output.measured.all(axis=1).to_numpy()
        proba = to_proba(
            torch.from_numpy(output.logits), weights.calibration.temperature(["ECG", "THX"])
        )
        expected = hyp.proba[list(weights.stage_names)].to_numpy()
        np.testing.assert_allclose(proba[whole], expected[whole], atol=atol)


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
@pytest.mark.parametrize("hours", [11, 13])
def test_calibration_and_reliability_of_long_nights_are_those_of_staging(hours, weights, tmp_path):
    raw = simulate_night(
        duration=hours * 3600, modalities=["THX"], sfreq=32, seed=4, verbose="error"
    )
    raw._data[0] += np.linspace(0, 5, raw.n_times) * raw._data[0].std()
    raw._data[0, 20_000 * 32 : 24_000 * 32] = np.nan
    night = prepare_nights([Night(raw, None, "a")], tmp_path, dtype="float32")
    true = night[0].read_stages(4)

    def stage(calibration):
        """Give the probabilities of staging, and the scored stages, of the measured epochs."""
        hyp = SleepStagerW2S(raw, replace(weights, calibration=calibration)).predict()
        measured = (hyp.hypno != "UNS").to_numpy()
        return hyp.proba[list(weights.stage_names)].to_numpy()[measured], true[measured]

    proba, scored = stage(weights.calibration)
    accuracy, confidence = calibration_curve(
        proba.argmax(1) == scored, proba.max(1), n_bins=5, strategy="quantile"
    )
    table = measure_reliability(night, weights, n_bins=5)
    table = table[table["calibrated"]]
    np.testing.assert_allclose(table["confidence"], confidence, atol=1e-3)
    np.testing.assert_allclose(table["accuracy"], accuracy, atol=0.01)

    before = weights.calibration.temperatures["THX"]
    found = calibrate(night, weights)
    losses = []
    for factor in (1 / 1.1, 1.0, 1.1):
        temperature = found.temperatures["THX"] * factor
        proba, scored = stage(Calibration({"THX": temperature}))
        loss = -np.log(proba[np.arange(scored.size), scored]).sum() / 20
        losses.append(loss + 0.5 * (np.log(temperature / before) / 0.2) ** 2)
    assert losses[1] < min(losses[0], losses[2])


def test_scores_by_night_name_it_and_are_those_of_scikit_learn(weights, tmp_path):
    stages = ("WAKE", "N1", "N2", "N3")  # the scorer saw no REM
    nights = []
    for i, subject in enumerate(("b", "a", "a")):
        raw = make_raw(("ECG",), seconds=60 * 30, start=START, types="ecg", seed=i)
        raw.save(tmp_path / f"visit{i}_raw.fif", verbose="error")
        hyp = make_hypnogram(60, stages=stages if i else (*stages, "REM"), seed=i, start=START)
        nights.append(Night(tmp_path / f"visit{i}_raw.fif", hyp, subject, "xy"[i == 1]))
    prepared = prepare_nights(nights, tmp_path / "p", dtype="float32")
    found = evaluate(prepared, weights)
    table = found.by_night.set_index("night")
    order = (2, 0, 1)
    assert list(table.index) == [1, 2, 3]  # sorted by dataset and subject
    assert list(table["recording"]) == [f"visit{i}_raw.fif" for i in order]
    assert list(table["subject"]) == ["a", "b", "a"]
    names = list(weights.stage_names)
    engine = Engine(weights.network, "cpu")
    for number, night in enumerate((prepared[i] for i in order), start=1):
        true = np.array(names)[night.read_stages(4)]
        (output,) = run_night(weights, engine, night, "all").values()
        staged = np.array(names)[output.logits.argmax(1)]
        row = table.loc[number]
        assert row["epochs"] == 60
        assert row["kappa"] == pytest.approx(cohen_kappa_score(true, staged), nan_ok=True)
        assert row["accuracy"] == pytest.approx(100 * accuracy_score(true, staged))
        f1 = 100 * f1_score(true, staged, labels=names, average=None, zero_division=np.nan)
        np.testing.assert_allclose(row[[f"F1 {n}" for n in names]].astype(float), f1)
        matrix = found.confusion_by_night.loc[(row["dataset"], "ECG", number)]
        assert list(matrix.index) == list(matrix.columns) == names
        np.testing.assert_array_equal(matrix, confusion_matrix(true, staged, labels=names))
        for scorer, codes in (("scored", true), ("staged", staged)):
            stats = found.sleep_stats.loc[(row["dataset"], "ECG", scorer, number)]
            n_asleep = (codes != "WAKE").sum()
            # YASA rounds to four decimals.
            efficiency = pytest.approx(n_asleep / 0.6, abs=1e-4)
            assert (stats["TST"], stats["SE"]) == (n_asleep / 2, efficiency)
            for stage in names:
                assert stats[stage] == (codes == stage).sum() / 2
            asleep = np.flatnonzero(codes != "WAKE")
            if asleep.size:
                assert stats["SOL"] == asleep[0] / 2
                assert stats["WASO"] == (codes[asleep[0] : asleep[-1] + 1] == "WAKE").sum() / 2
    total = found.confusion_by_night.groupby(["dataset", "scored"], sort=False).sum()
    for dataset in "xy":
        matrix = found.confusion[(dataset, "ECG")]
        np.testing.assert_array_equal(matrix, total.loc[dataset])


def test_sleep_statistics_are_of_epochs_that_both_have_for_yasa():
    scored = ["WAKE"] * 2 + ["LIGHT"] * 4 + ["WAKE"] * 2 + ["UNS"] * 2
    nights = (
        (scored, ["WAKE"] * 3 + ["LIGHT"] * 3 + ["UNS"] * 2 + ["REM"] * 2),
        (scored, ["WAKE"] * 2 + ["LIGHT"] * 3 + ["WAKE"] * 5),
        (scored, ["LIGHT"] * 8 + ["WAKE"] * 2),
    )
    pairs = [
        Pair(
            {"night": i},
            *(yasa.Hypnogram(stages, n_stages=4, scorer=str(n)) for n, stages in enumerate(pair)),
        )
        for i, pair in enumerate(nights, start=1)
    ]
    stats = compute_sleep_stats(pairs)
    # Minutes asleep in the epochs that are not UNS in either.
    assert list(stats.loc["scored", "TST"]) == [2, 2, 2]
    assert list(stats.loc["staged", "TST"]) == [1.5, 1.5, 4]
    assert list(stats.loc["scored", "WAKE"]) == [1, 2, 2]
    found = yasa.SleepStatsAgreement(stats[["TST"]]).summary(ci_method=None).loc["TST"]
    differences = np.array([-0.5, -0.5, 2.0])
    bias, limit = differences.mean(), 1.96 * differences.std(ddof=1)
    assert found[("bias_mean", "center")] == pytest.approx(bias)
    assert found[("loa_lower", "center")] == pytest.approx(bias - limit, rel=1e-3)


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
    for subset in (MODALITIES, ("ECG",)):
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
    # Folded as the stager does, by the sums of the probabilities, which a temperature makes alike.
    hot = replace(weights, calibration=Calibration({"THX": 2.5}))
    others = dict.fromkeys(("ABD", "ECG", "PPG"))
    hyp = SleepStagerW2S(raw, hot, ch_names=others, verbose="error").predict()
    for n_stages in (2, 3):
        folded = fold_hypnogram(hyp, n_stages)
        assert (folded.hypno != hyp.consolidate_stages(n_stages).hypno).sum() > 4
        expected = expert.consolidate_stages(n_stages).evaluate(folded).get_confusion_matrix()
        found = evaluate(night, hot, subsets=[("THX",)], n_stages=n_stages)
        pd.testing.assert_frame_equal(
            found.confusion[("cohort", "THX")].loc[expected.index, expected.columns],
            expected,
            check_names=False,
        )
    five = extend_weights(weights, n_stages=5)  # N1 and N2 share what LIGHT had
    evaluated = (evaluate(night, w, subsets=[("ECG",)], n_stages=4) for w in (five, weights))
    matrices = [one.confusion[("cohort", "ECG")] for one in evaluated]
    assert list(matrices[0]) == ["WAKE", "LIGHT", "DEEP", "REM"]
    pd.testing.assert_frame_equal(*matrices)
    assert repr(three).count("\n") == 3
    with pytest.raises(ValueError, match="n_stages"):
        evaluate(night, weights, n_stages=5)
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(night, weights, subsets=[("EOG-L",)])
    with pytest.raises(ValueError, match="subsets"):
        evaluate(night, weights, subsets="some")


def run_evaluate(nights, weights, **options):
    found = evaluate(nights, weights, **options)
    tables = [found.pooled.reset_index(), found.by_night, *found.confusion.values()]
    return pd.concat([*tables, found.confusion_by_night.reset_index()])


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
    with joblib.parallel_config("threading"):
        found = run(raw_nights, weights, cache=tmp_path / "kept", n_jobs=2)
    pd.testing.assert_frame_equal(found, expected)
    with pytest.raises(ValueError, match="n_jobs must be 1 or more, or -1"):
        run(raw_nights, weights, n_jobs=0)
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
