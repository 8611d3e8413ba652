"""Intervals and claims on numbers made by hand."""

import doctest

import differences
import numpy as np
import pytest
import results
import study as studies
from results import NightResult, Result, TrainingResult


@pytest.mark.parametrize("module", [differences, results, studies])
def test_examples_run(module):
    assert doctest.testmod(module).failed == 0


def test_an_interval_covers_seeds_and_subjects():
    subjects = np.linspace(-0.2, 0.4, 20)
    one_seed = differences.bootstrap_mean(subjects[None])
    # Three seeds that are the same add no doubt, those that differ do.
    same = differences.bootstrap_mean(np.tile(subjects, (3, 1)))
    differ = differences.bootstrap_mean(subjects + np.array([[-0.2], [0.0], [0.2]]))
    half = 1.96 * subjects.std() / np.sqrt(20)
    assert one_seed == pytest.approx((0.1 - half, 0.1 + half), abs=0.01)
    assert same == pytest.approx(one_seed, abs=0.01)
    assert differ[0] < one_seed[0] - 0.05
    assert differ[1] > one_seed[1] + 0.05


def test_one_subject_has_no_interval():
    low, high = differences.bootstrap_mean(np.array([[0.5], [0.6]]))
    assert np.isnan([low, high]).all()
    assert differences.claim(low, high) == ""


@pytest.fixture
def study():
    arms = {"a": {"label": "plain"}, "b": {"label": "new"}}
    common = {"title": "t", "question": "q", "cohorts": ["A"], "evaluate": ["A"]}
    return studies.Study(**common, arms=arms, reference="a")


def make_result(arm, seed, kappas, subset="ECG"):
    nights = [
        NightResult(
            cohort="A",
            subject=subject,
            subset=subset,
            kappa=kappa,
            accuracy=50.0,
            confusion=[[1, 0], [0, 1]],
        )
        for subject, kappa in kappas.items()
    ]
    training = TrainingResult(
        cohorts=["A"], n_nights=1, cpu_s=30.0 if arm == "a" else 60.0, passes=[]
    )
    return Result(
        study="s",
        arm=arm,
        seed=seed,
        key="k",
        described={},
        scale="small",
        n_parameters=1,
        n_bytes=1,
        pretraining={},
        trainings=[training],
        nights=nights,
        versions={},
    )


def test_arms_are_compared_on_the_same_nights_and_seeds(study):
    results = [
        make_result("a", 0, {"p": 0.1, "q": 0.5, "r": 0.2}),
        make_result("a", 1, {"p": 0.1, "q": 0.5, "r": 0.2}),
        make_result("b", 0, {"p": 0.2, "q": 0.6, "r": None}),
        make_result("b", 1, {"p": 0.4, "q": 0.8, "r": 0.9}),
        make_result("b", 2, {"p": -1.0, "q": -1.0, "r": -1.0}),  # a seed that a has not
    ]
    table = differences.compare_arms(results, study).set_index("arm")
    # The third subject is left out of both, as it has no kappa in one run.
    assert table["kappa"].to_dict() == pytest.approx({"a": 0.3, "b": 0.5})
    assert table.loc["b", "difference"] == pytest.approx(0.2)
    assert table.loc["b", ["difference low", "difference high"]].tolist() == pytest.approx(
        [0.1, 0.3]
    )
    assert table.loc["b", "claim"] == "higher"
    assert table[["seeds", "subjects"]].to_numpy().tolist() == [[2, 2], [2, 2]]
    assert table["cpu_s"].tolist() == [30, 60]


def test_nights_of_a_subject_count_as_one(study):
    results = [make_result("a", 0, {"p": 0.1, "q": 0.3}), make_result("b", 0, {"p": 0.2, "q": 0.4})]
    more = [one.nights + make_result(one.arm, 0, {"p": 0.5}).nights for one in results]
    results = [r.model_copy(update={"nights": n}) for r, n in zip(results, more, strict=True)]
    table = differences.compare_arms(results, study).set_index("arm")
    assert table.loc["a", "kappa"] == pytest.approx((0.3 + 0.3) / 2)
    assert table["subjects"].tolist() == [2, 2]


def test_an_arm_is_compared_where_it_is_meant(study):
    results = [make_result("a", 0, {"p": 0.1, "q": 0.3})]
    results += [make_result("b", 0, {"p": 0.2, "q": 0.4})]
    both = results[1].nights + make_result("b", 0, {"p": 0.9, "q": 0.9}, "THX").nights
    results[1] = results[1].model_copy(update={"nights": both})
    table = differences.compare_arms(results, study)
    # The reference has no THX: the arm is reported there, and compared with nothing.
    assert table[["subset", "arm"]].to_numpy().tolist() == [
        ["ECG", "a"],
        ["ECG", "b"],
        ["THX", "b"],
    ]
    assert table["claim"].isna().tolist() == [True, False, True]
    meant = {"a": study.arms["a"], "b": study.arms["b"].model_copy(update={"subsets": ["ECG"]})}
    table = differences.compare_arms(results, study.model_copy(update={"arms": meant}))
    assert set(table["subset"]) == {"ECG"}


def test_no_common_seed_is_said(study):
    results = [make_result("a", 0, {"p": 0.1}), make_result("b", 1, {"p": 0.1})]
    with pytest.raises(ValueError, match="No seed has results of all arms \\(a 1, b 1 results\\)"):
        differences.compare_arms(results, study)
