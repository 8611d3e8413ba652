"""Which hypnograms belong to the same night."""

from pathlib import Path

import pandas as pd
import pytest
import yasa
from builders import write_edf

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
        ({"a": HYP, "A": HYP}, {"a": HYP, "b": HYP}, ValueError, "'a' and 'A' may be one night"),
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
