"""The figure of a night."""

import datetime
import time

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from builders import START, fail, make_raw, toy_recordings
from matplotlib.text import Text

from mne_wav2sleep import SleepStagerW2S, plot_agreement, simulate_night
from mne_wav2sleep.hypnograms.lights import TimeInBed
from mne_wav2sleep.hypnograms.probabilities import name_stages, to_hypnogram
from mne_wav2sleep.modalities import STAGE_NAMES
from mne_wav2sleep.reports.night import find_edges, plot_availability, plot_night, plot_rates
from mne_wav2sleep.signals import Reason

pytestmark = toy_recordings
CLOCK = START.replace(tzinfo=None)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def make_staged(n_epochs=40, n_stages=4, start=CLOCK, seed=0, unknown=()):
    """Make a hypnogram of random stages with probabilities, as a stager does."""
    proba = np.random.default_rng(seed).dirichlet(np.ones(n_stages), n_epochs)
    proba[list(unknown)] = np.nan
    return to_hypnogram(name_stages(proba, STAGE_NAMES[n_stages]), start, f"scorer {seed}")


def make_beats(n_epochs, rate):
    return pd.DataFrame({"rate": np.full(n_epochs, rate), "plausible": 1.0})


def test_lights_off_and_on_are_marked():
    hyp = make_staged(40)
    availability = pd.DataFrame({"THX": ["measured"] * 40})
    for sources, epochs in ((("given", "recording"), [10]), (("annotations",) * 2, [10, 30])):
        in_bed = TimeInBed(300.0, 900.0, 10, 30, *sources)
        figure = plot_night(hyp, availability, {}, in_bed)
        for ax in figure.axes[:4]:
            marked = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"]
            assert marked == [find_edges(hyp)[epoch] for epoch in epochs]


@pytest.mark.parametrize("n_stages", [4, 5])
@pytest.mark.parametrize("hours", [1 / 120, 0.5, 8, 48])
@pytest.mark.parametrize("start", [CLOCK, None])
def test_all_panels_have_one_time_axis(n_stages, hours, start):
    n = round(120 * hours)
    hyp = make_staged(n, n_stages, start, unknown=range(5, 9) if n > 9 else ())
    availability = pd.DataFrame({"ECG": ["measured"] * n, "THX": ["flat"] * n})
    beats = {"ECG": make_beats(n, 60.0), "THX": make_beats(n, 15.0)}
    figure = plot_night(hyp, availability, beats)
    edges = find_edges(hyp)
    for ax in figure.axes:
        assert ax.get_xlim() == (edges[0], edges[-1])
    if start is None:
        assert edges[-1] == (60 * hours if hours < 1.5 else hours)
    else:
        assert mdates.num2date(edges[-1]).replace(tzinfo=None) == CLOCK + datetime.timedelta(
            hours=hours
        )
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert set(labels) >= set(STAGE_NAMES[n_stages])
    figure.canvas.draw()


def test_availability_is_drawn_where_it_was():
    hyp = make_staged(10)
    words = ["measured"] * 4 + ["flat"] * 3 + ["not finite"] * 3
    availability = pd.DataFrame({"ECG": ["measured"] * 10, "PPG": words})
    _, ax = plt.subplots()
    plot_availability(availability, hyp, ax)
    (mesh,) = ax.collections
    drawn = mesh.get_array().reshape(2, 10)
    assert [Reason(int(code)).label for code in drawn[1]] == words
    assert (drawn[0] == 0).all()
    assert [text.get_text() for text in ax.get_yticklabels()] == ["ECG", "PPG"]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["measured", "not finite", "flat"]
    colors = {tuple(mesh.cmap(mesh.norm(int(reason)))) for reason in Reason}
    assert len(colors) == len(Reason)


def test_rates_are_those_of_the_better_sensor():
    hyp = make_staged(20)
    ecg, ppg = make_beats(20, 60.0), make_beats(20, 70.0)
    ecg.loc[5:, "plausible"] = 0.0
    ppg.loc[10, "plausible"] = 0.0
    figure, ax = plt.subplots()
    plot_rates({"ECG": ecg, "PPG": ppg, "ABD": make_beats(20, 15.0)}, hyp, ax)
    (heart,), (breath,) = (axis.lines for axis in figure.axes)
    assert heart.get_label() == "PPG"
    rate = np.where(np.arange(20) == 10, np.nan, 70.0)
    np.testing.assert_array_equal(heart.get_ydata(), rate)
    assert (breath.get_ydata() == 15).all()
    assert breath.get_linestyle() != heart.get_linestyle()  # distinguishable without color


def test_the_rate_of_a_single_epoch_is_visible():
    hyp = make_staged(20)
    beats = make_beats(20, 60.0)
    beats.loc[[*range(3), 4, *range(6, 18)], "plausible"] = 0.0
    figure, ax = plt.subplots()
    plot_rates({"ECG": beats}, hyp, ax)
    (heart,) = ax.lines
    assert np.flatnonzero(heart.get_markevery()).tolist() == [3, 5]
    figure.canvas.draw()


def find_lightness(color):
    """Find CIE L* of an sRGB color (CIE 15:2004, section 8.2.1; IEC 61966-2-1)."""
    rgb = np.asarray(color)[:3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return 116 * np.cbrt(y) - 16 if y > 216 / 24389 else 24389 / 27 * y


def assert_distinguishable(colors):
    lightness = {name: find_lightness(color) for name, color in colors.items()}
    assert np.diff(sorted(lightness.values())).min() >= 10, lightness


def test_reasons_are_distinguishable_without_color():
    availability = pd.DataFrame({"ECG": [reason.label for reason in Reason]})
    _, ax = plt.subplots()
    plot_availability(availability, make_staged(len(Reason)), ax)
    (mesh,) = ax.collections
    drawn = dict(
        zip(availability["ECG"], mesh.cmap(mesh.norm(mesh.get_array().ravel())), strict=True)
    )
    assert_distinguishable(drawn)
    legend = ax.get_legend()
    for text, patch in zip(legend.get_texts(), legend.get_patches(), strict=True):
        np.testing.assert_allclose(patch.get_facecolor(), drawn[text.get_text()])


@pytest.mark.parametrize("n_stages", [4, 5])
def test_stages_are_distinguishable_without_color(n_stages):
    hyp = make_staged(40, n_stages, unknown=range(5))
    figure = plot_night(hyp, pd.DataFrame({"ECG": ["measured"] * 40}), {})
    drawn = {}
    for area in figure.axes[1].collections:
        *rgb, alpha = area.get_facecolor()[0]  # on white paper
        drawn[area.get_label()] = alpha * np.array(rgb) + 1 - alpha
    assert set(drawn) == {*STAGE_NAMES[n_stages], "UNS"}
    assert_distinguishable(drawn)


ZONES = [
    (None, "UTC"),
    (None, "America/New_York"),
    ("UTC", "America/New_York"),
    ("Europe/Berlin", "UTC"),
    ("America/New_York", "America/New_York"),
]


@pytest.mark.parametrize("hours", [0.1, 30])
def test_a_night_is_drawn_on_the_clock_of_its_recording(hours, monkeypatch):
    """Whatever the time zone of its start, and that of the computer."""
    n = round(120 * hours)
    drawn = []
    for zone, local in ZONES:
        monkeypatch.setenv("TZ", local)
        if hasattr(time, "tzset"):
            time.tzset()
        start = pd.Timestamp(CLOCK).tz_localize(zone)
        hyp = make_staged(n, start=start)
        reference = make_staged(n, start=start, seed=1)
        with plt.rc_context({"timezone": local}):
            night = plot_night(hyp, pd.DataFrame({"ECG": ["measured"] * n}), {})
            pair = plot_agreement(reference, hyp)
            night.canvas.draw()
            pair.canvas.draw()
        axes = [night.axes[3], *(ax for ax in pair.axes if ax.get_title(loc="left")[0] == "s")]
        labels = [[t.get_text() for t in ax.get_xticklabels()] for ax in axes]
        edges = [night.axes[0].patches[0].get_data().edges, night.axes[0].get_xlim()]
        area = night.axes[1].collections[0].get_paths()[0].vertices[:, 0]
        drawn.append((labels, [*edges[0]], *edges[1], area.min(), area.max()))
    monkeypatch.undo()
    if hasattr(time, "tzset"):
        time.tzset()
    assert all(one == drawn[0] for one in drawn)
    labels, bins, left, right, *area = drawn[0]
    first = mdates.date2num(CLOCK)
    assert (bins[0], left, area[0]) == (first, first, first)
    assert bins[-1] == pytest.approx(right) == pytest.approx(area[1])
    expected = {0.1: "22:30:00", 30: "Mar-02"}[hours]
    for some in labels:
        assert expected in some


def plot_figures(n_modalities, folder):
    names = ["ECG", "Thor", "Pleth", "Abdo"][:n_modalities]
    raw = fail(make_raw(seconds=30 * 20).pick(names), ["ECG"], 3, 3.3, np.nan)
    stager = SleepStagerW2S(raw, weights=folder, verbose="error")
    yield stager.audit().plot()
    yield stager.plot()
    yield stager.plot_signals(3)  # with a legend of what was lost
    yield stager.plot_signals(4)
    yield plot_agreement(make_staged(20, start=None), stager.predict())


@pytest.mark.parametrize("n_modalities", [1, 2, 3, 4])
def test_figures_are_whole_pixels(n_modalities, small_folder):
    """At 100 dpi, and in mne.Report, which scales figures to a width of 850 pixels."""
    for figure in plot_figures(n_modalities, small_folder):
        assert isinstance(figure, plt.Figure)
        size = figure.get_size_inches()
        for dpi in (100, min(100, 850 / size[0])):
            np.testing.assert_array_equal(size * dpi, np.round(size * dpi))
        # Nothing is cut off.
        figure.canvas.draw()
        box, pixels = figure.get_tightbbox(), figure.get_size_inches()
        assert box.x0 >= -0.01
        assert box.y0 >= -0.01
        assert box.x1 <= pixels[0] + 0.01
        assert box.y1 <= pixels[1] + 0.01


def test_names_of_scorers_are_not_mathematics():
    hyp, reference = make_staged(40), make_staged(40, seed=1)
    name = r"Dr. $\frac$_1 of 100 %"  # as mathematics, it would raise
    scored = to_hypnogram(reference.proba, CLOCK, name)
    night = plot_night(scored, pd.DataFrame({"ECG": ["measured"] * 40}), {})
    pair = plot_agreement(scored, hyp)
    mirrored = plot_agreement(hyp, scored)
    for figure in (night, pair, mirrored):
        figure.canvas.draw()
        for text in figure.findobj(Text):
            assert not text.get_parse_math() or "$" not in text.get_text()
    assert night.axes[0].get_title(loc="left") == f"Stages by {name}"
    for figure in (pair, mirrored):
        written = [text.get_text() for text in figure.findobj(Text)]
        assert written.count(name) == 2  # above the hypnogram, and beside the confusion matrix


def test_the_stager_plots_its_own_results():
    raw = simulate_night(duration=3600, seed=0, sfreq=64, verbose="error")
    stager = SleepStagerW2S(raw, weights="mini", verbose="error")
    figure = stager.plot()
    heart = figure.axes[3].lines[0].get_ydata()
    assert np.nanmedian(heart) == pytest.approx(stager.quality().loc["ECG", "rate"], rel=0.02)
    # Top to bottom, the areas of the hypnodensity are the probabilities.
    area = figure.axes[1].collections[0].get_paths()[0].vertices[:, 1].max()
    assert area == pytest.approx(stager.predict().proba["WAKE"].max())
