"""Simulated recordings: seeds, annotations, sensor failures, and arguments."""

import numpy as np
import pytest
import yasa

from mne_wav2sleep import match_channels, simulate_night


def read_stages(raw):
    """Read the stage of each epoch from the annotations."""
    texts = {"W": 0, "1": 1, "2": 2, "3": 3, "R": 4, "?": -1}
    runs = [a for a in raw.annotations if a["description"].startswith("Sleep stage")]
    return np.concatenate(
        [np.full(round(a["duration"] / 30), texts[a["description"][-1]]) for a in runs]
    )


def test_the_same_seed_gives_the_same_night_bit_for_bit():
    night = {"duration": 1800, "sfreq": 64, "sensor_failures": 1, "apnea_index": 20}
    first, again, other = (simulate_night(seed=s, **night) for s in (3, 3, 4))
    assert (first.get_data() == again.get_data()).all()
    assert first.annotations == again.annotations
    assert first.info["description"] == again.info["description"]
    assert not (first.get_data() == other.get_data()).any()


def test_a_signal_does_not_depend_on_the_others():
    both = simulate_night(duration=600, seed=0)
    alone = simulate_night(duration=600, seed=0, modalities=["PPG"])
    assert alone.ch_names == ["Pleth"]
    assert (alone.get_data() == both.get_data(["Pleth"])).all()


def test_the_recording_is_labeled_as_simulated_and_all_signals_are_mapped():
    raw = simulate_night(duration=600, seed=0)
    assert raw.info["description"].startswith("Simulated")
    assert raw.info["meas_date"].hour == 22
    assert raw.times[-1] == pytest.approx(600, abs=0.01)
    assert np.isfinite(raw.get_data()).all()
    assert match_channels(raw)["channel"].to_dict() == {
        "ABD": "Abdomen",
        "ECG": "ECG",
        "PPG": "Pleth",
        "THX": "Thorax",
    }


@pytest.mark.parametrize("n_stages", [4, 5])
def test_a_given_hypnogram_is_annotated(n_stages):
    values = {
        5: ["WAKE", "N1", "N2", "N2", "N3", "UNS", "REM", "REM", "WAKE"],
        4: ["WAKE", "LIGHT", "LIGHT", "DEEP", "UNS", "REM"],
    }[n_stages]
    hyp = yasa.Hypnogram(values, n_stages=n_stages)
    raw = simulate_night(hyp, duration=7, seed=0, sfreq=32)
    names = {"LIGHT": 2, "DEEP": 3, "WAKE": 0, "N1": 1, "N2": 2, "N3": 3, "REM": 4, "UNS": -1}
    assert read_stages(raw).tolist() == [names[v] for v in values]
    assert raw.n_times == 30 * 32 * len(values)


def test_failed_sensors_are_flat_or_noise_where_annotated():
    found = set()
    for seed in range(8):
        raw = simulate_night(duration=3600, seed=seed, sfreq=32, sensor_failures=2)
        healthy = simulate_night(duration=3600, seed=seed, sfreq=32).get_data()
        failed = [a for a in raw.annotations if a["description"].startswith("Sensor failure")]
        assert len(failed) == 2
        touched = np.zeros(healthy.shape, dtype=bool)
        for failure in failed:
            (channel,) = failure["ch_names"]
            row = raw.ch_names.index(channel)
            start = round(failure["onset"] * 32)
            stop = start + round(failure["duration"] * 32)
            touched[row, start:stop] = True
            found.add(failure["description"])
            if failure is failed[-1] and failure["description"].endswith("flat"):
                assert np.ptp(raw.get_data()[row, start:stop]) == 0
        assert (raw.get_data()[~touched] == healthy[~touched]).all()
        assert touched.sum(axis=1).max() < 0.6 * raw.n_times
    assert found == {"Sensor failure: flat", "Sensor failure: noise"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"duration": 20}, "at least one epoch"),
        ({"modalities": ["EEG"]}, "some of ABD, ECG, PPG, THX"),
        ({"modalities": []}, "some of ABD"),
        ({"rhythm": "tango"}, "one of sinus, atrial_fibrillation"),
        ({"sfreq": 0}, "at least 2 Hz"),
        ({"apnea_index": -1}, "must not be negative"),
        ({"age": 3}, "from 15 to 110"),
        ({"hyp": yasa.Hypnogram(["W", "S"], n_stages=2)}, "4 or 5 stages"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        simulate_night(**arguments)


def test_stages_that_are_not_a_hypnogram_are_refused():
    with pytest.raises(TypeError, match=r"yasa\.Hypnogram"):
        simulate_night(["W", "N1"])
