"""A training run: how a network is trained, and what its folder says of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..network.state import read_file
from .settings import TrainingSettings

_RUN = "training.json"
_LARGEST_RUN = 2**26
"""Largest size in bytes of a description of a run, which lists its nights."""
_WRITTEN = ("calibration.json", "config.json", "model.safetensors", "README.md", "nights.json")


@dataclass(frozen=True)
class TrainingRun:
    """How a network is trained, apart from the nights.

    Attributes
    ----------
    settings : TrainingSettings
        The settings.
    trainable : tuple of str
        The parts that are trained.
    base : str or None
        Name of the initial weights of fine-tuning; None for random weights.
    device : str or torch.device
        As in :class:`~mne_wav2sleep.SleepStagerW2S`.
    n_devices : int
        Number of devices of this kind.
    """

    settings: TrainingSettings
    trainable: tuple[str, ...]
    base: str | None
    device: str | torch.device = "auto"
    n_devices: int = 1


def _read_run(path: Path) -> dict[str, Any]:
    """Read what is trained in a folder."""
    try:
        run = json.loads(read_file(path, _LARGEST_RUN))
    except (ValueError, RecursionError):
        run = None
    if not isinstance(run, dict):
        raise ValueError(
            f"{path} does not describe a training run, or is damaged. Choose another folder, or "
            "remove this one to start over."
        )
    return run


def check_folder(folder: Path) -> None:
    """Refuse a folder with files that training would overwrite, before anything is written."""
    others = [name for name in _WRITTEN if (folder / name).exists()]
    if others and not (folder / _RUN).exists():
        raise ValueError(
            f"{folder} already contains {', '.join(others)}, which training would overwrite. "
            "Choose another folder."
        )


def claim_folder(folder: Path, run: Mapping[str, Any]) -> None:
    """Write down in the folder what is trained there; refuse a folder with another run."""
    path = folder / _RUN
    text = json.dumps(run, indent=2, sort_keys=True, default=str) + "\n"
    if path.exists() and (old := _read_run(path)) != json.loads(text):
        changed = sorted(key for key in {*old, *run} if old.get(key) != json.loads(text).get(key))
        raise ValueError(
            f"{folder} contains another training run ({', '.join(changed)} differ). Choose another "
            "folder, or remove this one to start over."
        )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
