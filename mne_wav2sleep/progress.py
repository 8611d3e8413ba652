"""Bars of what takes long, where MNE's verbosity is "info" (as MNE does), or as a caller asks."""

import logging
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from mne.utils import get_config, logger
from tqdm.auto import tqdm

_T = TypeVar("_T")
_shown: ContextVar[bool | None] = ContextVar("shown", default=None)


@contextmanager
def show_bars(shown: bool) -> Iterator[None]:
    """Show bars, or none, whatever the verbosity.

    Parameters
    ----------
    shown : bool
        Whether to. A command asks for bars where somebody looks, and a loop that has a bar of its
        own for none of the loops within.
    """
    token = _shown.set(shown)
    try:
        yield
    finally:
        _shown.reset(token)


def are_bars_shown() -> bool:
    """Say whether bars are shown.

    Returns
    -------
    shown : bool
        As :func:`show_bars` says, else whether MNE's verbosity is "info" or more; never where
        MNE's setting ``MNE_TQDM`` is ``"off"``.
    """
    shown = _shown.get()
    if get_config("MNE_TQDM") == "off":
        return False
    return logger.level <= logging.INFO if shown is None else shown


def track(items: Iterable[_T], what: str, unit: str, total: int | None = None) -> Iterable[_T]:
    """Show a bar while items are gone through, if there is more than one.

    Parameters
    ----------
    items : iterable
        What is gone through.
    what : str
        What is done, for the beginning of the bar.
    unit : str
        What an item is.
    total : int, optional
        How many there are, where they do not know it themselves.

    Returns
    -------
    items : iterable
        The same.

    Examples
    --------
    >>> with show_bars(False):
    ...     list(track([1, 2], "Staging", "window"))
    [1, 2]
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    shown = are_bars_shown() and total not in (0, 1)
    # A bar within a bar goes when it is full.
    return tqdm(items, desc=what, unit=unit, total=total, leave=None, disable=not shown)
