"""A study from the command to its page, with a tiny network on minutes of simulated signal."""

import json
import shutil

import pytest
import run
from builders import toy_recordings
from scales import SCALES

pytestmark = toy_recordings


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder of a study of two seeds."""
    out = tmp_path_factory.mktemp("study")
    assert run.main(["transfer", "--quick", "--out", str(out), "--seeds", "1"]) == 0
    return out


def test_a_study_has_table_figure_and_page(finished):
    page = (finished / "pages" / "quick-simulated" / "transfer.md").read_text("utf-8")
    table = (
        (finished / "pages" / "quick-simulated" / "transfer.csv").read_text("utf-8").splitlines()
    )
    assert (finished / "pages" / "quick-simulated" / "transfer.png").stat().st_size > 5000
    # Four arms from each of three subsets of A, and from the PPG of C, and its heading.
    assert len(table) == 1 + 4 * (3 + 1)
    for word in (
        "# Joint training against transfer",
        "training on A, then on C",
        "not significantly different",
    ):
        assert word in page
    assert "nan" not in page


def test_arms_share_their_runs(finished):
    # Of joint, A, A then C, C, two runs each: those of the transfer on A are those of A alone.
    assert len(list((finished / "runs").glob("*/model.safetensors"))) == 8
    results = {
        path.stem.rsplit("-", 2)[0]: json.loads(path.read_text("utf-8"))
        for path in (finished / "results" / "transfer").glob("*.json")
    }
    assert sorted(results) == ["first-0", "joint-0", "second-0", "transfer-0"]
    first, transfer = (results[f"{arm}-0"]["trainings"] for arm in ("first", "transfer"))
    assert transfer[:2] == first
    assert [one["cohorts"] for one in transfer] == [["A"], ["A"], ["C"], ["C"]]
    assert all(one["cpu_s"] > 0 and one["is_cpu_complete"] for one in transfer)
    assert len(transfer[0]["passes"]) == 2


def test_a_finished_study_is_not_done_again(finished, tmp_path):
    out = tmp_path / "study"
    shutil.copytree(finished, out)
    shutil.rmtree(out / "runs")  # a later machine has the results alone
    before = {p: p.read_bytes() for p in (out / "results").rglob("*.json")}
    (out / "pages" / "quick-simulated" / "transfer.md").unlink()
    assert run.main(["transfer", "--quick", "--out", str(out), "--seeds", "1"]) == 0
    assert not (out / "runs").exists()
    assert {p: p.read_bytes() for p in (out / "results").rglob("*.json")} == before
    assert (out / "pages" / "quick-simulated" / "transfer.md").exists()


def test_an_interrupted_study_is_resumed(finished, tmp_path):
    out = tmp_path / "study"
    shutil.copytree(finished, out)
    shutil.rmtree(out / "results")
    runs = {p: p.stat().st_mtime_ns for p in (out / "runs").glob("*/model.safetensors")}
    table = (out / "pages" / "quick-simulated" / "transfer.csv").read_text("utf-8")
    assert run.main(["transfer", "--quick", "--out", str(out), "--seeds", "1"]) == 0
    # What was trained is evaluated, and gives the same table.
    assert {p: p.stat().st_mtime_ns for p in (out / "runs").glob("*/model.safetensors")} == runs
    assert (out / "pages" / "quick-simulated" / "transfer.csv").read_text("utf-8") == table


def test_the_page_is_made_from_results_alone(finished, tmp_path):
    options = ["--report", "--results", str(finished / "results"), "--pages", str(tmp_path)]
    assert run.main(["transfer", *options]) == 0
    for name in ("transfer.md", "transfer.csv"):
        written = (tmp_path / name).read_text("utf-8")
        assert written == (finished / "pages" / "quick-simulated" / name).read_text("utf-8")


def test_two_scales_share_a_folder(finished, tmp_path, monkeypatch, capsys):
    out = tmp_path / "study"
    shutil.copytree(finished, out)
    before = {p: p.read_bytes() for p in (out / "results").rglob("*.json")}
    scales = tmp_path / "scales"
    scales.mkdir()
    text = (SCALES / "quick.yaml").read_text("utf-8").replace("max_passes: 2", "max_passes: 1")
    for name, content in (("shorter", text), ("quick", (SCALES / "quick.yaml").read_text("utf-8"))):
        (scales / f"{name}.yaml").write_text(content, encoding="utf-8")
    monkeypatch.setattr(run, "SCALES", scales)
    assert run.main(["transfer", "--scale", "shorter", "--out", str(out), "--seeds", "1"]) == 0
    results = {p: p.read_bytes() for p in (out / "results").rglob("*.json")}
    assert before.items() <= results.items()
    assert len(results) == 2 * len(before)
    pages = sorted((out / "pages").glob("*/transfer.md"))
    assert [page.parent.name for page in pages] == ["quick-simulated", "shorter-simulated"]
    assert pages[0].read_bytes() != pages[1].read_bytes()
    capsys.readouterr()
    # A page is of one of them.
    options = ["transfer", "--report", "--results", str(out / "results"), "--pages", str(tmp_path)]
    assert run.main(options) == 2
    assert "cannot be compared: their scales" in capsys.readouterr().err
    assert run.main([*options, "--scale", "quick"]) == 0
    assert (tmp_path / "transfer.md").read_bytes() == pages[0].read_bytes()


def test_a_damaged_result_is_named_before_nights_are_made(tmp_path, capsys):
    path = tmp_path / "results" / "masking" / "none-0.json"
    path.parent.mkdir(parents=True)
    path.write_text("{", encoding="utf-8")
    assert run.main(["masking", "--quick", "--out", str(tmp_path)]) == 2
    assert "none-0.json is not a result" in capsys.readouterr().err
    assert not (tmp_path / "nights").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["masking"], "--out is needed"),
        (["other", "--out", "x"], "invalid choice"),
        (["masking", "--out", "x", "--cohort", "A"], "takes NAME=TABLE"),
        (["masking", "--out", "x", "--seeds", "0"], "must be 1 or more"),
    ],
)
def test_wrong_options_are_explained(arguments, message, capsys):
    with pytest.raises(SystemExit):
        run.main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "OUT", "--cohort", "C=x.csv"], "--cohort names C, but the study has A, B"),
        (["--out", "OUT", "--cohort", "A=none.csv"], "none.csv"),
        (["--out", "OUT", "--hypnograms", "none"], "no hypnograms"),
        (["--report", "--results", "none"], "no results of masking in none"),
    ],
)
def test_wrong_input_gives_one_sentence(options, message, tmp_path, capsys):
    options = [str(tmp_path) if one == "OUT" else one for one in options]
    assert run.main(["masking", "--quick", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
