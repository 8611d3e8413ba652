"""Configurations of the experiments: all of them are valid, and errors name what is wrong."""

import pytest
import scales
import study as studies
import yaml

NAMES = sorted(path.stem for path in studies.CONFIGS.glob("*.yaml"))
SCALES = sorted(path.stem for path in scales.SCALES.glob("*.yaml"))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_every_study_is_valid_at_every_scale(name, scale):
    study = studies.read_study(studies.CONFIGS / f"{name}.yaml")
    scales.check_study(study, scales.read_scale(scales.SCALES / f"{scale}.yaml"))


@pytest.fixture
def change(tmp_path):
    """Read a configuration in which something was changed."""

    def run(edit, folder=studies.CONFIGS, name="masking"):
        values = yaml.safe_load((folder / f"{name}.yaml").read_text("utf-8"))
        edit(values)
        path = tmp_path / "changed.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        return (studies.read_study if folder is studies.CONFIGS else scales.read_scale)(path)

    return run


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda v: v.update(arm={}), "not a valid study: arm: .*not permitted"),
        (lambda v: v.update(reference="other"), "one of the arms none, masking, got other"),
        (lambda v: v.update(subsets=["THX+ECG"]), "alphabetical order, joined by +, got THX"),
        (lambda v: v.update(subsets=["EEG"]), "alphabetical order, joined by +, got EEG"),
        (lambda v: v.update(modalities=[{"name": "EEG"}]), "modalities: .*has no description"),
        (lambda v: v.update(modalities=7), "modalities: .*should be a list"),
        (lambda v: v.update(cohorts=[]), "cohorts"),
        (lambda v: v.update(weights="mini"), "arm none should have a rhythm if the study has weig"),
        (lambda v: v["arms"].pop("none"), "arms"),
    ],
)
def test_a_wrong_study_says_what_is_wrong(change, edit, message):
    with pytest.raises(ValueError, match=message.replace("+", r"\+")):
        change(edit)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda v: v["settings"].update(learn=1), "settings has 'learn', which is not known"),
        (lambda v: v["settings"].update(crop=0), "settings: crop: .* got 0"),
        (lambda v: v["network"].update(feature_dim=30), "multiple of mixer_heads"),
        (lambda v: v["cohorts"]["A"].update(population={"ages": 1}), "population has 'ages'"),
        (lambda v: v["cohorts"]["A"].update(modalities=["eeg"]), "modalities"),
        (lambda v: v["cohorts"]["D"].update(stages_of="D"), "stages_of of D should be another"),
        (lambda v: v["cohorts"]["D"].update(stages_of="Z"), "stages_of of D should be another"),
        (lambda v: v["cohorts"]["D"].update(n_test=90), "as many nights, got A"),
        (lambda v: v["pretraining"].update(n_steps=0), "pretraining: n_steps"),
    ],
)
def test_a_wrong_scale_says_what_is_wrong(change, edit, message):
    with pytest.raises(ValueError, match=message):
        change(edit, scales.SCALES, "small")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda v: v.update(cohorts=["D"]), "cohort D has the signal ACT, which is not built in"),
        (lambda v: v.update(cohorts=["Z"]), "needs the cohort Z, but the scale has A, B, C"),
        (
            lambda v: v["arms"]["masking"].update(settings={"masking": {"drop": {"EEG": 0.5}}}),
            "arm masking is not valid: .*EEG",
        ),
        (lambda v: v["arms"]["masking"].update(network={"layers": 2}), "network has 'layers'"),
    ],
)
def test_arms_are_checked_before_hours_of_work(change, edit, message):
    scale = scales.read_scale(scales.SCALES / "small.yaml")
    with pytest.raises(ValueError, match=message):
        scales.check_study(change(edit), scale)


def test_an_arm_changes_only_what_it_names(change):
    scale = scales.read_scale(scales.SCALES / "small.yaml")
    study = studies.read_study(studies.CONFIGS / "masking.yaml")
    made = {name: scale.list_trainings(study, name, 7)[0].settings for name in study.arms}
    assert set(made["none"].masking.drop.values()) == {0.0}
    assert made["masking"].masking.drop["ABD"] == 0.7
    assert made["masking"].seed == 7
    assert made["none"].crop == made["masking"].crop == scale.settings["crop"]


def test_cohorts_with_the_same_hypnograms_are_not_in_one_study():
    scale = scales.read_scale(scales.SCALES / "small.yaml")
    study = studies.read_study(studies.CONFIGS / "more_signals.yaml")
    with pytest.raises(ValueError, match="D and A share their hypnograms"):
        scales.check_study(study.model_copy(update={"cohorts": ["A", "D"]}), scale)


def test_only_encoders_without_pretraining_are_trained_while_others_are_frozen():
    scale = scales.read_scale(scales.SCALES / "small.yaml")
    study = studies.read_study(studies.CONFIGS / "more_signals.yaml")
    scales.check_study(study, scale)
    trainable = {arm: scale.list_trainings(study, arm, 0) for arm in study.arms}
    mixers = ("classifier", "epoch_mixer", "sequence_mixer")
    assert trainable["without"][0].trainable == mixers
    assert trainable["eeg"][0].trainable == (*mixers, "signal_encoders.EEG")
    assert trainable["eeg"][1].trainable == (*mixers, "signal_encoders")
