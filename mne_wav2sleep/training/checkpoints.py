"""What Lightning calls between passes: checkpoints and early stopping."""

import io
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.plugins import TorchCheckpointIO

from ..output import write_whole
from .averaging import RunningMean
from .settings import TrainingSettings


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are written beside the old one, and then replace it.

    Lightning writes them to the folder of temporary files, from where they cannot be renamed if it
    is on another disk: a run that is killed while they are copied would lose the old one as well.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint whole, or leave the old one."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with write_whole(Path(path), overwrite=True) as unfinished:
            unfinished.write_bytes(content.getvalue())


class _MovableCheckpoint(ModelCheckpoint):
    """A checkpoint whose best score is kept if its folder was moved; Lightning's forgets it."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Look for the checkpoints in the present folder."""
        folder = str(self.dirpath)

        def move(path: str) -> str:
            return str(Path(folder, Path(path).name)) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: move(state_dict[name]) for name in paths}
        best = {move(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(state_dict | moved | {"dirpath": folder, "best_k_models": best})


class _EarlyStopping(EarlyStopping):
    """Early stopping that also stops a resumed run at once; Lightning's trains another pass."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if self.wait_count >= self.patience:
            trainer.should_stop = True


def make_callbacks(settings: TrainingSettings, folder: Path) -> list[Callback]:
    """Make callbacks for checkpoints, early stopping and averaging.

    Parameters
    ----------
    settings : TrainingSettings
        The settings.
    folder : Path
        The model folder, which has a folder of checkpoints.

    Returns
    -------
    callbacks : list of Callback
        What Lightning calls between passes.
    """
    # Two of them, since save_last=True saves the last pass only if it is also the best one.
    best, last = (
        _MovableCheckpoint(
            folder / "checkpoints", filename=name, monitor=monitor, enable_version_counter=False
        )
        for name, monitor in (("best", "val_loss"), ("last", None))
    )
    callbacks: list[Callback] = [last]
    if settings.keep == "best":
        stop = _EarlyStopping("val_loss", patience=settings.patience, check_finite=True)
        callbacks = [stop, best, last]
    if settings.averaging:
        callbacks.append(RunningMean(settings.averaging))
    return callbacks
