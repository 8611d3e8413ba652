import sys

import pytest


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
    ):
        result = invoke("evaluate", table, "--out", out)
        assert result.exit_code == code
        assert message in " ".join(result.stderr.split())
    assert there.read_text() == "old"


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
    monkeypatch.setattr("mne_wav2sleep.cli.cohorts._prepare", lambda *_: ([], None))
    monkeypatch.setattr("mne_wav2sleep.training.train", lambda *_, **options: given.update(options))
    options = ("--set", "learning_rate=1e-4", "--set", "crop=null", "--set", "batch_size=3")
    result = invoke("train", table, tmp_path / "model", *options, "--device", "cpu")
    assert result.exit_code == 0, result.output
    settings = given["settings"]
    assert (settings.learning_rate, settings.crop, settings.batch_size) == (1e-4, None, 3)
    assert (given["device"], given["n_devices"], given["config"]) == ("cpu", 1, None)


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


def test_missing_tables_and_wrong_subsets(tmp_path, invoke):
    result = invoke("evaluate", tmp_path / "none.csv")
    assert result.exit_code == 1
    assert "Error: There is no table of nights" in result.stderr
    result = invoke("evaluate", tmp_path / "none.csv", "--subsets", "some")
    assert result.exit_code == 2
    assert "--subsets: must be one of all, recorded, got 'some'" in result.stderr


@pytest.mark.parametrize("name", ["p01.csv", "link.csv", "./p01.csv"])
def test_scores_never_replace_the_stages_of_a_scorer(name, invoke, no_work, tmp_path):
    (tmp_path / "p01.csv").write_text("stage\nW\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "p01.csv")
    (tmp_path / "nights.csv").write_text("recording,hypnogram,subject\np01.edf,p01.csv,p01\n")
    result = invoke("evaluate", tmp_path / "nights.csv", "--out", tmp_path / name, "--overwrite")
    assert result.exit_code == 1
    assert "belongs to the night cohort/p01 (p01.edf), and would be lost." in result.stderr
    assert (tmp_path / "p01.csv").read_text() == "stage\nW\n"
