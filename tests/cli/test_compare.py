"""The command that compares hypnograms with scorers."""

import errno
import re

import pytest
from builders import make_hypnogram
from matplotlib.figure import Figure


@pytest.fixture
def folders(tmp_path):
    """Folders of two scorers, and of what was staged; a table of the participants."""
    for i, name in enumerate(("A", "B", "staged")):
        (tmp_path / name).mkdir()
        for night in range(2):
            hyp = make_hypnogram(40, seed=10 * i + night)
            hyp.to_json(tmp_path / name / f"n{night}.json")
    (tmp_path / "people.csv").write_text("subject,age\nn0,30\nn1,70\n")
    return tmp_path


def test_tables_are_printed_and_the_rest_is_written(folders, invoke):
    out = folders / "out"
    arguments = ["compare", folders / "A", folders / "staged", "--out", out, "--n-stages", 3]
    result = invoke(*arguments, "--by", "age=50", "--participants", folders / "people.csv")
    assert result.exit_code == 0, result.output
    assert "expert (staged) with expert (reference): 2 nights, 2 subjects" in result.stdout
    assert "kappa" in result.stdout
    assert "<50" in result.stdout
    assert "50 or more" in result.stdout
    assert f"{out / 'report.html'} shows all of it" in result.stdout
    assert (out / "by_group.csv").exists()
    assert (out / "confusion.csv").read_text().splitlines()[0].endswith("WAKE,NREM,REM")
    again = invoke(*arguments)
    assert again.exit_code == 1
    assert "already exists" in again.stderr
    assert invoke(*arguments, "--overwrite").exit_code == 0


def test_existing_files_are_told_of_before_the_work(folders, invoke):
    out = folders / "out"
    out.mkdir()
    (out / "pooled.csv").touch()  # of an earlier comparison that was stopped before the report
    result = invoke("compare", folders / "nothing", folders / "staged", "--out", out)
    assert result.exit_code == 1
    assert "already exists" in result.stderr


def test_tables_are_printed_before_they_are_saved(folders, invoke, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    result = invoke("compare", folders / "A", folders / "staged", "--out", folders / "out")
    assert result.exit_code == 1
    assert "kappa" in result.stdout
    assert "No space left on device" in result.stderr
    assert "shows all of it" not in result.stdout


def test_what_cannot_be_compared_is_printed(folders, invoke):
    (folders / "A" / "n0.json").write_text('{"values": 3}')
    result = invoke("compare", folders / "A", folders / "staged")
    assert result.exit_code == 0, result.output
    assert "expert (reference): 1 night, 1 subject\n" in result.stdout
    assert "1 hypnogram cannot be compared:\n" in result.stdout
    (row,) = [line for line in result.stdout.splitlines() if line.startswith("n0")]
    assert "is not a hypnogram in YASA's format" in row


def test_several_scorers(folders, invoke):
    result = invoke("compare", folders / "A", folders / "staged", "--reference", folders / "B")
    assert result.exit_code == 0, result.output
    assert "with consensus: 2 nights" in result.stdout
    assert "two scorers differ in" in result.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["A", "staged", "--by", "age=x"], 2, "takes COLUMN, or COLUMN=EDGE,EDGE"),
        (["A", "--reference", "B"], 2, "needs STAGED as well"),
        (["A"], 1, "only one argument was given"),
        (["A", "nothing"], 1, "There is no hypnogram or folder"),
        (["A", "staged", "--n-stages", "6"], 2, "--n-stages: must be from 2 to 5, got 6"),
        (["A", "staged", "--n-stages", "1"], 2, "--n-stages: must be from 2 to 5, got 1"),
        (["A", "staged", "--reference", "nothing"], 1, "There is no hypnogram or folder at"),
        (["A", "staged", "--out", "A"], 1, "has other files in it, such as n0.json"),
        (["A", "staged", "--out", "people.csv"], 1, "is a file, not a folder to write"),
        (["people.csv", "staged"], 1, "is a table of participants, not a hypnogram"),
        (["A", "A/n0.json"], 1, "What was staged is a single hypnogram"),
        (["A", "staged", "--by", "age=nan"], 1, "Give finite numbers"),
        (["A", "staged", "--by", "age"], 1, "There is no column 'age'"),
    ],
)
def test_wrong_options(options, code, message, folders, invoke):
    files = ("A", "B", "staged", "nothing", "people.csv", "A/n0.json")
    paths = [folders / one if one in files else one for one in options]
    result = invoke("compare", *paths)
    assert result.exit_code == code
    text = re.sub(r"[\s\u2502]+", " ", result.stderr)
    assert message in text
