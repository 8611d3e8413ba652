"""Tables of cohorts that are not, or no longer, what was staged."""

import json
import os
import shutil
import warnings

import pandas as pd
import pytest
from builders import make_raw, toy_recordings, write_edf

from mne_wav2sleep.cohorts import Night, find_nights, load_cohort, stage_cohort
from mne_wav2sleep.cohorts.notes import read_row, row_path

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


def change_note(cohort, name, **values):
    """Change a note as a later run would, which first removes the record of the one before."""
    (cohort / "complete.json").unlink(missing_ok=True)
    path = row_path(cohort, name)
    note = json.loads(path.read_text())
    note["values"] |= values
    path.write_text(json.dumps(note))


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
    change_note(cohort, "p1", certainty=0.123)
    shutil.copy(row_path(cohort, "p1"), row_path(cohort, "new"))
    message = (
        r"was not finished, or is still running, or nights\.csv was changed since: it does not "
        r"have 2 nights \(p1, new\) as staged"
    )
    for record in (None, "[1", '{"complete": false}', "[" * 100_000):
        if record is not None:
            (cohort / "complete.json").write_text(record)
        with pytest.warns(RuntimeWarning, match=message):
            load_cohort(cohort)


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_copy_of_a_cohort_gives_no_warning(is_recorded, cohort):
    for path in cohort.rglob("*"):  # as git and cp write them, in any order
        os.utime(path, (1e9, 1e9) if path.name == "nights.csv" else (2e9, 2e9))
    if not is_recorded:
        (cohort / "complete.json").unlink()
    assert list(load_cohort(cohort).table.index) == ["p0", "p1", "q0"]


def test_the_notes_are_read_only_if_the_table_is_not_as_it_was_written(cohort, monkeypatch):
    read = []
    monkeypatch.setattr(
        "mne_wav2sleep.cohorts.checking.read_row",
        lambda folder, name: read.append(name) or read_row(folder, name),
    )
    shutil.copy(row_path(cohort, "p1"), row_path(cohort, "of_an_earlier_run"))
    load_cohort(cohort)
    assert read == []
    replace_in_table(cohort, "\nq0,", "\n\nq0,")
    load_cohort(cohort)
    assert read == ["p0", "p1", "q0"]


@pytest.mark.filterwarnings("ignore:1 night of earlier runs")
def test_the_record_is_there_only_after_a_run_that_was_finished(
    cohort, staged, small_folder, monkeypatch
):
    record = (cohort / "complete.json").read_bytes()
    nights = [Night(staged.parent / f"{name}.edf", None, name) for name in ("p0", "p1")]
    with monkeypatch.context() as patch:
        patch.setattr("mne_wav2sleep.cohorts.staging.stage_night", interrupt)
        with pytest.raises(KeyboardInterrupt):
            stage_cohort(nights, cohort, weights=small_folder, ci=0.5)
    assert not (cohort / "complete.json").exists()
    stage_cohort(nights, cohort, weights=small_folder, ci=0.5)
    assert (cohort / "complete.json").read_bytes() != record
    load_cohort(cohort)


def interrupt(*_, **__):
    raise KeyboardInterrupt


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
    assert table["first_epoch"].to_dict() == {"p0": 0, "p1": 1, "q0": 0}
    assert table["epochs_in_bed"].to_dict() == {"p0": 4, "p1": 2, "q0": 4}


def test_a_night_by_another_name_is_said(staged, small_folder, tmp_path, caplog):
    out = shutil.copytree(staged, tmp_path / "out")
    shutil.copy(staged.parent / "p1.edf", tmp_path / "renamed.edf")
    nights = [Night(tmp_path / "renamed.edf", None, "p1")]
    with pytest.warns(RuntimeWarning, match="3 nights of earlier runs"):
        stage_cohort(nights, out, weights=small_folder, verbose="info")
    text = "renamed: new name of the recording that was staged as p1 before."
    assert text in caplog.text
    assert text in (out / "log.txt").read_text()
    with pytest.warns(RuntimeWarning, match="3 nights of earlier runs"):
        stage_cohort(nights, out, weights=small_folder)
    assert (out / "log.txt").read_text().count(text) == 1


def test_a_copy_is_not_a_new_name(staged, small_folder, tmp_path):
    out = shutil.copytree(staged, tmp_path / "out")
    shutil.copy(staged.parent / "p1.edf", tmp_path / "copy.edf")
    files = [staged.parent / "p1.edf", staged.parent / "q0.edf", tmp_path / "copy.edf"]
    nights = [Night(file, None, file.stem) for file in files]
    # Of the copies p0 and q0, one is left; p1 has a new copy.
    message = "2 nights have a recording|1 night of earlier runs"
    with pytest.warns(RuntimeWarning, match=message):
        stage_cohort(nights, out, weights=small_folder)
    assert "new name" not in (out / "log.txt").read_text()


@pytest.mark.filterwarnings("ignore:1 of 1 night could not be staged")
def test_a_cohort_of_which_nothing_was_staged_has_all_columns(small_folder, tmp_path):
    night = Night(make_raw(["Unknown"], seconds=SECONDS), None, "p")
    table = stage_cohort([night], tmp_path / "out", weights=small_folder).table
    assert table["status"].tolist() == ["failed"]
    names = ["TST", "TST_low", "Lat_REM", "%DEEP", "certainty", "hours"]
    assert table[names].isna().all(axis=None)
