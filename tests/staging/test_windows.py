"""Recordings of several days, in windows."""

from contextlib import nullcontext
from itertools import chain, pairwise

import numpy as np
import pytest
from builders import HOUR, make_raw, toy_recordings
from hypothesis import given
from hypothesis import strategies as st

from mne_wav2sleep import SleepStagerW2S, simulate_night
from mne_wav2sleep.staging import inputs, pipeline
from mne_wav2sleep.staging.windows import LONGEST, blend, divide, plan_windows

pytestmark = toy_recordings

SFREQ = 8.0


def make_belts(hours):
    return make_raw(["Thor", "Abdo"], SFREQ, hours * HOUR)


@given(st.integers(1, 20_000))
def test_windows_cover_a_recording_and_overlap(n_epochs):
    windows = plan_windows(n_epochs)
    assert windows[0][0] == 0
    assert windows[-1][1] == n_epochs
    assert len(windows) == 1 or n_epochs > LONGEST
    for (_, last), (first, _) in pairwise(windows):
        assert last - first >= 240
    assert len(windows) == 1 or {last - first for first, last in windows} == {1200}


@given(st.integers(1, 20_000))
def test_an_epoch_is_assigned_to_the_window_whose_edge_is_further_away(n_epochs):
    windows = plan_windows(n_epochs)
    parts = divide(windows)
    assert [*chain.from_iterable(range(*part) for part in parts)] == [*range(n_epochs)]
    for (_, end), ((first, last), (next_first, next_last)) in zip(
        parts, pairwise(windows), strict=False
    ):
        for epoch, sign in ((end - 1, 1), (end, -1)):
            own = min(epoch - first + 1, last - epoch)
            other = min(epoch - next_first + 1, next_last - epoch)
            assert sign * (own - other) >= -1


def test_blending_fades_from_one_window_to_the_next():
    windows = plan_windows(2000)
    parts = [np.full((1200, 2), [1.0, 0.0]), np.full((1200, 2), [0.0, 1.0])]
    parts[0][900:950] = np.nan
    proba = blend(parts, windows)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert (proba[:800] == [1, 0]).all()
    assert (proba[1200:] == [0, 1]).all()
    assert (proba[900:950] == [0, 1]).all()
    shared = np.r_[proba[800:900, 1], proba[950:1200, 1]]
    assert (np.diff(shared) > 0).all()
    parts[1][:] = np.nan
    assert np.isnan(blend(parts, windows)[1200:]).all()


@pytest.mark.parametrize("hours", [11, 12])
def test_up_to_twelve_hours_are_one_window(hours, small_folder):
    stager = SleepStagerW2S(make_belts(hours), weights=small_folder)
    assert stager.predict().n_epochs == 120 * hours


def test_days_are_staged_window_by_window(small_folder, monkeypatch):
    raw = make_belts(30)
    off = slice(round(13 * HOUR * SFREQ), round(14 * HOUR * SFREQ))
    raw._data[:, off] = 0.0
    raw._data[0, round(20 * HOUR * SFREQ) :] = np.nan
    lengths, make_batch = [], inputs.make_batch

    def watch(signals, *args, **kwargs):
        lengths.extend(signal.data.size for signal in signals.values())
        return make_batch(signals, *args, **kwargs)

    monkeypatch.setattr(inputs, "make_batch", watch)
    with pytest.warns(RuntimeWarning, match=r"lasts 30\.0 h and is staged in overlapping windows"):
        stager = SleepStagerW2S(raw, weights=small_folder)
    with pytest.warns(RuntimeWarning) as caught:
        hyp = stager.predict()
    messages = [str(w.message) for w in caught]
    for found in (
        "ABD (channel 'Abdo', hours 6.7 to 16.7) was not measured for 60 min",
        "THX (channel 'Thor', hours 13.3 to 23.3) was not measured for 240 min",
        "THX (channel 'Thor', hours 20.0 to 30.0) was not measured for 600 min",
    ):
        assert any(message.startswith(found) for message in messages), messages
    assert hyp.n_epochs == 3600
    assert np.flatnonzero(hyp.hypno == "UNS").tolist() == list(range(1560, 1680))
    assert np.flatnonzero(stager.availability()["ABD"] != "measured").tolist() == list(
        range(1560, 1680)
    )
    assert stager.availability()["THX"].iloc[2400:].eq("not finite").all()
    # Only one window is in memory at a time, however long the recording.
    assert len(lengths) == 8  # two belts in four windows
    assert max(lengths) <= 10 * HOUR * SFREQ + 1


def test_long_recordings_show_a_progress_bar_unless_told_not_to(small_folder, capsys):
    for verbose, bars in (("error", 0), (True, 1)):
        with pytest.warns(RuntimeWarning) if bars else nullcontext():
            stager = SleepStagerW2S(make_belts(13), weights=small_folder, verbose=verbose)
        with pytest.warns(RuntimeWarning) if bars else nullcontext():
            stager.predict()
        assert ("Staging: 100%" in capsys.readouterr().err) == bool(bars)


def test_windows_give_the_stages_of_a_single_pass(monkeypatch):
    raw = simulate_night(duration=12 * HOUR, sfreq=64, seed=5, verbose="error")
    whole = SleepStagerW2S(raw, weights="mini", verbose="error").predict()
    monkeypatch.setattr(pipeline, "plan_windows", lambda _: [(0, 1200), (240, 1440)])
    parts = SleepStagerW2S(raw, weights="mini", verbose="error").predict()
    assert (whole == parts).mean() > 0.97
