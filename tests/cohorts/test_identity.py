"""Which nights are the same, whatever they and their files are called."""

import shutil
from dataclasses import replace

import mne
import pytest
from builders import make_hypnogram, make_raw, toy_recordings, write_edf

from mne_wav2sleep import load_weights
from mne_wav2sleep.cautions import keep_cautions
from mne_wav2sleep.cohorts import (
    Night,
    calibrate,
    evaluate,
    measure_reliability,
    prepare_nights,
)
from mne_wav2sleep.cohorts.identity import check_nights
from mne_wav2sleep.cohorts.nights import sort_nights

pytestmark = toy_recordings

HYP = make_hypnogram()


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("p01", "P01", True),
        ("p01", " p01 ", True),
        ("p 01", "p  01", True),
        ("p\uff10\uff11", "p01", True),  # full-width digits
        ("Jo\u0308rg", "j\u00f6rg", True),  # two ways to write an umlaut
        ("stra\u00dfe", "STRASSE", True),
        ("p01", "p1", False),
        ("p01", "p02", False),
    ],
)
def test_spelling_does_not_make_another_person(one, other, is_same):
    persons = {Night("a.edf", None, subject).person for subject in (one, other)}
    assert len(persons) == 2 - is_same
    assert Night("a.edf", None, one, "x").person != Night("a.edf", None, one, "y").person


@pytest.fixture
def recording(tmp_path):
    return write_edf(tmp_path / "p01.edf", {"ECG": 64.0, "Thor": 16.0})


def link(path, folder):
    (folder / "link.edf").symlink_to(path)
    return folder / "link.edf"


def link_hard(path, folder):
    (folder / "hard.edf").hardlink_to(path)
    return folder / "hard.edf"


def go_up(path, folder):
    return folder / "sub" / ".." / path.name


@pytest.mark.parametrize("make", [link, link_hard, go_up, lambda path, _: str(path)])
@pytest.mark.parametrize(("subject", "dataset"), [("p02", "cohort"), ("p01", "other")])
def test_a_file_of_two_subjects_is_refused_by_whatever_path(
    make, subject, dataset, recording, tmp_path
):
    (tmp_path / "sub").mkdir()
    nights = [Night(recording, HYP, "p01"), Night(make(recording, tmp_path), HYP, subject, dataset)]
    with pytest.raises(ValueError, match=r"two subjects, 'p01' \(cohort\) and '") as caught:
        prepare_nights(nights, tmp_path / "kept")
    assert str(caught.value).endswith("Give it one subject.")
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("make", [link, link_hard, go_up, lambda path, _: str(path)])
@pytest.mark.parametrize("subject", ["p01", "P01", "p01 "])
def test_a_row_that_is_there_twice_is_refused(make, subject, recording, tmp_path):
    (tmp_path / "sub").mkdir()
    nights = [Night(recording, HYP, "p01"), Night(make(recording, tmp_path), HYP, subject)]
    with pytest.raises(ValueError, match="is given twice and would count twice"):
        check_nights(nights)


def test_copies_are_found_by_their_contents(recording, tmp_path):
    copy = shutil.copy(recording, tmp_path / "copy.edf")
    night = Night(recording, HYP, "p01")
    for subject, dataset in (("p02", "cohort"), ("p01", "other")):
        with pytest.raises(ValueError, match=r"p01\.edf\) and .*copy\.edf\) contain the same reco"):
            prepare_nights([night, Night(copy, HYP, subject, dataset)], tmp_path / "kept")
    with pytest.raises(ValueError, match=r"p01\.edf\) is given twice, also as .*copy\.edf"):
        prepare_nights([night, Night(copy, make_hypnogram(), "P01")], tmp_path / "kept")
    # Another scorer's stages are not the same night.
    second = Night(copy, make_hypnogram(seed=1), "p01")
    assert len(prepare_nights([night, second], tmp_path / "kept")) == 2


def test_contents_that_are_not_hashes_are_refused(recording, tmp_path):
    [night] = prepare_nights([Night(recording, HYP, "p01")], tmp_path)
    with pytest.raises(ValueError, match=r"p01\.edf\) should have hashes .* got 'Anna'"):
        prepare_nights([replace(night, contents=("Anna",))], tmp_path)


def test_a_signal_in_another_file_is_found(small_folder, tmp_path):
    """Exported anew, with fewer channels, other units, and in another precision."""
    raw = make_raw(("ECG", "Thor"), seconds=600)
    other = raw.copy().pick(["Thor"])
    other._data *= 2.0
    one = prepare_nights([Night(raw, HYP, "p01")], tmp_path)
    two = prepare_nights([Night(other, HYP, "p02")], tmp_path, dtype="float32")
    with pytest.raises(ValueError, match="contain the same recording, or the same signal"):
        prepare_nights([*one, *two], tmp_path)
    with pytest.raises(ValueError, match="contain the same recording, or the same signal"):
        evaluate([*one, *two], small_folder)


def test_sorted_nights_do_not_depend_on_the_order_given(tmp_path):
    names = [("b", "x"), ("a", "y"), ("a", "x")]
    raws = [make_raw(("Thor",), seconds=600, seed=seed) for seed in range(3)]
    nights = [
        Night(raw, HYP, subject, dataset)
        for raw, (subject, dataset) in zip(raws, names, strict=True)
    ]
    prepared = prepare_nights(nights, tmp_path)
    found = sort_nights(prepared)
    assert found == sort_nights(prepared[::-1])
    assert [(n.dataset, n.subject) for n in found] == [("x", "a"), ("x", "b"), ("y", "a")]


@pytest.mark.parametrize("measure", [evaluate, calibrate, measure_reliability])
def test_nights_of_training_are_warned_of(measure, small_folder, tmp_path):
    paths = [tmp_path / f"{i}_raw.fif" for i in range(3)]
    for seed, path in enumerate(paths):
        make_raw(("Thor",), seconds=600, seed=seed).save(path, verbose="error")
    nights = prepare_nights([Night(p, HYP, p.name) for p in paths], tmp_path / "kept")
    weights = load_weights(small_folder)
    seen = weights.seen.extend([n.contents for n in nights[:2]], [nights[2].contents])
    weights = replace(weights, seen=seen)
    # By the same names, under others as a copy, and as a Raw.
    copy = shutil.copy(paths[1], tmp_path / "copy_raw.fif")
    again = [
        Night(paths[0], HYP, "x"),
        Night(copy, HYP, "y"),
        Night(mne.io.read_raw(paths[2]), HYP, "z"),
    ]
    unseen = Night(make_raw(("Thor",), seconds=600, seed=7), HYP, "new")
    with (
        keep_cautions([]),  # as in a training run, which measures nights before and after
        mne.utils.use_log_level("info"),
        mne.utils.catch_logging() as log,
        pytest.warns(RuntimeWarning) as caught,
    ):
        found = [measure([*again, unseen], weights) for _ in range(1 + (measure is evaluate))][-1]
    logged = [line for line in log.getvalue().split("\n") if line.startswith("Nights that were")]
    assert [line.split(":")[1] for line in logged] == [
        " cohort/x (0_raw.fif), cohort/y (copy_raw.fif).",
        " cohort/z (2_raw.fif).",
    ]
    texts = [str(one.message) for one in caught]
    start = "of the 4 nights"
    assert len(texts) == 2
    assert texts[0].startswith(f"2 {start} were used to train these weights, so that")
    assert texts[1].startswith(f"1 {start} was used to select or calibrate these weights")
    if measure is evaluate:
        assert found.cautions == tuple(texts)
        assert evaluate([unseen], weights).cautions == ()
