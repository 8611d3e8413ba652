"""MNE's logger, verbosity and argument checks, which are used without importing MNE elsewhere."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from mne.utils import _check_option as check_option
from mne.utils import _pl as pluralize
from mne.utils import _validate_type as check_type
from mne.utils import logger, set_log_level

Verbosity = bool | str | int | None

__all__ = [
    "Verbosity",
    "check_option",
    "check_type",
    "logger",
    "pluralize",
    "use_log_level",
    "verbose",
]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_lock = threading.Lock()
_before: list[int] = []
"""MNE's level before the contexts that are now open, if there are any."""
_open: dict[tuple[int, object], int] = {}
"""The contexts that are now open, in the order in which they were entered, each by its thread and
an object of its own, and their levels."""


def _restore_level() -> None:
    """Set the level of the last context that is open, or that before the first of them."""
    set_log_level([*_before, *_open.values()][-1])
    if not _open:
        _before.clear()


def _forget_threads() -> None:
    """Forget the lock and the contexts of other threads, which a forked process does not have."""
    global _lock
    _lock = threading.Lock()
    for this in [this for this in _open if this[0] != threading.get_ident()]:
        del _open[this]
    if _before:
        _restore_level()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_threads)


@contextmanager
def use_log_level(verbose: Verbosity) -> Iterator[None]:
    """Use MNE's verbosity within a context; None leaves it as it is.

    Parameters
    ----------
    verbose : bool, str, int or None
        MNE's verbosity.

    Notes
    -----
    The level is that of all threads. Contexts of several threads end in any order, and the level
    is then what it was before the first of them; MNE's context would leave that of another thread.

    Examples
    --------
    >>> before = logger.level
    >>> with use_log_level("error"):
    ...     logger.level
    40
    >>> logger.level == before
    True
    """
    if verbose is None:
        yield
        return
    this = threading.get_ident(), object()
    with _lock:
        before = set_log_level(verbose, return_old_level=True)
        _before[:] = _before or [before]
        _open[this] = logger.level
    try:
        yield
    finally:
        with _lock:
            del _open[this]
            _restore_level()


def verbose(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Apply the keyword ``verbose`` of a function while it runs, as MNE's decorator does."""

    @wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with use_log_level(kwargs.get("verbose")):  # type: ignore[arg-type]
            return function(*args, **kwargs)

    return run
