"""The steps of a staging, which run one at a time, and under known settings."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import numpy as np

from ..cautions import keep_cautions
from ..verbosity import Verbosity, use_log_level

_all: "WeakSet[Steps]" = WeakSet()


class Steps:
    """Run the steps of a staging.

    Parameters
    ----------
    verbose : bool, str, int or None
        MNE's verbosity of the steps.
    kept : list of str
        Where their warnings are kept; each is shown once.

    Examples
    --------
    >>> steps = Steps("error", kept=[])
    >>> with steps.run():
    ...     pass
    """

    def __init__(self, verbose: Verbosity, kept: list[str]) -> None:
        self._verbose = verbose
        self._kept = kept
        self._renew_lock()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the lock, which cannot be copied or pickled."""
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make a new lock."""
        vars(self).update(state)
        self._renew_lock()

    def _renew_lock(self) -> None:
        """Make a new lock, also for a forked process."""
        self._lock = threading.RLock()
        _all.add(self)

    @contextmanager
    def run(self) -> Iterator[None]:
        """Run a step, which may run others, after those that other threads have begun."""
        # With np.seterr(all="raise"), even an exponential that vanishes would be an error.
        with (
            self._lock,
            np.errstate(all="warn", under="ignore"),
            use_log_level(self._verbose),
            keep_cautions(self._kept),
        ):
            yield


def _renew_locks() -> None:
    """Make new locks in a forked process, without the threads that may hold the old ones."""
    for steps in list(_all):
        steps._renew_lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_locks)
