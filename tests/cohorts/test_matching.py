"""Which hypnograms belong to the same night."""

from pathlib import Path

import pandas as pd
import pytest
import yasa
from builders import write_edf

from mne_wav2sleep.cohorts import load_cohort
from mne_wav2sleep.cohorts.comparison.matching import match_nights
from mne_wav2sleep.cohorts.comparison.scorers import read_scorings

HYP = yasa.Hypnogram(["WAKE"] * 3)


def make_folder(folder, *names):
    """Make a folder of empty files."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    return folder


def match_files(scored, staged):
    """Match two folders; give the names of the files by night."""
    matched = match_nights(scored, staged)
    return {
        night: (path.name, matched.staged[night].name)
        for night, path in matched.references[""].items()
    }


def test_files_are_matched_by_name(tmp_path):
    scored = make_folder(
        tmp_path / "a",
        "Night1.xml",
        "night1.edf",
        "night2_scored.csv",
        "n\u00e4chte-3.txt",
        ".n4.csv",
    )
    staged = make_folder(
        tmp_path / "b",
        *("night1.json", "night1.json.provenance.json", "night2.json", "report.html"),
        *("na\u0308chte-3_final.json", "n4-annot.fif"),
    )
    with pytest.warns(RuntimeWarning, match="1 night is staged but not scored: n4"):
        found = match_files(scored, staged)
    assert found == {
        "n\u00e4chte-3_final": ("n\u00e4chte-3.txt", "na\u0308chte-3_final.json"),
        "night1": ("Night1.xml", "night1.json"),
        "night2": ("night2_scored.csv", "night2.json"),
    }


def test_names_on_one_side_are_warned_of():
    scored = dict.fromkeys(("a", "b", "c"), HYP)
    staged = dict.fromkeys(("b", *map(str, range(12))), HYP)
    with pytest.warns(RuntimeWarning) as caught:
        matched = match_nights(scored, staged)
    assert list(matched.staged) == ["b"]
    texts = [str(one.message) for one in caught]
    assert "2 nights are scored but not staged: a, c." in texts[0]
    assert (
        "12 nights are staged but not scored: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more." in texts[1]
    )


def test_night1_is_not_night10():
    with (
        pytest.raises(ValueError, match="No night is in both"),
        pytest.warns(RuntimeWarning, match="but not"),
    ):
        match_nights({"night1": HYP}, {"night10": HYP, "night11": HYP})


@pytest.mark.parametrize(
    ("scored", "staged", "message"),
    [
        (["n.csv", "n.json"], ["n.json"], r"has 2 hypnograms of a night, n\.csv, n\.json"),
        (["n_a.csv", "n_b.csv"], ["n.json", "x.json"], "'n' may be the night of 'n_a' or 'n_b'"),
        (["n.csv", "x.csv"], ["n_1.json", "n_2.json"], "'n' may be the night of 'n_1' or 'n_2'"),
        (["n.pdf"], ["n.json"], "There is no hypnogram in"),
    ],
)
def test_names_that_are_not_clear(scored, staged, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        match_nights(make_folder(tmp_path / "a", *scored), make_folder(tmp_path / "b", *staged))


def test_lists_are_matched_by_their_order():
    other = yasa.Hypnogram(["N1"] * 3)
    matched = match_nights([HYP, other], (other, HYP))
    assert list(matched.references[""].values()) == [HYP, other]
    assert list(matched.staged) == ["1", "2"]
    files = match_nights([HYP, HYP], ["p1.json", "p2.json"])
    assert files.staged == {"p1": Path("p1.json"), "p2": Path("p2.json")}
    assert list(match_nights([HYP] * 2, ["a/n.json", "b/n.json"]).staged) == ["1", "2"]


def test_a_single_night_needs_no_name():
    assert list(match_nights(HYP, {"B": HYP}).staged) == ["B"]
    assert list(match_nights({"A": HYP}, HYP).references) == ["A"]
    assert list(match_nights(HYP, [HYP]).staged) == ["1"]


def test_names_of_single_nights_have_to_match(tmp_path):
    folders = make_folder(tmp_path / "a", "p1.csv"), make_folder(tmp_path / "b", "p2.json")
    for scored, staged in (({"p1": HYP}, {"p2": HYP}), folders):
        with (
            pytest.warns(RuntimeWarning, match="1 night is s.* but not s.*: p"),
            pytest.raises(ValueError, match=r"No night is in both: the reference has \['p1'\]"),
        ):
            match_nights(scored, staged)


def test_scorers_are_told_from_nights(tmp_path):
    nights = {"n1": HYP, "n2": HYP}
    assert list(match_nights({"A": nights, "B": nights}, nights).references) == ["A", "B"]
    assert list(match_nights({"A": HYP, "B": HYP}, HYP).references) == ["A", "B"]
    assert list(match_nights(nights, nights).references) == [""]
    folders = [make_folder(tmp_path / one, "n1.csv", "n2.csv") for one in ("x/A", "y/A", "B")]
    assert list(match_nights(folders, nights).references) == ["A 1", "A 2", "B 3"]
    assert list(match_nights(folders[1:], nights).references) == ["A", "B"]
    assert list(match_nights(folders[:1], nights).references) == [""]


@pytest.mark.parametrize(
    ("reference", "staged", "error", "message"),
    [
        ([HYP, HYP], [HYP], ValueError, "The reference has 2 nights, and 1 was staged"),
        ([HYP, HYP], {"a": HYP, "b": HYP}, ValueError, "only in an order"),
        ({"a": HYP, "A": HYP}, {"a_raw": HYP}, ValueError, "'a_raw' may be the night of 'A' or"),
        ([], [HYP], ValueError, "reference has no hypnograms"),
        (3, HYP, TypeError, "reference must be"),
        ([3], [HYP], TypeError, "each hypnogram of reference must be"),
        (HYP, 3, TypeError, "staged must be"),
        ("nothing.json", HYP, FileNotFoundError, "There is no hypnogram or folder at nothing.json"),
        ({"a": HYP}, [HYP], ValueError, "only in an order"),
        (HYP, {"a": HYP, "b": HYP}, ValueError, "The reference is a single .* was staged has 2"),
        ({"a": HYP, "b": [HYP]}, [HYP], TypeError, "maps some names to a hypnogram and others"),
    ],
)
def test_what_cannot_be_matched(reference, staged, error, message):
    with pytest.raises(error, match=message):
        match_nights(reference, staged)


@pytest.mark.parametrize(("n_stages", "stages"), [(None, ["WAKE"] * 3), (2, ["SLEEP"] * 3)])
def test_probabilities_decide_and_are_not_kept(n_stages, stages):
    proba = pd.DataFrame({"WAKE": 0.4, "LIGHT": 0.35, "DEEP": 0.0, "REM": 0.25}, index=range(3))
    staged = yasa.Hypnogram(["WAKE"] * 3, 4, proba=proba, scorer="w2s", start="2024-03-01 22:00")
    found = read_scorings(match_nights(HYP, staged), n_stages, None).staged["1"]
    assert list(found.hypno) == stages
    assert found.proba is None
    assert (found.scorer, found.start) == ("w2s", staged.start)
    assert staged.proba is not None


def test_recordings_beside_their_stages_are_not_nights_of_their_own(tmp_path):
    scored = make_folder(tmp_path / "scored", "p1_hypnogram.txt", "p2_hypnogram.txt")
    write_edf(scored / "p1.edf", {"ECG": 32.0}, 60, notes=())
    staged = make_folder(tmp_path / "staged", "p1.json", "p2_raw.json")
    assert match_files(scored, staged) == {
        "p1": ("p1_hypnogram.txt", "p1.json"),
        "p2_raw": ("p2_hypnogram.txt", "p2_raw.json"),
    }


def make_tree(folder, *names):
    """Make a folder of empty files in folders."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("scored", "staged", "expected"),
    [
        # Each side has nights that the other lacks.
        ("p1/n1 p2/n1 p2/n2", "p1/n1 p1/n2 p2/n1", {"p1/n1": "p1/n1", "p2/n1": "p2/n1"}),
        ("p1/n1 p2/n2", "p1/n1 p1/n2", {"p1/n1": "p1/n1"}),
        ("p1/n1 x", "p2/n1 x", {"x": "x"}),
        # One side has no folders.
        ("p1/night", "p1_night p2_night", {"p1/night": "p1_night"}),
        ("p1_night p2_night", "p2/night", {"p2_night": "p2/night"}),
        ("n1 n2", "p1/n1 p2/n2", {"n1": "p1/n1", "n2": "p2/n2"}),
        ("n1 x", "p1/n1 p2/n1 x", {"x": "x"}),
        ("n1 p1/n1", "p1/n1 p2/n1", {"p1/n1": "p1/n1"}),
        ("n1_scored x", "p1/n1 p2/n1 x", {"x": "x"}),
        ("n1_scored", "p1/n1 p2/x", {"n1_scored": "p1/n1"}),
        # Folders in folders, and additions to names.
        ("s/p1/n1 s/p2/n1", "p1/n1 p2/x", {"s/p1/n1": "p1/n1"}),
        ("s/p1/n1 t/p1/n1 x", "p1/n1 x", {"x": "x"}),
        ("p1/n_scored p2/n_scored", "p1/n p3/n", {"p1/n_scored": "p1/n"}),
        ("p1/n_scored x", "p2/n x", {"x": "x"}),
        ("a/sub-1_n1 a/sub-2_n1", "sub-1/eeg/sub-1_n1", {"a/sub-1_n1": "sub-1/eeg/sub-1_n1"}),
        # Exact names come first.
        ("n(1) n[1]", "n[1] n(1)", {"n(1)": "n(1)", "n[1]": "n[1]"}),
        ("n(1)", "n_1", {"n(1)": "n_1"}),
        (f"{'n' * 130}a {'n' * 130}b", f"{'n' * 130}b x", {f"{'n' * 130}b": f"{'n' * 130}b"}),
        (f"{'n' * 130}a x", f"{'n' * 130}b x", {"x": "x"}),
        (f"p/{'n' * 130}a q/n x", f"p/{'n' * 130}b q/n x", {"q/n": "q/n", "x": "x"}),
        (f"{'n' * 130}", f"{'n' * 120} x", {"n" * 130: "n" * 120}),
        (f"p/{'n' * 130}", f"{'n' * 120} x", {f"p/{'n' * 130}": "n" * 120}),
    ],
)
@pytest.mark.filterwarnings("ignore:.* night.* but not:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.* matched although:RuntimeWarning")
def test_nights_are_those_of_their_folders(scored, staged, expected, tmp_path):
    folders = [
        make_tree(tmp_path / side, *(f"{name}.json" for name in names.split()))
        for side, names in (("A", scored), ("B", staged))
    ]
    found = match_nights(*folders)
    paths = [
        {night: path.relative_to(folder).as_posix()[:-5] for night, path in nights.items()}
        for folder, nights in zip(folders, (found.references[""], found.staged), strict=True)
    ]
    assert {paths[0][night]: name for night, name in paths[1].items()} == expected


def test_nights_that_no_other_belongs_to_are_named(tmp_path):
    scored = make_tree(tmp_path / "A", "p1/n1.json", "p2/n1.json", "p2/n2.json")
    staged = make_tree(tmp_path / "B", "p1/n1.json", "p1/n2.json", "p2/n1.json")
    with pytest.warns(RuntimeWarning) as caught:
        match_nights(scored, staged)
    texts = " ".join(str(one.message) for one in caught)
    assert "1 night is scored but not staged: p2/n2." in texts
    assert "1 night is staged but not scored: p1/n2." in texts


def make_cohort(folder, **nights):
    """Make the files of a cohort that matching needs: names with subjects and recordings."""
    make_tree(folder, *(f"hypnograms/{name}.json" for name in nights))
    table = pd.DataFrame(nights.values(), columns=["subject", "recording"])
    table = table.assign(night=list(nights), dataset="d", hypnogram="", reason="", status="staged")
    table.to_csv(folder / "nights.csv", index=False)
    return load_cohort(folder)


@pytest.mark.filterwarnings("ignore:.* night.* but not:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.* are the same, compared with:RuntimeWarning")
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["p01/night", "x"], ["p01_night"]),  # only one of the scorer's has this name
        (["p01_night", "x"], ["p01_night"]),
        (["p3/nap", "p04/nap", "late"], ["nap", "late"]),  # the subject is not a path
        (["d/other", "p9/night", "late"], ["other", "late"]),  # the folder of the recording
        (["a/d/p01/night", "d/p02/night"], ["p01_night", "p02_night"]),
        (["memory", "p01/nap"], ["memory"]),
    ],
)
def test_nights_of_a_cohort_have_the_folders_of_its_subjects(names, expected, tmp_path):
    cohort = make_cohort(
        tmp_path / "out",
        p01_night=("p01/night", "/d/p01/night.edf"),
        p02_night=("p02/night", "/d/p02/night.edf"),
        nap=("p3", "/d/nap.edf"),
        other=("p5", "/x/d/other.edf"),
        late=(None, "/d/late_raw.fif"),
        memory=("p6", None),
    )
    scored = make_tree(tmp_path / "A", *(f"{name}.json" for name in names))
    assert sorted(match_nights(scored, cohort).staged) == sorted(expected)
    assert len(match_nights(cohort, cohort.folder).staged) == 6


def test_nights_of_two_datasets_may_have_one_path(tmp_path):
    nights = {f"n-{i}": ("p1/n", f"/{i}/p1/n.edf") for i in "ab"}
    one, another = (make_cohort(tmp_path / name, **nights) for name in ("one", "another"))
    found = match_nights(one, another)
    assert {n: path.stem for n, path in found.references[""].items()} == {n: n for n in nights}
    with pytest.raises(ValueError, match="'n' may be the night of 'n-a' or 'n-b'"):
        match_nights(make_tree(tmp_path / "A", "p1/n.json"), one)


def test_tables_and_notes_of_both_are_not_nights(tmp_path):
    folders = [make_folder(tmp_path / one, "n1.json") for one in "AB"]
    for folder in folders:
        (folder / "participants.tsv").write_text("participant_id\tage\nn1\t30\n")
        (folder / "readme.txt").write_text("Scored in 2024\n")
    with pytest.warns(RuntimeWarning) as caught:
        assert match_files(*folders) == {"n1": ("n1.json", "n1.json")}
    texts = [str(one.message) for one in caught]
    assert len(texts) == 2
    for has, text in zip(("scored", "staged"), texts, strict=True):
        assert text.startswith(f"2 files beside what is {has} have no stages that can be read")
        assert "participants.tsv, readme.txt" in text
    (folders[0] / "n1.json").unlink()
    with (
        pytest.warns(RuntimeWarning, match="no stages that can be read"),
        pytest.warns(RuntimeWarning, match="1 night is staged but not scored: n1"),
        pytest.raises(ValueError, match=r"reference has \['participants\.tsv', 'readme\.txt'\]"),
    ):
        match_nights(*folders)
