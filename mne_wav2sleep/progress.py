"""Progress bars, shown as MNE does if the verbosity is "info", or on request."""

import logging
import sys
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from mne.utils import get_config, logger
from tqdm.auto import tqdm
from tqdm.notebook import tqdm as notebook_tqdm

_T = TypeVar("_T")
_shown: ContextVar[bool | None] = ContextVar("shown", default=None)


@contextmanager
def show_bars(shown: bool) -> Iterator[None]:
    """Show or hide progress bars, whatever the verbosity.

    Parameters
    ----------
    shown : bool
        Whether bars are shown. Commands show them in a terminal; a loop with its own bar hides
        those of the loops inside it.
    """
    token = _shown.set(shown)
    try:
        yield
    finally:
        _shown.reset(token)


def are_bars_shown() -> bool:
    """Check whether progress bars are shown.

    Returns
    -------
    shown : bool
        As set by :func:`show_bars`; otherwise, whether MNE's verbosity is ``"info"`` or more.
        Always False if MNE's setting ``MNE_TQDM`` is ``"off"``.
    """
    shown = _shown.get()
    if get_config("MNE_TQDM") == "off":
        return False
    return logger.level <= logging.INFO if shown is None else shown


def is_live() -> bool:
    """Check whether standard output can show a line that changes.

    Returns
    -------
    live : bool
        Whether it is a terminal or a notebook. In a log file, each state of a bar is a line.
    """
    return sys.stdout.isatty() or issubclass(tqdm, notebook_tqdm)


def log_line(text: str) -> None:
    """Log a line at MNE's level "info", above the bars that are shown.

    Parameters
    ----------
    text : str
        The line.
    """
    with tqdm.external_write_mode():
        logger.info(text)


def track(items: Iterable[_T], what: str, unit: str, total: int | None = None) -> Iterable[_T]:
    """Show a progress bar while iterating over more than one item.

    Parameters
    ----------
    items : iterable
        The items.
    what : str
        Description of the bar.
    unit : str
        Name of an item.
    total : int, optional
        Number of items, if ``items`` has no length.

    Returns
    -------
    items : iterable
        The same items.

    Examples
    --------
    >>> with show_bars(False):
    ...     list(track([1, 2], "Staging", "window"))
    [1, 2]
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    shown = are_bars_shown() and total not in (0, 1)
    # With leave=None, a bar inside another one disappears when it is complete.
    return tqdm(items, desc=what, unit=unit, total=total, leave=None, disable=not shown)
