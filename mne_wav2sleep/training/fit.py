"""Training and fine-tuning: PyTorch Lightning does the loop, this says what is learnt."""

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from mne.utils import _pl, logger
from pytorch_lightning.callbacks import (
    Callback,
    EarlyStopping,
    ModelCheckpoint,
    WeightAveraging,
)
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..cautions import warn
from ..cohorts.calibration import calibrate
from ..cohorts.evaluation import evaluate
from ..cohorts.nights import Night, PreparedNight, prepare_nights
from ..network.config import Wav2SleepConfig
from ..network.folder import save_model
from ..network.model import Wav2Sleep
from ..network.registry import load_model
from ..progress import are_bars_shown
from .card import write_card
from .masking import Masking
from .sampling import NightDataset, PassSampler, check_apart, make_loader, split_by_subject
from .settings import FINE_TUNING, TrainingSettings, check_settings

_PARTS = ("signal_encoders", "epoch_mixer", "sequence_mixer", "classifier")
_FEW_SUBJECTS = 5


class _Module(pl.LightningModule):
    """What Lightning has to know: the loss, the optimiser, and what to do about chance."""

    def __init__(
        self, model: Wav2Sleep, settings: TrainingSettings, trainable: Sequence[str]
    ) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        self.trainable = tuple(trainable)
        for part in _PARTS:
            getattr(model, part).requires_grad_(part in self.trainable)

    def on_train_epoch_start(self) -> None:
        # A frozen part is left as it is, its dropout included.
        for part in _PARTS:
            getattr(self.model, part).train(part in self.trainable)

    def on_train_batch_start(self, batch: dict, batch_idx: int) -> None:
        # Dropout depends on the step alone, so that a resumed run goes on as if never stopped.
        torch.manual_seed(self.settings.seed * 1_000_003 + self.global_step)

    def _loss(self, batch: dict) -> tuple[Tensor, Tensor]:
        """Cross-entropy, summed over the scored epochs, and the number of them."""
        stages_BS = batch["stages"]
        n_recordings, n_epochs = stages_BS.shape
        z = {}
        for name, x_RT in batch["x"].items():
            # Only the recordings that have the signal are encoded; the others' rows stay 0.
            z_RSF = self.model.encode({name: x_RT})[name]
            z_BSF = z_RSF.new_zeros(n_recordings, n_epochs, z_RSF.shape[-1])
            z[name] = z_BSF.index_put((batch["rows"][name],), z_RSF)
        logits_BSC = self.model.mix(z, batch["available"])
        total = functional.cross_entropy(
            logits_BSC.flatten(0, 1).float(), stages_BS.flatten(), ignore_index=-1, reduction="sum"
        )
        return total, (stages_BS >= 0).sum()

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        total, count = self._loss(batch)
        if not torch.isfinite(total):
            raise RuntimeError(
                f"The loss is {float(total.detach())} at step {self.global_step}, in a batch of "
                f"{batch['names']}. Training stopped; the checkpoint of the last whole pass is "
                "kept. Check these nights, or lower the learning rate."
            )
        # Gradients are averaged over processes: count the scored epochs of all of them, so that
        # each epoch weighs the same wherever it was computed.
        counts: Any = self.all_gather(count)
        loss = total / counts.float().mean().clamp(min=1)
        self.log("train_loss", loss.detach(), prog_bar=True, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        total, count = self._loss(batch)
        self.log(
            "val_loss",
            total / count.clamp(min=1),
            batch_size=int(count),
            prog_bar=True,
            on_epoch=True,
            sync_dist=True,
        )

    def configure_optimizers(self) -> Any:
        settings = self.settings
        learnt = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            learnt, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

        def factor(step: int) -> float:
            if step < settings.warmup_steps:
                return (step + 1) / settings.warmup_steps
            return float(np.exp(-(step - settings.warmup_steps) / settings.decay_steps))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


class _Nights(pl.LightningDataModule):
    """The nights of each pass; Lightning asks anew at every one."""

    def __init__(
        self,
        training: Sequence[PreparedNight],
        validation: Sequence[PreparedNight],
        config: Wav2SleepConfig,
        settings: TrainingSettings,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.nights = list(training)
        network = (sorted(config.signals), config.n_classes)
        padded = config.padded_epochs
        self.training = NightDataset(
            training,
            *network,
            crop=settings.crop,
            padded_epochs=padded,
            masking=settings.masking,
        )
        # Validation is the same at every pass: whole nights, nothing dropped or flipped.
        self.validation = NightDataset(
            validation, *network, crop=None, padded_epochs=padded, masking=Masking.off()
        )

    def train_dataloader(self) -> Any:
        settings = self.settings
        trainer: Any = self.trainer
        sampler = PassSampler(
            self.nights,
            settings.dataset_weights,
            settings.batch_size,
            seed=settings.seed,
            number=trainer.current_epoch,
            rank=trainer.global_rank,
            n_processes=trainer.world_size,
        )
        return make_loader(self.training, sampler, settings.batch_size, settings.n_workers)

    def val_dataloader(self) -> Any:
        return make_loader(self.validation, None, 1, self.settings.n_workers)


class _EarlyStopping(EarlyStopping):
    """A resumed run that had stopped already stops at once; Lightning's goes on for a pass."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if self.wait_count >= self.patience:
            trainer.should_stop = True


_WRITTEN = ("calibration.json", "config.json", "model.safetensors", "README.md")


def _remember(folder: Path, run: Mapping[str, Any]) -> None:
    """Note in the folder what is being trained, or refuse to go on with something else."""
    path = folder / "training.json"
    text = json.dumps(run, indent=2, sort_keys=True, default=str) + "\n"
    if path.exists() and (before := path.read_text(encoding="utf-8")) != text:
        old = json.loads(before)
        changed = sorted(key for key in {*old, *run} if old.get(key) != json.loads(text).get(key))
        raise ValueError(
            f"{folder} holds another training; {', '.join(changed)} differ. Choose another folder, "
            "or remove this one to begin anew."
        )
    if not path.exists() and (others := [n for n in _WRITTEN if (folder / n).exists()]):
        raise ValueError(
            f"{folder} holds {', '.join(others)} of something else, which training would replace. "
            "Choose another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _fit(
    module: _Module, data: _Nights, folder: Path, accelerator: str, devices: int
) -> pl.Trainer:
    """Train to the end, from the last checkpoint if there is one."""
    settings = module.settings
    # Not one with save_last=True, which saves the last pass only where it is the best one too.
    best, last = (
        ModelCheckpoint(
            folder / "checkpoints", filename=name, monitor=monitor, enable_version_counter=False
        )
        for name, monitor in (("best", "val_loss"), ("last", None))
    )
    callbacks: list[Callback] = [last]
    if settings.keep == "best":
        stop = _EarlyStopping("val_loss", patience=settings.patience, check_finite=True)
        callbacks = [stop, best, last]
    if settings.averaging:
        # Validation and checkpoints take the averaged weights; training goes on with its own. Not
        # Lightning's EMAWeightAveraging, which rounds: frozen weights would not stay the same.
        running_mean = get_ema_multi_avg_fn(settings.averaging)
        callbacks.append(WeightAveraging(multi_avg_fn=running_mean))
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Advice on speed, which few nights do not need, and on dependencies' own internals.
        warnings.filterwarnings("ignore", module="pytorch_lightning.*|torch.*|lightning_fabric.*")
        trainer = pl.Trainer(
            accelerator=accelerator,
            devices=devices,
            strategy="ddp_find_unused_parameters_true" if devices > 1 else "auto",
            precision=settings.precision,  # type: ignore[arg-type]
            max_epochs=settings.max_passes,
            gradient_clip_val=settings.clip,
            callbacks=callbacks,
            logger=CSVLogger(folder, name="log"),
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,  # PassSampler takes this process's share itself
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            enable_progress_bar=are_bars_shown(),
            enable_model_summary=False,
        )
        before = folder / "checkpoints" / "last.ckpt"
        resume = str(before) if before.exists() else None
        trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    return trainer


def _train(
    model: Wav2Sleep,
    nights: Sequence[Night | PreparedNight],
    folder: str | Path,
    validation: Sequence[Night | PreparedNight] | None,
    settings: TrainingSettings,
    trainable: Sequence[str],
    base: str | None,
    accelerator: str,
    devices: int,
) -> Path:
    """Train and write the model folder."""
    folder = Path(folder)
    prepared = prepare_nights(nights, folder / "nights")
    if validation is None:
        training, apart = split_by_subject(prepared, settings.validation_fraction, settings.seed)
    else:
        training, apart = prepared, prepare_nights(validation, folder / "nights")
    check_apart(training, apart)
    if not training or not apart:
        raise ValueError("Training needs one night at least to learn from, and one to validate.")
    check_settings(settings, training)
    data = _Nights(training, apart, model.config, settings)
    run = {
        "base": base,
        "config": asdict(model.config),
        "settings": asdict(settings),
        "trainable": list(trainable),
        "training": [night.path.name for night in training],
        "validation": [night.path.name for night in apart],
    }
    _remember(folder, run)
    if (folder / "config.json").exists():  # the last file that is written
        logger.info(f"{folder} holds this training already; nothing to do.")
        return folder
    before = None if base is None else evaluate(apart, model, subsets="recorded")
    module = _Module(model, settings, trainable)
    if settings.precision == "64-true":
        module.double()  # before Lightning does it, which is too late for averages of weights
    trainer = _fit(module, data, folder, accelerator, devices)
    if trainer.is_global_zero:
        kept = folder / "checkpoints" / f"{settings.keep}.ckpt"
        module.load_state_dict(
            torch.load(kept, map_location="cpu", weights_only=True)["state_dict"]
        )
        # To the type of all other networks, whatever the precision was.
        model = module.model.cpu().float().eval().requires_grad_(False)
        model.calibration = calibrate(apart, model)
        write_card(folder, model, training, apart, run, before)
        save_model(model, folder)
    trainer.strategy.barrier()  # no process goes on before the folder is whole
    return folder


def train(
    nights: Sequence[Night | PreparedNight],
    folder: str | Path,
    *,
    config: Wav2SleepConfig | None = None,
    validation: Sequence[Night | PreparedNight] | None = None,
    settings: TrainingSettings | None = None,
    accelerator: str = "auto",
    devices: int = 1,
) -> Path:
    """Train a network from scratch.

    Parameters
    ----------
    nights : sequence of Night or PreparedNight
        The nights to learn from, and, without ``validation``, to validate with.
    folder : str or Path
        The model folder to write. Prepared nights, checkpoints and logs are kept in it, and the
        same call with the same folder goes on after the last whole pass.
    config : Wav2SleepConfig or None
        The architecture; None for the released one.
    validation : sequence of Night or PreparedNight, optional
        Nights to stop and choose by; by default a part of the subjects is set apart.
    settings : TrainingSettings or None
        How to train; None for the authors' settings.
    accelerator : str
        Lightning's: ``"auto"``, ``"cpu"``, ``"gpu"``, ``"mps"``.
    devices : int
        How many of them.

    Returns
    -------
    folder : Path
        The model folder: ``config.json``, ``model.safetensors`` and the model card ``README.md``.

    Raises
    ------
    ValueError
        If nights or settings cannot be used; the message names the night.
    RuntimeError
        If the loss is not finite; the last good checkpoint is kept.
    """
    settings = settings or TrainingSettings()
    check_settings(settings)
    torch.manual_seed(settings.seed)
    model = Wav2Sleep(config or Wav2SleepConfig())
    return _train(model, nights, folder, validation, settings, _PARTS, None, accelerator, devices)


def fine_tune(
    nights: Sequence[Night | PreparedNight],
    folder: str | Path,
    *,
    weights: str | Path = "wav2sleep",
    trainable: Sequence[str] = ("sequence_mixer", "classifier"),
    validation: Sequence[Night | PreparedNight] | None = None,
    settings: TrainingSettings = FINE_TUNING,
    accelerator: str = "auto",
    devices: int = 1,
) -> Path:
    """Fit a network to a new cohort.

    Parameters
    ----------
    nights : sequence of Night or PreparedNight
        Your own scored nights, of two subjects at least.
    folder : str or Path
        The model folder to write; see :func:`train`.
    weights : str or Path
        The weights to begin with: a name or a model folder.
    trainable : sequence of str
        The parts that learn, of ``signal_encoders``, ``epoch_mixer``, ``sequence_mixer`` and
        ``classifier``. The others keep their weights to the bit.
    validation : sequence of Night or PreparedNight, optional
        Nights to stop and choose by; by default a part of the subjects is set apart.
    settings : TrainingSettings
        How to train.
    accelerator : str
        Lightning's: ``"auto"``, ``"cpu"``, ``"gpu"``, ``"mps"``.
    devices : int
        How many of them.

    Returns
    -------
    folder : Path
        The model folder, for ``SleepStagerW2S(raw, weights=folder)``.

    Raises
    ------
    ValueError
        If nights or settings cannot be used; the message names the night.
    RuntimeError
        If the loss is not finite; the last good checkpoint is kept.

    Notes
    -----
    Compare before and after with :func:`evaluate`, on nights that were in neither split.
    """
    if unknown := sorted(set(trainable) - set(_PARTS)) or not trainable:
        raise ValueError(f"trainable must be one or more of {_PARTS}, got {unknown or 'none'}.")
    subjects = {night.subject for night in nights}
    if len(subjects) < _FEW_SUBJECTS:
        warn(
            f"Fine-tuning on {len(subjects)} subject{_pl(subjects)}: with fewer than "
            f"{_FEW_SUBJECTS} the network may learn these people rather than the cohort. Check it "
            "on others before you use it."
        )
    model = load_model(weights)
    return _train(
        model,
        nights,
        folder,
        validation,
        settings,
        trainable,
        Path(weights).name,
        accelerator,
        devices,
    )
