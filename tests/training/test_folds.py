"""Folds: subjects, not nights; those of each dataset spread; none in two folds."""

from collections import Counter

import pytest

from mne_wav2sleep.cohorts import Night, read_nights
from mne_wav2sleep.training.folds import (
    check_folds,
    deal_folds,
    describe_folds,
    make_folds,
    write_folds,
)

PERSONS = [*(("first", f"p{i}") for i in range(7)), *(("second", f"p{i}") for i in range(4))]


def make(*names, dataset="cohort"):
    return [Night(f"{i}.edf", None, name, dataset) for i, name in enumerate(names)]


@pytest.fixture
def table(tmp_path):
    """Write a table of folds."""

    def write(text):
        path = tmp_path / "folds.csv"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("seed", range(3))
def test_folds_are_balanced_and_datasets_are_spread(seed):
    folds = deal_folds(PERSONS, 3, seed)
    assert folds == deal_folds(PERSONS[::-1], 3, seed)
    assert sorted(Counter(folds.values()).values()) == [3, 4, 4]
    for dataset, sizes in (("first", [2, 2, 3]), ("second", [1, 1, 2])):
        of = Counter(fold for person, fold in folds.items() if person[0] == dataset)
        assert sorted(of.values()) == sizes
    assert folds != deal_folds(PERSONS, 3, seed + 1)


def test_one_subject_at_a_time_with_all_of_their_nights():
    folds = make_folds(make("b", "a", "A ", "c"), "subject", 0)
    assert {name: [n.subject for n in nights] for name, nights in folds.items()} == {
        "1": ["a", "A "],
        "2": ["b"],
        "3": ["c"],
    }
    assert describe_folds(folds) == {"cohort/a": "1", "cohort/b": "2", "cohort/c": "3"}


def test_a_table_names_folds_and_can_be_written(table, tmp_path):
    nights = [*make("a", "b", "c", "d"), *make("a", dataset="other")]
    folds = make_folds(nights[:4], table("subject;fold\nA;10\nb;9\nc;9\nd;x\nzz;1\n"), 0)
    assert {name: [n.subject for n in some] for name, some in folds.items()} == {
        "9": ["b", "c"],
        "10": ["a"],
        "x": ["d"],
    }
    dealt = make_folds(nights, 2, 0)
    write_folds(tmp_path, dealt)
    assert make_folds(nights, tmp_path / "folds.csv", 5) == dealt


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("subject,fold\na,1\na ,2\nb,1\nc,2\n", "line 3: the subject 'a ' is in two folds, so"),
        ("subject,fold\na,1\nb,\nc,2\n", "line 3: the subject or the fold is missing. Add it"),
        ("subject,fold\na,1\nb,2\n", r"no fold for 1 of the 3 subjects \(cohort/c\). Add a line"),
        ("subject,fold\nx,1\ny,2\n", "table of folds names none of the subjects: it has x, y"),
        ("subject,fold\n", "lists no subjects. Add a line for each, with its fold"),
        ("subject,part\na,1\n", "has the column 'part', which is not known. Remove it, or rename"),
        ("subject,fold\na,1\nb,1\nc,2\n", "Fold '1' leaves 1 subject to train and to validate on"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(text, message, table):
    with pytest.raises(ValueError, match=message):
        make_folds(make("a", "b", "c"), table(text), 0)


def test_what_is_no_folds_is_refused(tmp_path):
    for wrong in (True, None, 2.0, ["a"]):
        with pytest.raises(TypeError, match="folds must be 'subject', a number of folds, or a tab"):
            check_folds(wrong)
    for wrong in (1, 0, -3):
        with pytest.raises(ValueError, match=f"folds must be 2 or more, or 'subject', got {wrong}"):
            check_folds(wrong)
    with pytest.raises(FileNotFoundError, match="There is no table of folds at"):
        check_folds(str(tmp_path / "subjects"))
    with pytest.raises(ValueError, match=r"3 subjects cannot be in 4 folds. Choose fewer folds"):
        make_folds(make("a", "b", "c"), 4, 0)
    with pytest.raises(ValueError, match=r"needs 3 subjects or more .* got 2. Add nights of other"):
        make_folds(make("a", "b", "B"), "subject", 0)


def test_names_that_may_be_one_person_are_warned_of():
    with pytest.warns(RuntimeWarning, match=r"different folds: 'p-01' and 'P1' \(cohort\). If the"):
        make_folds(make("P1", "p-01", "p2"), "subject", 0)


def test_a_table_of_nights_is_not_one_of_folds(table):
    path = table("subject,recording\na,a.edf\n")
    assert read_nights(path)
    with pytest.raises(ValueError, match="has the column 'recording', which is not known"):
        check_folds(path)
