"""Training and fine-tuning: from nights and initial weights to a model folder."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ..cautions import keep_cautions, warn
from ..cohorts import Evaluation, Night, PreparedNight, calibrate, evaluate
from ..cohorts.calibration import keep_calibration
from ..modalities import describe_added
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
from ..network.info import describe_config
from ..verbosity import Verbosity, check_type, logger, pluralize, verbose
from .card import write_card
from .checkpoints import choose_checkpoint, read_kept
from .checks import check_crop, check_losses, check_workers
from .curve import write_curve
from .extension import choose_parts, extend_start
from .locking import lock_folder
from .memory import check_memory
from .module import PARTS, NightDataModule, Wav2SleepModule
from .monitoring import check_tensorboard
from .run import TrainingRun, check_folder, claim_folder, describe_run, finish, is_finished
from .schedule import Schedule, resolve_settings
from .settings import FINE_TUNING, TrainingSettings, check_datasets, describe_architecture
from .signatures import report_signs
from .splitting import Split, TrainingNights
from .stopping import explain_stop
from .trainer import choose_devices, fit_module, use_plain_modes

_FEW_SUBJECTS = 5
"""Number of training subjects below which fine-tuning warns of overfitting."""


def _count(nights: Sequence[PreparedNight]) -> str:
    """Count nights and subjects, for the log."""
    persons = {night.person for night in nights}
    return f"{len(nights)} night{pluralize(nights)} of {len(persons)} subject{pluralize(persons)}"


def _prepare(nights: TrainingNights, folder: Path, run: TrainingRun) -> Split:
    """Prepare and split the nights, and check that the run can use them."""
    split = nights.prepare(folder, run.settings.validation_fraction, run.settings.seed)
    persons = {night.person for night in split.training}
    if run.base is not None and len(persons) < _FEW_SUBJECTS:
        warn(
            f"Fine-tuning on {len(persons)} subject{pluralize(persons)}: with fewer than "
            f"{_FEW_SUBJECTS}, the network may overfit to them. Evaluate it on other subjects "
            "before you use it."
        )
    check_datasets(run.settings, split.training)
    run.extension.check_nights(split.training)
    return split


def describe_training(start: LoadedWeights, run: TrainingRun) -> dict[str, Any]:
    """Describe what is trained, apart from the nights.

    Parameters
    ----------
    start : LoadedWeights
        The initial weights.
    run : TrainingRun
        How they are trained.

    Returns
    -------
    described : dict
        What a resumed run has to have in common with it.
    """
    return {
        "base": run.base and asdict(run.base),
        "config": asdict(start.config),
        **describe_added(start.modalities),
        "preprocessing": asdict(start.preprocessing),
        "settings": asdict(run.settings),
        "trainable": list(run.trainable),
        "n_devices": run.n_devices,
        **({"extension": run.extension.text} if run.extension else {}),
        **({} if run.cross_validation is None else {"cross_validation": True}),
    }


def check_run(run: TrainingRun) -> dict[str, Any]:
    """Check all that can be checked before the nights are prepared, which takes long.

    Parameters
    ----------
    run : TrainingRun
        How weights are trained.

    Returns
    -------
    devices : dict
        Lightning's options for the devices.
    """
    check_workers(run.settings.n_workers)
    if run.tensorboard:
        check_tensorboard()
    return choose_devices(choose_device(run.device), run.n_devices)


def train_in_folder(
    start: LoadedWeights, nights: TrainingNights, folder: Path, run: TrainingRun
) -> Path:
    """Train, and write the model folder.

    Parameters
    ----------
    start : LoadedWeights
        The initial weights.
    nights : TrainingNights
        The nights.
    folder : Path
        The model folder.
    run : TrainingRun
        How the weights are trained.

    Returns
    -------
    folder : Path
        The model folder.
    """
    devices = check_run(run)
    check_crop(start, run.settings)
    described = describe_training(start, run)
    check_folder(folder, described)
    with lock_folder(folder, run.n_devices):
        return _train_alone(start, nights, folder, run, devices, described)


def _train_alone(
    start: LoadedWeights,
    nights: TrainingNights,
    folder: Path,
    run: TrainingRun,
    devices: Mapping[str, Any],
    described: Mapping[str, Any],
) -> Path:
    """Train in a folder that no other run writes to."""
    split = _prepare(replace(nights, modalities=start.modalities), folder, run)
    training, apart = split.training, split.validation
    data = NightDataModule(training, apart, start, run.settings)
    check_losses(training, apart, start)
    names = {
        part: [night.path.name for night in some]
        for part, some in (("training", training), ("validation", apart))
    }
    schedule = resolve_settings(run.settings, len(training), run.n_devices)
    record = describe_run(folder, {**described, **names, "schedule": asdict(schedule)})
    schedule = Schedule(**record["schedule"])  # of its beginning, also with more passes
    if is_finished(folder, record):
        logger.info(f"{folder} already contains the result of this training run.")
        return folder
    resume = choose_checkpoint(folder, run.settings)
    claim_folder(folder, record)
    split.write(folder)
    logger.info(f"Training on {_count(training)}, validation on {_count(apart)}.")
    before: Evaluation | None = None
    if run.is_compared:
        before = evaluate(apart, start, subsets="recorded", device=run.device)
    logger.info(schedule.describe())
    module = Wav2SleepModule(copy.deepcopy(start.network), run.settings, run.trainable, schedule)
    if run.settings.precision == "64-true":
        module.double()  # Lightning does it after the averages of weights are made
    padded = start.preprocessing.padded_epochs
    check_memory(module.model, run.settings, training, padded, choose_device(run.device))
    trainer, monitor = fit_module(
        module, data, folder, devices, resume, tensorboard=run.tensorboard
    )
    if trainer.is_global_zero:
        kept = read_kept(folder, run.settings)
        module.load_state_dict(kept["state_dict"])
        logger.info(f"The weights of pass {kept['epoch'] + 1} are kept.")
        write_curve(folder, monitor.rows, kept["epoch"] + 1)
        # float32, whatever the precision of training was.
        network = module.model.cpu().float().eval().requires_grad_(False)
        trained = replace(
            start, name=folder.name, network=network, file="", sha256="", bases=run.bases
        )
        if run.is_fold:
            calibration = keep_calibration(start.calibration)
        else:
            calibration = calibrate(apart, trained, device=run.device)
        trained = replace(trained, calibration=calibration)
        after = evaluate(apart, trained, device=run.device)
        signs = report_signs(after, folder, record, run)
        parts = {"training": training, "validation": apart}
        write_card(folder, trained, parts, run, schedule, (before, after), signs)
        # Last, so that calibration and card warn only of what the initial weights have seen.
        contents = ([night.contents for night in part] for part in (training, apart))
        save_weights(replace(trained, seen=start.seen.extend(*contents)), folder)
        finish(folder, record)
    trainer.strategy.barrier()  # no process returns before the folder is complete
    return folder


@verbose
def train(  # noqa: PLR0913 (keywords that users set)
    nights: Sequence[Night | PreparedNight],
    folder: str | Path,
    *,
    architecture: str = "released",
    config: Wav2SleepConfig | None = None,
    preprocessing: Preprocessing | None = None,
    validation: Sequence[Night | PreparedNight] | None = None,
    split: str | Path | None = None,
    settings: TrainingSettings | None = None,
    cache: str | Path | None = None,
    n_jobs: int = 1,
    device: str | torch.device = "auto",
    n_devices: int = 1,
    on_error: str = "raise",
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
    architecture : str
        ``"released"`` or ``"paper"``, whose network, preprocessing and settings are the default.
    config, preprocessing : Wav2SleepConfig or None, Preprocessing or None
        The network and how its signals are prepared; None for those of the named architecture.
    validation : sequence of Night or PreparedNight, optional
        Nights for the calibration and the model card, and, with ``keep="best"``, for early stopping
        and for selecting the best pass; by default those of some of the subjects.
    split : str, Path or None
        A table (CSV) with the columns ``subject``, ``part`` (``training``, ``validation``, or
        ``test`` for those to leave out) and, optionally, ``dataset``, instead of ``validation``.
        Subjects that it does not name are assigned by the seed, with a warning; it may name others
        as well, but not only others. None for ``split.csv`` in the folder, which training writes.
    settings : TrainingSettings or None
        Settings; None for ``TrainingSettings()``, or for ``PAPER_TRAINING`` with ``"paper"``.
    cache : str, Path or None
        Folder of prepared nights, which several runs can share; None for ``nights`` in the folder.
    n_jobs : int
        Number of nights prepared in parallel, as in :func:`~mne_wav2sleep.cohorts.prepare_nights`.
    device : str or torch.device
        As in :class:`~mne_wav2sleep.SleepStagerW2S`.
    n_devices : int
        Number of devices of this kind.
    on_error : str
        What to do with nights that cannot be prepared: ``"raise"`` an error that names them, or
        ``"warn"`` and leave them out.
    tensorboard : bool
        Whether to log losses and kappas for TensorBoard as well, to ``tensorboard`` in the folder.
        It needs the package ``tensorboard``.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    folder : Path
        The model folder: ``config.json``, ``calibration.json``, ``model.safetensors``,
        ``nights.json`` (hashes of the nights), the card ``README.md`` and ``learning-curve.png``.

    Raises
    ------
    TypeError, ValueError
        If nights, settings or the device cannot be used; the message names the night.
    RuntimeError
        If the loss is not finite; the last good checkpoint is kept. Or if another run is training
        in the folder, or ``n_workers`` is above 0 in a script without
        ``if __name__ == "__main__":``.

    See Also
    --------
    fine_tune : Start from existing weights.
    """
    check_type(settings, (TrainingSettings, None), "settings")
    chosen = describe_architecture(architecture, settings, config, preprocessing)
    run = TrainingRun(
        settings=chosen["settings"],
        trainable=PARTS,
        bases=(),
        device=device,
        n_devices=n_devices,
        tensorboard=tensorboard,
    )
    folder = Path(folder).expanduser()
    with explain_stop(folder), use_plain_modes(), keep_cautions([]):  # each is shown once
        torch.manual_seed(run.settings.seed)
        network = Wav2Sleep(chosen["architecture"])
        prepared = chosen["preprocessing"]
        info = describe_config(network.config, name=str(folder), preprocessing=prepared)
        start = LoadedWeights(**vars(info), network=network, calibration=Calibration())
        cohort = TrainingNights(nights, validation, split, cache, n_jobs, on_error)
        return train_in_folder(start, cohort, folder, run)


@verbose
def fine_tune(  # noqa: PLR0913 (keywords that users set)
    nights: Sequence[Night | PreparedNight],
    folder: str | Path,
    *,
    weights: str | Path | LoadedWeights = "wav2sleep",
    trainable: Sequence[str] = ("sequence_mixer", "classifier"),
    n_stages: int | None = None,
    add_signals: Mapping[str, str | None] | None = None,
    validation: Sequence[Night | PreparedNight] | None = None,
    split: str | Path | None = None,
    settings: TrainingSettings = FINE_TUNING,
    cache: str | Path | None = None,
    n_jobs: int = 1,
    device: str | torch.device = "auto",
    n_devices: int = 1,
    on_error: str = "raise",
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
        The parts that are trained, of ``signal_encoders`` (or one of them, such as
        ``signal_encoders.PPG``), ``epoch_mixer``, ``sequence_mixer`` and ``classifier``; new ones
        are trained as well. The others are frozen, and stay the same bit for bit.
    n_stages : int or None
        Number of stages of the new weights, 4 or 5; None for that of the initial ones. Another
        number needs a new head, which begins as described for
        :func:`~mne_wav2sleep.network.extend_weights`, and the default calibration.
    add_signals : mapping of str to str or None
        Modality that the initial weights do not read -> the modality whose encoder its own begins
        as a copy of, or None for random values.
    validation : sequence of Night or PreparedNight, optional
        Nights for the calibration and the model card, and, with ``keep="best"``, for early stopping
        and for selecting the best pass; by default those of some of the subjects.
    split : str, Path or None
        A table (CSV) with the columns ``subject``, ``part`` (``training``, ``validation``, or
        ``test`` for those to leave out) and, optionally, ``dataset``, instead of ``validation``.
        Subjects that it does not name are assigned by the seed, with a warning; it may name others
        as well, but not only others. None for ``split.csv`` in the folder, which training writes.
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
    on_error : str
        What to do with nights that cannot be prepared, as in :func:`train`.
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
    TypeError, ValueError
        If nights, settings or the device cannot be used; the message names the night.
    RuntimeError
        If the loss is not finite; the last good checkpoint is kept. Or if another run is training
        in the folder, or ``n_workers`` is above 0 in a script without
        ``if __name__ == "__main__":``.

    See Also
    --------
    train : Start from random weights.

    Notes
    -----
    Compare initial and fine-tuned weights with :func:`~mne_wav2sleep.cohorts.evaluate`, on nights
    of subjects in neither split.
    """
    check_type(settings, (TrainingSettings,), "settings")
    start = load_weights(weights)
    bases = start.lineage
    start, extension = extend_start(start, n_stages, add_signals, settings.seed)
    run = TrainingRun(
        settings=settings,
        trainable=choose_parts(start, trainable, extension),
        bases=bases,
        device=device,
        n_devices=n_devices,
        tensorboard=tensorboard,
        extension=extension,
    )
    folder = Path(folder).expanduser()
    with explain_stop(folder), use_plain_modes(), keep_cautions([]):  # each is shown once
        cohort = TrainingNights(nights, validation, split, cache, n_jobs, on_error)
        return train_in_folder(start, cohort, folder, run)
