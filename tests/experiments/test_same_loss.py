"""CPU time to the same loss, from losses made by hand."""

import doctest

import pytest
import same_loss
from experiment_results import make_result, make_training
from pages import write_page
from study import CONFIGS, read_study

UNIFIED = {
    "validation_loss": [1.2, 1.0, 0.9],
    "validation_loss_ECG": [1.4, 1.2, 1.1],
    "validation_loss_PPG": [1.5, 1.4, 1.3],
}
LOSSES = {
    "unified": UNIFIED,
    # The loss from all signals weights nights of several cohorts in another way.
    "ecg": {"validation_loss": [2.0, 2.0, 0.5], "validation_loss_ECG": [1.5, 1.1, 1.0]},
    "ppg": {"validation_loss": [1.9, 1.8], "validation_loss_PPG": [1.35, 1.2]},
    "belts": {"validation_loss": [1.0]},
    "every": {"validation_loss": [1.0, 0.95], "validation_loss_ECG": [1.9, 0.1]},
}


@pytest.fixture
def study():
    return read_study(CONFIGS / "unified.yaml")


@pytest.fixture
def results(study):
    """Make results with the losses of two training runs."""
    made = []
    for arm in study.arms:
        losses = LOSSES[arm]
        rows = zip(*losses.values(), strict=True)
        passes = [dict(zip(losses, row, strict=True)) for row in rows]
        for seed in range(3):
            trainings = [make_training(some) for some in (passes[:1], passes[1:]) if some]
            means = dict.fromkeys(study.arms[arm].subsets or [arm.upper()], 0.2)
            made.append(make_result(study, arm, seed, means, trainings))
    return made


def test_examples_run():
    assert doctest.testmod(same_loss).failed == 0


def test_time_goes_on_in_the_next_training_run(results):
    by_arm = {one.arm: one for one in results}
    losses, times = same_loss.list_losses(by_arm["unified"], "validation_loss")
    assert losses == [1.2, 1.0, 0.9]
    assert times == [60, 120, 180]
    # The ECG alone reaches 1.1 in the third pass of the one, and in the second of the other.
    assert same_loss.find_times(by_arm["unified"], by_arm["ecg"]) == (1.1, 180, 120)
    assert same_loss.find_times(by_arm["unified"], by_arm["ppg"]) == (1.3, 180, 120)
    assert same_loss.find_times(by_arm["unified"], by_arm["every"]) == (0.95, 180, 120)
    assert same_loss.find_times(by_arm["unified"], by_arm["belts"]) is None


def test_a_page_compares_the_times(study, results, tmp_path):
    page = write_page("x", results, study, tmp_path).read_text("utf-8")
    row = "| a network for the ECG | 1.100 (1.100 to 1.100) | 3.0 (3.0 to 3.0) | 2.0 (2.0 to 2.0) |"
    assert row in page
    assert "| these together |  | 3.0 (3.0 to 3.0) | 6.0 (6.0 to 6.0) |" in page
    assert "of the one network: a network for both belts." in page
    assert "Earlier runs" not in page


def test_earlier_runs_have_no_losses_of_signals(study, results, tmp_path):
    for one in results:
        if one.arm == "unified" and one.seed > 0:
            for training in one.trainings:
                for some in training.passes:
                    some.pop("validation_loss_ECG", None)
                    some["validation_loss_PPG"] = None
    page = write_page("x", results, study, tmp_path).read_text("utf-8")
    assert "a network for the ECG (2 of 3 seeds), a network for the PPG (2 of 3 seeds):" in page
    assert "these together" not in page
    none = [r.model_copy(deep=True) for r in results]
    for one in none:
        for training in one.trainings:
            for some in training.passes:
                some.pop("validation_loss_ECG", None)
    page = write_page("x", none, study, tmp_path).read_text("utf-8")
    assert "| a network for the ECG |  |  |  |" in page
