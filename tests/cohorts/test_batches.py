"""Batches of prepared nights."""

import mne
import numpy as np
import pytest
from builders import START, make_hypnogram, make_raw, toy_recordings

from mne_wav2sleep import load_weights
from mne_wav2sleep.cohorts import Night, evaluate, prepare_nights
from mne_wav2sleep.cohorts.batches import collate, read_item
from mne_wav2sleep.recordings import open_recording
from mne_wav2sleep.recordings.channels import map_channels
from mne_wav2sleep.recordings.opening import set_rates
from mne_wav2sleep.recordings.reading import read_signals
from mne_wav2sleep.signals import Validity
from mne_wav2sleep.signals.batch import make_batch

pytestmark = toy_recordings


def make_short(labels=("ECG", "Thor"), epochs=20, seed=0):
    return make_raw(labels, seconds=30 * epochs, start=START, seed=10 * seed)


def test_items_are_zscored_and_padded_at_the_end(tmp_path):
    (night,) = prepare_nights([Night(make_short(), make_hypnogram(20), "a")], tmp_path)
    item = read_item(night, ["ECG", "THX"], 4, first=15, length=12)
    assert item["stages"].tolist() == [*night.read_stages(4)[15:], *[-1] * 7]
    assert item["measured"]["ECG"].all()
    for name, samples in (("ECG", 1024), ("THX", 256)):
        z = item["signals"][name]
        assert z.shape == (12 * samples,)
        assert z.dtype == np.float32
        assert (z.mean(), z.std()) == pytest.approx((0, 1), abs=1e-3)
        assert np.ptp(z[5 * samples :]) == 0  # padding


@pytest.mark.filterwarnings("ignore:.* was not measured for:RuntimeWarning")
@pytest.mark.parametrize("is_lost", [False, True], ids=["measured", "lost"])
def test_padding_holds_the_last_sample_as_when_a_recording_is_staged(is_lost, tmp_path):
    """It is after the last complete epoch; an end that was not measured holds the mean."""
    raw = make_raw(("ECG", "Thor"), seconds=20 * 30 + 3, types="eeg", start=START)
    raw._data[:, -3 * 64 :] = np.nan if is_lost else 5e-5  # too short to be a failure
    if is_lost:
        raw._data[:, 16 * 30 * 64 :] = np.nan
    prepared = prepare_nights([Night(raw, make_hypnogram(20), "a")], tmp_path, dtype="float32")
    item = read_item(prepared[0], ["ECG", "THX"], 4, length=40, padding="last")
    recording = open_recording(raw)
    signals = read_signals(recording, set_rates(recording, map_channels(raw, {})), Validity())
    x, _ = make_batch(signals, padded_epochs=40, padding="last")
    for name, samples in (("ECG", 1024), ("THX", 256)):
        found, expected = item["signals"][name], x[name][0]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
        end = found[20 * samples + samples // 10 :]
        assert np.ptp(end) == 0
        assert (abs(end[0] - found[: 16 * samples].mean()) < 0.05) == is_lost


def test_a_batch_has_rows_for_the_signals_of_each_night(tmp_path):
    nights = prepare_nights(
        [
            Night(make_short(), make_hypnogram(20), "a"),
            Night(make_short(("Pleth", "Abdo", "Thor"), 17, 1), make_hypnogram(17), "b"),
        ],
        tmp_path,
    )
    items = [read_item(n, n.modalities, 4, length=n.n_epochs) for n in nights]
    batch = collate(items)
    assert {name: rows.tolist() for name, rows in batch["rows"].items()} == {
        "ABD": [1],
        "ECG": [0],
        "PPG": [1],
        "THX": [0, 1],
    }
    assert batch["available"]["ECG"].all(1).tolist() == [True, False]
    assert batch["available"]["PPG"][:, :17].all(1).tolist() == [False, True]
    assert batch["x"]["THX"].shape == (2, 20 * 256)
    np.testing.assert_array_equal(batch["x"]["ABD"][0, : 17 * 256], items[1]["signals"]["ABD"])
    assert batch["stages"][1, 17:].tolist() == [-1] * 3
    assert batch["names"] == [night.name for night in nights]


def test_epochs_that_were_not_measured_do_not_count(small_folder, tmp_path):
    raws = [make_short(), make_short()]
    for raw in raws:
        raw.set_annotations(mne.Annotations([0, 300], [60, 90], "BAD", START))
        raw.annotations.append(150, 60, "BAD", ch_names=[("ECG",)])
    raws[1]._data[:, raws[1].time_as_index(300)[0] : raws[1].time_as_index(390)[0]] = 7.0
    with (
        pytest.warns(RuntimeWarning, match="5 of 20 epochs are masked"),
        pytest.warns(RuntimeWarning, match="7 of 20 epochs are masked"),
    ):
        # One by one, since what is left of both is the same.
        nights = [
            night
            for raw in raws
            for night in prepare_nights([Night(raw, make_hypnogram(), "a")], tmp_path)
        ]
    items = [read_item(night, ["ECG", "THX"], 4, length=20) for night in nights]
    off = [0, 1, 10, 11, 12]
    assert np.flatnonzero(items[0]["stages"] < 0).tolist() == off
    assert np.flatnonzero(~items[0]["measured"]["THX"]).tolist() == off
    assert np.flatnonzero(~items[0]["measured"]["ECG"]).tolist() == sorted([*off, 5, 6])
    for name in ("ECG", "THX"):
        np.testing.assert_array_equal(items[0]["signals"][name], items[1]["signals"][name])
    evaluation = evaluate(nights[:1], load_weights(small_folder))
    assert (evaluation.pooled["epochs"] == [13, 15, 15]).all()
