"""Ctrl-C, SIGTERM (which a cluster sends at the time limit), full disks: say how to resume."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from ..errors import FileWriteError, find_full_disk, put_on_line
from ..verbosity import logger

STOPPED = 128 + signal.SIGTERM
"""Exit code of a process that SIGTERM stopped, as shells give it."""


def _exit(signum: int, frame: FrameType | None) -> None:
    """Stop at once: every file is written atomically."""
    raise SystemExit(STOPPED)


@contextmanager
def _handle_sigterm(handler: Any) -> Iterator[bool]:
    """Set the handler of SIGTERM, unless a caller has one of their own; say whether it is set."""
    before = signal.getsignal(signal.SIGTERM)
    # Python sets handlers in the main thread only.
    is_ours = threading.current_thread() is threading.main_thread() and (
        before in (signal.SIG_DFL, _exit)
    )
    if is_ours:
        signal.signal(signal.SIGTERM, handler)
    try:
        yield is_ours
    finally:
        if is_ours:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def explain_stop(folder: Path) -> Iterator[None]:
    """Stop at SIGTERM as at Ctrl-C, and say how to resume.

    Parameters
    ----------
    folder : Path
        The model folder.

    Raises
    ------
    KeyboardInterrupt
        At Ctrl-C (SIGINT), with a message.
    SystemExit
        At SIGTERM, with the exit code 143, after the message was logged.
    OSError
        If the disk is full, with a message.
    """

    def explain(cause: str) -> str:
        return (
            f"Training in {folder} was stopped by {cause}. What is complete is kept: run the same "
            "command again to resume."
        )

    try:
        with _handle_sigterm(_exit):
            yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(explain("Ctrl-C (SIGINT)")) from error
    except SystemExit as error:
        if error.code == STOPPED:
            logger.error(explain("SIGTERM"))
        raise
    except Exception as error:
        full = find_full_disk(error)
        if full is None:
            raise
        reason = f"a full disk ({put_on_line(str(full))}), where some space has to be freed"
        raise FileWriteError(full.errno, explain(reason)) from error


class StopBetweenSteps(Callback):
    """Stops training at SIGTERM once a step is complete, on all processes after the same step.

    Lightning's own handler communicates with the other processes wherever it is called, which can
    block all of them; it ends with the exit code 0.
    """

    def __init__(self) -> None:
        self.is_received = False
        self._is_handler = False

    def receive(self, signum: int, frame: FrameType | None) -> None:
        """Handle SIGTERM."""
        self.is_received = True

    @contextmanager
    def wait_for_step(self) -> Iterator[None]:
        """Leave SIGTERM to this callback; raise SystemExit at the end if it was received."""
        with _handle_sigterm(self.receive) as self._is_handler:
            yield
        self._exit_if_received()

    def _exit_if_received(self) -> None:
        if self.is_received:
            raise SystemExit(STOPPED)

    def _stop_together(self, trainer: pl.Trainer) -> None:
        """Stop if any of the processes has received SIGTERM."""
        self.is_received = trainer.strategy.reduce_boolean_decision(self.is_received, all=False)
        self._exit_if_received()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replace Lightning's handler, which calls this one."""
        if self._is_handler:
            signal.signal(signal.SIGTERM, self.receive)
        self._stop_together(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Stop after a step."""
        self._stop_together(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop after the checkpoint of a pass."""
        self._stop_together(trainer)

    def on_validation_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Stop after a night of validation."""
        self._stop_together(trainer)
