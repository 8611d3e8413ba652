"""Names from files, whatever they are, are shown in reports and figures and act on nothing."""

import html
import json
import os

import mne
import pytest
import yasa
from builders import make_raw, toy_recordings

from mne_wav2sleep import SleepStagerW2S, load_weights, plot_agreement
from mne_wav2sleep.reports.html import write_report
from mne_wav2sleep.staging.provenance import write_provenance

pytestmark = toy_recordings

# Names of a channel and of a file, and how they are shown.
NAMES = [
    ("ECG \x1b]0;owned\x07", os.fsdecode(b"nacht \xfc_raw.fif"), r"\x1b]0;owned\x07", r"\udcfc_"),
    ("EKG \udcfc", "a\x9b2J\nb\u202egpj_raw.fif", r"EKG \udcfc", r"a\x9b2J\nb\u202egpj_"),
    (
        "心電 <img src=x>",
        "睡眠　$\\frac{x$ %s&_raw.fif",
        "心電 <img src=x>",
        "睡眠　$\\frac{x$ %s&_",
    ),
]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize(("channel", "file", "shown_channel", "shown_file"), NAMES)
def test_a_report_shows_every_name(
    channel, file, shown_channel, shown_file, small_folder, tmp_path
):
    path = tmp_path / file
    make_raw(["ECG", "Thor"], seconds=600).save(tmp_path / "night_raw.fif", verbose="error")
    (tmp_path / "night_raw.fif").rename(path)
    raw = mne.io.read_raw_fif(path, verbose="error")
    raw.rename_channels({"ECG": channel}, verbose="error")
    weights = load_weights(small_folder)
    stager = SleepStagerW2S(raw, weights, ch_names={"ECG": channel}, verbose="error")
    write_provenance(stager.provenance(), tmp_path / "hyp.json")
    recording = json.loads((tmp_path / "hyp.json.provenance.json").read_text())["recording"]
    assert recording["files"] == [str(path)]  # JSON escapes, and restores what it escaped
    write_report(stager.report(), tmp_path / "night.html")
    text = (tmp_path / "night.html").read_text(encoding="utf-8")
    for shown in (shown_channel, shown_file):
        assert html.escape(shown) in text
    assert not set(text) & set("\x1b\x07\x9b\u202e")
    assert "<img src=x>" not in text


@pytest.mark.parametrize(
    ("scorer", "shown"),
    [("Dr. \x1b[2J", r"Dr. \x1b[2J"), ("\udcfcmit", r"\udcfcmit"), ("$\\frac{1", "$\\frac{1")],
)
def test_figures_show_every_scorer(scorer, shown, tmp_path):
    stages = ["WAKE", "N1", "N2", "N3", "REM"] * 4
    hyps = [yasa.Hypnogram(stages, scorer=name) for name in (scorer, "other")]
    figure = plot_agreement(*hyps, show=False)
    figure.savefig(tmp_path / "agreement.png")
    assert figure.axes[0].get_title(loc="left") == shown
    assert shown in [ax.get_ylabel() for ax in figure.axes]
