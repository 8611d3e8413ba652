"""The command that stages many nights."""

import json

import pytest
from builders import toy_recordings, write_edf

from mne_wav2sleep.cohorts import load_cohort

pytestmark = toy_recordings


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    write_edf(folder / "p01.edf", {"ECG": 128.0, "Thor": 16.0}, 300, notes=())
    (folder / "broken.edf").write_text("nonsense")
    return folder


def test_a_dry_run_shows_channels_and_problems(recordings, small_folder, invoke, tmp_path):
    out = tmp_path / "out"
    result = invoke("cohort", recordings, "--out", out, "--weights", small_folder, "--dry-run")
    assert result.exit_code == 0, result.output
    [row] = [line.split() for line in result.stdout.split("\n") if line.startswith("p01")]
    assert row[1:] == ["p01", recordings.name, "0.08", "ECG", "Thor"]
    assert "lights_off" not in result.stdout  # nothing is known of any
    assert "\nbroken: " in result.stdout
    assert "2 nights, 1 with a problem, 1 with warnings; nothing was staged" in result.stdout
    assert "\nWarning about p01: The recording lasts 5.0 min " in result.stdout
    assert not out.exists()
    result = invoke("cohort", recordings / "broken.edf", "--weights", small_folder, "--dry-run")
    assert result.exit_code == 1  # nothing could be staged
    assert "1 night, 1 with a problem" in result.stdout


def test_a_cohort_is_staged_and_resumed(recordings, small_folder, invoke, tmp_path):
    command = ["cohort", recordings, "--out", tmp_path / "out", "--weights", small_folder]
    result = invoke(*command, "--ch-name", "ECG=none")
    assert result.exit_code == 0, result.output
    assert "Warning: 1 of 2 nights could not be staged (broken)." in result.stderr
    assert "2 of 2 nights to stage." in result.stderr
    assert f"{tmp_path / 'out'} contains nights.csv" in result.stdout
    assert "TST" in result.stdout
    path = tmp_path / "out" / "hypnograms" / "p01.json.provenance.json"
    assert list(json.loads(path.read_text())["channels"]) == ["THX"]
    result = invoke(*command, "--ch-name", "ECG=none")
    assert "0 of 2 nights to stage, 2 complete before." in result.stderr
    result = invoke(*command)
    assert "Again, as changed: ch_names: 2 nights (broken, p01)." in result.stderr
    (tmp_path / "diary.csv").write_text("subject,lights_off,lights_on\np01,60 s,270 s\n")
    result = invoke(*command, "--diary", tmp_path / "diary.csv")
    assert "Again, as changed: lights: 1 night (p01)." in result.stderr
    cohort = load_cohort(tmp_path / "out")
    expected = cohort.hypnograms["p01"].crop(2, 8).sleep_statistics()
    row = cohort.table.loc["p01"]
    assert row["time_in_bed"] == "given"
    assert {name: row[name] for name in ("TIB", "TST", "SE", "WAKE", "REM")} == pytest.approx(
        {name: expected[name] for name in ("TIB", "TST", "SE", "WAKE", "REM")}, abs=0.006
    )


def test_a_cohort_of_which_nothing_can_be_staged_is_a_failure(invoke, small_folder, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.edf").write_text("nonsense")
    command = "cohort", tmp_path / "in", "--out", tmp_path / "out", "--weights", small_folder
    result = invoke(*command)
    assert result.exit_code == 1
    assert "1 of 1 night could not be staged (broken)." in result.stderr
    assert "contains nights.csv, report.html; no night could be staged" in result.stdout


def test_a_dry_run_shows_a_kind_of_warnings_once(invoke, small_folder, tmp_path):
    for i in range(7):
        write_edf(tmp_path / f"n{i}.edf", {"ECG": 128.0}, 300 + 30 * i, notes=())
    command = "cohort", tmp_path, "--weights", small_folder, "--dry-run"
    result = invoke(*command, "--jobs", "-2")
    lines = [line for line in result.stdout.split("\n") if line.startswith("Warning about")]
    start = "Warning about n0, n1, n2, n3, n4 and 2 more: such as: The recording lasts 5.0 min"
    assert [line.startswith(start) for line in lines].count(True) == 1
    assert "7 nights, 0 with a problem, 7 with warnings" in result.stdout


@pytest.mark.parametrize("name", ["night.json", "readme.txt", "table.xlsx"])
def test_what_is_neither_recordings_nor_a_table_is_refused(name, invoke, tmp_path):
    (tmp_path / name).write_bytes(b'{"a": 1}\n' if name != "table.xlsx" else b"PK\0")
    result = invoke("cohort", tmp_path / name, "--dry-run")
    assert result.exit_code == 1
    assert f"{name} is not a recording, a table of nights or a folder. Give one" in result.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "is needed: the folder for the results"),
        (["--out", "{in}"], 1, "has other files in it, such as"),
        (["--out", "x", "--precision", "int8"], 2, "must be one of float32"),
        (["--out", "x", "--jobs", "0"], 2, "must be 1 or more, or -1 for all CPUs, -2 for"),
        (["--out", "x", "--device", "gpu"], 2, "must be auto, cpu, cuda, cuda:1 or mps, got 'gpu'"),
        (["--out", "x", "--ch-name", "ECG"], 2, "takes MODALITY=CHANNEL"),
    ],
)
def test_wrong_options_are_refused(
    options, code, message, recordings, small_folder, invoke, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    options = [str(recordings) if one == "{in}" else one for one in options]
    result = invoke("cohort", recordings, "--weights", small_folder, *options)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "x").exists()
