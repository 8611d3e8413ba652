"""Compute in other threads what is needed next."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

from ..cautions import keep_cautions, warn

_T = TypeVar("_T")
_Caught = tuple[list[_T], list[str], Exception | None]


@contextmanager
def compute_ahead(tasks: Sequence[Callable[[], _T]], n_threads: int) -> Iterator[Iterator[_T]]:
    """Compute the results of tasks while earlier results are in use.

    Parameters
    ----------
    tasks : sequence of callable
        The tasks, which begin when the context is entered, and end with it.
    n_threads : int
        Number of tasks that run at once.

    Yields
    ------
    results : iterator
        Their results, in order. The warnings of a task are shown, and its error is raised, where
        its result is asked for, as if there were no other thread.

    Examples
    --------
    >>> with compute_ahead([lambda: 1, lambda: 4, lambda: 9], n_threads=2) as results:
    ...     print(*results)
    1 4 9
    """
    threads = ThreadPoolExecutor(n_threads, "compute_ahead")
    try:
        # Each task in a context of its own, which one thread at a time may enter.
        ahead = [threads.submit(copy_context().run, _catch, task) for task in tasks]
        yield _collect(ahead)
    finally:
        threads.shutdown(cancel_futures=True)


def _catch(task: Callable[[], _T]) -> _Caught[_T]:
    """Run a task, and catch its warnings and its error."""
    kept: list[str] = []
    with keep_cautions(kept, show=False):
        try:
            return [task()], kept, None
        except Exception as error:
            return [], kept, error


def _collect(ahead: "list[Future[_Caught[_T]]]") -> Iterator[_T]:
    """Wait for results, show their warnings, and raise their errors."""
    while ahead:
        found, kept, error = ahead.pop(0).result()
        for text in kept:
            warn(text)
        if error is not None:
            raise error
        yield found[0]
