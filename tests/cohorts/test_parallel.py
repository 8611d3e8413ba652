"""Tasks that run on joblib's backends."""

import os
import signal
import time

import joblib
import pytest

from mne_wav2sleep.cohorts.parallel import LostProcessError, check_n_jobs, run_tasks


def square(number):
    if number == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if number == "raise":
        raise KeyError(number)
    return number * number


def kill_once(path):
    """Kill the process, but not the second time."""
    if path.exists():
        return "done"
    path.touch()
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGKILL)
    return None


@pytest.mark.parametrize("n_jobs", [1, None])
def test_results_come_with_the_number_of_their_task(n_jobs):
    assert list(run_tasks(square, [3, 4], n_jobs)) == [(0, 9), (1, 16)]
    assert list(run_tasks(square, [], n_jobs)) == []


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_all_backends_give_each_result_once(backend):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert dict(run_tasks(square, range(30), None)) == {i: i * i for i in range(30)}


def test_an_error_ends_all():
    with pytest.raises(KeyError, match="raise"):
        list(run_tasks(square, [1, "raise", 2], 2))


def test_a_task_that_kills_its_process_is_lost_alone():
    tasks = [1, 2, "kill", *range(3, 12)]
    found = dict(run_tasks(square, tasks, 2))
    assert sorted(found) == list(range(len(tasks)))
    lost = found.pop(2)
    assert isinstance(lost, LostProcessError)
    assert "was killed twice, among others and alone (TerminatedWorkerError" in str(lost)
    assert found == {i: task * task for i, task in enumerate(tasks) if i != 2}


def test_a_task_whose_process_was_killed_by_others_is_done(tmp_path):
    paths = [tmp_path / name for name in ("a", "b")]
    paths[1].touch()
    assert dict(run_tasks(kill_once, paths, 2)) == {0: "done", 1: "done"}


@pytest.mark.parametrize(("n_jobs", "error"), [(0, ValueError), ("two", TypeError)])
def test_numbers_of_jobs_are_checked(n_jobs, error):
    with pytest.raises(error, match="n_jobs must be"):
        check_n_jobs(n_jobs)
