"""Warnings: each is shown once per recording, at the line of the user's code, and recorded."""

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import mne.utils

# Context variables, because recordings may be staged in parallel threads.
_kept: ContextVar[list[str] | None] = ContextVar("kept", default=None)
_shown: ContextVar[bool] = ContextVar("shown", default=True)
# Python's filters are those of all threads.
_filters = threading.RLock()


def _renew_lock() -> None:
    """Make a new lock in a forked process, without the thread that may hold the old one."""
    global _filters
    _filters = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def catch_warnings(*, record: bool = False) -> Iterator[list[warnings.WarningMessage] | None]:
    """Change Python's filters of warnings for a while, or catch the warnings, in one thread only.

    Threads that do so at once with Python's own context leave each other's filters behind, and
    catch each other's warnings.

    Parameters
    ----------
    record : bool
        Whether to catch the warnings.

    Yields
    ------
    caught : list of warnings.WarningMessage or None
        The warnings, if they are caught.
    """
    with _filters, warnings.catch_warnings(record=record) as caught:
        yield caught


@contextmanager
def keep_cautions(kept: list[str], *, show: bool = True) -> Iterator[None]:
    """Record warnings, and do not show recorded ones again.

    Parameters
    ----------
    kept : list of str
        The warnings so far, to which new ones are appended.
    show : bool
        Whether to show new warnings, or only to record them.

    Examples
    --------
    >>> kept = ["The belt is flat."]
    >>> with keep_cautions(kept, show=False):
    ...     are_new = warn("The belt is flat."), warn("The recording is short.")
    >>> are_new
    (False, True)
    >>> kept
    ['The belt is flat.', 'The recording is short.']
    """
    tokens = _kept.set(kept), _shown.set(show)
    try:
        yield
    finally:
        _kept.reset(tokens[0])
        _shown.reset(tokens[1])


def warn(text: str) -> bool:
    """Show a warning that points to the calling line of the user's code, and record it.

    Parameters
    ----------
    text : str
        What is doubtful, what was found, and what to do. It is shown if MNE's verbosity is
        ``"warning"`` or more, and recorded at any verbosity.

    Returns
    -------
    is_new : bool
        Whether it was not recorded before.
    """
    kept = _kept.get()
    if kept is not None and text in kept:
        return False
    if _shown.get():
        with _filters:  # not while another thread catches warnings
            mne.utils.warn(text, ignore_namespaces=("mne", "mne_wav2sleep"))
    if kept is not None:
        kept.append(text)
    return True
