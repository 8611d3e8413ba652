"""The overview of a cohort, also in a real browser."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import yasa
from browser import BROWSER, browse

from mne_wav2sleep.reports import nights
from mne_wav2sleep.reports.cohort import make_overview
from mne_wav2sleep.reports.distributions import (
    plot_measured,
    plot_statistics,
    split_datasets,
    tabulate_distributions,
    tabulate_signals,
)
from mne_wav2sleep.reports.html import write_report

TITLES = [
    "Summary",
    "Look at these first",
    "All nights",
    "Distribution of the statistics",
    "Statistics",
    "What failed, and why",
    "Distribution of what was measured",
    "Signals and warnings",
    "Methods, to paste",
    "Parameters",
]
CAUTION = "These weights are for trying out only."
PARAMETERS = {"weights": {"name": "mini", "sha256": "ab" * 32, "caution": CAUTION}, "ci": 0.9}


def make_cohort(n_nights=4, n_stages=4):
    """A table and hypnograms; the last night failed."""
    hyps, rows = {}, {}
    for i in range(n_nights - 1):
        start = pd.Timestamp("2024-03-01 22:00") + pd.Timedelta(minutes=20 * i)
        name = f"night{i}"
        hyps[name] = yasa.simulate_hypnogram(tib=60 + i, n_stages=n_stages, seed=i, start=start)
        rows[name] = {
            "status": "staged",
            "subject": f"p{i // 2}",
            "dataset": "BA"[i % 2],
            "recording": f"/data/{name}.edf",
            "hours": 8.0,
            "certainty": 0.8,
            "n_warnings": 1,
            "warnings": f"{name}.edf begins in daytime.",
            "channel_ECG": "ECG",
            "measured_ECG": 0.25 * (i % 5),
            "plausible_ECG": 0.9,
            **hyps[name].sleep_statistics(),
        }
    failed = {"status": "failed", "reason": "last.edf is empty.", "dataset": "A", "subject": "p0"}
    table = pd.DataFrame.from_dict({**rows, "last": failed}, orient="index")
    table.index.name = "night"
    return table, hyps


def read_text(report):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", "".join(report.html)))


# Sorts by SE, keeps the rows of one dataset, and names those that are still shown.
USE = """(() => {
  const table = document.querySelector(".ov-all"), find = document.querySelector(".ov-find");
  [...table.querySelectorAll("th button")].find((b) => b.textContent === "SE [%]").click();
  find.value = "b · p";
  find.dispatchEvent(new Event("input"));
  return [...table.tBodies[0].rows].filter((row) => row.getClientRects().length).map(
    (row) => [row.cells[0].firstChild.textContent, row.cells[3].textContent]);
})()"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_an_overview_in_a_browser(tmp_path):
    table, hyps = make_cohort(30)
    report = make_overview(table, hyps, title="Cohort", parameters=PARAMETERS)
    for width in (1400, 420):
        folder = tmp_path / str(width)
        folder.mkdir()
        found, console, asked = browse(report, folder, width, USE)
        assert console == []
        assert asked == []
        assert found["titles"] == TITLES
        assert all(seen and there and length for seen, there, length in found["targets"])
        assert found["rows"][:2] == [20, 30]
        # A strip for each row but that of the one that failed, the legend, and two figures.
        assert len(found["images"]) == 19 + 29 + 4 + 2
        assert all(shown > 20 and own for shown, own in found["images"])
        assert found["wide"] <= 0  # nothing extends beyond the page
        shown, efficiency = zip(*found["extra"], strict=True)
        assert sorted(shown) == sorted(table.index[table["dataset"] == "B"])
        assert list(map(int, efficiency)) == sorted(map(int, efficiency))


def test_the_summary_counts_what_there_is():
    table, hyps = make_cohort()
    text = read_text(make_overview(table, hyps, title="Cohort", parameters=PARAMETERS))
    assert "4 nights: 3 staged, 1 failed. 3 subjects, 2 datasets (A, B), 24 h of reco" in text
    assert "Staged with the weights &#x27;mini&#x27; (SHA-256 abababababab), by mne-wav2" in text
    assert "Sleep statistics are over the whole recordings, as no time in bed is known." in text
    assert "3 warnings about 3 nights." in text
    assert "90% intervals of sleep statistics" in text
    assert "3 of 4 nights could be staged" in text
    assert "wav2sleep (Carter &amp; Tarassenko 2024) from ECG (2 nights), using" in text
    assert text.count(CAUTION) == 3  # in the summary, the methods and the parameters
    table["time_in_bed"] = ["annotations", "annotations", "whole recording", None]
    text = read_text(make_overview(table, hyps, title="Cohort"))
    assert (
        "over the time in bed (annotations: 2 nights), and over the whole recording in 1 other "
        "night." in text
    )
    assert "Staged with unknown weights" in text


def test_the_statistics_say_which_nights_may_not_be_meant():
    table, hyps = make_cohort(6)
    assert "may not be meant" not in read_text(make_overview(table, hyps, title="Cohort"))
    table["start"] = ["2024-03-01 13:00:00", None, *["2024-03-01 22:00:00"] * 3, None]
    table.loc[["night0", "night2"], "hours"] = [0.4, 20]
    table["copies"] = [None, None, None, "night4", "night3", None]
    text = read_text(make_overview(table, hyps, title="Cohort"))
    assert (
        "5 of these 5 nights may not be meant to be among them: 1 shorter than 3 h; 1 longer than "
        "16 h; 1 by day; 1 without a clock; 2 with the contents of another. To leave" in text
    )
    assert "lasts 0.4 h; " in text
    assert "same contents as night4" in text


def test_every_night_has_a_row_by_dataset_subject_and_start():
    table, hyps = make_cohort(6)
    page = "".join(make_overview(table, hyps, title="Cohort").html)
    rows = re.findall(r"<tr><td>(.*?)</tr>", page.split('class="ov-table ov-all"')[1])[:6]
    names = [re.sub(r"<[^>]*>.*", "", re.sub(r"^<a[^>]*>", "", row)) for row in rows]
    assert names == ["last", "night1", "night3", "night0", "night2", "night4"]
    assert 'href="hypnograms/night1.json"' in rows[1]
    tst = hyps["night1"].sleep_statistics()["TST"] / 60
    assert f"<td>{tst:.1f}</td>" in rows[1]
    assert "<td>0.80</td>" in rows[1]
    assert "ECG measured in 25% of the night" in rows[1]
    assert "<svg" in rows[1]
    assert "<svg" not in rows[0]
    assert "Not staged: last.edf is empty" in rows[0]
    # The one that failed comes first among those to look at, then those with little ECG.
    first = page.split('class="ov-table"')[1].split("</table>")[0]
    assert re.findall(r">(last|night\d)<", first) == ["last", "night0", "night1"]


def test_more_nights_are_drawn_in_blocks(monkeypatch):
    monkeypatch.setattr(nights, "_MOST_ROWS", 5)
    monkeypatch.setattr(nights, "_BLOCK", 4)
    table, hyps = make_cohort(7)
    page = "".join(make_overview(table, hyps, title="Cohort").html)
    assert "ov-all" not in page
    assert re.findall(r"<figcaption>(.*?)</figcaption>", page) == [
        "Nights 1 to 4: last to night5",
        "Nights 5 to 7: night0 to night4",
    ]
    assert page.count('src="data:image/png') == 2 + 2  # and two figures
    assert page.count("<tr><td>") == 4 + 2  # to look at first, and what failed and was warned of


def test_the_same_cohort_gives_the_same_overview(tmp_path):
    texts = []
    for i in range(2):
        table, hyps = make_cohort()
        report = make_overview(table, hyps, title="Cohort", parameters=PARAMETERS)
        write_report(report, tmp_path / f"{i}.html")
        # The date is what mne.Report adds.
        text = (tmp_path / f"{i}.html").read_text(encoding="utf-8")
        texts.append(re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "", text))
    assert texts[0] == texts[1]


def test_texts_of_strangers_are_escaped():
    evil = "<script>alert(1)</script>\x1b[2J"
    table, hyps = make_cohort()
    name = f"../{evil}"
    table = table.rename(index={"night0": name})
    hyps[name] = hyps["night0"]
    for column in ("subject", "dataset", "recording", "warnings", "time_in_bed"):
        table[column] = evil
    table["reason"] = [None, None, None, evil]
    table.loc["night1", "dataset"] = "another"
    weights = {"weights": {"name": evil, "sha256": evil}, evil: evil, "version": evil}
    report = make_overview(table, hyps, title=evil, parameters=weights)
    page = "".join(report.html) + report.title.replace("<", "&lt;")
    assert "<script>alert" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[2J" in page
    assert 'href="hypnograms/..%2F%3Cscript' in page


@pytest.mark.parametrize("n_nights", [0, 1, 2])
def test_a_cohort_may_have_nothing_but_a_status(n_nights):
    table = pd.DataFrame({"status": ["staged", "failed"][:n_nights]}, index=["a", "b"][:n_nights])
    hyps = {"a": yasa.simulate_hypnogram(tib=60, n_stages=5, seed=0)}
    report = make_overview(table, hyps, title="Cohort")
    text = read_text(report)
    assert f"{n_nights} night" in text
    assert "No warnings." in text
    assert "No night has statistics." in text
    assert ("No reason is known." in text) == (n_nights == 2)
    assert ("on the time since the start" in text) == (n_nights > 0) or n_nights == 0


def test_nights_beyond_the_axis_are_counted():
    table, hyps = make_cohort(3)
    hyps["night1"] = yasa.simulate_hypnogram(tib=30 * 60, seed=0, start="2024-03-01 20:00")
    text = read_text(make_overview(table, hyps, title="Cohort"))
    assert "1 night began or ended beyond the axis." in text
    assert "30.0 h from 20:00, not all of it shown" in text
    table, hyps = make_cohort(3)
    assert "beyond the axis" not in read_text(make_overview(table, hyps, title="Cohort"))


def test_a_hypnogram_that_is_lost_is_said():
    table, hyps = make_cohort()
    del hyps["night1"]
    text = read_text(make_overview(table, hyps, title="Cohort"))
    assert "Its hypnogram cannot be read: there is none" in text


def test_tables_that_are_none_of_nights_are_refused():
    table, hyps = make_cohort()
    twice = pd.concat([table, table])
    with pytest.raises(ValueError, match="has the night 'night0' twice"):
        make_overview(twice, hyps, title="Cohort")
    with pytest.raises(TypeError, match="table must be an instance of DataFrame"):
        make_overview("nights.csv", hyps, title="Cohort")


def test_distributions_are_those_of_the_table():
    table, _ = make_cohort(5)
    table["TST"] = [100, 200, 300, 400, np.nan]
    table["SOL"] = [1, 2, np.nan, np.nan, np.nan]
    found = tabulate_distributions(table)
    assert found.loc["TST"].to_dict() == {
        "unit": "min",
        "median [IQR]": "250 [175, 325]",
        "min": "100",
        "max": "400",
        "nights": "4",
        "A (nights)": "300 [250, 350] (2)",
        "B (nights)": "200 [150, 250] (2)",
    }
    assert found.loc["SOL", ["median [IQR]", "nights"]].tolist() == ["1.5 [1.2, 1.8]", "2"]
    assert found.loc["%REM", "unit"] == "%"
    panels = [ax.get_title(loc="left") for ax in plot_statistics(table).axes]
    assert panels[:8] == [
        "TST [min]",
        "SE [%]",
        "WASO [min]",
        "SOL [min]",
        "Lat_REM [min]",
        "LIGHT [% of TST]",
        "DEEP [% of TST]",
        "REM [% of TST]",
    ]
    labels = [label.get_text() for label in plot_statistics(table).axes[0].get_yticklabels()]
    assert labels == ["A", "B"]
    bars = plot_statistics(table.assign(dataset="A")).axes[0].patches
    assert sum(bar.get_height() for bar in bars) == 4
    assert plot_statistics(table[["status"]]) is None


def test_small_datasets_are_put_together():
    names = [name for i, name in enumerate("abcdefghij") for _ in range(10 - i)]
    masks = split_datasets(pd.DataFrame({"dataset": names}))
    assert [*masks] == [*"abcdefg", "other datasets"]
    assert sum(mask.sum() for mask in masks.values()) == len(names)
    assert masks["other datasets"].sum() == 3 + 2 + 1


def test_signals_are_counted():
    table, _ = make_cohort(5)
    table["measured_THX"] = [0.4, None, None, 0.9, None]
    found = tabulate_signals(table[table["status"] == "staged"])
    assert found.loc["ECG"].tolist() == [
        "4",
        "100",
        "37.5 [18.8, 56.2]",
        "0.0",
        "2",
        "90.0 [90.0, 90.0]",
    ]
    assert found.loc["THX"].tolist() == ["2", "50", "65.0 [52.5, 77.5]", "40.0", "1", ""]
    assert len(plot_measured(table).axes) == 2
    assert plot_measured(table[["status"]]) is None


def test_parameters_are_shown():
    table, hyps = make_cohort()
    page = "".join(make_overview(table, hyps, title="Cohort", parameters=PARAMETERS).html)
    text = re.search(r"<pre>(.*?)</pre>", page, re.DOTALL)[1].replace("&quot;", '"')
    assert json.loads(text) == PARAMETERS
