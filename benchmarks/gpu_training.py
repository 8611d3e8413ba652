"""The parts of gpu.py that train: passes, their memory, and an interrupted run."""

import gc
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import pytorch_lightning as pl
import torch
from safetensors.numpy import load_file

from mne_wav2sleep.training import (
    FINE_TUNING,
    Masking,
    TrainingSettings,
    fine_tune,
    train,
    trainer,
)

COLUMNS = ("s a pass", "s of it in steps", "s validation", "loss")


class StopError(Exception):
    """Training was interrupted on purpose."""


class Stopwatch(pl.Callback):
    """Notes the durations of passes, of their steps and of validation, and the training loss.

    Parameters
    ----------
    stop_at : int or None
        Pass at whose beginning training is interrupted.
    """

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.passes: list[dict[str, float]] = []
        self._last = 0.0

    def _count(self) -> float:
        """Give the time in s since this was called before."""
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.synchronize()
        before, self._last = self._last, time.perf_counter()
        return self._last - before

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a pass."""
        if trainer.current_epoch == self.stop_at:
            raise StopError
        self.passes.append(dict.fromkeys(COLUMNS, 0.0))
        self._count()

    def on_train_batch_start(self, *args: Any) -> None:
        """Count the time before a step, in which its nights are read."""
        self.passes[-1]["s a pass"] += self._count()

    def on_train_batch_end(self, *args: Any) -> None:
        """Count the time of a step."""
        duration = self._count()
        self.passes[-1]["s a pass"] += duration
        self.passes[-1]["s of it in steps"] += duration

    def on_validation_epoch_start(self, *args: Any) -> None:
        """Begin validation."""
        self._count()

    def on_validation_epoch_end(self, *args: Any) -> None:
        """Count the time of validation."""
        self.passes[-1]["s validation"] = self._count()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the loss."""
        self.passes[-1]["loss"] = float(trainer.callback_metrics["train_loss"])


def run_training(
    benchmark: Any,
    kind: str,
    settings: TrainingSettings,
    folder: Path,
    watch: Stopwatch,
    n_nights: int | None = None,
) -> dict[str, Any]:
    """Train or fine-tune; give the durations of a pass in s and the memory in GB."""
    validation, *nights = benchmark.get_nights(1 + benchmark.sizes.n_training)
    if n_nights is not None:
        nights = nights[:n_nights]
    released = benchmark.released
    options: dict[str, Any] = {"validation": [validation], "settings": settings}
    options |= {"device": benchmark.device}
    if kind == "train":
        options |= {"config": released.config, "preprocessing": released.preprocessing}
    else:
        options |= {"weights": released}
    gc.collect()
    if benchmark.is_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    make = trainer.make_callbacks
    start, error = time.perf_counter(), ""
    with patch.object(
        trainer, "make_callbacks", lambda *args, **options: [*make(*args, **options), watch]
    ):
        try:
            (train if kind == "train" else fine_tune)(nights, folder, **options)
        except RuntimeError as raised:
            if "out of memory" not in str(raised).lower():
                raise
            error = " ".join(str(raised).split())[:100]
    seconds = time.perf_counter() - start
    later = watch.passes[1:] or watch.passes  # the first one also warms up
    row = {c: float("nan") if error else median(one[c] for one in later) for c in COLUMNS}
    peak = torch.cuda.max_memory_allocated() / 1e9 if benchmark.is_cuda else float("nan")
    return row | {"peak GB": peak, "s whole call": seconds, "error": error}


def time_training(benchmark: Any) -> None:
    """Time passes of training and fine-tuning, and measure their memory."""
    sizes, log = benchmark.sizes, benchmark.log
    both = sizes.training_precisions
    runs = [("train", precision, batch, True) for batch in sizes.batches for precision in both]
    runs += [("fine_tune", precision, 1, True) for precision in both]
    runs += [("train", precision, sizes.batches[-1], False) for precision in reversed(both)]
    rows: list[dict[str, Any]] = []
    for i, (kind, precision, batch, is_masked) in enumerate(runs):
        if benchmark.is_late():
            log.write("Stopped here: no time left.\n")
            break
        settings = replace(
            TrainingSettings() if kind == "train" else FINE_TUNING,
            batch_size=batch,
            precision=precision,
            max_passes=sizes.passes,
            keep="last",
            masking=Masking() if is_masked else Masking.off(),
        )
        row = {"run": kind, "precision": precision, "batch": batch}
        row |= {"masking": "yes" if is_masked else "no"}
        row |= run_training(benchmark, kind, settings, benchmark.folder / f"run{i}", Stopwatch())
        rows.append(row)
        log.write(f"    {row}")
    log.write(
        f"\nPasses over {sizes.n_training} nights of {sizes.hours:g} h, in the network "
        f"{benchmark.released.preprocessing.padded_epochs / 120 or sizes.hours:g} h; "
        "validation on 1:\n"
    )
    log.table("training", rows)


def check_resuming(benchmark: Any) -> None:
    """Interrupt a run before its second pass, resume it, and compare the weights."""
    settings = replace(TrainingSettings(), batch_size=2, max_passes=2, keep="last")
    folders = {name: benchmark.folder / name for name in ("unbroken", "again", "resumed")}
    try:
        run_training(benchmark, "train", settings, folders["resumed"], Stopwatch(stop_at=1), 4)
    except StopError:
        benchmark.log.write("Stopped before the second pass, and resumed:\n")
    passes = {}
    for name, folder in folders.items():
        watch = Stopwatch()
        run_training(benchmark, "train", settings, folder, watch, 4)
        passes[name] = len(watch.passes)
    weights = {name: load_file(folder / "model.safetensors") for name, folder in folders.items()}
    one = weights.pop("unbroken")
    rows = [
        {
            "run": name,
            "passes": passes[name],
            "largest deviation of weights from an unbroken run": max(
                float(np.abs(one[k] - other[k]).max()) for k in one
            ),
            "same bits": "yes" if all((one[k] == other[k]).all() for k in one) else "no",
        }
        for name, other in weights.items()
    ]
    benchmark.log.table("resuming", rows)
