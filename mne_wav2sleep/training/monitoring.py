"""Watching a run: for each pass a line of the log, a row of ``metrics.csv``, and TensorBoard."""

import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from ..modalities import MODALITIES
from ..output import write_whole
from ..progress import format_seconds, log_line
from ..showing import escape_hidden
from .module import RECORDED
from .settings import TrainingSettings

METRICS = "metrics.csv"
"""The file with a row for each pass, in the model folder."""

Row = dict[str, Any]
_Counts = NDArray[np.int64]


def compute_kappa(counts: _Counts) -> float | None:
    """Compute Cohen's kappa from a confusion matrix.

    Parameters
    ----------
    counts : array of int, shape (n_stages, n_stages)
        Number of epochs of each stage by one scorer (rows) and the other (columns).

    Returns
    -------
    kappa : float or None
        Cohen's kappa; None where it is not defined: without epochs, and if both scorers found only
        one stage, the same.

    Examples
    --------
    >>> import numpy as np
    >>> compute_kappa(np.array([[20, 5], [10, 15]]))
    0.4
    """
    if counts.diagonal().max() == counts.sum():
        return None
    scored, staged = np.indices(counts.shape).reshape(2, -1)
    return float(cohen_kappa_score(scored, staged, sample_weight=counts.ravel()))


def check_tensorboard() -> None:
    """Refuse to log to TensorBoard if it is not installed.

    Raises
    ------
    ValueError
        If it is not installed.
    """
    if not (find_spec("tensorboard") or find_spec("tensorboardX")):
        raise ValueError(
            "Logging to TensorBoard needs the package tensorboard, which is not installed. Run "
            "`pip install tensorboard`, or train without tensorboard=True (--tensorboard)."
        )


def make_logger(folder: Path, *, tensorboard: bool) -> TensorBoardLogger | None:
    """Make Lightning's logger for TensorBoard, if it is wanted.

    Parameters
    ----------
    folder : Path
        The model folder, in which the events are in ``tensorboard``.
    tensorboard : bool
        Whether it is wanted.

    Returns
    -------
    logger : TensorBoardLogger or None
        The logger.
    """
    return TensorBoardLogger(folder, name="tensorboard", version="") if tensorboard else None


class PassBar(TQDMProgressBar):
    """Lightning's progress bar, which says "pass", since an epoch is 30 s of sleep."""

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Begin a bar with the number of the pass."""
        number = f"Pass {trainer.current_epoch + 1}/{trainer.max_epochs}"
        self.train_progress_bar.set_description(number, refresh=False)
        self.train_progress_bar.reset(self.total_train_batches)

    def on_validation_batch_start(self, *args: Any, **kwargs: Any) -> None:
        """Leave out the number of the only loader."""
        super().on_validation_batch_start(*args, **kwargs)
        self.val_progress_bar.set_description(self.validation_description)

    def on_exception(self, *_: Any) -> None:
        """End the bars, so that what is said of the error begins a line."""
        for bar in (self._val_progress_bar, self._train_progress_bar):
            if bar is not None:
                bar.close()

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Leave out the version of the logger."""
        return {k: v for k, v in super().get_metrics(trainer, pl_module).items() if k != "v_num"}


class PassMonitor(Callback):
    """Logs each pass, and keeps what is known of it in the checkpoint and in ``metrics.csv``.

    The rows are a part of the checkpoints, and the file is written from them: wherever the folder
    is moved, and whenever the run is killed, it has one row for each pass.

    Parameters
    ----------
    settings : TrainingSettings
        The settings.
    folder : Path
        The model folder.
    datasets : sequence of str
        Datasets of the validation nights, the same on all processes.
    n_stages : int
        Number of stages of the network.
    """

    def __init__(
        self, settings: TrainingSettings, folder: Path, datasets: Sequence[str], n_stages: int
    ) -> None:
        self.rows: list[Row] = []
        self._settings = settings
        self._path = folder / METRICS
        self._datasets = list(datasets)
        self._n_stages = n_stages
        self._subsets = (RECORDED, *sorted(MODALITIES))
        self._durations: list[float] = []  # of the passes of this process, in seconds
        self._start = 0.0
        self._learning_rate = 0.0
        self._reset()

    def _reset(self) -> None:
        """Forget the stages and losses of the last validation."""
        shape = len(self._datasets), len(self._subsets), self._n_stages, self._n_stages
        self._counts: _Counts = np.zeros(shape, dtype=np.int64)
        self._losses = np.zeros(len(self._subsets))  # sums over the epochs that are counted

    def state_dict(self) -> dict[str, Any]:
        """Keep the rows in checkpoints."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows of a checkpoint."""
        self.rows = list(state_dict["rows"])

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the rows of a run that is resumed, without a pass that will be repeated."""
        if self.rows and trainer.is_global_zero:
            self._write()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Note the learning rate, of which the last one of a pass is shown."""
        self._learning_rate = float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_validation_epoch_start(self, *_: Any) -> None:
        """Begin to count."""
        self._reset()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        *_: Any,
    ) -> None:
        """Count the stages of some nights by the scorer and by the network."""
        for one, staged in zip(batch, outputs["staged"], strict=True):
            self.count(one, staged)
        for one in outputs["losses_alone"]:
            for name, total in one.items():
                self._losses[self._subsets.index(name)] += float(total)

    def count(self, batch: dict[str, Any], staged: dict[str, torch.Tensor]) -> None:
        """Count stages by the scorer and by the network.

        Parameters
        ----------
        batch : dict
            A batch from :func:`~mne_wav2sleep.cohorts.batches.collate`.
        staged : dict of str to Tensor of int, shape (B, S)
            Modality, or "recorded" for all of them, -> stages from it by the network.
        """
        scored_BS = batch["stages"].cpu().numpy()
        for subset, stages_BS in staged.items():
            counted_BS = scored_BS >= 0
            if subset != RECORDED:
                counted_BS &= batch["available"][subset].cpu().numpy()
            predicted_BS = stages_BS.cpu().numpy()
            for row, dataset in enumerate(batch["datasets"]):
                chosen_S = counted_BS[row]
                if chosen_S.any():
                    place = self._datasets.index(dataset), self._subsets.index(subset)
                    self._counts[place] += confusion_matrix(
                        scored_BS[row, chosen_S],
                        predicted_BS[row, chosen_S],
                        labels=range(self._n_stages),
                    )

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add up the counts and losses of all processes."""

        def add_up(values: np.ndarray) -> np.ndarray:
            here: Any = torch.from_numpy(values).to(pl_module.device)
            return np.asarray(trainer.strategy.reduce(here, reduce_op="sum").cpu())

        self._counts = add_up(self._counts)
        self._losses = add_up(self._losses.astype(np.float32))  # some devices have no doubles

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the pass; this comes before its checkpoint."""
        seconds = time.monotonic() - self._start
        self._durations.append(seconds)
        kappas = self._compute_kappas()
        losses = trainer.callback_metrics
        self.rows.append(
            {
                "pass": trainer.current_epoch + 1,
                "learning_rate": self._learning_rate,
                "training_loss": float(losses["train_loss"]),
                "validation_loss": float(losses["val_loss"]),
                **self._compute_losses(),
                **kappas,
                "seconds": round(seconds, 1),
            }
        )
        if not trainer.is_global_zero:
            return
        self._write()
        log_line(self._describe(self.rows[-1]))
        for one in trainer.loggers:  # Lightning logs the losses
            known = {name: kappa for name, kappa in kappas.items() if kappa is not None}
            one.log_metrics(
                known | {"learning_rate": self._learning_rate}, step=trainer.global_step
            )

    def _compute_losses(self) -> dict[str, float]:
        """Compute the validation loss from each signal alone, over the epochs that have it."""
        n_epochs = self._counts.sum((0, 2, 3))
        return {
            f"validation_loss_{name}": float(total / count)
            for name, total, count in zip(self._subsets, self._losses, n_epochs, strict=True)
            if name != RECORDED and count
        }

    def _compute_kappas(self) -> dict[str, float | None]:
        """Compute kappa of all nights, and by dataset, from all signals and from each alone."""
        groups = {"": self._counts.sum(0)}
        if len(self._datasets) > 1:
            groups |= {
                f" ({escape_hidden(name)})": counts
                for name, counts in zip(self._datasets, self._counts, strict=True)
            }
        kappas = {}
        for group, counts in groups.items():
            for subset, matrix in zip(self._subsets, counts, strict=True):
                if matrix.any():
                    name = "kappa" if subset == RECORDED else f"kappa_{subset}"
                    kappas[f"{name}{group}"] = compute_kappa(matrix)
        return kappas

    def _describe(self, row: Row) -> str:
        """Describe a pass in a line."""
        settings = self._settings
        alone = [f"{n} {_format(row[f'kappa_{n}'])}" for n in MODALITIES if f"kappa_{n}" in row]
        parts = [
            f"training loss {_format(row['training_loss'])}",
            f"validation loss {_format(row['validation_loss'])}",
            f"kappa {_format(row.get('kappa'))}"
            + (f" ({', '.join(alone)})" if len(alone) > 1 else ""),
            f"learning rate {row['learning_rate']:.2g}",
            format_seconds(row["seconds"]),
        ]
        left = (settings.max_passes - row["pass"]) * float(np.mean(self._durations))
        if left:
            about = "at most about" if settings.keep == "best" else "about"  # it may stop early
            parts.append(f"{about} {format_seconds(left)} left")
        return f"Pass {row['pass']}/{settings.max_passes}: {', '.join(parts)}"

    def _write(self) -> None:
        """Write all rows."""
        with write_whole(self._path, overwrite=True) as unfinished:
            pd.DataFrame(self.rows).to_csv(unfinished, index=False, float_format="%.6g")


def _format(value: float | None) -> str:
    """Format a loss or a kappa; adding 0 makes a rounded -0 a 0."""
    return "undefined" if value is None else f"{round(value, 2) + 0:.2f}"
