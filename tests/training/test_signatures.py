"""Signs of training that failed in a known way."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from builders import toy_recordings

from mne_wav2sleep.cohorts import Evaluation
from mne_wav2sleep.training import Masking
from mne_wav2sleep.training.run import read_record
from mne_wav2sleep.training.signatures import compare_seeds, find_signatures

pytestmark = toy_recordings
SOUND = {"ECG": 0.50, "PPG": 0.49, "ABD": 0.35, "THX": 0.36, "ABD+ECG+PPG+THX": 0.53}


def make_evaluation(means, *, n_subjects=8, spread=0.08, dataset="lab"):
    """Make scores of nights whose kappas vary together, as those of easy and difficult nights."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n_subjects):
        night = spread * rng.standard_normal()
        rows += [
            {
                "dataset": dataset,
                "subset": subset,
                "night": i,
                "subject": f"s{i}",
                "recording": f"s{i}.edf",
                "kappa": mean + night + 0.02 * rng.standard_normal(),
            }
            for subset, mean in means.items()
        ]
    table = pd.DataFrame(rows)
    return Evaluation(pd.DataFrame(), table, {}, pd.DataFrame())


def test_sound_scores_have_no_signs():
    assert find_signatures(make_evaluation(SOUND), Masking()) == []


def test_a_signal_that_was_not_learned():
    found = make_evaluation(SOUND | {"PPG": 0.05})
    [sign] = find_signatures(found, Masking(drop={"PPG": 0.9, "ECG": 0.1}))
    assert sign.startswith("PPG alone has a kappa of 0.0")
    assert "the other signals alone 0.4" in sign
    assert "on the same nights: the network may not have learned to use it" in sign
    assert "a probability of 0.9 (masking.drop.PPG)" in sign


def test_a_signal_of_another_dataset_that_was_not_learned():
    lab = make_evaluation({"ECG": 0.5, "THX": 0.4, "ECG+THX": 0.53}).by_night
    watch = make_evaluation({"PPG": 0.02}, dataset="watch").by_night
    both = Evaluation(pd.DataFrame(), pd.concat([lab, watch]), {}, pd.DataFrame())
    [sign] = find_signatures(both, Masking())
    assert sign.startswith("PPG alone has a kappa of -0.02 on the validation nights, other signals")
    assert "other signals have more on other nights" in sign


def test_a_signal_of_a_difficult_dataset_was_learned():
    lab = make_evaluation({"ECG": 0.68, "THX": 0.5, "ECG+THX": 0.7}).by_night
    children = make_evaluation({"PPG": 0.28, "ECG": 0.28, "ECG+PPG": 0.3}, dataset="b").by_night
    both = Evaluation(pd.DataFrame(), pd.concat([lab, children]), {}, pd.DataFrame())
    assert find_signatures(both, Masking()) == []
    alone = children[children["subset"] == "PPG"]  # without an ECG to be compared with
    both = Evaluation(pd.DataFrame(), pd.concat([lab, alone]), {}, pd.DataFrame())
    assert find_signatures(both, Masking()) == []


def test_a_signal_that_was_never_dropped_gets_other_advice():
    [sign] = find_signatures(make_evaluation(SOUND | {"PPG": 0.05}), Masking.off())
    assert ". Raise the probabilities of dropping the others, so that" in sign


def test_scores_that_are_not_defined_have_no_signs():
    found = make_evaluation(SOUND)
    found.by_night.loc[~found.by_night["subset"].str.contains("+", regex=False), "kappa"] = np.nan
    assert find_signatures(found, Masking()) == []
    found.by_night["kappa"] = np.nan
    assert find_signatures(found, Masking()) == []


def test_signals_that_are_worse_together():
    found = make_evaluation(SOUND | {"ABD+ECG+PPG+THX": 0.42})
    [sign] = find_signatures(found, Masking(drop={"ABD": 0.9, "ECG": 0.8}))
    assert sign.startswith("All signals together have a kappa that is 0.0")
    assert "lower than that of ECG alone" in sign
    assert "(masking.drop: ABD 0.9, ECG 0.8, PPG 0, THX 0)" in sign


@pytest.mark.parametrize("means", [SOUND | {"PPG": 0.05}, SOUND | {"ABD+ECG+PPG+THX": 0.42}])
def test_few_subjects_show_nothing(means):
    assert find_signatures(make_evaluation(means, n_subjects=3), Masking()) == []


def test_a_difference_that_is_not_sure_is_no_sign():
    found = make_evaluation(SOUND | {"ABD+ECG+PPG+THX": 0.47})
    rows = found.by_night
    rng = np.random.default_rng(1)
    rows["kappa"] += 0.3 * rng.standard_normal(len(rows))
    assert not [s for s in find_signatures(found, Masking()) if s.startswith("All signals")]


def test_a_single_signal_has_nothing_to_compare_with():
    assert find_signatures(make_evaluation({"ECG": 0.1}), Masking()) == []


def test_runs_with_other_seeds_beside_it_are_compared(nights, train_tiny, quick, tmp_path):
    for seed in (0, 1):
        settings = replace(quick, seed=seed, max_passes=1)
        folder = tmp_path / f"seed-{seed}"
        train_tiny(nights[:2], folder, validation=nights[2:], settings=settings, verbose="error")
    scores = pd.read_csv(folder / "validation.csv")
    assert "subject" not in scores
    assert "recording" not in scores
    record = read_record(folder)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "validation.csv").write_text("nonsense")
    shutil.copytree(folder, tmp_path / "other")  # of another learning rate
    other = tmp_path / "other" / "training.json"
    other.write_text(other.read_text().replace('"learning_rate": ', '"learning_rate": 1'))
    pd.read_csv(folder / "validation.csv").assign(kappa=0.9).to_csv(
        tmp_path / "other" / "validation.csv"
    )
    longer = tmp_path / "longer"  # of more passes, which is another run
    shutil.copytree(folder, longer)
    path = longer / "training.json"
    path.write_text(path.read_text().replace('"max_passes": 1', '"max_passes": 9'))
    pd.read_csv(folder / "validation.csv").assign(kappa=0.9).to_csv(longer / "validation.csv")
    for kappa, n_signs in ((0.51, 0), (0.7, 1)):
        scores.assign(kappa=0.5).to_csv(folder / "validation.csv")
        scores.assign(kappa=kappa).to_csv(tmp_path / "seed-0" / "validation.csv")
        signs = compare_seeds(folder, record)
        assert len(signs) == n_signs
    assert signs[0].startswith("2 runs that differ by their seed alone have kappas with a standard")
    assert "(seed-0 0.70, seed-1 0.50): training is unstable" in signs[0]
