"""Stages, breathing and apneas of simulated nights, and their effects on the heart."""

import numpy as np
import pytest

from mne_wav2sleep.simulation import (
    OLDER_WEARABLE,
    Population,
    draw_subject,
    simulate_activity,
    simulate_beats,
    simulate_breathing,
    simulate_stages,
)
from mne_wav2sleep.simulation.physiology import GRID_HZ


def test_nights_begin_awake_with_deep_sleep_early_and_rem_late():
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


def average_by_stage(values, times, stages):
    """Average values by the stage at their times."""
    stage = stages[np.minimum((times / 30).astype(int), stages.size - 1)]
    return np.array([values[stage == s].mean() for s in range(5)])


def test_beats_and_breaths_are_physiological_and_depend_on_the_stages():
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
        rates.append(60 / average_by_stage(rr, beats[1:], stages))
        rmssds.append(np.sqrt(average_by_stage(np.diff(rr) ** 2, beats[2:], stages)))
        starts = np.interp(
            np.arange(1, breathing.phase[-1]), breathing.phase, np.arange(breathing.phase.size) / 4
        )
        length = np.diff(starts)
        assert 1.2 < length.min() < length.max() < 15
        deviation = np.abs(length / np.median(length) - 1)
        breath_cvs.append(average_by_stage(deviation, starts[1:], stages))
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


def test_apneas_reduce_breathing_and_are_followed_by_a_faster_heart_rate():
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
