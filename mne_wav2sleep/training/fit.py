"""Training and fine-tuning: from nights and initial weights to a model folder."""

import copy
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from ..cautions import keep_cautions, warn
from ..cohorts import Evaluation, Night, PreparedNight, calibrate, evaluate
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
from .module import PARTS, NightDataModule, Wav2SleepModule
from .run import TrainingRun, check_folder, claim_folder
from .settings import FINE_TUNING, TrainingSettings, check_datasets
from .splitting import TrainingNights
from .trainer import choose_devices, fit_module, use_plain_modes

_FEW_SUBJECTS = 5
"""Number of subjects below which fine-tuning warns of overfitting."""


def _train(start: LoadedWeights, nights: TrainingNights, folder: Path, run: TrainingRun) -> Path:
    """Train, and write the model folder."""
    # Before the nights are prepared, which takes long.
    devices = choose_devices(choose_device(run.device), run.n_devices)
    check_folder(folder)
    split = nights.prepare(folder, run.settings.validation_fraction, run.settings.seed)
    training, apart = split.training, split.validation
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
    split.write(folder)
    if (folder / "config.json").exists():  # the last file that is written
        logger.info(f"{folder} already contains the result of this training run.")
        return folder
    before: Evaluation | None = None
    if run.base is not None:
        before = evaluate(apart, start, subsets="recorded", device="cpu")
    module = Wav2SleepModule(copy.deepcopy(start.network), run.settings, run.trainable)
    if run.settings.precision == "64-true":
        module.double()  # Lightning does it after the averages of weights are made
    trainer = fit_module(module, data, folder, devices)
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
        # Last, so that calibration and card warn only of what the initial weights have seen.
        contents = ([night.contents for night in part] for part in (training, apart))
        save_weights(replace(trained, seen=start.seen.extend(*contents)), folder)
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
    split: str | Path | None = None,
    settings: TrainingSettings | None = None,
    cache: str | Path | None = None,
    n_jobs: int = 1,
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
    split : str, Path or None
        A table (CSV) with the columns ``subject``, ``part`` (``training``, ``validation``, or
        ``test`` for those to leave out) and, optionally, ``dataset``, instead of ``validation``.
        Subjects that it does not name are assigned by the seed, with a warning. None for
        ``split.csv`` in the folder, which training writes.
    settings : TrainingSettings or None
        Settings; None for the authors'.
    cache : str, Path or None
        Folder of prepared nights, which several runs can share; None for ``nights`` in the folder.
    n_jobs : int
        Number of nights prepared in parallel, as in :func:`~mne_wav2sleep.cohorts.prepare_nights`.
    device : str or torch.device
        As in :class:`~mne_wav2sleep.SleepStagerW2S`.
    n_devices : int
        Number of devices of this kind.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    folder : Path
        The model folder: ``config.json``, ``calibration.json``, ``model.safetensors``,
        ``nights.json`` (the nights of training, by hashes of their contents) and the model card
        ``README.md``.

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
    with use_plain_modes(), keep_cautions([]):  # each is shown once
        torch.manual_seed(run.settings.seed)
        network = Wav2Sleep(config or Wav2SleepConfig())
        info = describe_config(network.config, name=str(folder))
        start = LoadedWeights(**vars(info), network=network, calibration=Calibration())
        start = replace(start, preprocessing=preprocessing or Preprocessing())
        cohort = TrainingNights(nights, validation, split, cache, n_jobs)
        return _train(start, cohort, Path(folder), run)


@verbose
def fine_tune(  # noqa: PLR0913 (keywords that users set)
    nights: Sequence[Night | PreparedNight],
    folder: str | Path,
    *,
    weights: str | Path | LoadedWeights = "wav2sleep",
    trainable: Sequence[str] = ("sequence_mixer", "classifier"),
    validation: Sequence[Night | PreparedNight] | None = None,
    split: str | Path | None = None,
    settings: TrainingSettings = FINE_TUNING,
    cache: str | Path | None = None,
    n_jobs: int = 1,
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
    split : str, Path or None
        A table (CSV) with the columns ``subject``, ``part`` (``training``, ``validation``, or
        ``test`` for those to leave out) and, optionally, ``dataset``, instead of ``validation``.
        Subjects that it does not name are assigned by the seed, with a warning. None for
        ``split.csv`` in the folder, which training writes.
    settings : TrainingSettings
        Settings.
    cache : str, Path or None
        Folder of prepared nights, which several runs can share; None for ``nights`` in the folder.
    n_jobs : int
        Number of nights prepared in parallel, as in :func:`~mne_wav2sleep.cohorts.prepare_nights`.
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
    subjects = {night.person for night in nights}
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
    with use_plain_modes(), keep_cautions([]):  # each is shown once
        cohort = TrainingNights(nights, validation, split, cache, n_jobs)
        return _train(start, cohort, Path(folder), run)
