"""Which files of a folder are hypnograms, and how their nights are named."""

import logging
import warnings

import pytest
import yasa
from builders import write_edf

from mne_wav2sleep import compare, write_hypnogram
from mne_wav2sleep.cohorts import Night
from mne_wav2sleep.cohorts.comparison.folders import is_other, list_folder
from mne_wav2sleep.cohorts.comparison.matching import match_nights
from mne_wav2sleep.cohorts.naming import name_nights

HYP = yasa.Hypnogram(["WAKE", "N2", "REM"], scorer="expert")
pytestmark = pytest.mark.filterwarnings("ignore:The intervals:RuntimeWarning")


def make_files(folder, *names):
    """Write the same hypnogram to several files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        HYP.to_json(folder / name)
    return folder


def test_nights_of_a_folder_are_named_as_those_of_a_cohort(tmp_path):
    names = ["p1/night.edf", "p2/Night.edf", "site 1/na\u0308chte 3.edf", "p4_raw.fif", "a.b.edf"]
    nights = [Night(tmp_path / n, None, n.rpartition(".")[0]) for n in names]
    scored = make_files(tmp_path / "A", *(f"{n.rpartition('.')[0]}.json" for n in names))
    assert sorted(list_folder(scored)) == sorted(name_nights(nights))
    staged = make_files(tmp_path / "B", *(f"{name}.json" for name in name_nights(nights)))
    found = match_nights(scored, staged)
    assert sorted(found.staged) == sorted(name_nights(nights))
    assert found.references[""]["p2_Night"] == scored / "p2" / "Night.json"


def test_names_of_a_mapping_are_those_of_a_cohort_as_well():
    given = {"N\u00e4chte 3": HYP, "b (2)": HYP}
    found = match_nights(given, {"na\u0308chte_3": HYP, "b__2": HYP})
    assert len(found.staged) == 2


def test_other_files_are_named_and_left_out(tmp_path):
    scored, staged = (make_files(tmp_path / one, "p1.json", "p2.json") for one in "AB")
    texts = {
        "readme.txt": "Scored in 2024\n12 nights\n",
        "participants.tsv": "participant_id\tage\np1\t30\n",
        "p1_eeg.json": "{}",
        "by_stage.csv": "stage,epochs\nWAKE,3\n",
        "events.csv": "onset,duration,description\n0,30,apnea\n",
    }
    for name, text in texts.items():
        (scored / name).write_text(text)
    with pytest.warns(RuntimeWarning) as caught:
        found = compare(scored, staged)
    assert len(found.by_night) == 2
    told = [str(one.message) for one in caught if "stages that" in str(one.message)]
    assert len(told) == 1
    assert told[0].startswith("5 files beside what is scored have no stages that can be read")
    assert all(name in told[0] for name in texts)
    assert not any("not staged" in one for one in found.cautions)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("n.txt", "W\nN1\n"),
        ("n.txt", "0\n5\n"),
        ("n.csv", "stage\nW\n"),
        ("n.csv", ""),
        ("n.json", '{"values": 3'),
    ],
)
def test_files_of_stages_and_broken_ones_are_not_others(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    assert not is_other(tmp_path / name)


def test_recordings_without_stages_are_not_scorings(tmp_path):
    write_edf(tmp_path / "a.edf", {"ECG": 32.0}, 60, notes=())
    write_edf(tmp_path / "b.edf", {"ECG": 32.0}, 60, notes=("Sleep stage W",))
    (tmp_path / "c.edf").write_bytes(b"broken")
    assert list(list_folder(tmp_path)) == ["b", "c"]


def test_cohorts_in_a_folder_are_left_out(tmp_path):
    make_files(tmp_path, "p1.json", "out/hypnograms/p1.json", "out/rows/p1.json")
    (tmp_path / "out" / "nights.csv").touch()
    assert list(list_folder(tmp_path)) == ["p1"]
    assert list(list_folder(tmp_path / "out" / "rows")) == ["p1"]


def test_a_name_with_an_addition_may_be_another_night(tmp_path, caplog):
    scored = make_files(tmp_path / "A", "p1_night2.json", "p2_scored.json", "p3_visit.json")
    staged = make_files(tmp_path / "B", "p1.json", "p2.json", "p3.json")
    with pytest.warns(RuntimeWarning) as caught:
        compare(scored, staged)
    (text,) = [str(one.message) for one in caught if "addition" in str(one.message)]
    assert text.startswith("2 nights matched although the addition to one of the names")
    assert "'p1_night2' with 'p1', 'p3_visit' with 'p3'" in text
    with warnings.catch_warnings(), caplog.at_level(logging.INFO, logger="mne"):
        warnings.simplefilter("error")
        match_nights({"p2_scored": HYP, "p4_final": HYP}, {"p2": HYP, "p4": HYP})
    assert "2 nights matched although one name is longer, such as 'p2_scored' with" in caplog.text


def test_files_compared_with_themselves_are_warned_of(tmp_path):
    folder = make_files(tmp_path / "A", "p1.json", "p2.json")
    other = make_files(tmp_path / "B", "p1.json", "p2.json")
    with pytest.warns(RuntimeWarning, match="2 files of the reference and of what was staged"):
        match_nights(folder, tmp_path / "A" / ".." / "A")
    with pytest.warns(RuntimeWarning, match="2 files of A 1 and of A 2 are the same, compared"):
        match_nights([folder, folder], other)


def test_paths_of_several_scorers_that_are_wrong(tmp_path):
    folder, staged = (make_files(tmp_path / one, "p1.json", "p2.json") for one in "AB")
    file = folder / "p1.json"
    with pytest.raises(FileNotFoundError, match=r"There is no hypnogram or folder at .*nothing"):
        match_nights([folder, tmp_path / "nothing"], staged)
    with pytest.raises(ValueError, match=r"A is a folder and .*p1\.json a file"):
        match_nights([folder, file], staged)
    scorers = match_nights([file, folder / "p2.json"], staged / "p1.json").references
    assert list(scorers) == ["p1", "p2"]


def test_tables_given_for_hypnograms(tmp_path):
    table = tmp_path / "nights.csv"
    table.write_text("recording,subject\na.edf,a\n")
    with pytest.raises(ValueError, match=r"nights\.csv is a table of nights, not a hypnogram"):
        match_nights(table, HYP)
    table.write_text("participant_id,age\na,3\n")
    with pytest.raises(ValueError, match="is a table of participants, not a hypnogram"):
        match_nights(table, make_files(tmp_path / "B", "p1.json"))
    table.write_text("")
    with pytest.raises(ValueError, match=r"The night cannot be compared: .*empty"):
        compare(table, HYP)
    write_hypnogram(HYP, table, overwrite=True)
    assert list(match_nights(table, HYP).staged) == ["1"]
