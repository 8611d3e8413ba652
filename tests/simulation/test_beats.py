"""Heart beats: rhythms, and beats from heart rates."""

import numpy as np
import pytest

from mne_wav2sleep.simulation import (
    beats_from_heart_rate,
    breathing_from_beats,
    simulate_beats,
    simulate_breathing,
)


def measure_variation(beats):
    """Measure irregularity: median change of successive intervals over the median interval."""
    rr = np.diff(beats)
    return np.median(np.abs(np.diff(rr))) / np.median(rr)


def test_rhythms():
    stages = np.full(60, 2)
    beats, kinds = {}, {}
    for rhythm in ("sinus", "atrial_fibrillation", "ectopy", "paced"):
        rng = np.random.default_rng(5)
        beats[rhythm], kinds[rhythm] = simulate_beats(stages, rng=rng, rhythm=rhythm)
    assert measure_variation(beats["atrial_fibrillation"]) > 4 * measure_variation(beats["sinus"])
    assert {"V", "N"} <= set(kinds["ectopy"])
    early = kinds["ectopy"] == "V"
    before = np.diff(beats["ectopy"], prepend=-1)[early]
    after = np.diff(beats["ectopy"], append=9e9)[early]
    assert (before < after).mean() > 0.95
    assert set(kinds["paced"]) == {"/"}
    assert np.diff(beats["paced"]).max() < 1.3


def test_beats_simulated_from_a_heart_rate_follow_it():
    at = np.arange(0, 1200, 5.0)
    bpm = 60 + 10 * (at > 600)
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(at.size)
    beats, _ = beats_from_heart_rate(at[shuffled], bpm[shuffled], duration=1200, rng=rng)
    assert np.sum(beats < 590) == pytest.approx(590, rel=0.02)
    assert np.sum(beats > 610) == pytest.approx(590 * 70 / 60, rel=0.02)
    assert np.diff(np.diff(beats)).std() > 0.005


def test_breathing_derived_from_beats_has_the_same_rate():
    rng = np.random.default_rng(3)
    stages = np.full(40, 3)
    breathing = simulate_breathing(stages, rng=rng)
    beats, _ = simulate_beats(stages, rng=rng, breathing=breathing)
    implied = breathing_from_beats(beats, duration=1200, rng=rng)
    assert implied.phase.shape == breathing.phase.shape
    assert np.ptp(implied.phase) == pytest.approx(np.ptp(breathing.phase), rel=0.1)
    assert (np.diff(implied.phase) >= 0).all()


def test_arguments_are_checked():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="0 \\(WAKE\\) to 4"):
        simulate_beats([5], rng=rng)
    with pytest.raises(ValueError, match="one length"):
        beats_from_heart_rate([0, 1], [60], duration=30, rng=rng)
    with pytest.raises(ValueError, match="10 ascending times"):
        breathing_from_beats([1, 2], duration=30, rng=rng)
