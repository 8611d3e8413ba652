"""Figures, files and report of a comparison."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yasa
from builders import make_hypnogram

from mne_wav2sleep import compare
from mne_wav2sleep.reports.comparison import _describe_methods

STAGES = ("WAKE", "LIGHT", "DEEP", "REM")
pytestmark = pytest.mark.filterwarnings("ignore:The intervals come from:RuntimeWarning")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def found():
    """Three nights by a scorer with a name that must be escaped, and one that is broken."""
    nights = {f"n{i}": make_hypnogram(40, stages=STAGES, seed=i) for i in range(4)}
    staged = {
        name: yasa.Hypnogram([*hyp.hypno][:20] + ["REM"] * 20, 4, scorer="<b>w2s</b> $x$")
        for name, hyp in nights.items()
    }
    staged["n3"] = make_hypnogram(39, stages=STAGES)
    table = pd.DataFrame({"subject": ["n0", "n1", "n2"], "site": ["=1+1", "<i>", "<i>"]})
    compared = compare(nights, staged, by="site", participants=table, verbose="error")
    assert any("1 hypnogram cannot be compared" in text for text in compared.cautions)
    return compared


def test_the_confusion_matrix_is_in_percent_of_rows(found):
    figure = found.plot_confusion(show=False)
    texts = [text.get_text() for text in figure.axes[0].texts]
    counts = found.confusion.to_numpy()
    percent = found.confusion_percent.to_numpy()
    np.testing.assert_allclose(percent.sum(axis=1), 100)
    expected = [f"{p:.1f} %\n({n})" for p, n in zip(percent.ravel(), counts.ravel(), strict=True)]
    assert texts == expected
    assert figure.axes[0].get_title(loc="left").startswith("kappa 0.")


def test_subjects_are_drawn_in_the_order_of_their_kappa(found):
    figure = found.plot_by_subject(show=False)
    kappas = figure.axes[0].lines[0].get_xdata()
    assert list(kappas) == sorted(found.by_subject["kappa"])
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == list(found.by_subject.sort_values("kappa")["subject"])


def test_bland_altman_is_that_of_yasa(found):
    figure = found.plot_bland_altman(["TST", "REM"], show=False)
    assert [ax.get_title() for ax in figure.axes] == ["TST (min)", "REM (min)"]
    statistics = found.sleep_stats_by_night
    differences = statistics.loc[found.staged, "TST"] - statistics.loc[found.reference, "TST"]
    offsets = figure.axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(sorted(offsets[:, 1]), sorted(differences))
    with pytest.raises(ValueError, match="sleep_stats"):
        found.plot_bland_altman(["TSTT"], show=False)


def test_files_hold_the_tables(found, tmp_path, monkeypatch):
    folder = tmp_path / "agreement"
    draw, drawn = type(found)._draw, []
    monkeypatch.setattr(type(found), "_draw", lambda self: drawn.append(1) or draw(self))
    paths = found.save(folder)
    assert drawn == [1]  # the report has the figures of the files
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in paths)
    pooled = pd.read_csv(folder / "pooled.csv", index_col="metric")
    pd.testing.assert_frame_equal(pooled, found.pooled)
    groups = pd.read_csv(folder / "by_group.csv")
    assert list(groups["group"]) == ["<i>", "'=1+1", "unknown"][:2]  # no formula for a spreadsheet
    nights = pd.read_csv(folder / "by_night.csv")
    np.testing.assert_allclose(nights["kappa"], found.by_night["kappa"])
    statistics = pd.read_csv(folder / "sleep_stats_by_night.csv", index_col=["scorer", "night"])
    pd.testing.assert_frame_equal(statistics, found.sleep_stats_by_night)
    assert (folder / "confusion.pdf").read_bytes().startswith(b"%PDF")
    page = (folder / "report.html").read_text(encoding="utf-8")
    titles = re.findall(r"list-group-item-action[^>]*>([^<]+)</a>", page)
    assert titles == [
        *("Summary", "Agreement", "By group", "Confusion matrix", "By stage", "Subjects"),
        *("By subject", "Differences of sleep statistics", "Sleep statistics", "By night"),
        *("Not compared", "Methods, to paste"),
    ]
    assert "<b>w2s" not in page
    assert "<i>" not in re.sub(r"<i class[^>]*>", "", page)
    assert "39 epochs, and 40 were" not in page
    assert "40 epochs, and 39 were staged" in page
    with pytest.raises(FileExistsError, match=r"pooled\.csv already exists"):
        found.save(folder)
    assert found.save(folder, overwrite=True) == paths


def test_a_folder_that_cannot_be_made(found, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match=r"file is a file, not a folder to write tables to\."):
        found.save(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*none to write new to\."):
        found.save(tmp_path / "none" / "new")
    assert not (tmp_path / "none").exists()


def test_a_folder_of_something_else_is_refused(found, tmp_path):
    (tmp_path / "n1.json").touch()
    (tmp_path / ".DS_Store").touch()
    with pytest.raises(FileExistsError, match=r"other files in it, such as n1\.json, and is not"):
        found.save(tmp_path, overwrite=True)
    assert not (tmp_path / "pooled.csv").exists()


def test_a_report_of_a_single_night_has_no_limits(tmp_path):
    reference = make_hypnogram(40, stages=STAGES, seed=1)
    staged = make_hypnogram(40, stages=STAGES, seed=2)
    with pytest.warns(RuntimeWarning, match="only one subject"):
        found = compare(reference, staged, verbose="warning")
    for name in (
        "pooled.csv",
        "by_group.csv",
        "bland_altman.png",
        "mine.csv",
    ):  # of an earlier comparison
        (tmp_path / name).touch()
    names = {path.name for path in found.save(tmp_path, overwrite=True)}
    assert not (tmp_path / "by_group.csv").exists()
    assert not (tmp_path / "bland_altman.png").exists()
    assert (tmp_path / "mine.csv").exists()
    assert "bland_altman.png" not in names
    assert {"report.html", "confusion.png", "by_subject.pdf"} <= names


@pytest.mark.parametrize(("n", "rule"), [(2, "both gave the same stage"), (3, "most of them gave")])
def test_methods_say_how_a_consensus_was_found(n, rule):
    tables = {
        "by_scorer": pd.DataFrame({"reference": [*"ABC"[:n], "consensus"]}),
        "confusion": pd.DataFrame(index=STAGES),
        "by_night": pd.DataFrame(),
    }
    text = _describe_methods(("consensus", "wav2sleep"), tables)
    assert f"the consensus of {n} scorers: the " in text
    assert rule in text


def test_methods_without_a_consensus():
    confusion = pd.DataFrame(index=STAGES)
    rest = {"confusion": confusion, "by_night": pd.DataFrame()}
    apart = {"by_scorer": pd.DataFrame({"reference": ["A", "B"]}), **rest}
    text = _describe_methods(("A and B", "wav2sleep"), apart)
    assert "Each night was compared with the scorer who had scored it." in text
    # A single scorer of that name, such as the consensus that a data set has.
    alone = {"by_scorer": pd.DataFrame({"reference": ["consensus"]}), **rest}
    assert "consensus" not in _describe_methods(("consensus", "wav2sleep"), alone)
