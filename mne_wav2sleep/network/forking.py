"""Processes that were forked from one that computed with several threads.

A fork copies the memory of a process, but only one of its threads. OpenMP in the copy waits forever
for the others, and with it torch.
"""

import os

import torch

_inherited: int | None = None
"""Number of torch's threads when this process was forked; None if it was not."""


def _remember_threads() -> None:
    """Remember, in a forked process, how many threads its parent used."""
    global _inherited
    _inherited = torch.get_num_threads()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_remember_threads)


def leave_lost_threads() -> None:
    """Let torch compute in one thread in a forked process, as its own data loaders do.

    A number of threads that was set after the fork is left as it is.
    """
    if _inherited is not None and torch.get_num_threads() == _inherited > 1:
        torch.set_num_threads(1)
