"""Compute in other threads what is needed next."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from queue import SimpleQueue
from threading import Event
from typing import Any, NamedTuple, TypeVar

from ..cautions import keep_cautions, warn

_T = TypeVar("_T")


class _Step(NamedTuple):
    """What a task did since its last result: warnings, and a result, an error, or the end."""

    kept: list[str]
    results: list[Any]  # a result, or none at the end
    error: BaseException | None = None


@contextmanager
def compute_ahead(
    tasks: Sequence[Callable[[], Iterable[_T]]], n_threads: int
) -> Iterator[Iterator[_T]]:
    """Compute the results of tasks while earlier results are in use.

    Parameters
    ----------
    tasks : sequence of callable
        The tasks, each of which gives any number of results. They begin when the context is
        entered, and end with it.
    n_threads : int
        Number of tasks that run at once.

    Yields
    ------
    results : iterator
        Their results, in order. Warnings are shown, and errors are raised, where the results are
        asked for, as if there were no other thread.

    Examples
    --------
    >>> with compute_ahead([lambda: [1, 4], lambda: [9, 16]], n_threads=2) as results:
    ...     print(*results)
    1 4 9 16
    """
    threads = ThreadPoolExecutor(n_threads, "compute_ahead")
    queues: list[SimpleQueue[_Step]] = [SimpleQueue() for _ in tasks]
    is_over = Event()
    try:
        for task, queue in zip(tasks, queues, strict=True):
            # Each task in a context of its own, which one thread at a time may enter.
            threads.submit(copy_context().run, _run, task, queue, is_over)
        yield _collect(queues)
    finally:
        is_over.set()
        threads.shutdown(cancel_futures=True)


def _run(task: Callable[[], Iterable[_T]], queue: "SimpleQueue[_Step]", is_over: Event) -> None:
    """Run a task, and catch its warnings and its error."""
    kept: list[str] = []
    n_sent = 0
    with keep_cautions(kept, show=False):
        try:
            for result in task():
                queue.put(_Step(kept[n_sent:], [result]))
                n_sent = len(kept)
                del result  # which would be kept until there is another one
                if is_over.is_set():
                    break
        except BaseException as error:  # whoever waits for a result would wait forever
            queue.put(_Step(kept[n_sent:], [], error))
        else:
            queue.put(_Step(kept[n_sent:], []))


def _collect(queues: "list[SimpleQueue[_Step]]") -> Iterator[Any]:
    """Wait for results, show their warnings, and raise their errors."""
    for queue in queues:
        is_done = False
        while not is_done:
            kept, results, error = queue.get()
            for text in kept:
                warn(text)
            if error is not None:
                raise error
            is_done = not results
            # Nothing keeps a result but whoever has asked for it.
            while results:
                yield results.pop()
