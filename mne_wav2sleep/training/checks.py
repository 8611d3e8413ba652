"""What is checked before the first step, because it would be found after hours, or never."""

from collections.abc import Sequence
from multiprocessing import current_process, get_context

import numpy as np

from ..cautions import warn
from ..cohorts import PreparedNight
from ..network import LoadedWeights
from .settings import TrainingSettings

_MOST = 6
"""Number of nights that a message names."""
_TRIAL = "mne-wav2sleep tries whether workers can start"
_RUNS_AGAIN = 87
"""Exit code of a trial that ran the user's script again."""


def check_crop(weights: LoadedWeights, settings: TrainingSettings) -> None:
    """Check that features are relative to whole nights in training, as they are in staging.

    Parameters
    ----------
    weights : LoadedWeights
        The initial weights.
    settings : TrainingSettings
        The settings.

    Raises
    ------
    ValueError
        If nights are cropped.
    """
    if weights.config.relative_features and settings.crop is not None:
        raise ValueError(
            "relative_features are relative to the whole night, but training would crop it to "
            f"{settings.crop} epochs. Set crop to None, with micro_batch_size=1 if memory is short."
        )


def check_losses(
    training: Sequence[PreparedNight], validation: Sequence[PreparedNight], weights: LoadedWeights
) -> None:
    """Check that losses can be computed from the nights.

    Parameters
    ----------
    training, validation : sequence of PreparedNight
        The nights of the two splits.
    weights : LoadedWeights
        The initial weights, for their modalities and stages.

    Raises
    ------
    ValueError
        If a validation night has values that are not finite, or nothing was measured in any scored
        epoch of a split. Training nights whose values are not finite stop the first pass.
    """
    for night in validation:
        for name in sorted(set(weights.modalities) & set(night.modalities)):
            if not np.isfinite(night.read_signals([name])[name]).all():
                raise ValueError(
                    f"{night.name} has values of {name} that are not finite, so that no validation "
                    f"loss can be computed. Remove {night.path} and prepare the night again."
                )
    for split, nights in (("training", training), ("validation", validation)):
        empty = [night.name for night in nights if not _count_scored(night, weights)]
        shown = ", ".join(empty[:_MOST]) + (" and others" if len(empty) > _MOST else "")
        if len(empty) == len(nights):
            raise ValueError(
                f"No {split} loss can be computed, because nothing was measured in any scored "
                f"epoch of {shown}. Check these recordings and their hypnograms, or give others."
            )
        if empty:
            warn(
                f"Nothing was measured in any scored epoch of {shown}, which add nothing to the "
                f"{split} loss. Check these recordings and their hypnograms."
            )


def _count_scored(night: PreparedNight, weights: LoadedWeights) -> int:
    """Count the scored epochs of a night in which something was measured."""
    names = set(weights.modalities) & set(night.modalities)
    measured = np.any([night.read_measured(name) for name in names], axis=0)
    return int((measured & (night.read_stages(len(weights.stage_names)) >= 0)).sum())


def check_workers(n_workers: int) -> None:
    """Check that processes which read nights do not train as well.

    Each of them imports the script that was started. If that trains when it is imported, it would
    do so again in each process.

    Parameters
    ----------
    n_workers : int
        Number of processes that read nights.

    Raises
    ------
    RuntimeError
        If the script lacks ``if __name__ == "__main__":``.
    """
    message = (
        f"The processes that read nights (n_workers={n_workers}) import this script, which would "
        'train again in each of them. Call train() or fine_tune() under `if __name__ == "__main__":'
        "`, or set n_workers=0."
    )
    # As multiprocessing itself tells that the script is imported in a new process.
    if getattr(current_process(), "_inheriting", False):
        raise SystemExit(_RUNS_AGAIN) if current_process().name == _TRIAL else RuntimeError(message)
    if n_workers:
        trial = get_context("spawn").Process(target=int, name=_TRIAL)
        trial.start()
        trial.join()
        if trial.exitcode == _RUNS_AGAIN:
            raise RuntimeError(message)
