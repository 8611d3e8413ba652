"""Tables of cohorts that are not, or no longer, what was staged."""

import json
import os
import shutil
import warnings

import pandas as pd
import pytest
from builders import make_raw, toy_recordings, write_edf

from mne_wav2sleep.cohorts import Night, find_nights, load_cohort, stage_cohort
from mne_wav2sleep.cohorts.notes import row_path

pytestmark = toy_recordings
SECONDS = 120


@pytest.fixture(scope="module")
def staged(small_folder, tmp_path_factory):
    """A cohort of two nights and the copy of one of them; a hypnogram is not there."""
    folder = tmp_path_factory.mktemp("copies")
    for i in range(2):
        write_edf(folder / f"p{i}.edf", {"Thor": 16.0 + i}, SECONDS, notes=())
    shutil.copy(folder / "p0.edf", folder / "q0.edf")
    nights = find_nights(folder)
    nights[1] = Night(nights[1].recording, folder / "lost.xml", "p1", lights=("30 s", "90 s"))
    out = folder / "out"
    message = r"2 nights have a recording whose contents .* \(p0, q0\), so that"
    with pytest.warns(RuntimeWarning, match=message):
        stage_cohort(nights, out, weights=small_folder, verbose="warning")
    return out


@pytest.fixture
def cohort(staged, tmp_path):
    return shutil.copytree(staged, tmp_path / "cohort")


def change_note(cohort, name, *, seconds, **values):
    """Change a note as a later run would, that many seconds after the table was written."""
    path = row_path(cohort, name)
    note = json.loads(path.read_text())
    note["values"] |= values
    path.write_text(json.dumps(note))
    at = (cohort / "nights.csv").stat().st_mtime + seconds
    os.utime(path, (at, at))


def replace_in_table(cohort, old, new):
    path = cohort / "nights.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_cohort_as_it_was_staged_gives_no_warning(cohort):
    table = load_cohort(cohort).table
    assert table["copies"].fillna("").to_dict() == {"p0": "q0", "p1": "", "q0": "p0"}
    shutil.rmtree(cohort / "rows")
    pd.testing.assert_frame_equal(load_cohort(cohort).table, table)


def test_a_run_that_was_not_finished_is_noticed(cohort):
    change_note(cohort, "p1", seconds=5, certainty=0.123)
    shutil.copy(row_path(cohort, "p1"), row_path(cohort, "new"))
    os.utime(row_path(cohort, "new"), (4e9, 4e9))
    shutil.copy(row_path(cohort, "p1"), row_path(cohort, "of_an_earlier_run"))
    os.utime(row_path(cohort, "of_an_earlier_run"), (1e9, 1e9))
    message = r"was not finished: nights\.csv does not have 2 nights \(p1, new\) as staged since"
    with pytest.warns(RuntimeWarning, match=message):
        load_cohort(cohort)


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [("\np1,", "\np1 b,", "p1 b"), ("\np1,staged", "\np1,failed", "p1")],
)
def test_rows_that_were_changed_are_named(old, new, names, cohort):
    replace_in_table(cohort, old, new)
    with pytest.warns(RuntimeWarning, match=rf"was changed since .* 1 night \({names}\) is not as"):
        load_cohort(cohort)


def test_numbers_that_were_changed_are_noticed(cohort):
    path = cohort / "nights.csv"
    table = pd.read_csv(path).assign(age=30).drop(columns="hours")
    table.to_csv(path, index=False)  # which others may do
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_cohort(cohort)
    for value in (99.0, "4,0", None):
        tst = table["TST"].astype(object).where(table["night"] != "p1", value)
        table.assign(TST=tst).to_csv(path, index=False)
        with pytest.warns(RuntimeWarning, match=r"was changed since .* 1 night \(p1\) is not as"):
            load_cohort(cohort)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\np1,", "\np0,", "has the night 'p0' twice. Correct the table"),
        ("\np1,staged", "\np1,Staged", "has the status 'Staged' of 'p1', which is neither"),
        ("\np1,staged", "\np1,", "has the status nan of 'p1', which is neither"),
    ],
)
def test_tables_with_a_slip_are_refused(old, new, message, cohort):
    replace_in_table(cohort, old, new)
    with pytest.raises(ValueError, match=message):
        load_cohort(cohort)


def test_a_hypnogram_that_is_not_there_is_a_warning(staged):
    row = load_cohort(staged).table.loc["p1"]
    assert row["warnings"].endswith("lost.xml. Check the path; staging does not need it.")
    assert row["n_warnings"] == row["warnings"].count(" | ") + 1


def test_lights_without_a_clock_are_in_seconds(staged):
    table = load_cohort(staged).table
    assert table["lights_off_s"].to_dict() == {"p0": 0.0, "p1": 30.0, "q0": 0.0}
    assert table["lights_on_s"].to_dict() == {"p0": 120.0, "p1": 90.0, "q0": 120.0}


def test_a_night_by_another_name_is_said(staged, small_folder, tmp_path, caplog):
    out = shutil.copytree(staged, tmp_path / "out")
    shutil.copy(staged.parent / "p1.edf", tmp_path / "renamed.edf")
    nights = [Night(tmp_path / "renamed.edf", None, "p1")]
    with pytest.warns(RuntimeWarning, match="3 nights of earlier runs"):
        stage_cohort(nights, out, weights=small_folder, verbose="info")
    text = "renamed: new name of the recording that was staged as p1 before."
    assert text in caplog.text
    assert text in (out / "log.txt").read_text()


@pytest.mark.filterwarnings("ignore:1 of 1 night could not be staged")
def test_a_cohort_of_which_nothing_was_staged_has_all_columns(small_folder, tmp_path):
    night = Night(make_raw(["Unknown"], seconds=SECONDS), None, "p")
    table = stage_cohort([night], tmp_path / "out", weights=small_folder).table
    assert table["status"].tolist() == ["failed"]
    names = ["TST", "TST_low", "Lat_REM", "%DEEP", "certainty", "hours"]
    assert table[names].isna().all(axis=None)
