"""Results are kept, shared between studies, and never taken for others."""

import json

import pytest
from results import (
    FOLDER,
    NightResult,
    Result,
    ResultStore,
    TrainingResult,
    check_comparable,
    compute_key,
    read_result,
)


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "results")


@pytest.fixture
def result():
    described = {"start": {"seed": 0}, "trainings": [], "evaluate": {}}
    night = {"cohort": "A", "subject": "p, [1]", "subset": "ECG+THX"}
    return Result(
        study="masking",
        arm="none",
        seed=0,
        key=compute_key(described),
        described=described,
        scale="small",
        n_parameters=10,
        n_bytes=100,
        pretraining={},
        trainings=[
            TrainingResult(
                cohorts=["A"],
                n_nights=2,
                cpu_s=1.5,
                passes=[{"pass": 1, "training_loss": 1.2, "validation_loss": 1.3, "kappa": None}],
            )
        ],
        nights=[
            NightResult(**night, kappa=0.25, accuracy=62.5, confusion=[[3, 1], [2, 2]]),
            NightResult(**night | {"subset": "ECG"}, kappa=None, accuracy=None, confusion=[[0]]),
        ],
        versions={"torch": "2"},
    )


def test_a_result_is_read_back(store, result):
    path = store.write(result)
    assert read_result(path) == result
    assert '"confusion": [[3, 1], [2, 2]]' in path.read_text("utf-8")  # on one line
    assert store.find("masking", "none", 0, "small", result.described) == result
    assert store.find("masking", "none", 1, "small", result.described) is None
    assert store.read("masking") == [result]


def test_studies_share_a_result(store, result):
    store.write(result)
    found = store.find("mixer", "attention", 0, "small", result.described)
    assert (found.study, found.arm, found.nights) == ("mixer", "attention", result.nights)
    assert store.read("mixer") == [found]


def test_other_settings_and_scales_do_not_replace_a_result(store, result):
    first = store.write(result)
    described = {**result.described, "start": {"seed": 1}}
    assert store.find("masking", "none", 0, "small", described) is None
    other = result.model_copy(update={"described": described, "key": compute_key(described)})
    paths = {first, store.write(other), store.write(result.model_copy(update={"scale": "full"}))}
    assert len(paths) == 3
    assert first.name == f"none-0-small-{result.key[:8]}.json"
    assert store.find("masking", "none", 0, "small", result.described) == result
    assert store.find("masking", "none", 0, "small", described) == other
    assert len(store.read("masking")) == 3
    assert len(store.read("masking", "full")) == 1
    with pytest.raises(ValueError, match=r"no results of masking in .* at the scale quick"):
        store.read("masking", "quick")


def test_a_result_may_have_any_name(store, result):
    path = store.write(result)
    old = path.rename(path.with_name("none-0.json"))  # as earlier versions named it
    assert store.find("masking", "none", 0, "small", result.described) == result
    assert list(old.parent.iterdir()) == [old]


def test_results_that_are_kept_are_taken():
    kept = ResultStore(FOLDER)
    results = kept.read("masking", "small")
    assert {(one.arm, one.seed) for one in results} >= {("none", 0), ("none", 1), ("masking", 0)}
    check_comparable(results)
    for one in results:
        assert kept.path("masking", one.arm, one.seed, "small", one.key).exists()
        assert kept.find("masking", one.arm, one.seed, "small", one.described) == one


def test_a_setting_of_a_later_version_does_not_make_results_old(store, result):
    store.write(result)
    later = {**result.described, "start": {"seed": 0, "epoch_mixer": "attention"}}
    assert store.find("masking", "none", 0, "small", later) == result
    later["start"]["epoch_mixer"] = "concat"
    assert store.find("masking", "none", 0, "small", later) is None


@pytest.mark.parametrize(
    "change", [lambda v: v.pop("key"), lambda v: v.update(more=1), lambda v: v.update(nights=[{}])]
)
def test_a_damaged_result_is_named(store, result, change):
    path = store.write(result)
    values = json.loads(path.read_text("utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ValueError, match=r"none-0-.*json is not a result of an experiment"):
        store.read("masking")


def test_no_results_are_said(store):
    with pytest.raises(ValueError, match="no results of masking"):
        store.read("masking")
