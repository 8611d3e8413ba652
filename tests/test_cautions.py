"""Every warning is shown once per recording, at the user's line, and recorded."""

import re
import threading
import warnings
from pathlib import Path

import mne
import numpy as np
import pytest
from builders import toy_recordings, write_edf
from mne.utils import use_log_level

from mne_wav2sleep import SleepStagerW2S, simulate_night
from mne_wav2sleep.cautions import catch_warnings, keep_cautions, warn
from mne_wav2sleep.progress import show_bars, track


def catch_warnings_of(function):
    """Call a function, and return its warnings with the files that they point to."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    return [(str(w.message), Path(w.filename).name) for w in caught]


def make_belt(hours, rate=0.25):
    """Make a Raw with one belt that breathes regularly, ``rate`` times per second."""
    t = np.arange(hours * 3600 * 8) / 8.0
    info = mne.create_info(["Thor"], 8.0, "misc")
    return mne.io.RawArray(np.sin(2 * np.pi * rate * t)[None], info, verbose="error")


def test_stager_shows_each_warning_once_and_records_it():
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
        assert stager.cautions == [text for text, _ in shown]
        assert stager.provenance()["cautions"] == stager.cautions

    shown = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, _, filename, *__: shown.append(
            (str(message), Path(filename).name)
        )
        stage()
    texts = [text for text, _ in shown]
    assert len(set(texts)) == len(texts)
    assert {name for _, name in shown} == {"test_cautions.py"}
    for beginning in ("The recording lasts 1.0 h", "The weights 'mini'", "PPG (channel 'Pleth')"):
        assert sum(text.startswith(beginning) for text in texts) == 1
    assert sum("epochs are UNS, as nothing was measured" in text for text in texts) == 1


def test_warnings_are_recorded_even_if_not_shown():
    raw = simulate_night(duration=3600, seed=0, sfreq=64, verbose="error")
    stager = SleepStagerW2S(raw, weights="mini", verbose="error")  # shown warnings would be errors
    stager.predict()
    assert [text[:13] for text in stager.cautions] == ["The weights '", "The recording"]


def test_threads_record_their_own_warnings():
    kept = {i: [] for i in range(4)}
    barrier = threading.Barrier(4)

    def work(i):
        with keep_cautions(kept[i]):
            barrier.wait()
            for j in range(50):
                warn(f"{i} {j % 5}")

    threads = [threading.Thread(target=work, args=(i,)) for i in kept]
    with use_log_level("error"):  # applies to all threads
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert kept == {i: [f"{i} {j}" for j in range(5)] for i in range(4)}


def test_threads_that_catch_warnings_leave_the_filters_and_each_others_warnings(tmp_path):
    paths = [tmp_path / f"{i}_raw.fif" for i in range(3)]
    for path in paths:
        make_belt(0.1).save(path, verbose="error")
    caught, n_shown = {}, []
    barrier = threading.Barrier(4)

    def catch(i):
        barrier.wait()
        for j in range(20):
            with catch_warnings(record=True) as found:
                warnings.simplefilter("always")
                warnings.warn(f"{i} {j}", RuntimeWarning, stacklevel=1)
            caught.setdefault(i, []).extend(str(one.message) for one in found)

    def show():
        barrier.wait()
        for j in range(20):
            warn(f"shown {j}")

    def count(message, *_, **__):
        n_shown.append(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = count
        before = list(warnings.filters)
        threads = [threading.Thread(target=catch, args=(i,)) for i in range(3)]
        threads.append(threading.Thread(target=show))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(warnings.filters) == before
        assert warnings.showwarning is count
        level = mne.utils.logger.level
        threads = [threading.Thread(target=SleepStagerW2S, args=(path, "mini")) for path in paths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(warnings.filters) == before
        assert mne.utils.logger.level == level
    assert caught == {i: [f"{i} {j}" for j in range(20)] for i in range(3)}
    assert n_shown[:20] == [f"shown {j}" for j in range(20)]


def test_stagers_in_threads_do_not_change_the_verbosity():
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
def test_warnings_of_mne_on_opening_are_recorded(tmp_path, small_folder):
    path = write_edf(tmp_path / "night.edf", {"Thor": 8.0}, 3 * 3600)
    data = bytearray(path.read_bytes())
    data[236:244] = b"-1      "  # an unknown number of data records
    path.write_bytes(data)
    stager = SleepStagerW2S(path, weights=small_folder, verbose="warning")
    assert any("Number of records" in text for text in stager.cautions)


def test_audit_is_of_the_samples_that_were_staged(small_folder):
    raw = make_belt(3)
    stager = SleepStagerW2S(raw, weights=small_folder, verbose="error")
    before, statistics = stager.predict().proba, stager.statistics()
    raw._data[:, : 1200 * 8] = np.nan
    audit = stager.audit()
    assert audit.hypnograms["THX"].proba.equals(before)
    assert stager.predict().proba.equals(before)
    assert stager.statistics().equals(statistics)
    assert (stager.availability() == "measured").all(axis=None)


def test_warnings_outside_of_the_context_are_not_recorded():
    kept = []
    with use_log_level("error"), keep_cautions(kept):
        warn("inside")
    assert len(catch_warnings_of(lambda: warn("outside"))) == 1
    assert len(catch_warnings_of(lambda: warn("inside"))) == 1  # shown again, once per recording
    assert kept == ["inside"]


@toy_recordings
def test_statistics_of_long_recordings_are_doubted(small_folder):
    stager = SleepStagerW2S(make_belt(17), weights=small_folder, verbose="error")
    stager.statistics()
    assert any(
        text.startswith("The sleep statistics are of 17.0 h as if") for text in stager.cautions
    )
    assert any("do not say how their errors go together" in text for text in stager.cautions)


@pytest.mark.parametrize("shown", [True, False])
def test_progress_bars_are_shown_on_request(shown, capsys):
    with use_log_level("warning" if shown else "info"), show_bars(shown):
        assert list(track(range(3), "Staging", "window")) == [0, 1, 2]
        assert list(track((i for i in range(3)), "Preparing", "night", total=3)) == [0, 1, 2]
    text = capsys.readouterr().err
    assert ("Staging" in text) == ("Preparing" in text) == shown
    with show_bars(True):
        assert list(track([1], "Alone", "window")) == [1]
    assert "Alone" not in capsys.readouterr().err


def test_a_log_has_lines_instead_of_bars_while_something_takes_long(monkeypatch, caplog):
    monkeypatch.setattr("mne_wav2sleep.progress._LINE_S", 0.0)
    with use_log_level("info"):
        with show_bars(False):
            done = list(track((i for i in range(3)), "Preparing", "night", total=3, is_long=True))
            assert list(track(range(3), "Mixing", "subset")) == done == [0, 1, 2]
            lines = [record.message for record in caplog.records]
        with show_bars(True):
            list(track(range(3), "Preparing", "night", is_long=True))
    assert [re.sub(r"[\d,]+ per hour", "N per hour", line) for line in lines] == [
        "Preparing: 1 of 3 nights, N per hour, about 0 s left",
        "Preparing: 2 of 3 nights, N per hour, about 0 s left",
    ]
    assert len(caplog.records) == 2


def test_progress_bars_depend_on_the_verbosity(capsys):
    for level, shown in (("info", True), ("warning", False)):
        with use_log_level(level):
            list(track(range(2), "Staging", "window"))
        assert ("Staging" in capsys.readouterr().err) == shown
