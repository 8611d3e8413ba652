"""Training and fine-tuning: from nights and initial weights to a model folder."""

import copy
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from ..cautions import warn
from ..cohorts import Evaluation, Night, PreparedNight, calibrate, evaluate, prepare_nights
from ..network import (
    Calibration,
    LoadedWeights,
    Preprocessing,
    Wav2Sleep,
    Wav2SleepConfig,
    load_weights,
    save_weights,
)
from ..network.backends import choose_device
from ..network.folder import describe_config
from ..verbosity import Verbosity, logger, pluralize, verbose
from .card import write_card
from .curve import write_curve
from .module import PARTS, NightDataModule, Wav2SleepModule
from .monitoring import check_tensorboard
from .run import TrainingRun, check_folder, claim_folder
from .sampling import check_apart, split_by_subject
from .settings import FINE_TUNING, TrainingSettings, check_datasets
from .trainer import choose_devices, fit_module, use_plain_modes

_FEW_SUBJECTS = 5
"""Number of subjects below which fine-tuning warns of overfitting."""


def _count(nights: Sequence[PreparedNight]) -> str:
    """Count nights and subjects, for the log."""
    subjects = {night.subject for night in nights}
    return f"{len(nights)} night{pluralize(nights)} of {len(subjects)} subject{pluralize(subjects)}"


def _train(
    start: LoadedWeights,
    nights: Sequence[Night | PreparedNight],
    validation: Sequence[Night | PreparedNight] | None,
    folder: Path,
    run: TrainingRun,
) -> Path:
    """Train, and write the model folder."""
    # Before the nights are prepared, which takes long.
    if run.tensorboard:
        check_tensorboard()
    devices = choose_devices(choose_device(run.device), run.n_devices)
    check_folder(folder)
    prepared = prepare_nights(nights, folder / "nights")
    if validation is None:
        fraction, seed = run.settings.validation_fraction, run.settings.seed
        training, apart = split_by_subject(prepared, fraction, seed)
    else:
        training, apart = prepared, prepare_nights(validation, folder / "nights")
    check_apart(training, apart)
    if not training or not apart:
        raise ValueError(
            f"Training needs at least one night each for training and validation, got "
            f"{len(training)} and {len(apart)}. Add nights."
        )
    check_datasets(run.settings, training)
    data = NightDataModule(training, apart, start, run.settings)
    claim_folder(
        folder,
        {
            "base": run.base,
            "config": asdict(start.config),
            "preprocessing": asdict(start.preprocessing),
            "settings": asdict(run.settings),
            "trainable": list(run.trainable),
            "training": [night.path.name for night in training],
            "validation": [night.path.name for night in apart],
        },
    )
    if (folder / "config.json").exists():  # the last file that is written
        logger.info(f"{folder} already contains the result of this training run.")
        return folder
    logger.info(f"Training on {_count(training)}, validation on {_count(apart)}.")
    before: Evaluation | None = None
    if run.base is not None:
        before = evaluate(apart, start, subsets="recorded", device="cpu")
    module = Wav2SleepModule(copy.deepcopy(start.network), run.settings, run.trainable)
    if run.settings.precision == "64-true":
        module.double()  # Lightning does it after the averages of weights are made
    trainer, monitor = fit_module(module, data, folder, devices, tensorboard=run.tensorboard)
    if trainer.is_global_zero:
        path = folder / "checkpoints" / f"{run.settings.keep}.ckpt"
        kept = torch.load(path, map_location="cpu", weights_only=True)
        module.load_state_dict(kept["state_dict"])
        logger.info(f"The weights of pass {kept['epoch'] + 1} are kept.")
        write_curve(folder, monitor.rows, kept["epoch"] + 1)
        # float32, whatever the precision of training was.
        network = module.model.cpu().float().eval().requires_grad_(False)
        trained = replace(start, name=folder.name, network=network, file="", sha256="")
        trained = replace(trained, calibration=calibrate(apart, trained, device="cpu"))
        write_card(folder, trained, training, apart, run, before)
        save_weights(trained, folder)
    trainer.strategy.barrier()  # no process returns before the folder is complete
    return folder


@verbose
def train(  # noqa: PLR0913 (keywords that users set)
    nights: Sequence[Night | PreparedNight],
    folder: str | Path,
    *,
    config: Wav2SleepConfig | None = None,
    preprocessing: Preprocessing | None = None,
    validation: Sequence[Night | PreparedNight] | None = None,
    settings: TrainingSettings | None = None,
    device: str | torch.device = "auto",
    n_devices: int = 1,
    tensorboard: bool = False,
    verbose: Verbosity = None,
) -> Path:
    """Train a network from scratch.

    Parameters
    ----------
    nights : sequence of Night or PreparedNight
        The training nights; without ``validation``, also those for validation.
    folder : str or Path
        The model folder to write. It also keeps prepared nights, checkpoints, and ``metrics.csv``,
        which has a row for each pass; call the function again with the same arguments to resume
        after the last complete pass.
    config : Wav2SleepConfig or None
        The architecture; None for the released one.
    preprocessing : Preprocessing or None
        Preprocessing of the signals; None for that of the released weights.
    validation : sequence of Night or PreparedNight, optional
        Nights for the calibration and the model card, and, with ``keep="best"``, for early stopping
        and for selecting the best pass; by default those of some of the subjects.
    settings : TrainingSettings or None
        Settings; None for the authors'.
    device : str or torch.device
        As in :class:`~mne_wav2sleep.SleepStagerW2S`.
    n_devices : int
        Number of devices of this kind.
    tensorboard : bool
        Whether to log losses and kappas for TensorBoard as well, to ``tensorboard`` in the folder.
        It needs the package ``tensorboard``.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    folder : Path
        The model folder: ``config.json``, ``calibration.json``, ``model.safetensors`` and the model
        card ``README.md`` with its ``learning-curve.png``.

    Raises
    ------
    ValueError
        If nights, settings or the device cannot be used; the message names the night.
    RuntimeError
        If the loss is not finite; the last good checkpoint is kept.

    See Also
    --------
    fine_tune : Start from existing weights.
    """
    run = TrainingRun(
        settings=settings or TrainingSettings(),
        trainable=PARTS,
        base=None,
        device=device,
        n_devices=n_devices,
        tensorboard=tensorboard,
    )
    with use_plain_modes():
        torch.manual_seed(run.settings.seed)
        network = Wav2Sleep(config or Wav2SleepConfig())
        info = describe_config(network.config, name=str(folder))
        start = LoadedWeights(**vars(info), network=network, calibration=Calibration())
        start = replace(start, preprocessing=preprocessing or Preprocessing())
        return _train(start, nights, validation, Path(folder), run)


@verbose
def fine_tune(  # noqa: PLR0913 (keywords that users set)
    nights: Sequence[Night | PreparedNight],
    folder: str | Path,
    *,
    weights: str | Path | LoadedWeights = "wav2sleep",
    trainable: Sequence[str] = ("sequence_mixer", "classifier"),
    validation: Sequence[Night | PreparedNight] | None = None,
    settings: TrainingSettings = FINE_TUNING,
    device: str | torch.device = "auto",
    n_devices: int = 1,
    tensorboard: bool = False,
    verbose: Verbosity = None,
) -> Path:
    """Fine-tune weights on a new cohort.

    Parameters
    ----------
    nights : sequence of Night or PreparedNight
        Your own scored nights, of at least two subjects.
    folder : str or Path
        The model folder to write; see :func:`train`.
    weights : str, Path or LoadedWeights
        The initial weights: a name, a model folder, or loaded weights, which are not modified. The
        new weights have the same scorer and warning (``caution``).
    trainable : sequence of str
        The parts that are trained, of ``signal_encoders``, ``epoch_mixer``, ``sequence_mixer`` and
        ``classifier``. The others are frozen, and stay the same bit for bit.
    validation : sequence of Night or PreparedNight, optional
        Nights for the calibration and the model card, and, with ``keep="best"``, for early stopping
        and for selecting the best pass; by default those of some of the subjects.
    settings : TrainingSettings
        Settings.
    device : str or torch.device
        As in :class:`~mne_wav2sleep.SleepStagerW2S`.
    n_devices : int
        Number of devices of this kind.
    tensorboard : bool
        Whether to log losses and kappas for TensorBoard as well, to ``tensorboard`` in the folder.
        It needs the package ``tensorboard``.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    folder : Path
        The model folder, for ``SleepStagerW2S(raw, weights=folder)``.

    Raises
    ------
    ValueError
        If nights, settings or the device cannot be used; the message names the night.
    RuntimeError
        If the loss is not finite; the last good checkpoint is kept.

    See Also
    --------
    train : Start from random weights.

    Notes
    -----
    Compare initial and fine-tuned weights with :func:`~mne_wav2sleep.cohorts.evaluate`, on nights
    of subjects in neither split.
    """
    if not trainable or not set(trainable) <= set(PARTS):
        raise ValueError(
            f"trainable must be one or more of {', '.join(PARTS)}, got {list(trainable)}."
        )
    subjects = {night.subject for night in nights}
    if len(subjects) < _FEW_SUBJECTS:
        warn(
            f"Fine-tuning on {len(subjects)} subject{pluralize(subjects)}: with fewer than "
            f"{_FEW_SUBJECTS}, the network may overfit to them. Evaluate it on other subjects "
            "before you use it."
        )
    start = load_weights(weights)
    run = TrainingRun(
        settings=settings,
        trainable=tuple(trainable),
        base=Path(start.name).name,
        device=device,
        n_devices=n_devices,
        tensorboard=tensorboard,
    )
    with use_plain_modes():
        return _train(start, nights, validation, Path(folder), run)
