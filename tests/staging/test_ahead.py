"""Results are computed in other threads as if there were none."""

import threading
import time

import pytest

from mne_wav2sleep.cautions import keep_cautions, warn
from mne_wav2sleep.staging.ahead import compute_ahead


def test_warnings_are_kept_in_the_order_of_results():
    def work(i):
        time.sleep(0.02 * (3 - i))  # the last one ends first
        warn(f"caution {i}")
        yield i

    kept = []
    tasks = [lambda i=i: work(i) for i in range(3)]
    with keep_cautions(kept, show=False), compute_ahead(tasks, 3) as results:
        assert next(results) == 0
        assert kept == ["caution 0"]
        assert list(results) == [1, 2]
    assert kept == ["caution 0", "caution 1", "caution 2"]


def test_warnings_point_to_the_code_that_asks():
    with (
        pytest.warns(RuntimeWarning, match="a flat belt") as caught,
        compute_ahead([lambda: [warn("a flat belt")]], 1) as results,
    ):
        list(results)
    assert caught[0].filename == __file__


def test_an_error_is_raised_after_the_warnings_of_its_task():
    def fail():
        warn("a flat belt")
        raise ValueError("no signal")

    kept = []
    with keep_cautions(kept, show=False):
        with compute_ahead([lambda: [1], fail, lambda: [3]], 2) as results:
            assert next(results) == 1
            with pytest.raises(ValueError, match="no signal"):
                next(results)
        assert kept == ["a flat belt"]


def test_a_task_may_have_more_results_while_one_is_in_use():
    used = threading.Event()

    def work():
        yield "first"
        warn("a slow belt")
        yield "second" if used.wait(10) else "too late"
        warn("the end")

    kept = []
    with keep_cautions(kept, show=False), compute_ahead([work, lambda: []], 1) as results:
        assert next(results) == "first"
        assert not kept
        used.set()
        assert next(results) == "second"
        assert kept == ["a slow belt"]
        assert list(results) == []
    assert kept == ["a slow belt", "the end"]


def test_an_exit_in_a_task_does_not_hang():
    def leave():
        yield 1
        raise SystemExit(3)

    with compute_ahead([leave], 1) as results:
        assert next(results) == 1
        with pytest.raises(SystemExit):
            next(results)


def test_a_task_that_nobody_waits_for_ends_at_its_next_result():
    computed = []

    def work():
        for i in range(100):
            computed.append(i)
            yield i
            time.sleep(0.01)

    with compute_ahead([work], 1) as results:
        next(results)
    assert len(computed) < 50


def test_tasks_that_have_not_begun_never_do():
    begun, release = [], threading.Event()

    def work(i):
        begun.append(i)
        release.wait(10)
        return []

    before = threading.active_count()
    tasks = [lambda i=i: work(i) for i in range(5)]
    with compute_ahead(tasks, 1):
        threading.Timer(0.1, release.set).start()
    assert begun == [0]
    assert threading.active_count() <= before + 1  # the timer may still end
