"""Schedules of small and large cohorts."""

from dataclasses import replace

import pytest

from mne_wav2sleep.training import FINE_TUNING, TrainingSettings
from mne_wav2sleep.training.schedule import Schedule, resolve_settings


@pytest.mark.parametrize(
    ("settings", "n_nights", "n_processes", "expected"),
    [
        (TrainingSettings(), 8, 1, (1, 5)),
        (TrainingSettings(), 100, 1, (7, 35)),
        (TrainingSettings(), 100, 2, (4, 20)),
        (TrainingSettings(), 6384, 1, (399, 1995)),
        (TrainingSettings(), 6400, 1, (400, 2000)),
        (TrainingSettings(), 10_000, 1, (625, 2000)),
        (FINE_TUNING, 5, 1, (5, 10)),
        (FINE_TUNING, 10, 1, (10, 20)),
        (replace(FINE_TUNING, max_passes=1), 9, 1, (9, 0)),
    ],
)
def test_a_run_warms_up_in_a_tenth_of_its_steps(settings, n_nights, n_processes, expected):
    schedule = resolve_settings(settings, n_nights, n_processes)
    assert (schedule.steps_per_pass, schedule.warmup_steps) == expected
    n_steps = schedule.steps_per_pass * settings.max_passes
    rates = [schedule.compute_factor(step) for step in range(n_steps)]
    assert max(rates) == 1
    assert rates.index(1) == max(expected[1] - 1, 0)


def test_the_schedule_is_described():
    assert Schedule(1, 5, 6000).describe() == (
        "1 step per pass; the learning rate rises over 5 steps, and then falls by a factor of e "
        "every 6000 steps."
    )
    assert Schedule(2, 0, 50).describe() == (
        "2 steps per pass; the learning rate falls by a factor of e every 50 steps."
    )
