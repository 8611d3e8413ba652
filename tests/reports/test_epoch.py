"""The figure of an epoch, as it was recorded and as the network sees it."""

import edfio
import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest
from builders import fail, make_raw, make_wave, toy_recordings, write_discontinuous
from matplotlib.text import Text

from mne_wav2sleep import SleepStagerW2S, simulate_night
from mne_wav2sleep.reports.epoch import _HATCHES
from mne_wav2sleep.signals import Reason

pytestmark = toy_recordings
ROWS = ["ABD", "ECG", "PPG", "THX"]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def make_stager(raw, folder, **kwargs):
    return SleepStagerW2S(raw, weights=folder, verbose="error", **kwargs)


def find_spans(ax):
    """Find what is hatched: the reason, beginning and end."""
    reasons = {hatch: Reason(code).label for code, hatch in _HATCHES.items()}
    extents = [p.get_path().get_extents(p.get_patch_transform()) for p in ax.patches]
    return [
        (reasons[p.get_hatch() or ""], round(e.x0, 2), round(e.x1, 2))
        for p, e in zip(ax.patches, extents, strict=True)
    ]


def find_texts(figure):
    """Find the text that each modality has in place of what the network sees."""
    return [[text.get_text() for text in ax.texts] for ax in figure.axes[1::2]]


def test_an_epoch_is_drawn_as_recorded_and_as_seen():
    raw = simulate_night(
        duration=3600, modalities=["ECG", "THX"], sfreq=100, seed=0, verbose="error"
    )
    raw._data[raw.ch_names.index("Thorax")] = 0.0
    stager = make_stager(raw, "mini")
    figure = stager.plot_signals(10)
    recorded, seen = figure.axes[0].lines[0], figure.axes[1].lines[0]
    wave = raw.get_data(["ECG"], 300 * 100, 330 * 100)[0]
    np.testing.assert_allclose(recorded.get_ydata(), wave * 1e6)
    assert seen.get_xdata()[-1] == 30
    # What the network sees is the recorded wave, interpolated and scaled.
    same = np.interp(seen.get_xdata()[:-1], recorded.get_xdata(), wave)
    assert np.corrcoef(same, seen.get_ydata()[:-1])[0, 1] > 0.9999
    # A dead sensor is drawn as the flat line that it recorded.
    (flat,) = figure.axes[2].lines
    assert flat.get_ydata().tolist() == [0.0] * 3000
    assert find_spans(figure.axes[2]) == [("flat", 0, 30)]
    assert find_texts(figure) == [[], ["not used"]]
    assert not figure.axes[3].lines
    assert figure.get_suptitle().startswith(
        f"Epoch 10 at 22:35:00: {stager.predict().hypno.iloc[10]}"
    )
    with pytest.raises(IndexError, match="There is no epoch 120; the recording has 120"):
        stager.plot_signals(120)
    with pytest.raises(TypeError, match="epoch must be an instance of int"):
        stager.plot_signals(1.5)


def test_lost_samples_are_drawn_as_recorded(small_folder):
    """Not as the mean, which replaces them before the network sees the signal."""
    raw = make_raw()
    first = 10 * 30 * 64
    ecg, pulse = raw._data[0], raw._data[1]
    ecg[first : first + 5 * 64] = np.nan
    ecg[first + 320] = np.inf
    ecg[first + 8 * 64 : first + 12 * 64] = np.nanmax(ecg[:first]) * 1.2
    pulse[first + 6 * 64 : first + 15 * 64] = 1e-5
    raw.set_annotations(mne.Annotations(310, 5, "BAD_cough", ch_names=[("Abdo", "Thor")]))
    stager = make_stager(raw, small_folder)
    figure = stager.plot_signals(10)
    for name, ax in zip(["Abdo", "ECG", "Pleth", "Thor"], figure.axes[::2], strict=True):
        (line,) = ax.lines
        data = raw.get_data([raw.ch_names.index(name)], first, first + 30 * 64)[0]
        expected = np.where(np.isfinite(data), data, np.nan)
        np.testing.assert_array_equal(line.get_ydata(), expected)
        np.testing.assert_array_equal(line.get_xdata(), np.arange(30 * 64) / 64)
    spans = dict(zip(ROWS, map(find_spans, figure.axes[::2]), strict=True))
    assert spans["ABD"] == spans["THX"] == [("bad", 10, 15)]
    # Including the samples between measured and flat ones.
    assert [reason for reason, *_ in spans["PPG"]] == ["flat"]
    np.testing.assert_allclose(spans["PPG"][0][1:], (6, 15), atol=0.05)
    whys = {reason: (begin, end) for reason, begin, end in spans["ECG"]}
    assert set(whys) == {"not finite", "saturated"}
    np.testing.assert_allclose(whys["not finite"], (0, 5.02), atol=0.01)
    np.testing.assert_allclose(whys["saturated"], (8, 12), atol=0.05)
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["not finite", "bad", "flat", "saturated"]
    hatches = [patch.get_hatch() for patch in legend.get_patches()]
    assert len(set(hatches)) == 4
    # More than half of the epoch was measured: the network sees it, with the mean elsewhere.
    assert find_texts(figure) == [[]] * 4
    seen = figure.axes[5].lines[0].get_ydata()
    np.testing.assert_allclose(seen[220:500], 0, atol=1e-3)
    # An epoch without lost samples is not hatched, and has no legend.
    whole = stager.plot_signals(20)
    assert not whole.legends
    assert [find_spans(ax) for ax in whole.axes[::2]] == [[]] * 4


def test_what_the_network_does_not_see_is_not_drawn(small_folder):
    raw = fail(fail(make_raw(), ["Pleth"], 40, 60), ["ECG"], 50, 55, np.nan)
    raw = fail(raw, ["Thor"], 0, 117, np.nan)
    stager = make_stager(raw, small_folder)
    for epoch in (45, 52, 118):
        figure = stager.plot_signals(epoch)
        availability = stager.availability().loc[epoch]
        for name, ax in zip(ROWS, figure.axes[1::2], strict=True):
            assert len(ax.lines) == (availability[name] == "measured")
            assert not len(ax.lines) or len(ax.lines[0].get_ydata()) in (256, 1024)
        expected = {
            45: [[], [], ["masked: flat"], ["not used"]],
            52: [[], ["masked: not finite"], ["masked: flat"], ["not used"]],
            118: [[], [], [], ["not used"]],
        }[epoch]
        assert find_texts(figure) == expected
    # A modality that is left out was recorded all the same.
    assert np.isfinite(figure.axes[6].lines[0].get_ydata()).all()


def test_a_gap_of_a_file_is_a_gap_of_the_figure(small_folder, tmp_path):
    begins = [*range(310), *range(400, 600)]
    path = write_discontinuous(tmp_path / "gap.edf", begins)
    stager = make_stager(path, small_folder)
    figure = stager.plot_signals(10)
    for ax in figure.axes[::2]:
        assert [(why, begin, end) for why, begin, end in find_spans(ax)] == [
            ("not recorded", 10, 30)
        ]
        (line,) = ax.lines
        time, data = line.get_data()
        assert np.isfinite(data[time < 10]).all()
        assert np.isnan(data[time >= 10]).all()
    assert find_texts(figure) == [["masked: not recorded"]] * (len(figure.axes) // 2)


def test_an_epoch_of_a_long_recording_is_the_right_one(small_folder):
    data = np.repeat(np.arange(14 * 120.0), 30)[None] + np.tile([0, 0.1], 14 * 120 * 15)
    raw = mne.io.RawArray(data, mne.create_info(["Thor"], 1.0, "misc"), verbose="error")
    stager = make_stager(raw, small_folder)
    for epoch in (3, 1300, 1679):
        (line,) = stager.plot_signals(epoch).axes[0].lines
        assert np.floor(line.get_ydata()).tolist() == [epoch] * 30


@pytest.mark.parametrize("epoch", [839, 1160])
def test_an_epoch_is_drawn_from_the_window_it_is_assigned_to(epoch, small_folder):
    """Of windows 0-1200 and 480-1680, the first one leaves out a belt that the other one uses."""
    raw = fail(make_raw(["Thor", "Abdo"], 8.0, 14 * 3600), ["Thor"], 0, 1150, np.nan)
    stager = make_stager(raw, small_folder)
    figure = stager.plot_signals(epoch)
    found = stager.availability().loc[epoch, "THX"]
    assert found == ("measured" if epoch == 1160 else "not finite")
    assert find_texts(figure) == [[], [] if found == "measured" else ["not used"]]


UNITS = {"ECG": "uV", "Pleth": "%", "Abdo": "", "Thor": "mV"}


def test_units_are_those_of_the_file(small_folder, tmp_path):
    """MNE gives all channels of an EDF the type EEG, and so volts."""
    signals = [
        edfio.EdfSignal(1e6 * make_wave(64.0, 600, seed), 64, label=name, physical_dimension=unit)
        for seed, (name, unit) in enumerate(UNITS.items())
    ]
    path = tmp_path / "night.edf"
    edfio.Edf(signals).write(path)
    renamed = mne.io.read_raw(path, verbose="error").rename_channels({"Abdo": "Abdomen"})
    for source in (path, renamed):
        raw = mne.io.read_raw(path, preload=True, verbose="error")
        figure = make_stager(source, small_folder).plot_signals(10)
        labels = [ax.get_ylabel().splitlines()[0] for ax in figure.axes[::2]]
        assert labels == ["ABD", "ECG [µV]", "PPG", "THX [mV]"]
        for channel, factor, ax in zip(
            ("Abdo", "ECG", "Pleth", "Thor"), (1, 1e6, 1, 1e3), figure.axes[::2], strict=True
        ):
            data = raw.get_data([channel], 300 * 64, 330 * 64)[0]
            np.testing.assert_allclose(ax.lines[0].get_ydata(), factor * data, rtol=1e-6)


@pytest.mark.parametrize(("kind", "unit"), [("ecg", " [mV]"), ("eeg", " [mV]"), ("misc", "")])
def test_without_a_file_the_channel_type_of_a_heart_implies_volts(kind, unit, small_folder):
    raw = make_raw(["ECG", "Thor"], types=[kind, "eeg"])
    raw._data *= 10
    stager = make_stager(raw, small_folder)
    figure = stager.plot_signals(3)
    labels = [ax.get_ylabel() for ax in figure.axes[::2]]
    assert labels == [f"ECG{unit}\nECG", "THX\nThor"]


def test_names_of_channels_are_not_mathematics(small_folder):
    raw = make_raw()
    names = {
        "ECG": "ECG $1$",
        "Thor": "Thor_$\\frac$^2",
        "Abdo": "50 % of an abdomen's belt, no. 2",
    }
    raw.rename_channels(names)
    ch_names = {"ECG": names["ECG"], "THX": names["Thor"], "ABD": names["Abdo"]}
    stager = make_stager(raw, small_folder, ch_names=ch_names)
    figure = stager.plot_signals(10)
    figure.canvas.draw()  # as mathematics, \frac of nothing would raise
    labels = [ax.get_ylabel() for ax in figure.axes[::2]]
    assert labels == [
        "ABD\n50 % of an abdomen's\nbelt, no. 2",
        "ECG\nECG $1$",
        "PPG\nPleth",
        "THX\nThor_$\\frac$^2",
    ]
    for text in figure.findobj(Text):
        assert not text.get_parse_math() or "$" not in text.get_text()
