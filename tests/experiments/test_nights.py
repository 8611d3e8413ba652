"""Nights of the cohorts: stages as given, parts of different people, made once."""

import nights
import numpy as np
import pytest
from arms import collect_nights
from builders import START, make_hypnogram, make_raw
from scales import CohortSize, Scale

from mne_wav2sleep import load_weights, write_hypnogram
from mne_wav2sleep.cautions import keep_cautions
from mne_wav2sleep.cohorts import evaluate


@pytest.fixture
def size():
    return CohortSize(
        about="tiny",
        modalities=["THX"],
        n_training=2,
        n_validation=1,
        n_test=1,
        population={"age": [60, 70]},
        apnea_index=5.0,
        hours=(0.1, 0.12),
    )


@pytest.fixture
def hypnograms(tmp_path):
    folder = tmp_path / "hypnograms"
    folder.mkdir()
    for i in range(5):
        np.savez(folder / f"{i}.npz", stages=np.array([0, 1, 2, 3, 4, -1, i % 5] * 2, np.int8))
    return folder


def test_real_stages_are_those_of_the_nights(size, hypnograms, tmp_path):
    scale = Scale(about="tiny", cohorts={"A": size})
    assigned = nights.assign_stages(scale, nights.read_stages(hypnograms))["A"]
    found = nights.simulate_cohort(size, "A", assigned, tmp_path)
    every = [night for part in nights.PARTS for night in found.parts[part]]
    assert [len(found.parts[part]) for part in nights.PARTS] == [2, 1, 1]
    assert len({night.subject for night in every}) == 4
    for night, stages in zip(every, assigned, strict=True):
        # As five stages, in the order of the network.
        assert night.read_stages(5).tolist() == stages.tolist()
    assert found.origin["kind"] == "simulated, with real hypnograms"


def test_nights_are_made_once(size, tmp_path):
    first = nights.simulate_cohort(size, "A", None, tmp_path)
    times = [night.path.stat().st_mtime_ns for night in first.parts["training"]]
    again = nights.simulate_cohort(size, "A", None, tmp_path)
    assert again == first
    assert [night.path.stat().st_mtime_ns for night in again.parts["training"]] == times
    first.parts["test"][0].path.write_bytes(b"of another version")
    assert nights.simulate_cohort(size, "A", None, tmp_path) == first
    other = nights.simulate_cohort(
        size.model_copy(update={"apnea_index": 9.0}), "A", None, tmp_path
    )
    assert other.origin["key"] != first.origin["key"]


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("stages", np.array([0, 9]), "has stages that are not valid"),
        ("stages", np.array([[0, 1]]), "has stages that are not valid"),
        ("stages", np.array([], dtype=int), "has stages that are not valid"),
        ("other", np.array([0]), "is not a hypnogram"),
        ("stages", np.array([{}], dtype=object), "is not a hypnogram"),
    ],
)
def test_wrong_hypnograms_are_named(tmp_path, name, array, message):
    np.savez(tmp_path / "x.npz", **{name: array})
    with pytest.raises(ValueError, match=f"x.npz {message}.*integers from -1 to 4"):
        nights.read_stages(tmp_path)


def test_too_few_hypnograms_are_said(size, hypnograms):
    scale = Scale(about="tiny", cohorts={"A": size, "B": size})
    with pytest.raises(ValueError, match="have 8 nights, but only 5 hypnograms"):
        nights.assign_stages(scale, nights.read_stages(hypnograms))
    with pytest.raises(ValueError, match="no hypnograms"):
        nights.read_stages(hypnograms.parent / "none")


def test_a_cohort_shares_the_hypnograms_of_another(size, hypnograms):
    """So that it needs none of its own, and those of the others stay the same."""
    same = size.model_copy(update={"stages_of": "A", "n_training": 1})
    scale = Scale(about="tiny", cohorts={"A": size, "D": same})
    found = nights.assign_stages(scale, nights.read_stages(hypnograms))
    alone = nights.assign_stages(
        Scale(about="tiny", cohorts={"A": size}), nights.read_stages(hypnograms)
    )
    assert [one.tolist() for one in found["A"]] == [one.tolist() for one in alone["A"]]
    assert [one.tolist() for one in found["D"]] == [one.tolist() for one in found["A"][:3]]
    # Nights and results depend on the hypnograms, not on the name of the other cohort.
    assert "stages_of" not in same.model_dump()


@pytest.fixture
def table(tmp_path):
    lines = ["recording,hypnogram,subject"]
    for i in range(6):
        raw = make_raw(("Thor",), seconds=600, start=START, seed=i)
        raw.export(tmp_path / f"{i}.edf", verbose="error")
        write_hypnogram(make_hypnogram(20, seed=i), tmp_path / f"{i}.csv")
        lines.append(f"{i}.edf,{i}.csv,p{i // 2}")  # two nights of each
    (tmp_path / "nights.csv").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "nights.csv"


def test_recorded_nights_are_split_by_subject(size, table, tmp_path):
    found = nights.read_cohort(size, "A", table, tmp_path / "prepared")
    people = [{night.person for night in found.parts[part]} for part in nights.PARTS]
    assert [len(some) for some in people] == [1, 1, 1]
    assert len(set.union(*people)) == 3
    assert [len(found.parts[part]) for part in nights.PARTS] == [2, 2, 2]
    assert found.origin["kind"] == "recorded"


def test_results_of_recorded_nights_have_numbers_for_subjects(size, table, tmp_path):
    # Subjects of one name in two datasets, each with the nights 2 i and 2 i + 1.
    lines = ["recording,hypnogram,subject,dataset"]
    names = ("secret one", "secret one", "secret two")
    lines += [f"{i}.edf,{i}.csv,{names[i // 2]},{'mix'[i // 2]}" for i in range(6)]
    table.write_text("\n".join(lines), encoding="utf-8")
    found = nights.read_cohort(size, "A", table, tmp_path / "prepared")
    every = [night for part in nights.PARTS for night in found.parts[part]]
    assert sorted(night.subject for night in every) == sorted(2 * ["A0000", "A0001", "A0002"])
    people = [{night.subject for night in found.parts[part]} for part in nights.PARTS]
    assert [len(some) for some in people] == [1, 1, 1]
    assert "secret" not in str(found.origin)
    again = nights.read_cohort(size, "A", table, tmp_path / "prepared")
    assert again == found
    weights = load_weights("mini")
    with keep_cautions([], show=False):
        results = collect_nights(evaluate(found.parts["test"], weights, subsets="recorded"))
    assert {night.subject for night in results} == people[2]


def test_two_subjects_are_too_few(size, table, tmp_path):
    lines = table.read_text("utf-8").splitlines()[:5]
    table.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ValueError, match="has 2 subjects, but training, validation and test"):
        nights.read_cohort(size, "A", table, tmp_path / "prepared")
