"""The command "adapt": its options, and what it says of the outcome."""

from pathlib import Path

import pandas as pd
import pytest

from mne_wav2sleep.training import CrossValidation
from mne_wav2sleep.training.paired import summarize_pairs, tabulate_subjects


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "nights.csv"
    path.write_text("recording,subject\na.edf,a\nb.edf,b\nc.edf,c\n")
    return path


@pytest.fixture
def adapted(tmp_path, monkeypatch):
    """Record what the function was called with, and return a result; training takes minutes."""
    persons = [("cohort", name) for name in "abc"]
    counts = dict.fromkeys(persons, pd.DataFrame([[5, 1], [2, 6]]).to_numpy())
    by_subject = tabulate_subjects({person: {} for person in persons}, counts, counts)
    stacked = pd.DataFrame([[5, 1], [2, 6]]).to_numpy()[None].repeat(3, 0)
    given = {}

    def adapt(nights, folder, **options):
        given.update(options, subjects=[night.subject for night in nights])
        summary = summarize_pairs(by_subject, stacked, stacked, 0)
        model = folder if options["anyway"] else None
        return CrossValidation(by_subject, summary, pd.DataFrame(), (), folder / "cv", model)

    monkeypatch.setattr("mne_wav2sleep.training.adapt", adapt)
    return given


def test_without_a_gain_the_command_says_so_and_succeeds(table, tmp_path, invoke, adapted):
    result = invoke("adapt", table, tmp_path / "m", "--weights", "mini")
    assert result.exit_code == 0, result.output
    output = " ".join(result.stdout.split())
    assert "It is not shown that adapting helps (low is not above 0), and no model was" in output
    assert "--anyway" in output
    assert "contains the weights" not in output
    assert (adapted["folds"], adapted["weights"], adapted["subjects"]) == (
        "subject",
        "mini",
        ["a", "b", "c"],
    )
    assert "trainable" not in adapted  # the default of the function


def test_options_reach_the_function(table, tmp_path, invoke, adapted):
    options = ("--anyway", "--trainable", "classifier", "--skip-broken", "--set", "max_passes=3")
    for text, folds in (("4", 4), ("-4", -4), ("own.csv", Path("own.csv"))):
        result = invoke("adapt", table, tmp_path / "m", "--folds", text, *options)
        assert result.exit_code == 0, result.output
        assert f"{tmp_path / 'm'} contains the weights" in result.stdout.replace("\n", "")
        assert adapted["folds"] == folds
    assert adapted["trainable"] == ["classifier"]
    assert adapted["on_error"] == "warn"
    assert adapted["settings"].max_passes == 3


def test_wrong_folds_and_few_subjects_are_found_before_the_work(no_work, table, tmp_path, invoke):
    for options, message in (
        (("--folds", "1"), "folds must be 2 or more, or 'subject', got 1. Choose another number."),
        (("--folds", "none.csv"), "There is no table of folds at none.csv. Check the path."),
        (("--folds", "9"), "3 subjects cannot be in 9 folds. Choose fewer folds, or add nights"),
        (("--trainable", "none"), "--trainable must be one or more of signal_encoders"),
    ):
        result = invoke("adapt", table, tmp_path / "m", "--weights", "mini", *options)
        assert result.exit_code == 1, result.output
        assert message in " ".join(result.stderr.split())
    table.write_text("recording,subject\na.edf,a\nb.edf,b\n")
    result = invoke("adapt", table, tmp_path / "m", "--weights", "mini")
    assert "needs 3 subjects or more" in " ".join(result.stderr.split())
    assert not (tmp_path / "m").exists()
