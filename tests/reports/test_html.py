"""The report, in a real browser."""

from dataclasses import replace

import mne
import numpy as np
import pytest
from browser import BROWSER, browse
from builders import START, toy_recordings

from mne_wav2sleep import SleepStagerW2S, load_weights, simulate_night
from mne_wav2sleep.network import BaseWeights, Calibration, Source

pytestmark = [
    toy_recordings,
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium"),
]
TITLES = [
    "Summary",
    "The night",
    "The least certain epoch",
    "Sleep statistics",
    "Channels",
    "Signal quality",
    "Agreement of the sensors",
    "Stages by sensors (%)",
    "Methods, to paste",
    "Provenance",
]


def make_broken_night():
    raw = simulate_night(duration=3 * 3600, sfreq=64, seed=3, verbose="error")
    raw._data[raw.ch_names.index("Pleth"), 3600 * 64 : 5400 * 64] = 0.0
    raw._data[:, 7200 * 64 : 7800 * 64] = np.nan
    return raw, 4


def make_two_days():
    t = np.arange(48 * 3600 * 8) / 8.0
    data = np.array([np.sin(2 * np.pi * f * t) for f in (0.25, 0.26)])
    info = mne.create_info(["Thor", "Abdo"], 8.0, "misc")
    return mne.io.RawArray(data, info, verbose="error"), 2


@pytest.mark.slow
@pytest.mark.parametrize("make", [make_broken_night, make_two_days])
def test_a_report_in_a_browser(make, small_folder, tmp_path):
    raw, n_modalities = make()
    stager = SleepStagerW2S(
        raw, weights="mini" if n_modalities == 4 else small_folder, verbose="error"
    )
    report = stager.report()
    n_subsets = 2**n_modalities - 1
    for width in (1400, 420):
        folder = tmp_path / str(width)
        folder.mkdir()
        found, console, asked = browse(report, folder, width)
        assert console == []
        assert asked == []
        assert found["titles"] == TITLES
        # Every entry of the contents is visible, and leads to what is then in view.
        assert all(seen and there and length for seen, there, length in found["targets"])
        assert len(found["images"]) == 3
        # An image that could not be decoded has no width of its own.
        assert all(shown > 100 and own > 100 for shown, own in found["images"])
        assert found["rows"][1:] == [n_modalities, n_modalities, n_subsets]
        assert found["rows"][0] == len(stager.statistics())
        assert found["wide"] <= 0  # nothing extends beyond the page
    hyp = stager.predict()
    html = "".join(report.html)
    unscored = (hyp.hypno == "UNS").sum()
    assert (f"{unscored} epochs are UNS" in html) == (unscored > 0)
    assert ("never for results" in html) == (n_modalities == 4)  # the caution of mini
    for citation in ("arXiv:2411.04644", "eLife 10:e70092", "Neuroscience"):
        assert citation in html


def test_faults_of_a_report_would_be_noticed(tmp_path):
    report = mne.Report(title="Not ours", verbose="error")
    report.add_html('<img src="http://example.org/a.png">', "Image")
    report.add_html('<img src="data:image/png;base64,AAAA" width="200">', "Broken image")
    report.add_html("<script>console.error('odd')</script>", "Script")
    report.add_custom_css("#toc { visibility: hidden; }")
    found, console, asked = browse(report, tmp_path, 1000)
    assert any("odd" in line for line in console)
    assert "http://example.org/a.png" in asked
    assert [own for _, own in found["images"]] == [0, 0]
    assert not any(seen for seen, _, _ in found["targets"])


def test_the_methods_paragraph_describes_what_was_done(small_folder):
    t = np.arange(13 * 3600 * 8) / 8.0
    info = mne.create_info(["Thor"], 8.0, "misc")
    start = START.replace(hour=19)
    days = mne.io.RawArray(np.sin(1.5 * t)[None], info, verbose="error").set_meas_date(start)
    night = days.copy().crop(0, 8 * 3600)
    texts = {}
    for name, raw in (("days", days), ("night", night)):
        stager = SleepStagerW2S(raw, weights=small_folder, verbose="error")
        texts[name] = " ".join("".join(stager.report().html).split())
    for name, text in texts.items():
        assert ("windows of 10 h, whose probabilities were averaged" in text) == (name == "days")
        assert ("z-scored over each window" in text) == (name == "days")
        # The folder has no calibration.
        assert "is not known for these weights, and was taken from other weights" in text
        assert "calibrated by a temperature" not in text
        assert "The weights do not say how their errors go together" in text
        assert "from 2024-03-01 19:30:00 by its clock" in text
    stager = SleepStagerW2S(night, weights="mini", verbose="error")
    text = " ".join("".join(stager.report().html).split())
    n_nights = load_weights("mini", verbose="error").calibration.n_nights
    assert f"was fitted to {n_nights} scored nights, and is part of the weights" in text
    assert "calibrated by a temperature for each combination of signals" in text


def test_the_methods_paragraph_says_where_weights_and_calibration_come_from():
    raw = simulate_night(
        duration=3600, modalities=["ECG", "THX"], sfreq=64, seed=0, verbose="error"
    )
    mini = load_weights("mini", verbose="error")
    base = BaseWeights("old <model>", "ab" * 32)
    sources = {"ECG+THX": Source("scored nights", 1, 700)}
    for temperatures, found, text in (
        ({"ECG+THX": 1.5}, sources, "(that of all signals was fitted to 1 scored night)"),
        ({"ECG": 1.5}, {}, "(that of all signals was not fitted: it is the median of others)"),
        (
            {"ECG+THX": 1.5},
            {"ECG+THX": Source("earlier calibration")},
            "(that of all signals is from before the weights were fine-tuned or last calibrated)",
        ),
    ):
        calibration = Calibration(temperatures, n_nights=28, sources=found)
        weights = replace(mini, calibration=calibration, bases=(base,))
        stager = SleepStagerW2S(raw, weights=weights, verbose="error")
        html = " ".join("".join(stager.report().html).split())
        assert text in html
        assert "fine-tuned from old &lt;model&gt; (SHA-256 abababababab)" in html
        assert "for trying out, teaching and tests" in html  # the warning of mini


def test_a_report_names_only_what_was_used():
    raw = simulate_night(
        duration=3600, modalities=["ECG", "PPG"], sfreq=64, seed=0, verbose="error"
    )
    raw._data[raw.ch_names.index("Pleth")] = 0.0
    stager = SleepStagerW2S(raw, weights="mini", verbose="error")
    html = "".join(stager.report().html)
    assert "Staged with the weights &#x27;mini&#x27; from ECG." in html
    assert "from ECG (ECG, 64 Hz), using" in html
    assert "it is left out" in html


def test_names_from_a_file_are_escaped_in_the_report(small_folder):
    t = np.arange(3600 * 8) / 8.0
    evil = "Thor <script>alert(1)</script>"
    info = mne.create_info([evil], 8.0, "resp")
    raw = mne.io.RawArray(np.sin(2 * np.pi * 0.25 * t)[None], info, verbose="error")
    stager = SleepStagerW2S(raw, weights=small_folder, ch_names={"THX": evil}, verbose="error")
    html = "".join(stager.report().html)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_the_methods_paragraph_tells_of_hum(small_folder):
    t = np.arange(4 * 3600 * 32) / 32.0
    info = mne.create_info(["Thor"], 32.0, "misc")
    data = np.sin(1.5 * t) + np.sin(2 * np.pi * 14 * t)  # 50 Hz, aliased by 32 Hz
    raw = mne.io.RawArray(data[None], info, verbose="error").set_meas_date(START)
    stager = SleepStagerW2S(raw, weights=small_folder, verbose="error")
    text = " ".join("".join(stager.report().html).split())
    assert "hum was removed from THX (14 Hz) with a notch filter" in text
