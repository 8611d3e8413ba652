import errno

import pandas as pd
import pytest
from builders import toy_recordings
from nsrr_download import VISITS, write_cohort, write_download, write_lists

from mne_wav2sleep.cohorts import read_nights

PARTS = ("train", "val", "test")
COHORTS = [part for cohort in VISITS for part in ("--cohort", cohort)]
TINY = """
settings:
  batch_size: 8
  max_passes: 1
  warmup_steps: 1
  crop: 12
architecture:
  feature_dim: 8
  initial_channels: 2
  max_channels: 4
  mixer_layers: 1
  mixer_heads: 2
  mixer_dim_ff: 8
  sequence_blocks: 1
  sequence_dilations: 2
preprocessing:
  padded_epochs: 0
"""


@toy_recordings
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_from_the_download_to_the_table_of_the_paper(tmp_path, invoke):
    download = write_download(tmp_path / "nsrr")
    lists = {part: [] for part in PARTS}
    for ids in download.values():
        subjects = sorted({name.removesuffix("-nsrr").split("-")[-1] for name in ids})
        for part, subject in zip(PARTS, subjects, strict=True):
            lists[part] += [name for name in ids if subject in name]
    write_lists(tmp_path / "lists", lists)
    table = tmp_path / "nights.csv"
    arguments = ("dataset", "nsrr", tmp_path / "nsrr", *COHORTS, "--out", table)
    result = invoke(*arguments, "--split", tmp_path / "lists")
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line}
    assert rows["shhs"] == ["4", "3", "2", "1", "1"]  # nights, subjects, and of each part
    assert rows["mesa"] == ["3", "3", "1", "1", "1"]
    assert len(read_nights(table)) == 25

    config = tmp_path / "paper.yaml"
    config.write_text(TINY)
    model, cache = tmp_path / "model", tmp_path / "cache"
    split = tmp_path / "nights-split.csv"
    options = ("--config", config, "--cache", cache, "--device", "cpu")
    result = invoke("train", table, model, "--split", split, *options)
    assert result.exit_code == 0, result.output
    card = (model / "README.md").read_text(encoding="utf-8")
    assert all(name in card for name in VISITS)

    summary = tmp_path / "table.csv"
    test = tmp_path / "nights-test.csv"
    options = ("--weights", model, "--cache", cache, "--summary", summary, "--device", "cpu")
    result = invoke("evaluate", test, *options)
    assert result.exit_code == 0, result.output
    found = pd.read_csv(summary).set_index(["dataset", "subset"])
    assert set(found.index.get_level_values("dataset")) == set(VISITS)
    assert (found["nights"] == 1).all()
    assert found["kappa"].between(-1, 1).all()
    assert {("shhs", "ECG"), ("shhs", "ECG+THX"), ("mesa", "PPG"), ("wsc", "ECG")} <= set(
        found.index
    )
    assert ("shhs", "PPG") not in found.index


def test_parts_are_drawn_without_lists_and_files_are_kept(tmp_path, invoke):
    write_cohort(tmp_path, "mesa")
    (tmp_path / "nights-test.csv").write_text("old")
    arguments = ("dataset", "nsrr", tmp_path, "--cohort", "mesa", "--out", tmp_path / "nights.csv")
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert "nights-test.csv already exists" in " ".join(result.stderr.split())
    result = invoke(*arguments, "--overwrite", "--seed", 3)
    assert result.exit_code == 0, result.output
    assert "nights-split.csv" in result.stdout
    assert [night.dataset for night in read_nights(tmp_path / "nights-test.csv")] == ["mesa"]
    result = invoke(*arguments, "--overwrite", "--sizes", "paper")
    assert result.exit_code == 1
    assert "mesa has 3 nights, too few for the paper's 100" in " ".join(result.stderr.split())


def test_test_nights_of_an_earlier_run_do_not_stay(tmp_path, invoke):
    ids = list(write_cohort(tmp_path, "mesa"))
    arguments = ("dataset", "nsrr", tmp_path, "--cohort", "mesa", "--out", tmp_path / "nights.csv")
    assert invoke(*arguments).exit_code == 0
    assert (tmp_path / "nights-test.csv").exists()
    write_lists(tmp_path / "lists", {"train": ids[:2], "val": ids[2:]})
    result = invoke(*arguments, "--split", tmp_path / "lists", "--overwrite")
    assert result.exit_code == 0, result.output
    words = " ".join(result.stdout.split())
    assert "nights-test.csv of an earlier run removed, as there are no test nights" in words
    assert not (tmp_path / "nights-test.csv").exists()


def test_the_table_of_nights_is_written_last(tmp_path, invoke, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    write_cohort(tmp_path, "mesa")
    monkeypatch.setattr("mne_wav2sleep.cohorts.nsrr.parts.format_csv", fail)
    arguments = ("dataset", "nsrr", tmp_path, "--cohort", "mesa", "--out", tmp_path / "nights.csv")
    assert invoke(*arguments).exit_code == 1
    assert [path.name for path in tmp_path.glob("nights*")] == ["nights-test.csv"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--cohort", "sof"), 1, "cohort is 'sof', which is not known"),
        (("--cohort", "shhs", "--sizes", "all"), 2, "must be one of shares, paper"),
        (("--cohort", "shhs", "--jobs", "0"), 2, "must be 1 or more"),
        (("--cohort", "shhs"), 1, "has no recordings of shhs"),
    ],
)
def test_wrong_options_are_refused(tmp_path, invoke, options, code, message):
    result = invoke("dataset", "nsrr", tmp_path, "--out", tmp_path / "n.csv", *options)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())
