"""Settings of training are checked when they are made."""

from dataclasses import replace

import pytest

from mne_wav2sleep.training.settings import check_datasets


@pytest.mark.parametrize(
    "wrong",
    [
        {"averaging": 1.0},
        {"averaging": -0.1},
        {"averaging": "abc"},
        {"keep": "first"},
        {"precision": "8-true"},
        {"seed": None},
        {"clip": -1},
        {"validation_fraction": 1.5},
        {"max_passes": 0},
        {"learning_rate": float("inf")},
        {"learning_rate": "1e-3"},
        {"learning_rate": True},
        {"batch_size": True},
        {"batch_size": 2.0},
        {"micro_batch_size": 0},
        {"masking": {"drop": {}}},
        {"seed": 2**32},
        {"lr": 1e-3},
    ],
)
def test_settings_are_checked(quick, wrong):
    with pytest.raises(ValueError, match=rf"(?m)^{next(iter(wrong))}$"):
        replace(quick, **wrong) if "lr" not in wrong else type(quick)(**wrong)


@pytest.mark.parametrize("weights", [{"third": 1.0}, {"first": 1.0, "third": 1.0}, {"first": 0.0}])
def test_dataset_weights_have_to_fit_the_nights(nights, quick, weights):
    with pytest.raises(ValueError, match=r"dataset_weights names .*\['first', 'second'\]"):
        check_datasets(replace(quick, dataset_weights=weights), nights)
    check_datasets(replace(quick, dataset_weights={"first": 1.0}), nights)
    check_datasets(quick, nights)
