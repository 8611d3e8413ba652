"""Signs of training that failed in a known way."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from builders import toy_recordings

from mne_wav2sleep.training import Masking
from mne_wav2sleep.training.run import read_record
from mne_wav2sleep.training.signatures import (
    NOTHING,
    SEEDS,
    TOGETHER,
    compare_seeds,
    find_signatures,
)

pytestmark = toy_recordings
SOUND = {"ECG": 0.50, "PPG": 0.49, "ABD": 0.35, "THX": 0.36, "ABD+ECG+PPG+THX": 0.53}


def make_scores(means, *, n_subjects=8, spread=0.08, dataset="lab"):
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
    return table


def test_sound_scores_have_no_signs():
    assert find_signatures(make_scores(SOUND), Masking()) == []


def test_a_signal_that_was_not_learned():
    scores = make_scores(SOUND | {"PPG": 0.05})
    [found] = find_signatures(scores, Masking(drop={"PPG": 0.9, "ECG": 0.1}))
    assert found.name == "PPG alone"
    assert found.text.startswith("PPG alone has a kappa of 0.0")
    assert "the other signals alone 0.4" in found.text
    assert "on the same nights: the network may not have learned to use it" in found.text
    assert "a probability of 0.9 (masking.drop.PPG)" in found.text


def test_a_signal_near_chance_in_a_weak_network_was_not_learned():
    weak = {"ECG": 0.27, "PPG": 0.01, "ABD": 0.09, "THX": 0.18, "ABD+ECG+PPG+THX": 0.3}
    [found] = find_signatures(make_scores(weak, spread=0.02), Masking())
    assert found.name == "PPG alone"
    assert "ECG alone 0.2" in found.text


def test_signals_of_the_heart_are_compared_with_each_other():
    # Kappas of a run whose PPG was nearly always dropped: not near chance, and belts are weak.
    weak = {"ABD": 0.18, "ECG": 0.28, "PPG": 0.10, "THX": 0.26, "ABD+ECG+PPG+THX": 0.36}
    [found] = find_signatures(make_scores(weak, spread=0.02), Masking())
    assert found.name == "PPG alone"
    assert "has a kappa of 0.10 on the validation nights, ECG alone 0.28 on" in found.text
    # A belt that is as far below the other one is weak in sound runs as well.
    sound = weak | {"PPG": 0.27, "ABD": 0.13}
    assert find_signatures(make_scores(sound, spread=0.02), Masking()) == []
    # Too few nights have both.
    apart = make_scores(weak, spread=0.02)
    apart.loc[(apart["subset"] == "PPG") & (apart["night"] > 2), "kappa"] = np.nan
    assert find_signatures(apart, Masking()) == []


def test_a_network_that_learned_nothing():
    nothing = dict.fromkeys(SOUND, 0.0) | {"ECG": 0.04}
    [found] = find_signatures(make_scores(nothing, spread=0.02), Masking())
    assert found.name == NOTHING
    assert found.text.startswith("The highest kappa on the validation nights is 0.0")
    assert ", from ECG: the network has learned hardly anything. Train for longer" in found.text
    # Three subjects do not show it, and neither does one signal that was learned.
    assert find_signatures(make_scores(nothing, n_subjects=3), Masking()) == []
    some = make_scores(nothing | {"ECG": 0.3}, spread=0.02)
    assert NOTHING not in [sign.name for sign in find_signatures(some, Masking())]


def test_a_signal_of_another_dataset_that_was_not_learned():
    lab = make_scores({"ECG": 0.5, "THX": 0.4, "ECG+THX": 0.53})
    watch = make_scores({"PPG": 0.02}, dataset="watch")
    both = [lab, watch]
    [found] = find_signatures(pd.concat(both), Masking())
    assert found.text.startswith("PPG alone has a kappa of -0.02 on the validation nights, other")
    assert "other signals have more on other nights" in found.text


def test_a_signal_of_a_difficult_dataset_was_learned():
    lab = make_scores({"ECG": 0.68, "THX": 0.5, "ECG+THX": 0.7})
    children = make_scores({"PPG": 0.28, "ECG": 0.28, "ECG+PPG": 0.3}, dataset="b")
    both = [lab, children]
    assert find_signatures(pd.concat(both), Masking()) == []
    alone = children[children["subset"] == "PPG"]  # without an ECG to be compared with
    both = [lab, alone]
    assert find_signatures(pd.concat(both), Masking()) == []


def test_a_signal_that_was_never_dropped_gets_other_advice():
    [found] = find_signatures(make_scores(SOUND | {"PPG": 0.05}), Masking.off())
    assert ". Raise the probabilities of dropping the others, so that" in found.text


def test_scores_that_are_not_defined_have_no_signs():
    scores = make_scores(SOUND)
    scores.loc[~scores["subset"].str.contains("+", regex=False), "kappa"] = np.nan
    assert find_signatures(scores, Masking()) == []
    scores["kappa"] = np.nan
    assert find_signatures(scores, Masking()) == []


def test_signals_that_are_worse_together():
    scores = make_scores(SOUND | {"ABD+ECG+PPG+THX": 0.42})
    [found] = find_signatures(scores, Masking(drop={"ABD": 0.9, "ECG": 0.8}))
    assert found.text.startswith("All signals together have a kappa that is 0.0")
    assert "lower than that of ECG alone on the validation nights of lab" in found.text
    assert "(masking.drop: ABD 0.9, ECG 0.8, PPG 0, THX 0)" in found.text


@pytest.mark.parametrize("means", [SOUND | {"PPG": 0.05}, SOUND | {"ABD+ECG+PPG+THX": 0.42}])
def test_few_subjects_show_nothing(means):
    assert find_signatures(make_scores(means, n_subjects=3), Masking()) == []


def test_a_difference_that_is_not_sure_is_no_sign():
    scores = make_scores(SOUND | {"ABD+ECG+PPG+THX": 0.47})
    rng = np.random.default_rng(1)
    scores["kappa"] += 0.3 * rng.standard_normal(len(scores))
    assert TOGETHER not in [sign.name for sign in find_signatures(scores, Masking())]


def test_a_single_signal_has_nothing_to_compare_with():
    assert find_signatures(make_scores({"ECG": 0.1}), Masking()) == []


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
    assert signs[0].text.startswith("2 runs that differ by their seed alone have kappas")
    assert "(seed-0 0.70, seed-1 0.50): training is unstable" in signs[0].text
    assert signs[0].name == SEEDS


def test_messages_name_the_nights():
    scores = make_scores(SOUND | {"PPG": 0.05, "ABD+ECG+PPG+THX": 0.42})
    found = find_signatures(scores, Masking(), "test nights")
    assert [sign.name for sign in found] == ["PPG alone", TOGETHER]
    assert all("on the test nights" in sign.text for sign in found)
