"""Sensors of the experiments: of the same night as other signals, and no giveaway of stages."""

import nights
import numpy as np
import pytest
import sensors
import yasa
from builders import START, make_hypnogram, make_raw
from scales import CohortSize
from scipy import signal

from mne_wav2sleep import Modality, Vocabulary, add_modality, remove_modality, write_hypnogram
from mne_wav2sleep.simulation import Population, simulate_night
from mne_wav2sleep.simulation.night import annotate_stages
from mne_wav2sleep.simulation.physiology import Activity

STAGES = np.repeat([0, 2, 3, 2, 4], 24)
SFREQ = 64.0


@pytest.fixture
def known():
    """An EEG and activity, as the study defines them."""
    add_modality(Modality("EEG", "x", 2048, 60.0, Vocabulary(names=("c4",)), in_volts=True))
    words = Vocabulary(names=("activity",), mne_types=("misc",))
    others = ("another sensor",)
    add_modality(Modality("ACT", "x", 32, 0.016, words, flat_s=None, allowed_lookalikes=others))


@pytest.fixture
def size():
    return CohortSize(
        about="tiny",
        modalities=["ACT", "EEG", "THX"],
        n_training=1,
        n_validation=1,
        n_test=1,
        apnea_index=10.0,
        hours=(1.0, 1.0),
    )


def make_still(stages):
    """Make the movements of a body that does not move."""
    n = stages.size * 120 + 1
    return Activity(np.zeros(n), np.zeros(n), np.zeros(n, dtype=int))


@pytest.mark.parametrize("given", [None, STAGES])
def test_stages_and_movements_are_those_of_the_night(given):
    """Which is simulated again: where the belt has artifacts, there was a movement."""
    made_from = {"duration": 7200.0, "seed": 5, "apnea_index": 5.0, "population": Population()}
    hyp = None
    if given is not None:
        hyp = yasa.Hypnogram([nights.STAGES[stage] for stage in given], n_stages=5)
    raw = simulate_night(hyp, modalities=["ABD"], sfreq=SFREQ, verbose="error", **made_from)
    stages, activity = sensors.recall_activity(given, **made_from)
    known = annotate_stages(stages)
    assert known.description.tolist() == raw.annotations.description.tolist()
    assert known.onset.tolist() == raw.annotations.onset.tolist()
    movement = activity.movement[:-1].reshape(-1, 40).mean(1)  # of 10 s
    sos = signal.butter(2, 2.0, "highpass", fs=SFREQ, output="sos")
    belt = signal.sosfiltfilt(sos, raw.get_data()[0]).reshape(movement.size, -1).std(1)
    assert np.corrcoef(np.log(belt), movement > 0.1)[0, 1] > 0.7


def measure_bands(eeg):
    """Measure the logarithm of the power of each band in each epoch."""
    f, power = signal.welch(eeg.reshape(-1, int(30 * SFREQ)), SFREQ, nperseg=256)
    bands = [(f >= low) & (f < high) for low, high in sensors._BANDS.values()]
    return np.log(np.stack([power[:, band].sum(1) for band in bands], 1))


def test_an_eeg_shows_stages_but_not_plainly():
    people = range(12)
    stages = np.tile(np.repeat([0, 1, 2, 3, 4], 12), 4)
    bands = []
    for person in people:
        rng = np.random.default_rng(person)
        bands.append(measure_bands(sensors.render_eeg(stages, make_still(stages), SFREQ, rng)))
    delta = np.array([[one[stages == s, 0].mean() for s in range(5)] for one in bands])
    assert (delta[:, 3] > delta[:, 0]).all()  # slow waves of N3, in each person
    # The nearest of the mean bands of the others finds the stage often, but not always.
    right = []
    for person in people:
        others = np.concatenate([bands[p] for p in people if p != person])
        repeated = np.tile(stages, len(people) - 1)
        means = np.array([others[repeated == s].mean(0) for s in range(5)])
        distance = ((bands[person][:, None] - means) ** 2).sum(2)
        right.append((distance.argmin(1) == stages).mean())
    assert 0.4 < np.mean(right) < 0.85
    assert np.std(right) > 0.03


def test_counts_are_of_movements():
    n_epochs = 240
    stages = np.full(n_epochs, 2)
    activity = make_still(stages)
    activity.movement[4000:4200] = 1.0  # 50 s
    found = []
    for seed in range(8):
        counts = sensors.render_counts(stages, activity, SFREQ, np.random.default_rng(seed))
        assert counts.shape == (n_epochs * 30 * SFREQ,)
        assert (counts == np.floor(counts)).all()
        assert 0 <= counts.min() <= counts.max() <= 255
        assert (counts == 0).mean() > 0.9  # flat for hours
        found.append(counts[1000 * 64 : 1050 * 64].mean())
    assert 4 <= np.count_nonzero(np.array(found) > 5) < 8  # not every movement is of the wrist


def test_a_night_has_the_sensors_of_its_cohort(size, known):
    raw = nights.simulate(size, "D", 1, None)
    assert raw.ch_names == ["Thorax", "Activity", "C4-M1"]
    assert raw.get_channel_types() == ["resp", "misc", "eeg"]
    assert 5e-6 < raw.get_data("C4-M1").std() < 2e-4  # V
    # The belt is the one that it would be alone, and so is each sensor.
    for name, channel in (("THX", "Thorax"), ("EEG", "C4-M1")):
        modalities = sorted({"THX", name})
        alone = nights.simulate(size.model_copy(update={"modalities": modalities}), "D", 1, None)
        np.testing.assert_array_equal(alone.get_data(channel), raw.get_data(channel))


def test_nights_depend_on_the_definitions(size, known, tmp_path):
    first = nights.simulate_cohort(size, "D", None, tmp_path)
    assert first.origin["modalities"] == ["ACT", "EEG", "THX"]
    [night] = first.parts["test"]
    assert night.read_signals(["EEG"])["EEG"].size == night.n_epochs * 2048
    remove_modality("EEG")
    add_modality(Modality("EEG", "x", 512, 60.0, Vocabulary(names=("c4",)), in_volts=True))
    other = nights.simulate_cohort(size, "D", None, tmp_path)
    assert other.origin["key"] != first.origin["key"]
    [night] = other.parts["test"]
    assert night.read_signals(["EEG"])["EEG"].size == night.n_epochs * 512


def test_recorded_nights_have_the_signals_of_the_cohort(size, known, tmp_path):
    lines = ["recording,hypnogram,subject,EEG,PPG"]
    for i in range(3):
        raw = make_raw(("Thor", "C4-M1"), seconds=300, start=START, seed=i)
        raw.export(tmp_path / f"{i}.edf", verbose="error")
        write_hypnogram(make_hypnogram(10, seed=i), tmp_path / f"{i}.csv")
        lines.append(f"{i}.edf,{i}.csv,p{i},auto,none")
    (tmp_path / "nights.csv").write_text("\n".join(lines), encoding="utf-8")
    found = nights.read_cohort(size, "D", tmp_path / "nights.csv", tmp_path / "prepared")
    assert found.origin["modalities"] == ["EEG", "THX"]


def test_a_sensor_that_nobody_can_render_is_named(size):
    size = size.model_copy(update={"modalities": ["SCG", "THX"]})
    with pytest.raises(ValueError, match=r"SCG cannot be simulated.*--cohort"):
        nights.simulate(size, "D", 1, None)
