"""Every warning is said once of a recording, at the user's line, and kept."""

import threading
import warnings
from pathlib import Path

import edfio
import mne
import numpy as np
import pytest
from builders import toy_recordings
from mne.utils import use_log_level

from mne_wav2sleep import SleepStagerW2S, simulate_night
from mne_wav2sleep.cautions import keep_cautions, warn


def listen(stage):
    """What is warned of while something is done, and from which file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stage()
    return [(str(w.message), Path(w.filename).name) for w in caught]


def test_a_stager_says_each_once_at_the_users_line_and_keeps_it():
    raw = simulate_night(duration=3600, seed=0, sfreq=64, verbose="error")
    raw._data[raw.ch_names.index("Pleth"), : 600 * 64] = np.nan
    raw._data[:, 1200 * 64 : 1260 * 64] = np.nan

    def stage():
        stager = SleepStagerW2S(raw, weights="mini")
        stager.predict()
        stager.statistics()
        stager.quality()
        stager.audit()
        stager.statistics(ci=0.5)
        assert stager.cautions == [text for text, _ in said]
        assert stager.provenance["cautions"] == stager.cautions

    said = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, _, filename, *__: said.append(
            (str(message), Path(filename).name)
        )
        stage()
    texts = [text for text, _ in said]
    assert len(set(texts)) == len(texts)
    assert {name for _, name in said} == {"test_cautions.py"}
    for beginning in ("The recording lasts 1.0 h", "The weights 'mini'", "PPG (channel 'Pleth')"):
        assert sum(text.startswith(beginning) for text in texts) == 1
    assert sum("epochs are UNS, as nothing was measured" in text for text in texts) == 1


def test_what_is_not_said_is_kept_all_the_same():
    raw = simulate_night(duration=3600, seed=0, sfreq=64, verbose="error")
    stager = SleepStagerW2S(raw, weights="mini", verbose="error")  # warnings are errors here
    stager.predict()
    assert [text[:13] for text in stager.cautions] == ["The weights '", "The recording"]


def test_threads_keep_their_own():
    kept = {i: [] for i in range(4)}
    barrier = threading.Barrier(4)

    def work(i):
        with keep_cautions(kept[i]):
            barrier.wait()
            for j in range(50):
                warn(f"{i} {j % 5}")

    threads = [threading.Thread(target=work, args=(i,)) for i in kept]
    with use_log_level("error"):  # which is that of all threads
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert kept == {i: [f"{i} {j}" for j in range(5)] for i in range(4)}


def test_stagers_in_threads_leave_the_verbosity_as_it_was():
    raw = simulate_night(duration=1800, seed=0, sfreq=32, modalities=["THX"], verbose="error")
    with use_log_level("error"):
        level = mne.utils.logger.level
        stagers = [SleepStagerW2S(raw, weights="mini") for _ in range(3)]
        barrier = threading.Barrier(3)

        def work(stager):
            barrier.wait()
            stager.predict()
            stager.statistics()

        threads = [threading.Thread(target=work, args=(stager,)) for stager in stagers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert mne.utils.logger.level == level
    assert all(stager.cautions == stagers[0].cautions for stager in stagers)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_mne_warns_of_on_opening_is_kept(tmp_path, small_folder):
    path = tmp_path / "night.edf"
    wave = np.sin(1.5 * np.arange(3600 * 3 * 8) / 8)
    edfio.Edf([edfio.EdfSignal(wave, 8, label="Thor")]).write(path)
    data = bytearray(path.read_bytes())
    data[236:244] = b"-1      "  # as of a recording that was never stopped
    path.write_bytes(data)
    stager = SleepStagerW2S(path, weights=small_folder, verbose="warning")
    assert any("Number of records" in text for text in stager.cautions)


def test_an_audit_does_not_change_what_was_staged(small_folder):
    t = np.arange(3 * 3600 * 8) / 8.0
    info = mne.create_info(["Thor"], 8.0, "misc")
    raw = mne.io.RawArray(np.sin(1.5 * t)[None], info, verbose="error")
    stager = SleepStagerW2S(raw, weights=small_folder, verbose="error")
    before, statistics = stager.predict_proba(), stager.statistics()
    raw._data[:, : 1200 * 8] = np.nan
    audit = stager.audit()
    assert (audit.hypnograms["THX"].hypno == "UNS").sum() == 40
    assert stager.predict_proba().equals(before)
    assert stager.statistics().equals(statistics)
    assert (stager.availability == "measured").all(axis=None)


def test_nobody_keeps_what_is_said_outside():
    kept = []
    with use_log_level("error"), keep_cautions(kept):
        warn("inside")
    assert len(listen(lambda: warn("outside"))) == 1
    assert len(listen(lambda: warn("inside"))) == 1  # of another recording, it is said again
    assert kept == ["inside"]


@toy_recordings
def test_statistics_of_days_are_doubted(small_folder):
    t = np.arange(17 * 3600 * 8) / 8.0
    raw = mne.io.RawArray(
        np.sin(2 * np.pi * 0.25 * t)[None], mne.create_info(["Thor"], 8.0, "misc"), verbose="error"
    )
    stager = SleepStagerW2S(raw, weights=small_folder, verbose="error")
    stager.statistics()
    assert any(
        text.startswith("The sleep statistics are of 17.0 h as if") for text in stager.cautions
    )
    assert any("do not say how their errors go together" in text for text in stager.cautions)


@pytest.mark.parametrize("shown", [True, False])
def test_bars_are_shown_where_somebody_wants_them(shown, capsys):
    from mne_wav2sleep.progress import show_bars, track

    with use_log_level("warning" if shown else "info"), show_bars(shown):
        assert list(track(range(3), "Staging", "window")) == [0, 1, 2]
        assert list(track((i for i in range(3)), "Preparing", "night", total=3)) == [0, 1, 2]
    text = capsys.readouterr().err
    assert ("Staging" in text) == ("Preparing" in text) == shown
    with show_bars(True):
        assert list(track([1], "Alone", "window")) == [1]
    assert "Alone" not in capsys.readouterr().err


def test_bars_follow_the_verbosity(capsys):
    from mne_wav2sleep.progress import track

    for level, shown in (("info", True), ("warning", False)):
        with use_log_level(level):
            list(track(range(2), "Staging", "window"))
        assert ("Staging" in capsys.readouterr().err) == shown
