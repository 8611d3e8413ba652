"""Progress bars, shown as MNE does if the verbosity is "info", or on request; lines in a log."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from mne.utils import get_config, logger
from tqdm.auto import tqdm
from tqdm.notebook import tqdm as notebook_tqdm

_T = TypeVar("_T")
_shown: ContextVar[bool | None] = ContextVar("shown", default=None)
_LINE_S = 60.0
"""Seconds from one line of a log to the next."""


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
    with leave_bars():
        logger.info(text)


@contextmanager
def leave_bars() -> Iterator[None]:
    """Write to standard output or standard error above the bars that are shown."""
    with tqdm.external_write_mode():
        yield


def format_seconds(seconds: float) -> str:
    """Format a duration for people.

    Parameters
    ----------
    seconds : float
        The duration in seconds.

    Returns
    -------
    text : str
        The duration in seconds, minutes, or hours and minutes.

    Examples
    --------
    >>> [format_seconds(s) for s in (42.4, 700, 12_000)]
    ['42 s', '12 min', '3 h 20 min']
    """
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class _HourlyBar(tqdm):
    """A bar with the number of items per hour."""

    @property
    def format_dict(self) -> dict[str, Any]:
        """What the format of the bar can show."""
        found: dict[str, Any] = super().format_dict
        rate = found["rate"] or (found["n"] - found["initial"]) / max(found["elapsed"], 1e-9)
        return found | {"per_hour": f"{3600 * rate:,.0f} {found['unit']}s/h"}


_HOURLY = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {per_hour}]"


def track(
    items: Iterable[_T], what: str, unit: str, total: int | None = None, *, is_long: bool = False
) -> Iterable[_T]:
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
    is_long : bool
        Whether it may take hours, so that the items per hour are shown, and there is a line of the
        log each minute if there is no bar, as in a log file.

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
    if is_long and not shown and total is not None:
        return _log_progress(items, f"{what}: {{}} of {total} {unit}s", total)
    # With leave=None, a bar inside another one disappears when it is complete.
    options = {"desc": what, "unit": unit, "total": total, "leave": None, "disable": not shown}
    if is_long and total is not None:
        return _HourlyBar(items, bar_format=_HOURLY, **options)
    return tqdm(items, **options)


def _log_progress(items: Iterable[_T], text: str, total: int) -> Iterator[_T]:
    """Log a line now and then while iterating."""
    start = last = time.monotonic()
    for n_done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= _LINE_S and n_done < total:
            last = now
            each = (now - start) / n_done
            left = format_seconds(each * (total - n_done))
            log_line(f"{text.format(n_done)}, {3600 / each:,.0f} per hour, about {left} left")
