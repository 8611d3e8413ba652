import errno
import sys

import numpy as np
import pandas as pd
import pytest

from mne_wav2sleep import simulate_night
from mne_wav2sleep.network import Wav2SleepConfig


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "nights.csv"
    path.write_text("recording,subject\na.edf,a\n")
    return path


def test_the_output_is_checked_before_the_work(no_work, table, tmp_path, invoke):
    there = tmp_path / "scores.csv"
    there.write_text("old")
    for out, code, message in (
        (there, 1, "already exists"),
        (tmp_path / "none" / "scores.csv", 1, "There is no folder"),
        (tmp_path / "scores.xlsx", 2, "must end in .csv"),
        (table, 1, "is the table of nights, which would be lost"),
        (tmp_path / f"{'s' * 300}.csv", 1, "cannot be written (File name too long). Choose anoth"),
    ):
        result = invoke("evaluate", table, "--out", out)
        assert result.exit_code == code
        assert message in " ".join(result.stderr.split())
    assert there.read_text() == "old"


@pytest.mark.parametrize("name", ["scores.csv", "none/../scores.csv", "link.csv", "hard.csv"])
def test_two_tables_in_one_file_are_refused(name, no_work, table, tmp_path, invoke):
    out = tmp_path / "scores.csv"
    out.write_text("old")
    (tmp_path / "none").mkdir()
    (tmp_path / "link.csv").symlink_to(out)
    (tmp_path / "hard.csv").hardlink_to(out)
    options = ("--out", out, "--summary", tmp_path / name, "--overwrite")
    result = invoke("evaluate", table, *options)
    assert result.exit_code == 2
    message = " ".join(result.stderr.split())
    assert f"--summary: is the file of --out, {out}. Give them different names." in message
    assert out.read_text() == "old"


def test_a_name_that_is_too_long_is_refused_in_a_sentence(invoke, table, tmp_path):
    long = tmp_path / ("s" * 300)
    for arguments in (
        ("evaluate", long),
        ("fine-tune", table, tmp_path / "model", "--weights", "mini", "--config", long),
        ("fine-tune", table, long, "--weights", "mini"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 1
        assert "cannot be used (File name too long). Check the path.\n" in result.stderr
        assert "Errno" not in result.stderr


@pytest.mark.parametrize("command", ["train", "fine-tune"])
def test_settings_are_checked_before_the_work(command, no_work, table, tmp_path, invoke):
    wrong = ("foo=1", "masking=1", "learning_rate", "crop=[", "batch_size=0")
    for setting in wrong:
        result = invoke(command, table, tmp_path / "model", "--set", setting)
        assert result.exit_code == 2, result.output
        assert setting.split("=")[0] in result.stderr
        assert "factory" not in result.stderr
        assert "Masking" not in result.stderr
    result = invoke(command, table, tmp_path / "model", "--set", "foo=1")
    rate = {"train": "0.001", "fine-tune": "0.0003"}[command]
    words = result.stderr.split()
    assert f"learning_rate={rate}," in words
    assert "crop=null," in words


def test_a_wrong_setting_is_named_with_its_value(no_work, table, tmp_path, invoke):
    result = invoke("train", table, tmp_path / "model", "--set", "batch_size=0")
    assert "Invalid value for --set: batch_size: Input should be" in result.stderr
    assert "got 0." in result.stderr
    assert len(result.stderr.strip().splitlines()) < 6


def test_settings_are_read_as_yaml(table, tmp_path, invoke, monkeypatch):
    given = {}
    monkeypatch.setattr("mne_wav2sleep.training.train", lambda *_, **options: given.update(options))
    options = ("--set", "learning_rate=1e-4", "--set", "crop=null", "--set", "batch_size=3")
    result = invoke("train", table, tmp_path / "model", *options, "--device", "cpu")
    assert result.exit_code == 0, result.output
    settings = given["settings"]
    assert (settings.learning_rate, settings.crop, settings.batch_size) == (1e-4, None, 3)
    assert (given["device"], given["n_devices"]) == ("cpu", 1)
    assert given["config"] == Wav2SleepConfig()


def test_stages_and_signals_are_added_on_the_command_line(table, tmp_path, invoke, monkeypatch):
    given = {}
    monkeypatch.setattr(
        "mne_wav2sleep.training.fine_tune", lambda *_, **options: given.update(options)
    )
    options = ("--n-stages", "5", "--add-signal", "PPG=ECG", "--add-signal", "EOG-L")
    result = invoke("fine-tune", table, tmp_path / "model", *options)
    assert result.exit_code == 0, result.output
    assert (given["n_stages"], given["add_signals"]) == (5, {"PPG": "ECG", "EOG-L": None})
    assert given["trainable"] == ("sequence_mixer", "classifier")
    result = invoke("fine-tune", table, tmp_path / "model", *options, "--trainable", "none")
    assert result.exit_code == 0, result.output
    assert given["trainable"] == ()
    result = invoke("fine-tune", table, tmp_path / "model", "--trainable", "none")
    assert result.exit_code == 2
    assert "none trains only what --n-stages or --add-signal adds." in " ".join(
        result.stderr.split()
    )


def test_a_wrong_channel_is_that_of_the_column_of_the_table(invoke, night, tmp_path):
    table = tmp_path / "nights.csv"
    table.write_text(f"recording,subject,ECG\n{night},p01,EKG 9\n")
    result = invoke("evaluate", table, "--weights", "mini", "--cache", tmp_path / "kept")
    assert result.exit_code == 1
    assert (
        "cohort/p01 (night_raw.fif): 'EKG 9' in the column ECG of nights.csv names a channel that "
        "the recording does not have." in result.stderr
    )
    assert "--ch-name" not in result.stderr


@pytest.mark.parametrize("command", ["train", "fine-tune"])
def test_training_without_lightning_says_what_to_install(
    command, no_work, table, tmp_path, invoke, monkeypatch
):
    for name in [name for name in sys.modules if name.startswith("mne_wav2sleep.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("mne_wav2sleep.training", raising=False)
    monkeypatch.setitem(sys.modules, "pytorch_lightning", None)
    result = invoke(command, table, tmp_path / "model")
    assert result.exit_code == 1
    assert "Run `pip install 'pytorch-lightning>=2.6.4'`" in result.stderr


def test_weights_and_parts_that_are_mistyped_are_found_before_the_work(
    table, tmp_path, invoke, monkeypatch
):
    pytest.importorskip("pytorch_lightning")

    def begin(*_, **__):
        raise AssertionError("the work has begun")

    monkeypatch.setattr("mne_wav2sleep.training.splitting.prepare_nights", begin)
    for options, message in (
        (("--weights", "wav2sleeep"), "wav2sleeep"),
        (("--weights", tmp_path / "none"), "none"),
        (("--weights", "mini", "--trainable", "mixer"), "trainable must be one or more of"),
        (("--weights", "mini", "--device", "cuda:99"), "cuda:99 cannot be used here"),
    ):
        result = invoke("fine-tune", table, tmp_path / "model", *options)
        assert result.exit_code == 1
        assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "model").exists()


def test_missing_tables_and_wrong_subsets(tmp_path, invoke):
    result = invoke("evaluate", tmp_path / "none.csv")
    assert result.exit_code == 1
    assert "Error: There is no table of nights" in result.stderr
    result = invoke("evaluate", tmp_path / "none.csv", "--subsets", "some")
    assert result.exit_code == 2
    assert "--subsets: must be one of all, recorded, got 'some'" in result.stderr


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_scores_name_each_night_with_f1_and_confusion(invoke, small_folder, tmp_path, monkeypatch):
    lines = ["recording,subject"]
    for seed, subject in enumerate(("=cmd()", "bea")):
        raw = simulate_night(
            duration=1800, modalities=["ECG"], sfreq=64, seed=seed, verbose="error"
        )
        raw.save(tmp_path / f"visit-{seed}_raw.fif", verbose="error")
        lines.append(f"visit-{seed}_raw.fif,{subject}")
    table, out = tmp_path / "nights.csv", tmp_path / "scores.csv"
    table.write_text("\n".join(lines) + "\n")
    options = ("--weights", small_folder, "--cache", tmp_path / "prepared", "--out", out)
    result = invoke("evaluate", table, *options)
    assert result.exit_code == 0, result.output
    scores = pd.read_csv(out)
    stages = ["WAKE", "LIGHT", "DEEP", "REM"]
    assert list(scores) == [
        *("dataset", "subset", "night", "subject", "recording", "epochs", "kappa", "accuracy"),
        *(f"F1 {stage}" for stage in stages),
    ]
    assert list(scores["subject"]) == ["'=cmd()", "bea"]
    assert list(scores["recording"]) == ["visit-0_raw.fif", "visit-1_raw.fif"]
    result = invoke("evaluate", table, *options, "--confusion", "--overwrite")
    assert result.exit_code == 0, result.output
    more = pd.read_csv(out)
    pd.testing.assert_frame_equal(more[list(scores)], scores)
    counts = more[[f"{one} as {other}" for one in stages for other in stages]]
    assert list(counts.sum(axis=1)) == [60, 60]
    agreed = counts[[f"{stage} as {stage}" for stage in stages]].sum(axis=1)
    np.testing.assert_allclose(100 * agreed / 60, scores["accuracy"])
    result = invoke("evaluate", table, "--confusion")
    assert result.exit_code == 2
    assert "Invalid value for --confusion: needs a file, --out." in result.stderr

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mne_wav2sleep.cli.cohorts.write_whole", fail)
    result = invoke("evaluate", table, *options, "--overwrite")
    assert result.exit_code == 1
    assert "No space left" in result.stderr
    assert "kappa" in result.stdout  # hours of work are not lost


@pytest.mark.parametrize("name", ["p01.csv", "link.csv", "./p01.csv"])
def test_scores_never_replace_the_stages_of_a_scorer(name, invoke, no_work, tmp_path):
    (tmp_path / "p01.csv").write_text("stage\nW\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "p01.csv")
    (tmp_path / "nights.csv").write_text("recording,hypnogram,subject\np01.edf,p01.csv,p01\n")
    result = invoke("evaluate", tmp_path / "nights.csv", "--out", tmp_path / name, "--overwrite")
    assert result.exit_code == 1
    assert "belongs to the night cohort/p01 (p01.edf), and would be lost." in result.stderr
    assert (tmp_path / "p01.csv").read_text() == "stage\nW\n"
