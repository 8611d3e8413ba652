"""Many independent tasks on joblib's backends, which one that kills its process does not stop."""

import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, TypeVar

import joblib

from ..errors import summarize_error
from ..verbosity import check_type

_T = TypeVar("_T")
_R = TypeVar("_R")

_LOST = {
    "TerminatedWorkerError",  # loky, whose BrokenProcessPool is of a task that cannot be sent
    "KilledWorker",  # Dask, after it has tried several workers
    "RayActorError",  # Ray
    "ActorDiedError",
    "WorkerCrashedError",
}
"""Names of errors of a process that was killed, of backends that need not be installed."""
_N_AT_ONCE = 4
"""Tasks for each job that are sent to a backend that gives their results together."""


class LostProcessError(RuntimeError):
    """The process of a task was killed, by the system or by a crash in compiled code."""


def check_n_jobs(n_jobs: int | None) -> None:
    """Check a number of jobs.

    Parameters
    ----------
    n_jobs : int or None
        Number of jobs; -1 for as many as there are CPUs, -2 for one less, and so on, as in joblib;
        None for that of its current configuration.

    Raises
    ------
    TypeError, ValueError
        If it is not a number, or is 0.
    """
    check_type(n_jobs, ("int-like", None), "n_jobs")
    if n_jobs == 0:
        raise ValueError(
            "n_jobs must be 1 or more, or -1 for as many as there are CPUs, -2 for one less, and "
            "so on, got 0."
        )


def run_tasks(
    function: Callable[[_T], _R], tasks: Sequence[_T], n_jobs: int | None
) -> Iterator[tuple[int, _R | LostProcessError]]:
    """Run a function on each of many tasks, and give its results as they come.

    Parameters
    ----------
    function : callable
        Takes a task. What it raises ends all of them.
    tasks : sequence
        The tasks, each of which takes long enough to be sent alone.
    n_jobs : int or None
        Number of tasks at a time, with joblib's current backend; None for that of its
        configuration (1, unless it is set).

    Yields
    ------
    number : int
        Number of the task, from 0.
    result : object
        What the function gave, or an error if the task has killed its process twice: once among
        others, of which it is not known which was the cause, and once alone.

    Notes
    -----
    No more tasks are sent than twice the number of jobs, and results are not kept, so that memory
    does not grow with the number of tasks. A closed generator (Ctrl-C) ends the processes.
    """
    left = dict(enumerate(tasks))
    while left:
        begun: list[int] = []
        lost = yield from _run_together(function, left, n_jobs, begun)
        if lost is None:
            return
        for number in [number for number in begun if number in left]:
            task = {number: left.pop(number)}
            if (alone := (yield from _run_together(function, task, n_jobs, []))) is not None:
                yield (
                    number,
                    LostProcessError(
                        "Its process was killed twice, among others and alone "
                        f"({summarize_error(alone)}). If memory was short, use fewer jobs, or a "
                        "machine with more memory; otherwise report this."
                    ),
                )


def _run_together(
    function: Callable[[_T], _R], left: dict[int, _T], n_jobs: int | None, begun: list[int]
) -> Generator[Any, None, Exception | None]:
    """Run tasks, take those that are done out of ``left``, and return the loss of a process."""

    def send() -> Iterator[Any]:
        for number, task in list(left.items()):
            begun.append(number)
            yield joblib.delayed(_run_one)(function, number, task)

    try:
        with closing(_stream(send(), n_jobs)) as results:
            for number, result in results:
                left.pop(number, None)
                yield number, result
    except Exception as error:
        if type(error).__name__ not in _LOST:
            raise
        return error
    return None


def _stream(jobs: Iterator[Any], n_jobs: int | None) -> Generator[Any, None, None]:
    """Run jobs, and give their results as they come."""
    try:
        parallel = joblib.Parallel(n_jobs=n_jobs, batch_size=1, return_as="generator_unordered")
    except ValueError:  # a backend that gives results only at the end, such as that of Ray
        some = _N_AT_ONCE * joblib.effective_n_jobs(n_jobs)
        while batch := list(islice(jobs, some)):
            yield from joblib.Parallel(n_jobs=n_jobs, batch_size=1)(batch)
        return
    with warnings.catch_warnings(), closing(parallel(jobs)) as results:
        # Of results that nobody wants after an error.
        warnings.filterwarnings("ignore", ".*were not retrieved", UserWarning)
        yield from results


def _run_one(function: Callable[[_T], _R], number: int, task: _T) -> tuple[int, _R]:
    """Run a task in a process."""
    return number, function(task)
