"""Training and fine-tuning, with PyTorch Lightning's training loop."""

import copy
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger

from ..cautions import warn
from ..cohorts import Evaluation, Night, PreparedNight, calibrate, evaluate, prepare_nights
from ..errors import summarize_error
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
from ..network.state import read_file
from ..progress import are_bars_shown
from ..verbosity import Verbosity, check_type, logger, pluralize, verbose
from .card import TrainingRun, write_card
from .checkpoints import WholeCheckpoints, make_callbacks
from .module import PARTS, NightDataModule, Wav2SleepModule
from .sampling import check_apart, split_by_subject
from .settings import FINE_TUNING, TrainingSettings, check_datasets

_FEW_SUBJECTS = 5
"""Number of subjects below which fine-tuning warns of overfitting."""
_RUN = "training.json"
_LARGEST_RUN = 2**26
"""Largest size in bytes of a description of a run, which lists its nights."""
_WRITTEN = ("calibration.json", "config.json", "model.safetensors", "README.md")


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


def _check_folder(folder: Path) -> None:
    """Refuse a folder with files that training would overwrite, before anything is written."""
    others = [name for name in _WRITTEN if (folder / name).exists()]
    if others and not (folder / _RUN).exists():
        raise ValueError(
            f"{folder} already contains {', '.join(others)}, which training would overwrite. "
            "Choose another folder."
        )


def _claim_folder(folder: Path, run: Mapping[str, Any]) -> None:
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


def _choose_devices(device: torch.device, n_devices: int) -> dict[str, Any]:
    """Choose Lightning's options for the devices, and check that it can train on them."""
    check_type(n_devices, "int-like", "n_devices")
    if n_devices < 1:
        raise ValueError(f"n_devices must be 1 or more, got {n_devices}. Name at least one device.")
    options: dict[str, Any] = {
        "accelerator": device.type,
        # A single device is the named one; for several, Lightning takes the first.
        "devices": n_devices if device.index is None or n_devices > 1 else [device.index],
        "strategy": "ddp_find_unused_parameters_true" if n_devices > 1 else "auto",
    }
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    try:
        pl.Trainer(**options, logger=False, enable_checkpointing=False)
    except Exception as error:  # it has no type of its own for devices that are not there
        raise ValueError(
            f"PyTorch Lightning cannot train on {n_devices} device{pluralize(n_devices)} of the "
            f"kind {device.type!r} here ({summarize_error(error)}). Use fewer devices, or "
            "device='cpu'."
        ) from error
    return options


def _fit(
    module: Wav2SleepModule,
    data: NightDataModule,
    folder: Path,
    devices: Mapping[str, Any],
) -> pl.Trainer:
    """Train to the end, from the last checkpoint if there is one."""
    settings = module.settings
    with warnings.catch_warnings():
        # Advice on speed that does not matter for few nights, and on internals of dependencies.
        warnings.filterwarnings("ignore", module="pytorch_lightning.*|torch.*|lightning_fabric.*")
        trainer = pl.Trainer(
            **devices,
            precision=settings.precision,
            max_epochs=settings.max_passes,
            gradient_clip_val=settings.clip,
            callbacks=make_callbacks(settings, folder),
            plugins=[WholeCheckpoints()],
            logger=CSVLogger(folder, name="log"),
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,  # PassSampler gives this process its share
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            enable_progress_bar=are_bars_shown(),
            enable_model_summary=False,
        )
        before = folder / "checkpoints" / "last.ckpt"
        resume = str(before) if before.exists() else None
        try:
            trainer.fit(module, data, ckpt_path=resume, weights_only=True)
        except SystemExit as error:
            if trainer.interrupted:  # Lightning turns Ctrl-C into an exit
                raise KeyboardInterrupt from error
            raise
    return trainer


@contextmanager
def _use_plain_modes() -> Iterator[None]:
    """Leave the modes of torch in which a user may call: they would change what is learnt."""
    with ExitStack() as modes:
        modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda", "mps"):  # those that Lightning knows
            if torch.is_autocast_enabled(kind):
                modes.enter_context(torch.autocast(kind, enabled=False))
        if not _is_cpu_default():
            modes.enter_context(torch.device("cpu"))
        modes.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
        yield


def _is_cpu_default() -> bool:
    """Check whether tensors are made on the CPU unless told otherwise."""
    try:
        return torch.get_default_device().type == "cpu"
    except (AssertionError, RuntimeError):  # a device that is not there
        return False


def _train(
    start: LoadedWeights,
    nights: Sequence[Night | PreparedNight],
    validation: Sequence[Night | PreparedNight] | None,
    folder: Path,
    run: TrainingRun,
) -> Path:
    """Train, and write the model folder."""
    # Before the nights are prepared, which takes long.
    devices = _choose_devices(choose_device(run.device), run.n_devices)
    _check_folder(folder)
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
    _claim_folder(
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
    before: Evaluation | None = None
    if run.base is not None:
        before = evaluate(apart, start, subsets="recorded", device="cpu")
    module = Wav2SleepModule(copy.deepcopy(start.network), run.settings, run.trainable)
    if run.settings.precision == "64-true":
        module.double()  # Lightning does it after the averages of weights are made
    trainer = _fit(module, data, folder, devices)
    if trainer.is_global_zero:
        kept = folder / "checkpoints" / f"{run.settings.keep}.ckpt"
        module.load_state_dict(
            torch.load(kept, map_location="cpu", weights_only=True)["state_dict"]
        )
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
    verbose: Verbosity = None,
) -> Path:
    """Train a network from scratch.

    Parameters
    ----------
    nights : sequence of Night or PreparedNight
        The training nights; without ``validation``, also those for validation.
    folder : str or Path
        The model folder to write. It also keeps prepared nights, checkpoints and logs; call the
        function again with the same arguments to resume after the last complete pass.
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
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    folder : Path
        The model folder: ``config.json``, ``calibration.json``, ``model.safetensors`` and the model
        card ``README.md``.

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
    )
    with _use_plain_modes():
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
    )
    with _use_plain_modes():
        return _train(start, nights, validation, Path(folder), run)
