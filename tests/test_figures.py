import datetime

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yasa
from conftest import toy_recordings

from mne_wav2sleep import SleepStagerW2S, plot_agreement, simulate_night
from mne_wav2sleep.figures import clock, plot_availability, plot_night, plot_rates
from mne_wav2sleep.hypnogram import STAGE_NAMES, name_stages, to_hypnogram
from mne_wav2sleep.signals import REASONS
from mne_wav2sleep.stages import align_stages

pytestmark = toy_recordings
START = datetime.datetime(2024, 3, 1, 22, 30)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def make_hypnogram(n_epochs=40, n_stages=4, start=START, seed=0, unknown=()):
    proba = np.random.default_rng(seed).dirichlet(np.ones(n_stages), n_epochs)
    proba[list(unknown)] = np.nan
    return to_hypnogram(name_stages(proba, STAGE_NAMES[n_stages]), start, f"scorer {seed}")


def make_beats(n_epochs, rate):
    return pd.DataFrame({"rate": np.full(n_epochs, rate), "plausible": 1.0})


@pytest.mark.parametrize("n_stages", [4, 5])
@pytest.mark.parametrize("hours", [1 / 120, 0.5, 8, 48])
@pytest.mark.parametrize("start", [START, None])
def test_a_night_is_drawn_on_one_clock(n_stages, hours, start):
    n = round(120 * hours)
    hyp = make_hypnogram(n, n_stages, start, unknown=range(5, 9) if n > 9 else ())
    availability = pd.DataFrame({"ECG": ["measured"] * n, "THX": ["flat"] * n})
    beats = {"ECG": make_beats(n, 60.0), "THX": make_beats(n, 15.0)}
    figure = plot_night(hyp, availability, beats)
    edges = clock(hyp)
    for ax in figure.axes:
        assert ax.get_xlim() == (edges[0], edges[-1])
    if start is None:
        assert edges[-1] == (60 * hours if hours < 1.5 else hours)
    else:
        assert mdates.num2date(edges[-1]).replace(tzinfo=None) == START + datetime.timedelta(
            hours=hours
        )
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert set(labels) >= set(STAGE_NAMES[n_stages])
    figure.canvas.draw()


def test_what_was_measured_is_drawn_where_it_was():
    hyp = make_hypnogram(10)
    words = ["measured"] * 4 + ["flat"] * 3 + ["not finite"] * 3
    availability = pd.DataFrame({"ECG": ["measured"] * 10, "PPG": words})
    _, ax = plt.subplots()
    plot_availability(availability, hyp, ax)
    (mesh,) = ax.collections
    drawn = mesh.get_array().reshape(2, 10)
    assert [REASONS[int(code)] for code in drawn[1]] == words
    assert (drawn[0] == 0).all()
    assert [text.get_text() for text in ax.get_yticklabels()] == ["ECG", "PPG"]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["measured", "not finite", "flat"]
    colours = {tuple(mesh.cmap(mesh.norm(REASONS.index(reason)))) for reason in REASONS}
    assert len(colours) == len(REASONS)


def test_rates_are_those_of_the_better_sensor():
    hyp = make_hypnogram(20)
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
    assert breath.get_linestyle() != heart.get_linestyle()  # told apart without colour


def test_an_epoch_is_drawn_as_recorded_and_as_seen():
    raw = simulate_night(
        duration=3600, modalities=["ECG", "THX"], sfreq=100, seed=0, verbose="error"
    )
    raw._data[raw.ch_names.index("Thorax")] = 0.0
    stager = SleepStagerW2S(raw, weights="mini", verbose="error")
    figure = stager.plot_signals(10)
    recorded, seen = figure.axes[0].lines[0], figure.axes[1].lines[0]
    wave = raw.get_data(["ECG"], 300 * 100, 330 * 100)[0]
    np.testing.assert_array_equal(recorded.get_ydata(), wave)
    assert seen.get_xdata()[-1] == 30
    # The same wave: what the network sees is the recording, interpolated and scaled.
    same = np.interp(seen.get_xdata()[:-1], recorded.get_xdata(), wave)
    assert np.corrcoef(same, seen.get_ydata()[:-1])[0, 1] > 0.9999
    assert figure.axes[3].texts[0].get_text() == "not used"
    assert figure.get_suptitle().startswith(
        f"Epoch 10 at 22:35:00: {stager.predict().hypno.iloc[10]}"
    )
    with pytest.raises(IndexError, match="There is no epoch 120; the recording has 120"):
        stager.plot_signals(120)
    with pytest.raises(TypeError, match="epoch must be an instance of int"):
        stager.plot_signals(1.5)


def test_an_epoch_of_days_is_the_right_one(small_folder):
    import mne

    data = np.repeat(np.arange(14 * 120.0), 30)[None] + np.tile([0, 0.1], 14 * 120 * 15)
    raw = mne.io.RawArray(data, mne.create_info(["Thor"], 1.0, "misc"), verbose="error")
    stager = SleepStagerW2S(raw, weights=small_folder, verbose="error")
    for epoch in (3, 1300, 1679):
        (line,) = stager.plot_signals(epoch).axes[0].lines
        assert np.floor(line.get_ydata()).tolist() == [epoch] * 30


def test_a_night_of_the_stager_is_what_it_says():
    raw = simulate_night(duration=3600, seed=0, sfreq=64, verbose="error")
    stager = SleepStagerW2S(raw, weights="mini", verbose="error")
    figure = stager.plot()
    heart = figure.axes[3].lines[0].get_ydata()
    assert np.nanmedian(heart) == pytest.approx(stager.quality().loc["ECG", "rate"], rel=0.02)
    # Top to bottom, the areas of the hypnodensity are the probabilities.
    area = figure.axes[1].collections[0].get_paths()[0].vertices[:, 1].max()
    assert area == pytest.approx(stager.predict_proba()["WAKE"].max())


def test_agreement_is_what_yasa_says():
    hyp = make_hypnogram(100, seed=1)
    reference = make_hypnogram(100, seed=2)
    figure = plot_agreement(reference, hyp)
    axes = {ax.get_title(loc="left"): ax for ax in figure.axes}
    found = yasa.EpochByEpochAgreement([reference], [hyp]).get_agreement()
    ax = axes[f"kappa {found['kappa']:.2f}, accuracy {found['accuracy']:.0f} %"]
    counts = np.array([int(text.get_text()) for text in ax.texts]).reshape(4, 4)
    assert counts.sum() == 100
    same = (reference.hypno.to_numpy() == hyp.hypno.to_numpy()).sum()
    assert np.trace(counts) == same
    assert {"scorer 1", "scorer 2"} <= set(axes)


def test_a_reference_is_put_in_place_by_the_clock():
    hyp = make_hypnogram(100)
    later = yasa.Hypnogram(
        ["N2"] * 30, n_stages=5, start=START + datetime.timedelta(minutes=10), scorer="expert"
    )
    aligned = align_stages(later, hyp)
    assert list(aligned.hypno) == ["UNS"] * 20 + ["LIGHT"] * 30 + ["UNS"] * 50
    before = yasa.Hypnogram(
        ["N3"] * 30, n_stages=5, start=START - datetime.timedelta(minutes=10), scorer="expert"
    )
    assert list(align_stages(before, hyp).hypno) == ["DEEP"] * 10 + ["UNS"] * 90


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (yasa.Hypnogram(["WAKE"] * 30, n_stages=4), "30 epochs, and 100 were staged"),
        (
            make_hypnogram(100, start=START + datetime.timedelta(seconds=10)),
            r"begins 10\.0 s after the recording",
        ),
        (make_hypnogram(100, start=START + datetime.timedelta(days=1)), "no epoch in common"),
        (yasa.Hypnogram(["WAKE"] * 100, n_stages=2), "has 2 stages, and 4 were staged"),
        (yasa.Hypnogram(["WAKE"] * 100, n_stages=4, freq="20s"), "epochs of 20s"),
        (make_hypnogram(100), "have one scorer, 'scorer 0'.*scorer='expert'"),
    ],
)
def test_a_reference_that_does_not_fit_is_refused(reference, message):
    with pytest.raises(ValueError, match=message):
        plot_agreement(reference, make_hypnogram(100))
