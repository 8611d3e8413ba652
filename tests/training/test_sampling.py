"""Order of nights, and training examples."""

from dataclasses import replace

import numpy as np
import pytest
from builders import START, make_hypnogram, make_raw, toy_recordings

from mne_wav2sleep import Modality, add_modality
from mne_wav2sleep.cautions import keep_cautions
from mne_wav2sleep.cohorts import Night, prepare_nights
from mne_wav2sleep.recordings import open_recording
from mne_wav2sleep.recordings.channels import map_channels
from mne_wav2sleep.recordings.opening import set_rates
from mne_wav2sleep.recordings.reading import read_signals
from mne_wav2sleep.signals import Validity
from mne_wav2sleep.signals.batch import make_batch
from mne_wav2sleep.training import Masking
from mne_wav2sleep.training.sampling import (
    Draw,
    NightDataset,
    PassSampler,
    WindowDataset,
    make_loader,
)

pytestmark = toy_recordings


def flatten(sampler):
    return [draw for step in sampler for draw in step]


def test_draws_depend_only_on_seed_and_pass(nights):
    def draw(**kwargs):
        return flatten(PassSampler(nights, None, 2, **{"seed": 1, "number": 0} | kwargs))

    assert draw() == draw()
    assert draw() != draw(number=1) != draw(seed=2)
    assert sorted(d.night for d in draw()) == list(range(6))
    # Two processes share the draws of one with twice the batch size.
    halves = [
        flatten(PassSampler(nights, None, 1, seed=1, number=0, rank=r, n_processes=2))
        for r in (0, 1)
    ]
    assert [d for pair in zip(*halves, strict=True) for d in pair] == draw()


@pytest.mark.parametrize("n_processes", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 4, 16])
def test_every_night_is_used_once_in_steps_of_one_size(batch_size, n_processes, nights):
    for n in range(1, 7):
        ranks = [
            list(PassSampler(nights[:n], None, batch_size, seed=1, number=3, rank=r, **processes))
            for r in range(n_processes)
            for processes in [{"n_processes": n_processes}]
        ]
        steps = [[d for share in shares for d in share] for shares in zip(*ranks, strict=True)]
        used = [d for step in steps for d in step if d.counts]
        assert sorted(d.night for d in used) == list(range(n))
        assert len({d.seed for d in used}) == n
        sizes = [sum(d.counts for d in step) for step in steps]
        assert max(sizes) - min(sizes) <= 1
        assert len(steps) == -(-n // (batch_size * n_processes))
        # Each process has something to compute, but not more than it has memory for.
        assert all(1 <= len(share) <= batch_size for shares in ranks for share in shares)


def test_a_night_that_stands_in_for_a_share_does_not_count(nights):
    options = {"crop": None, "padded_epochs": 0, "masking": Masking.off()}
    dataset = NightDataset(nights, ["ECG", "PPG"], 4, **options)
    assert (dataset[Draw(0, (1,))]["stages"] >= 0).any()
    assert (dataset[Draw(0, (1,), counts=False)]["stages"] == -1).all()


def test_the_number_of_the_pass_is_that_which_lightning_tells(nights):
    sampler = PassSampler(nights, None, 4, seed=1, number=0)
    sampler.sampler.set_epoch(2)
    assert list(sampler) == list(PassSampler(nights, None, 4, seed=1, number=2))


def test_datasets_are_drawn_by_weight(nights):
    weights = {"first": 1.0, "second": 3.0}
    drawn = [
        nights[d.night].dataset
        for number in range(300)
        for d in flatten(PassSampler(nights, weights, 2, seed=0, number=number))
    ]
    assert abs(np.mean([d == "second" for d in drawn]) - 0.75) < 0.05


def test_nights_with_too_few_stages_are_refused(make_nights, tmp_path):
    (five,) = make_nights(subjects="a")
    four = Night(five.recording, five.hypnogram.consolidate_stages(4), "a")
    prepared = prepare_nights([four], tmp_path)
    with pytest.raises(ValueError, match=r"cohort/a.*scored with 4 stages"):
        NightDataset(prepared, ["ECG"], 5, crop=None, padded_epochs=0, masking=Masking.off())


def test_examples_are_cropped_masked_and_inverted_by_their_seed(nights):
    options = {"crop": 12, "padded_epochs": 0}
    names = ["ABD", "ECG", "PPG", "THX"]
    plain = NightDataset(nights, names, 4, masking=Masking.off(), **options)
    masked = NightDataset(nights, names, 4, masking=Masking(drop={"ECG": 1.0}, flip=1.0), **options)
    item, same, other = plain[Draw(0, (1,))], plain[Draw(0, (1,))], plain[Draw(0, (3,))]
    np.testing.assert_array_equal(item["signals"]["ECG"], same["signals"]["ECG"])
    assert set(item["signals"]) == {"ECG", "THX"}
    assert not np.array_equal(item["signals"]["ECG"], other["signals"]["ECG"])
    found = masked[Draw(0, (1,))]["signals"]
    assert set(found) == {"THX"}
    np.testing.assert_array_equal(found["THX"], -item["signals"]["THX"])


def test_signals_whose_sign_has_a_meaning_are_not_inverted(make_nights, tmp_path):
    add_modality(Modality("ACT", "activity counts", 32, 1 / 60, flat_s=None))
    (night,) = make_nights(("ECG", "Thor", "Act"), "a")
    [night] = prepare_nights([replace(night, ch_names={"ACT": "Act"})], tmp_path)
    assert night.modalities == ("ACT", "ECG", "THX")
    plain, flipped = (
        NightDataset([night], night.modalities, 4, crop=None, padded_epochs=0, masking=masking)[0]
        for masking in (Masking.off(), Masking(drop={}, flip=1.0))
    )
    for name, sign in (("ACT", 1), ("ECG", -1), ("THX", -1)):
        assert plain["signals"][name].any()
        np.testing.assert_array_equal(flipped["signals"][name], sign * plain["signals"][name])


def test_whole_nights_are_padded_as_the_weights_say(nights):
    dataset = NightDataset(nights, ["THX"], 4, crop=None, padded_epochs=25, masking=Masking.off())
    assert [dataset[i]["stages"].size for i in range(6)] == [25] * 6
    batches = list(make_loader(dataset, None, 4, n_workers=0))
    shapes = [[tuple(batch["x"]["THX"].shape) for batch in step] for step in batches]
    assert shapes == [[(4, 25 * 256)], [(2, 25 * 256)]]


def test_nights_of_one_step_are_not_padded_to_each_other(nights):
    dataset = NightDataset(nights, ["THX"], 4, crop=None, padded_epochs=0, masking=Masking.off())
    (step,) = make_loader(dataset, None, 6, n_workers=0)  # of 20 and of 17 epochs
    assert [tuple(batch["stages"].shape) for batch in step] == [(3, 17), (3, 20)]


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A night that drifts, and has a gap where its two windows overlap."""
    raw = make_raw(("Thor",), sfreq=8.0, seconds=1500 * 30, types="eeg", start=START)
    raw._data[0] += np.linspace(0, 5, raw.n_times) * raw._data[0].std()
    raw._data[0, 20_000 * 8 : 24_000 * 8] = np.nan
    night = Night(raw, make_hypnogram(1500), "a")
    with pytest.warns(RuntimeWarning, match="133 of 1500 epochs are masked"):
        return raw, prepare_nights([night], tmp_path_factory.mktemp("long"), dtype="float32")


def stage(raw, first, last, padding):
    """Give what the network sees when a window of a recording is staged."""
    recording = open_recording(raw)
    channels = set_rates(recording, map_channels(recording.raw, {}))
    with keep_cautions([], show=False):
        signals = read_signals(recording, channels, Validity(), start=first * 30, stop=last * 30)
    x, available = make_batch(signals, **padding)
    return x["THX"][0], available["THX"][0]


@pytest.mark.parametrize(("padded_epochs", "fill"), [(0, "mean"), (1300, "mean"), (1300, "last")])
def test_of_a_long_night_the_network_sees_what_it_would_see_in_staging(padded_epochs, fill, long):
    raw, nights = long
    padding = {"padded_epochs": padded_epochs, "padding": fill}
    training = NightDataset(nights, ["THX"], 4, crop=None, masking=Masking.off(), **padding)
    validation = WindowDataset(nights, ["THX"], 4, **padding)
    drawn = [int(np.random.default_rng((seed,)).integers(301)) for seed in (0, 1)]
    assert drawn[0] != drawn[1]
    items = [training[Draw(0, (seed,))] for seed in (0, 1)] + [validation[i] for i in (0, 1)]
    assert len(validation) == 2
    for first, item in zip([*drawn, 0, 300], items, strict=True):
        x, available = stage(raw, first, first + 1200, padding)
        differ = np.flatnonzero(np.abs(item["signals"]["THX"] - x) > 1e-3)
        assert differ.size <= 4  # interpolated over the edges of the gap and of the window
        np.testing.assert_array_equal(item["measured"]["THX"], available)
        assert item["stages"].size == max(1200, padded_epochs)


def test_each_scored_epoch_of_a_long_night_is_validated_once(long):
    _, (night,) = long
    dataset = WindowDataset([night], ["THX"], 4, padded_epochs=0)
    first, second = (dataset[i]["stages"] for i in (0, 1))
    expected = night.read_stages(4)
    expected[~night.read_measured("THX")] = -1
    np.testing.assert_array_equal(first, np.r_[expected[:750], np.full(450, -1)])
    np.testing.assert_array_equal(second, np.r_[np.full(450, -1), expected[750:]])
    np.testing.assert_equal(dataset[1], dataset[1])  # the same in every pass


def test_nights_of_up_to_12_h_are_validated_as_before(make_nights, nights, tmp_path):
    night = prepare_nights(make_nights(("Thor",), "a", epochs=1440), tmp_path)
    whole = {"crop": None, "masking": Masking.off()}
    for chosen, padded in ((night, 1200), (nights, 25)):
        one = WindowDataset(chosen, ["ABD", "ECG", "PPG", "THX"], 4, padded_epochs=padded)
        other = NightDataset(chosen, ["ABD", "ECG", "PPG", "THX"], 4, padded_epochs=padded, **whole)
        assert len(one) == len(other)
        for i in range(len(one)):
            np.testing.assert_equal(one[i], other[i])
