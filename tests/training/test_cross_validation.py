"""Cross-validation: tested subjects are in no part of training; folds are trained once."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from builders import toy_recordings

from mne_wav2sleep import load_weights
from mne_wav2sleep.cohorts import evaluate, prepare_nights
from mne_wav2sleep.network import (
    Calibration,
    LoadedWeights,
    Preprocessing,
    Wav2Sleep,
    save_weights,
)
from mne_wav2sleep.network.info import describe_config
from mne_wav2sleep.training import adapt, cross_validate
from mne_wav2sleep.training.module import Wav2SleepModule

pytestmark = [
    toy_recordings,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:\\d+ subjects are few to tell whether:RuntimeWarning"),
]
TABLES = ("subjects.csv", "summary.csv", "folds.csv")


@pytest.fixture(scope="session")
def start(tiny, tmp_path_factory):
    """A tiny network of random weights, which has seen no night."""
    torch.manual_seed(0)
    network = Wav2Sleep(tiny).eval()
    weights = LoadedWeights(
        **vars(describe_config(tiny, name="tiny")), network=network, calibration=Calibration()
    )
    weights = replace(weights, preprocessing=Preprocessing(padded_epochs=0))
    return save_weights(weights, tmp_path_factory.mktemp("start") / "tiny")


@pytest.fixture(scope="session")
def some(nights, make_nights, tmp_path_factory):
    """Five nights of four subjects in two datasets."""
    again = make_nights(subjects="------b", dataset="first")[6:]  # other waves than those of b
    return [*nights[:4], *prepare_nights(again, tmp_path_factory.mktemp("more"))]


@pytest.fixture(scope="session")
def once(quick):
    """Settings for a single pass."""
    return replace(quick, max_passes=1)


@pytest.fixture(scope="session")
def validated(some, start, once, tmp_path_factory):
    """A cross-validation by subject."""
    with pytest.warns(RuntimeWarning, match="4 subjects are few to tell whether adapting helps"):
        return cross_validate(
            some, tmp_path_factory.mktemp("cv") / "cv", weights=start, settings=once
        )


@pytest.fixture
def count_steps(monkeypatch):
    """Count the steps of training, and stop before one of them if told to."""
    steps = {"n": 0, "stop": None}
    begin = Wav2SleepModule.on_train_batch_start

    def run(self, batch, batch_idx):
        if steps["n"] == steps["stop"]:
            raise RuntimeError("stopped")
        steps["n"] += 1
        begin(self, batch, batch_idx)

    monkeypatch.setattr(Wav2SleepModule, "on_train_batch_start", run)
    return steps


def read_contents(nights):
    return {content for night in nights for content in night.contents}


def test_a_fold_has_not_seen_its_subjects(some, validated):
    assert list(validated.by_subject["subject"]) == ["a", "b", "c", "d"]
    assert list(validated.by_subject["nights"]) == [1, 2, 1, 1]
    for i, subject in enumerate("abcd", start=1):
        tested = read_contents([night for night in some if night.subject == subject])
        others = read_contents([night for night in some if night.subject != subject])
        fold = validated.folder / f"fold-{i:02d}"
        weights = load_weights(fold)
        seen = {one for part in (weights.seen.training, weights.seen.validation) for one in part}
        assert {content for night in seen for content in night} == others
        assert not tested & others
        split = pd.read_csv(fold / "split.csv")
        assert set(split["part"]) == {"training", "validation"}
        assert set(split["subject"]) == set("abcd") - {subject}


def test_scores_are_those_of_evaluate(some, start, validated):
    before = evaluate(some, start, subsets="recorded").by_night
    row = validated.by_subject.set_index("subject").loc["c"]
    night = before[before["subject"] == "c"].iloc[0]
    assert row["kappa_zero_shot"] == pytest.approx(night["kappa"])
    assert row["accuracy_zero_shot"] == pytest.approx(night["accuracy"])
    stages = [name for name in night.index if name.startswith("F1 ")]
    assert row["f1_zero_shot"] == pytest.approx(night[stages].astype(float).mean())
    tested = [one for one in some if one.subject == "c"]
    after = evaluate(tested, validated.folder / "fold-03", subsets="recorded").by_night.iloc[0]
    assert row["kappa_adapted"] == pytest.approx(after["kappa"])
    assert row["difference"] == pytest.approx(after["kappa"] - night["kappa"])
    assert row["epochs"] == after["epochs"]
    # A subject with two nights has all epochs of both.
    two = before[before["subject"] == "b"]
    assert validated.by_subject.set_index("subject").loc["b", "epochs"] == two["epochs"].sum()
    assert (validated.by_subject["difference"] != 0).any()


def test_tables_figures_and_curves_are_written(validated):
    folder = validated.folder
    table = pd.read_csv(folder / "subjects.csv", dtype={"fold": str})
    pd.testing.assert_frame_equal(table, validated.by_subject)
    summary = pd.read_csv(folder / "summary.csv", index_col=["over", "score"])
    pd.testing.assert_frame_equal(summary, validated.summary)
    assert validated.helps == (summary.loc[("subjects", "kappa"), "low"] > 0)
    assert pd.read_csv(folder / "folds.csv")["fold"].to_list() == [1, 2, 3, 4]
    assert list(validated.curves["fold"]) == ["1", "2", "3", "4"]
    assert validated.curves["validation_loss"].gt(0).all()
    for name in ("cross-validation.png", "cross-validation-curves.png"):
        assert (folder / name).read_bytes()[:4] == b"\x89PNG"
    lines = validated.plot().axes[0].lines
    drawn = np.array([line.get_ydata() for line in lines[:-1]])
    np.testing.assert_allclose(drawn, table[["kappa_zero_shot", "kappa_adapted"]])
    assert f"{summary.loc[('subjects', 'kappa'), 'difference']:+.3f}" in repr(validated)
    assert not list(folder.glob("fold-*/checkpoints"))


def test_folds_keep_the_calibration_of_the_initial_weights(start, validated):
    before, after = (load_weights(one) for one in (start, validated.folder / "fold-01"))
    assert after.calibration.temperatures == before.calibration.temperatures
    card = (validated.folder / "fold-01" / "README.md").read_text()
    assert "## Comparison with the initial weights" not in card
    assert "validation nights |" not in card  # of no temperature


def test_a_stopped_cross_validation_resumes_with_the_same_result(
    some, start, once, validated, count_steps, tmp_path
):
    folder = tmp_path / "cv"
    arguments = {"weights": start, "settings": once}
    shutil.copytree(validated.folder, folder)
    for name in ("fold-03", "fold-04"):
        shutil.rmtree(folder / name)
    for name in TABLES:
        (folder / name).unlink()
    whole = [load_weights(fold).seen.training for fold in sorted(validated.folder.glob("fold-*"))]
    n_steps = [-(-len(trained) // once.batch_size) for trained in whole]
    count_steps["stop"] = n_steps[2]  # before the first step of the last fold
    with pytest.raises(RuntimeError, match="stopped"):
        cross_validate(some, folder, **arguments)
    assert (folder / "fold-03" / "model.safetensors").exists()
    assert not (folder / "fold-04" / "model.safetensors").exists()
    assert not (folder / "subjects.csv").exists()
    count_steps |= {"n": 0, "stop": None}
    cross_validate(some[::-1], folder, **arguments)
    assert count_steps["n"] == n_steps[3]
    for name in TABLES:
        assert (folder / name).read_bytes() == (validated.folder / name).read_bytes()
    for path in validated.folder.glob("fold-*/model.safetensors"):
        again = folder / path.parent.name / path.name
        assert again.read_bytes() == path.read_bytes()


def test_another_cross_validation_in_the_folder_is_refused(
    some, start, small_folder, once, validated, count_steps, tmp_path
):
    folder = validated.folder
    folds = tmp_path / "folds.csv"
    folds.write_text("subject,fold\na,1\nb,2\nc,4\nd,3\n")
    before = (folder / "cross-validation.json").read_bytes()
    for changed, message in (
        ({"settings": replace(once, learning_rate=1e-3)}, r"learning_rate is 0\.001, was 0\.01"),
        ({"settings": replace(once, max_passes=2)}, "max_passes is 2, was 1"),
        ({"weights": small_folder}, r"weights\.sha256 is "),
        ({"trainable": ("classifier",)}, r"trainable is \['classifier'\], was "),
        ({"folds": folds}, r"folds\.first/c is 4, was 3; folds\.second/d is 3, was 4\)"),
        ({"nights": some[:-1]}, "training lacks 1 night "),
    ):
        options = {"nights": some, "weights": start, "settings": once} | changed
        with pytest.raises(ValueError, match=f"another cross-validation .*{message}"):
            cross_validate(options.pop("nights"), folder, **options)
    assert (folder / "cross-validation.json").read_bytes() == before
    assert count_steps["n"] == 0
    (folder / "cross-validation.json").write_text("[]")
    with pytest.raises(ValueError, match=r"cross-validation\.json does not describe a training"):
        cross_validate(some, folder, weights=start, settings=once)
    (folder / "cross-validation.json").write_bytes(before)


def test_subjects_with_a_recording_in_common_are_refused(some, start, once, count_steps, tmp_path):
    path = shutil.copy(some[0].path, tmp_path / "copy.safetensors")
    copy = replace(some[0], subject="copy", path=path)
    with pytest.raises(ValueError, match="contain the same recording"):
        cross_validate([*some, copy], tmp_path / "cv", weights=start, settings=once)
    assert count_steps["n"] == 0
    assert not (tmp_path / "cv" / "cross-validation.json").exists()


@pytest.mark.filterwarnings("ignore:1 of 6 nights cannot be used:RuntimeWarning")
def test_nights_that_cannot_be_used_are_left_out_of_all_folds(
    some, make_nights, start, once, count_steps, tmp_path
):
    broken = replace(make_nights(subjects="x", dataset="first")[0], hypnogram=tmp_path / "none.csv")
    path = shutil.copy(some[0].path, tmp_path / "other.safetensors")
    other = replace(some[0], subject="y", modalities=("none",), contents=(), path=path)
    options = {"weights": start, "settings": once, "cache": tmp_path / "nights"}
    for wrong in (broken, other):
        with pytest.raises(ValueError, match="1 of 6 nights cannot be used"):
            cross_validate([*some, wrong], tmp_path / "cv", **options)
    count_steps["stop"] = 0
    with (
        pytest.warns(RuntimeWarning, match="1 of 7 nights cannot be used") as shown,
        pytest.raises(RuntimeError, match="stopped"),
    ):
        cross_validate([*some, broken, other], tmp_path / "cv", on_error="warn", **options)
    assert any("first/y" in str(one.message) for one in shown)
    record = json.loads((tmp_path / "cv" / "cross-validation.json").read_text())
    assert set(record["folds"]) == {"first/a", "first/b", "first/c", "second/d"}


def test_what_a_fold_leaves_has_to_be_of_use(some, start, once, tmp_path):
    # Of the others, each is the only subject of its dataset, and would be trained on.
    lonely = [replace(night, dataset=f"d{i}") for i, night in enumerate(some[:3])]
    with pytest.raises(ValueError, match=r"Fold '1' cannot be trained\. Training needs at least t"):
        cross_validate(lonely, tmp_path / "cv", weights=start, settings=once)
    settings = replace(once, dataset_weights={"first": 1.0, "second": 1.0})
    with pytest.raises(ValueError, match=r"Fold '4' cannot be trained\. dataset_weights names"):
        cross_validate(some, tmp_path / "cv", weights=start, settings=settings)
    with pytest.raises(TypeError, match="settings must be an instance of TrainingSettings"):
        cross_validate(some, tmp_path / "cv", weights=start, settings={"max_passes": 1})
    with pytest.raises(TypeError, match="nights must be a list of nights, got a single one"):
        cross_validate(some[0], tmp_path / "cv", weights=start)
    with pytest.raises(ValueError, match="trainable must be one or more of"):
        cross_validate(some, tmp_path / "cv", weights=start, trainable=("head",))
    assert not list((tmp_path).glob("cv/fold-*"))


def test_a_model_is_trained_only_if_that_helps_or_anyway(
    some, start, once, validated, count_steps, tmp_path, caplog
):
    caplog.set_level("INFO", "mne")
    folder = tmp_path / "our-model"
    shutil.copytree(validated.folder, folder / "cross-validation")
    arguments = {"weights": start, "settings": once, "verbose": "info"}
    found = adapt(some, folder, **arguments)
    assert not found.helps
    assert found.model is None
    assert "Use anyway=True" in caplog.text
    assert count_steps["n"] == 0
    assert not (folder / "README.md").exists()
    found = adapt(some, folder, anyway=True, **arguments)
    assert found.model == folder
    weights = load_weights(folder)
    seen = [*weights.seen.training, *weights.seen.validation]
    assert {content for night in seen for content in night} == read_contents(some)
    card = (folder / "README.md").read_text()
    assert "4 subjects were tested in 4 folds" in card
    assert "**Warning:** this interval does not lie above 0" in card
    kappas = found.by_subject.sort_values("difference").iloc[0]
    row = f"| {kappas['epochs']} | {kappas['kappa_zero_shot']:.3f} | {kappas['kappa_adapted']:.3f}"
    assert row in card
    for name in ("cross-validation.png", "cross-validation-curves.png"):
        assert f"({name})" in card
        assert (folder / name).exists()
    assert adapt(some, folder, **arguments).model == folder  # of the run before
    # A model that was trained without a cross-validation has no section on it in its card.
    record = json.loads((folder / "training.json").read_text())
    del record["cross_validation"]
    (folder / "training.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="cross_validation is True, was None"):
        adapt(some, folder, anyway=True, **arguments)


def test_a_gain_that_is_sure_helps(validated):
    summary = validated.summary.copy()
    for low, helps in ((0.01, True), (0.0, False), (np.nan, False)):
        summary.loc[("subjects", "kappa"), "low"] = low
        assert replace(validated, summary=summary).helps is helps


def test_a_folder_of_another_model_is_refused_before_the_work(some, start, tmp_path):
    (tmp_path / "README.md").write_text("A model.")
    with pytest.raises(ValueError, match=r"already contains README\.md, which training would over"):
        adapt(some, tmp_path, weights=start)
    assert not (tmp_path / "cross-validation").exists()
