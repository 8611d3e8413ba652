"""Checkpoints: how they are written and read, and what Lightning calls between passes."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.plugins import TorchCheckpointIO

from ..cautions import warn
from ..errors import summarize_error
from ..network.files import check_regular
from ..network.state import MAX_STATE_BYTES
from ..output import write_whole
from ..verbosity import logger
from .averaging import RunningMean
from .settings import TrainingSettings

_FOLDER = "checkpoints"
_LAST, _PREVIOUS, _BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
_MAX_BYTES = 6 * MAX_STATE_BYTES
"""Size of a checkpoint at most: the weights, their mean, and their moments, in float64 if asked."""
_KEYS = {"epoch", "global_step", "state_dict", "loops", "callbacks", "optimizer_states"}


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are written beside the old one, and then replace it.

    Lightning writes them to the folder of temporary files, from where they cannot be renamed if it
    is on another disk: a run that is killed while they are copied would lose the old one as well.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint whole, or leave the old one; keep the last but one as well."""
        path, content = Path(path), io.BytesIO()
        torch.save(checkpoint, content)
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path, overwrite=True) as unfinished:
            unfinished.write_bytes(content.getvalue())
            if path.name == _LAST and path.exists():
                path.replace(path.with_name(_PREVIOUS))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint as data.

    Parameters
    ----------
    path : Path
        The checkpoint.

    Returns
    -------
    checkpoint : dict
        Its contents, on the CPU.

    Raises
    ------
    ValueError
        If it is damaged, or is not a checkpoint of training.
    """
    try:
        if check_regular(path) > _MAX_BYTES or not zipfile.is_zipfile(path):
            raise ValueError("it is not a whole file of torch.save")
        found = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(found, dict) or not set(found) >= _KEYS:
            raise ValueError("it is not a checkpoint of training")
        if not isinstance(found["epoch"], int) or not isinstance(found["state_dict"], dict):
            raise ValueError("it is not a checkpoint of training")
    except Exception as error:  # torch raises errors of many types for damaged files
        raise ValueError(f"{path} is damaged ({summarize_error(error)}).") from error
    return found


def has_checkpoint(folder: Path) -> bool:
    """Check whether a model folder has a checkpoint, whole or not."""
    return any(os.path.lexists(folder / _FOLDER / name) for name in (_LAST, _PREVIOUS, _BEST))


def choose_checkpoint(folder: Path, settings: TrainingSettings) -> Path | None:
    """Choose the newest checkpoint that is whole.

    Parameters
    ----------
    folder : Path
        The model folder.
    settings : TrainingSettings
        The settings of the run.

    Returns
    -------
    path : Path or None
        The checkpoint to resume from, each of which gives the same weights; None to begin.

    Raises
    ------
    ValueError
        If there are checkpoints, but none to resume from, or of more passes than asked for.
    """
    names = [_LAST, _PREVIOUS, *([_BEST] if settings.keep == "best" else [])]
    paths = [folder / _FOLDER / name for name in names if os.path.lexists(folder / _FOLDER / name)]
    damaged: list[str] = []
    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        # The best one holds the weights to keep, and is needed as well as the last one.
        if not found or path.name == _BEST:
            try:
                found[path.name] = read_checkpoint(path)
            except ValueError as error:
                damaged.append(str(error))
    if paths and (not found or (settings.keep == "best" and _BEST not in found)):
        damaged = damaged or [f"{folder / _FOLDER} lacks {_BEST}."]
        is_over = (folder / "config.json").exists()  # a model that training would replace
        remedy = "choose another folder" if is_over else f"remove the folder {folder / _FOLDER}"
        raise ValueError(
            f"{' '.join(damaged)} Restore it from a copy, or {remedy} to train again from the "
            "first pass."
        )
    if not found:
        return None
    name = next(iter(found))
    n_passes = found[name]["epoch"] + 1
    done = f"after {n_passes} complete pass{'es' * (n_passes != 1)}"
    if n_passes > settings.max_passes:
        raise ValueError(
            f"{folder} is trained already, {done}, more than max_passes={settings.max_passes}. "
            "Ask for more passes, or choose another folder."
        )
    if damaged:
        warn(f"{' '.join(damaged)} Training resumes from {name}, {done}.")
    elif n_passes < settings.max_passes:
        logger.info(f"Training resumes {done} of at most {settings.max_passes}.")
    if name == _PREVIOUS:  # the next one would take its place, and it that of the damaged one
        (folder / _FOLDER / name).replace(folder / _FOLDER / _LAST)
        name = _LAST
    return folder / _FOLDER / name


def read_kept(folder: Path, settings: TrainingSettings) -> dict[str, Any]:
    """Read the checkpoint of the weights to keep, after training."""
    return read_checkpoint(folder / _FOLDER / f"{settings.keep}.ckpt")


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
    """Early stopping that also stops a resumed run at once; Lightning's trains another pass.

    The patience is that of the settings, not that with which the run began.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict | {"patience": self.patience})

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
            folder / _FOLDER, filename=name, monitor=monitor, enable_version_counter=False
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
