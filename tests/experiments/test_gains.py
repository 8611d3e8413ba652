"""Signals that a study adds: trained from the first step, and compared with what was without."""

import arms
import gains
import nights
import numpy as np
import pages
import pytest
import yaml
from builders import toy_recordings
from experiment_results import describe_again, make_result
from results import ResultStore
from scales import SCALES, check_study, read_scale
from study import CONFIGS, read_study

from mne_wav2sleep import load_weights
from mne_wav2sleep.modalities import MODALITIES, read_modalities

KAPPAS = {
    ("without", "ABD+ECG+THX"): 0.3,
    ("eeg", "ABD+ECG+THX"): 0.3,
    ("eeg", "ABD+ECG+EEG+THX"): 0.7,
    ("eeg", "EEG"): 0.6,
    ("act", "ABD+ECG+THX"): 0.2,
    ("act", "ABD+ACT+ECG+THX"): 0.25,
    ("both", "ABD+ECG+THX"): 0.3,
    ("both", "ABD+ACT+ECG+EEG+THX"): 0.8,
}


@pytest.fixture(scope="module")
def study():
    return read_study(CONFIGS / "more_signals.yaml")


def make_results(study):
    """Make results whose kappas are given, and differ between subjects."""
    results = []
    for arm, seed in ((arm, seed) for arm in study.arms for seed in range(3)):
        means = {subset: kappa for (name, subset), kappa in KAPPAS.items() if name == arm}
        known = {"cpu_s": 1.0, "explained": {"ABD": {}, "ECG": {}, "THX": {}}}
        one = make_result(study, arm, seed, means, cohort="D", noise=0, pretraining=known)
        signals = study.arms[arm].network["signals"]
        definitions = [one.to_dict() for one in study.modalities if one.name in signals]
        start = one.described["start"] | ({"modalities": definitions} if definitions else {})
        results.append(describe_again(one, start=start))
    return results


def test_gains_are_of_arms_with_a_signal_over_the_reference_without(study):
    table = gains.compare_gains(make_results(study), study).set_index(["arm", "added"])
    assert table.index.tolist() == [("eeg", "EEG"), ("act", "ACT"), ("both", "ACT and EEG")]
    assert set(table["to"]) == {"ABD+ECG+THX"}
    np.testing.assert_allclose(table["difference"], [0.4, -0.05, 0.5], atol=1e-9)
    assert table["claim"].tolist() == ["higher", "lower", "higher"]
    assert set(table["subjects"]) == {12}
    assert table["without"].to_numpy() == pytest.approx(0.355)


def test_the_page_says_what_they_add_and_how(study, tmp_path):
    page = pages.write_page("x", make_results(study), study, tmp_path).read_text("utf-8")
    assert (
        "- **ECG, belts and EEG**: with EEG, kappa is **higher** than that of ECG and belts "
        "without it, staged from the same other signals: ABD+ECG+THX (+0.400" in page
    )
    assert "- **ECG, belts and activity**: kappa is **lower** than that of ECG and belts" in page
    assert (
        "- **ECG, belts and EEG**: kappa is **not significantly different** from that of ECG"
        in page
    )
    assert "| EEG | ECG, belts and EEG | 0.655 (0.6" in page
    assert page.count("| reference |") == 1  # an arm from what it alone reads is no reference
    assert "There is no pretraining for ACT and EEG" in page
    shown = page.partition("```yaml\n")[2].partition("```")[0]
    assert set(read_modalities(yaml.safe_load(shown)["modalities"])) == set(study.modalities)
    # That of a study without signals of its own says nothing of them.
    plain = study.model_copy(update={"modalities": ()})
    assert gains.describe_gains(gains.compare_gains(make_results(study), plain), plain) == []


@toy_recordings
def test_new_encoders_are_trained_from_the_first_step(study, tmp_path):
    scale = read_scale(SCALES / "quick.yaml")
    small = {"n_training": 2, "n_test": 1, "hours": (0.2, 0.25)}
    scale = scale.model_copy(update={"cohorts": {"D": scale.cohorts["D"].model_copy(update=small)}})
    check_study(study, scale)
    assert MODALITIES["EEG"].samples_per_epoch == 2048
    cohorts = nights.prepare_cohorts(["D"], scale, {}, None, tmp_path / "nights")
    store = ResultStore(tmp_path / "results")
    place = arms.Place("more_signals", study, "quick", scale, cohorts, tmp_path, store)
    result = arms.run_arm(place, "both", 0)
    assert [one["name"] for one in result.described["start"]["modalities"]] == ["ACT", "EEG"]
    subsets = {night.subset for night in result.nights}
    assert len(subsets) == 2**5 - 1
    assert {"EEG", "ABD+ECG+THX", "ABD+ACT+ECG+EEG+THX"} <= subsets
    config = scale.make_config(study.arms["both"])
    start, _ = arms.make_start(config, scale, 0, tmp_path)
    key = arms.compute_key(arms.describe_trainings(place, "both", 0)[0])
    first = load_weights(tmp_path / "runs" / key)
    before, after = (one.network.signal_encoders.state_dict() for one in (start, first))
    changed = {name.split(".")[1] for name in before if (before[name] != after[name]).any()}
    assert changed == {"ACT", "EEG"}
    # Other seeds begin with another one; pretrained ones are the same.
    other, _ = arms.make_start(config, scale, 1, tmp_path)
    state = other.network.signal_encoders.state_dict()
    differs = {name.split(".")[1] for name in before if (before[name] != state[name]).any()}
    assert differs == {"ACT", "EEG"}
    assert arms.run_arm(place, "both", 0).nights == result.nights  # read, not trained again
