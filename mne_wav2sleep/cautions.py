"""Warnings: each is said once of a recording, at the user's own line, and kept for the report."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import mne.utils

# A context variable, since many recordings may be staged at a time, each in a thread of its own.
_kept: ContextVar[list[str] | None] = ContextVar("kept", default=None)
_said: ContextVar[bool] = ContextVar("said", default=True)


@contextmanager
def keep_cautions(kept: list[str], *, say: bool = True) -> Iterator[None]:
    """Keep what is warned of, and say nothing of it again.

    Parameters
    ----------
    kept : list of str
        What was warned of so far; it grows.
    say : bool
        Whether to warn as well, or to leave that to the caller.

    Examples
    --------
    >>> kept = ["The belt is flat."]
    >>> with keep_cautions(kept, say=False):
    ...     warn("The belt is flat.")
    ...     warn("The recording is short.")
    >>> kept
    ['The belt is flat.', 'The recording is short.']
    """
    tokens = _kept.set(kept), _said.set(say)
    try:
        yield
    finally:
        _kept.reset(tokens[0])
        _said.reset(tokens[1])


def warn(text: str) -> None:
    """Warn at the line of the user's code that called, where MNE's verbosity allows it.

    Parameters
    ----------
    text : str
        What is doubtful, what was found, what to do.
    """
    kept = _kept.get()
    if kept is not None and text in kept:
        return
    if _said.get():
        mne.utils.warn(text, ignore_namespaces=("mne", "mne_wav2sleep"))
    if kept is not None:
        kept.append(text)
