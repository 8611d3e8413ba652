import json

from bids_dataset import write_cohort
from builders import LABELS, make_raw


def test_derivatives_are_written(small_folder, invoke, tmp_path):
    recording = tmp_path / "night_raw.fif"
    make_raw(LABELS, seconds=300).save(recording, verbose="error")
    (tmp_path / "dataset_description.json").write_text('{"Name": "study"}')
    rows = [
        {"night": "n1", "recording": recording, "subject": "p1"},
        {"night": "n2", "recording": "n2.edf", "subject": "p2", "reason": "Broken."},
    ]
    write_cohort(tmp_path / "staged", small_folder, rows)
    out = tmp_path / "derivatives" / "wav2sleep"
    arguments = ["derivatives", tmp_path / "staged", "--out", out, "--source", tmp_path]
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (0, f"1 of 2 nights are in {out}\n")
    assert (out / "sub-p1/eeg/sub-p1_task-sleep_desc-wav2sleep_events.tsv").exists()
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["SourceDatasets"] == [{"URL": "../.."}]
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert "already exists. Choose another folder, or overwrite it with --overwrite." in (
        result.stderr
    )
    assert invoke(*arguments, "--overwrite").exit_code == 0


def test_what_is_no_cohort_is_told(invoke, tmp_path):
    result = invoke("derivatives", tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "There is no nights.csv in" in result.stderr
    assert invoke("derivatives", tmp_path).exit_code == 2
