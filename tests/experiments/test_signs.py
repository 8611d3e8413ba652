"""Signs of failed training: where they are raised, and what a page says of it."""

import pytest
import run
import signs
from builders import toy_recordings
from experiment_results import make_result
from pages import write_page
from results import FOLDER, ResultStore
from scales import SCALES, read_scale
from study import CONFIGS, read_study

from mne_wav2sleep.training import signatures

SOUND = {"ECG": 0.5, "PPG": 0.49, "ABD": 0.4, "THX": 0.4, "ABD+ECG+PPG+THX": 0.53}
SEEDS = range(3)
FAULTS = {
    "unmasked": [{"PPG": 0.05} for _ in SEEDS],
    "ppg_dropped": [{"PPG": 0.05}, {"PPG": 0.05}, {}],
    "belts_dropped": [{"ABD": 0.0, "ABD+ECG+PPG+THX": 0.4}, {"ABD": 0.0}, {"ABD": 0.0}],
    "one_signal": [{"PPG": 0.02} for _ in SEEDS],
    "unstable": [dict.fromkeys(SOUND, 0.25), {}, {}],
    "unstable_more": [dict.fromkeys(SOUND, 0.0) for _ in SEEDS],
}
"""How the kappas of arms and seeds differ."""


@pytest.fixture
def study():
    return read_study(CONFIGS / "signatures.yaml")


@pytest.fixture
def results(study):
    return [
        make_result(study, arm, seed, SOUND | FAULTS.get(arm, [{}, {}, {}])[seed])
        for arm in study.arms
        for seed in SEEDS
    ]


def test_signs_are_those_of_training(study):
    means = SOUND | {"PPG": 0.05}
    found = signs.find_signs([make_result(study, "ppg_dropped", 7, means)], "ppg_dropped")
    assert list(found) == ["PPG alone"]
    text = found["PPG alone"][7].text
    assert "on the test nights" in text
    assert "dropped with a probability of 0.97 (masking.drop.PPG)" in text
    assert signs.find_signs([make_result(study, "sound", 0, SOUND)], "sound") == {}


def test_few_subjects_show_nothing(study):
    results = [
        make_result(study, "sound", i, dict.fromkeys(SOUND, 0.3 + 0.3 * i)) for i in range(2)
    ]
    assert list(signs.find_signs(results, "sound")) == ["seeds"]
    few = [one.model_copy(update={"nights": one.nights[: 3 * len(SOUND)]}) for one in results]
    assert signs.find_signs(few, "sound") == {}


def test_nights_of_a_subject_stay_apart(study):
    one = make_result(study, "sound", 0, SOUND)
    both = one.model_copy(update={"nights": one.nights + one.nights})
    table = signs.tabulate_scores(both)
    assert table["night"].nunique() == 24
    assert (table.groupby("night")["subset"].nunique() == len(SOUND)).all()
    assert signatures.average_kappa(table) == pytest.approx(0.53 + 0.055, abs=0.01)


def test_a_page_says_where_signs_were_raised(study, results, tmp_path):
    results[0] = results[0].model_copy(update={"signs": []})
    results[1] = results[1].model_copy(update={"signs": ["PPG alone is bad."]})
    page = write_page("signatures", results, study, tmp_path).read_text("utf-8")
    labels = {name: arm.label for name, arm in study.arms.items()}
    for claim in (
        f"**{labels['sound']}**: **no sign** was raised, as expected.",
        f"**{labels['unmasked']}**: the sign “PPG alone” was **raised** in 3 of 3 seeds, as exp",
        f"**{labels['ppg_dropped']}**: the sign “PPG alone” was **raised** in 2 of 3 seeds, "
        "although all seeds were expected to have it.",
        f"**{labels['belts_dropped']}**: the sign “ABD alone” was **raised** in 3 of 3 seeds, as ",
        f"**{labels['belts_dropped']}**: the sign “THX alone” was **not raised**, although it was "
        "made to have it.",
        f"**{labels['belts_dropped']}**: the sign “all together” was **raised** in 1 of 3 seeds, "
        "although all seeds were expected to have it.",
        f"**{labels['one_signal']}**: the sign “PPG alone” was **raised** in 3 of 3 seeds, "
        "although it was not expected.",
        f"**{labels['unstable']}**: the sign “seeds” was **raised** over the seeds, as expected.",
        f"**{labels['unstable_more']}**: the sign “nothing learned” was **raised** in 3 of 3 seeds",
    ):
        assert f"- {claim}" in page
    assert f"| {labels['sound']} |  |  |  |  |  |  |  | yes |" in page
    assert f"| {labels['ppg_dropped']} |  |  | **2 of 3** |  |  |  |  | **no** |" in page
    assert f"| {labels['unstable']} |  |  |  |  |  | **yes** |  | yes |" in page
    assert "3 runs that differ by their seed alone" in page
    # Where a sign was expected, and what is not so.
    missed = f"- **{labels['belts_dropped']}**, seed 1, “all together”: all signals 0.5"
    assert missed in page
    assert ", ECG alone 0.5" in page
    assert f"- **{labels['ppg_dropped']}**, seed 2, “PPG alone”: PPG alone 0." in page
    # What training itself reported, where that is known.
    assert f"| {labels['sound']} | 1 of 2 |" in page
    assert f"| {labels['unmasked']} |  |" in page
    assert f"- **{labels['sound']}**, seed 1: PPG alone is bad." in page
    assert "(3 of B)" in page


def test_other_studies_have_no_signs(results):
    assert signs.describe_signs(results, read_study(CONFIGS / "masking.yaml")) == ("", "")


def test_signs_of_runs_that_are_kept():
    kept = ResultStore(FOLDER).read("signatures", "small")

    def count(arm):
        return {name: len(found) for name, found in signs.find_signs(kept, arm).items()}

    for sound in ("sound", "concat", "one_signal"):
        assert count(sound) == {}
    assert count("unmasked") == count("ppg_dropped") == {"PPG alone": 3}
    assert count("belts_dropped") == {"ABD alone": 3, "THX alone": 1, "all together": 2}
    assert count("unstable") == {"nothing learned": 1, "seeds": 1}
    assert count("unstable_more") == {"nothing learned": 3}


def test_arms_are_shared_with_other_studies(study):
    scale = read_scale(SCALES / "small.yaml")
    for arm, other, name in (
        ("sound", "masking", "masking"),
        ("unmasked", "masking", "none"),
        ("concat", "mixer", "concat"),
    ):
        shared = read_study(CONFIGS / f"{other}.yaml")
        assert scale.list_trainings(study, arm, 1) == scale.list_trainings(shared, name, 1)
        assert scale.make_config(study.arms[arm]) == scale.make_config(shared.arms[name])
    assert scale.list_trainings(study, "unstable", 1)[1].settings.clip == 0


@toy_recordings
def test_what_training_reports_is_kept(study, tmp_path, monkeypatch):
    # A network that learns nothing would have no sign of a fault.
    sign = signatures.Sign("seeds", "2 runs disagree.")
    monkeypatch.setattr(signatures, "compare_seeds", lambda *_: [sign])
    small = study.model_copy(update={"arms": {"unstable": study.arms["unstable"]}})
    small = small.model_copy(update={"reference": "unstable", "cohorts": ["B"], "evaluate": ["B"]})
    monkeypatch.setattr(run, "read_study", lambda _: small)
    with pytest.warns(RuntimeWarning, match="2 runs disagree"):
        code = run.main(["signatures", "--quick", "--out", str(tmp_path), "--seeds", "1"])
    assert code == 0
    results = ResultStore(tmp_path / "results").read("signatures")
    assert [one.signs for one in results] == [["2 runs disagree."]]
    page = (tmp_path / "pages" / "quick-simulated" / "signatures.md").read_text("utf-8")
    assert f"| {study.arms['unstable'].label} | 1 of 1 |" in page
    assert "the sign “seeds” was **not raised**, although it was made to have it." in page
