"""Simulated nights: known stages, plausible bodies, recordings that look like recordings."""

import numpy as np
import pytest
import yasa
from builders import SHARED
from scipy.signal import butter, find_peaks, sosfiltfilt

from mne_wav2sleep import match_channels, simulate_night
from mne_wav2sleep.simulation import (
    OLDER_WEARABLE,
    Population,
    beats_from_heart_rate,
    breathing_from_beats,
    draw_subject,
    render_belt,
    render_ecg,
    render_ppg,
    simulate_activity,
    simulate_beats,
    simulate_breathing,
    simulate_stages,
)
from mne_wav2sleep.simulation.physiology import GRID_HZ


def stages_of(raw):
    """Stages per epoch, from the annotations."""
    texts = {"W": 0, "1": 1, "2": 2, "3": 3, "R": 4, "?": -1}
    runs = [a for a in raw.annotations if a["description"].startswith("Sleep stage")]
    return np.concatenate(
        [np.full(round(a["duration"] / 30), texts[a["description"][-1]]) for a in runs]
    )


def test_same_seed_same_night_to_the_bit():
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


def test_the_recording_says_what_it_is_and_all_four_signals_are_found():
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
def test_a_given_hypnogram_comes_back_as_annotations(n_stages):
    values = {
        5: ["WAKE", "N1", "N2", "N2", "N3", "UNS", "REM", "REM", "WAKE"],
        4: ["WAKE", "LIGHT", "LIGHT", "DEEP", "UNS", "REM"],
    }[n_stages]
    hyp = yasa.Hypnogram(values, n_stages=n_stages)
    raw = simulate_night(hyp, duration=7, seed=0, sfreq=32)
    names = {"LIGHT": 2, "DEEP": 3, "WAKE": 0, "N1": 1, "N2": 2, "N3": 3, "REM": 4, "UNS": -1}
    assert stages_of(raw).tolist() == [names[v] for v in values]
    assert raw.n_times == 30 * 32 * len(values)


def test_a_night_begins_awake_with_deep_sleep_early_and_rem_late():
    nights = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        nights.append(simulate_stages(960, rng=rng, subject=draw_subject(rng, age=40)))
    assert all(night[0] == 0 for night in nights)
    first, last = np.array(nights)[:, :320], np.array(nights)[:, -320:]
    assert (first == 3).sum() > 1.5 * (last == 3).sum()
    assert (last == 4).sum() > 1.5 * (first == 4).sum()
    share = np.bincount(np.concatenate(nights), minlength=5) / (6 * 960)
    assert (share > [0.04, 0.03, 0.3, 0.05, 0.08]).all()
    assert (share < [0.35, 0.15, 0.6, 0.35, 0.3]).all()


def mean_in_stages(values, times, stages):
    """Mean of values at some times, in each stage."""
    stage = stages[np.minimum((times / 30).astype(int), stages.size - 1)]
    return np.array([values[stage == s].mean() for s in range(5)])


def test_beats_and_breaths_are_those_of_sleepers_and_follow_the_stages():
    stages = np.tile(np.repeat([0, 1, 2, 3, 4], 20), 4)
    rates, rmssds, breath_cvs = [], [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        subject = draw_subject(rng)
        breathing = simulate_breathing(stages, rng=rng, subject=subject)
        beats, kinds = simulate_beats(stages, rng=rng, subject=subject, breathing=breathing)
        rr = np.diff(beats)
        assert (60 / rr > 20).all()
        assert (60 / rr < 220).all()
        assert set(kinds) == {"N"}
        rates.append(60 / mean_in_stages(rr, beats[1:], stages))
        rmssds.append(np.sqrt(mean_in_stages(np.diff(rr) ** 2, beats[2:], stages)))
        starts = np.interp(
            np.arange(1, breathing.phase[-1]), breathing.phase, np.arange(breathing.phase.size) / 4
        )
        length = np.diff(starts)
        assert 1.2 < length.min() < length.max() < 15
        deviation = np.abs(length / np.median(length) - 1)
        breath_cvs.append(mean_in_stages(deviation, starts[1:], stages))
    rate, rmssd, cv = (np.median(x, axis=0) for x in (rates, rmssds, breath_cvs))
    assert 50 < rate[2] < 75
    assert rate[4] > rate[2] + 0.5
    assert rate[0] > rate[2] + 1.5
    assert 0.01 < rmssd[2] < 0.08
    assert cv[3] < cv[2] < cv[4] < cv[0]


def test_a_population_without_stage_effects_has_none():
    stages = np.tile(np.repeat([2, 4], 60), 4)
    rng = np.random.default_rng(0)
    subject = draw_subject(rng, population=Population(stage_effect=0))
    assert (subject.stage_heart_rate == 0).all()
    assert (subject.stage_lf == 1).all()
    other = draw_subject(np.random.default_rng(0), population=OLDER_WEARABLE)
    assert other.age > 64
    breathing = simulate_breathing(stages, rng=rng, subject=subject)
    assert np.ptp(breathing.rib_cage) == 0


def variation(beats):
    """How irregular beats are: median of successive changes over the median interval."""
    rr = np.diff(beats)
    return np.median(np.abs(np.diff(rr))) / np.median(rr)


def test_rhythms():
    stages = np.full(60, 2)
    beats, kinds = {}, {}
    for rhythm in ("sinus", "atrial_fibrillation", "ectopy", "paced"):
        rng = np.random.default_rng(5)
        beats[rhythm], kinds[rhythm] = simulate_beats(stages, rng=rng, rhythm=rhythm)
    assert variation(beats["atrial_fibrillation"]) > 4 * variation(beats["sinus"])
    assert {"V", "N"} <= set(kinds["ectopy"])
    early = kinds["ectopy"] == "V"
    before = np.diff(beats["ectopy"], prepend=-1)[early]
    after = np.diff(beats["ectopy"], append=9e9)[early]
    assert (before < after).mean() > 0.95
    assert set(kinds["paced"]) == {"/"}
    assert np.diff(beats["paced"]).max() < 1.3


def test_apneas_flatten_the_belt_and_slow_then_quicken_the_heart():
    stages = np.full(240, 2)
    rng = np.random.default_rng(2)
    subject = draw_subject(rng)
    breathing = simulate_breathing(stages, rng=rng, subject=subject, apnea_index=30)
    assert len(breathing.events) == pytest.approx(60, abs=10)
    time = np.arange(breathing.depth.size) / GRID_HZ
    inside = (
        (time[:, None] >= breathing.events[:, 0]) & (time[:, None] < breathing.events[:, 1])
    ).any(1)
    assert breathing.depth[inside].mean() < 0.6 * breathing.depth[~inside].mean()
    activity = simulate_activity(stages, rng=rng, subject=subject, events=breathing.events)
    beats, _ = simulate_beats(
        stages, rng=rng, subject=subject, breathing=breathing, activity=activity
    )
    bpm = np.interp(time, beats[1:], 60 / np.diff(beats))
    ends = (breathing.events[:, 1] * GRID_HZ).astype(int)
    ends = ends[ends + 60 < bpm.size]
    course = np.mean([bpm[end - 40 : end + 60] for end in ends], axis=0)
    assert course[60:80].mean() > course[20:40].mean() + 3


def test_a_failed_sensor_is_flat_or_noise_where_the_annotations_say_so():
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


def test_pulses_follow_the_beats_by_the_pulse_delay():
    beats = np.cumsum(np.random.default_rng(0).uniform(0.8, 1.0, 100))
    calm = Population(noise=0, inverted=0, pulse_delay=(0.22, 0.0))
    ppg = render_ppg(beats, duration=80, sfreq=100, rng=np.random.default_rng(1), population=calm)
    peaks = find_peaks(ppg, distance=50)[0] / 100
    delay = peaks[np.searchsorted(peaks, beats[2:70])] - beats[2:70]
    assert np.std(delay) < 0.04
    assert 0.25 < np.median(delay) < 0.5


def test_two_rates_show_the_same_wave():
    beats = np.arange(0.5, 60, 0.9)
    silent = Population(noise=0)
    fast, slow = (
        render_ecg(beats, duration=60, sfreq=s, rng=np.random.default_rng(1), population=silent)
        for s in (256, 64)
    )
    assert np.abs(fast[::4] - slow).max() < 1e-3 * np.ptp(fast)


def test_belts_move_together_unless_breathing_is_obstructed():
    rng = np.random.default_rng(0)
    breathing = simulate_breathing(np.full(20, 2), rng=rng)
    calm = Population(noise=0, inverted=0)
    thorax, abdomen = (
        render_belt(breathing, duration=600, sfreq=16, rng=rng, place=p, population=calm)
        for p in ("thorax", "abdomen")
    )
    assert np.corrcoef(thorax, abdomen)[0, 1] > 0.7


def test_invented_beats_follow_a_heart_rate():
    at = np.arange(0, 1200, 5.0)
    bpm = 60 + 10 * (at > 600)
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(at.size)
    beats, _ = beats_from_heart_rate(at[shuffled], bpm[shuffled], duration=1200, rng=rng)
    assert np.sum(beats < 590) == pytest.approx(590, rel=0.02)
    assert np.sum(beats > 610) == pytest.approx(590 * 70 / 60, rel=0.02)
    assert np.diff(np.diff(beats)).std() > 0.005


def test_beats_tell_how_fast_the_sleeper_breathes():
    rng = np.random.default_rng(3)
    stages = np.full(40, 3)
    breathing = simulate_breathing(stages, rng=rng)
    beats, _ = simulate_beats(stages, rng=rng, breathing=breathing)
    implied = breathing_from_beats(beats, duration=1200, rng=rng)
    assert implied.phase.shape == breathing.phase.shape
    assert np.ptp(implied.phase) == pytest.approx(np.ptp(breathing.phase), rel=0.1)
    assert (np.diff(implied.phase) >= 0).all()


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
def test_a_bad_argument_gets_a_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        simulate_night(**arguments)


def test_bad_arguments_of_the_pieces():
    rng = np.random.default_rng(0)
    with pytest.raises(TypeError, match=r"yasa\.Hypnogram"):
        simulate_night(["W", "N1"])
    with pytest.raises(ValueError, match="0 \\(WAKE\\) to 4"):
        simulate_beats([5], rng=rng)
    with pytest.raises(ValueError, match="ascending times"):
        render_ecg([2.0, 1.0], duration=3, sfreq=64, rng=rng)
    with pytest.raises(ValueError, match="kind of each of the 1 beats"):
        render_ecg([1.0], duration=3, sfreq=64, rng=rng, kinds=["N", "V"])
    breathing = simulate_breathing([2], rng=rng)
    with pytest.raises(ValueError, match="less than the duration of 60 s"):
        render_ppg([1.0], duration=60, sfreq=64, rng=rng, breathing=breathing)
    with pytest.raises(ValueError, match="'thorax' or 'abdomen'"):
        render_belt(breathing, duration=30, sfreq=64, rng=rng, place="neck")
    with pytest.raises(ValueError, match="one length"):
        beats_from_heart_rate([0, 1], [60], duration=30, rng=rng)
    with pytest.raises(ValueError, match="10 ascending times"):
        breathing_from_beats([1, 2], duration=30, rng=rng)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the real beats")
def test_an_ecg_on_real_beats_peaks_at_the_beats():
    record = np.load(SHARED / "realdata" / "slpdb" / "slp41.npz")
    beats = record["beat_times_s"]
    beats = beats[beats < 600]
    lead = Population(ecg_leads=("II",), inverted=0)
    rng = np.random.default_rng(0)
    ecg = render_ecg(beats, duration=600, sfreq=128, rng=rng, population=lead)
    sos = butter(2, (8, 30), "bandpass", fs=128, output="sos")
    sharp = sosfiltfilt(sos, ecg)
    peaks = find_peaks(sharp, height=0.4 * np.percentile(sharp, 99.8), distance=40)[0] / 128
    distance = np.abs(beats[:, None] - peaks[None]).min(axis=1)
    assert (distance < 0.03).mean() > 0.98
    assert abs(peaks.size - beats.size) < 0.03 * beats.size
