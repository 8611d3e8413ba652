"""What PyTorch Lightning trains: the network with its loss and optimizer, and the data."""

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from ..cohorts import PreparedNight
from ..network import LoadedWeights, Wav2Sleep
from ..network.backends import choose_backend
from .sampling import NightDataset, PassSampler, WindowDataset, make_loader
from .schedule import Schedule
from .settings import TrainingSettings

PARTS = ("signal_encoders", "epoch_mixer", "sequence_mixer", "classifier")
"""Parts of the network, each of which can be frozen."""

RECORDED = "recorded"
"""All signals of a night together, beside each of them alone."""


def _sum_cross_entropy(logits_BSC: Tensor, stages_BS: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the cross-entropy over the scored epochs, and count them."""
    total = functional.cross_entropy(
        logits_BSC.flatten(0, 1).float(), stages_BS.flatten(), ignore_index=-1, reduction="sum"
    )
    return total, (stages_BS >= 0).sum()


def sum_losses(losses: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Sum the losses and the numbers of scored epochs of batches."""
    totals, counts = zip(*losses, strict=True)
    return torch.stack(totals).sum(), torch.stack(counts).sum()


def list_parts(network: Wav2Sleep) -> list[str]:
    """List the parts that can be trained: those of the network, and each encoder alone."""
    return [*PARTS, *(f"signal_encoders.{name}" for name in network.signal_encoders.encoders)]


class Wav2SleepModule(pl.LightningModule):
    """A network with its loss, optimizer and learning rate.

    Parameters
    ----------
    network : Wav2Sleep
        The network, which is trained in place.
    settings : TrainingSettings
        The settings.
    trainable : sequence of str
        The parts of :func:`list_parts` to train; the others are frozen.
    schedule : Schedule
        The learning rate of each step.
    """

    def __init__(
        self,
        network: Wav2Sleep,
        settings: TrainingSettings,
        trainable: Sequence[str],
        schedule: Schedule,
    ) -> None:
        super().__init__()
        # A step has several backward passes if its recordings are not computed at once.
        self.automatic_optimization = False
        self.schedule = schedule
        self.model = network  # checkpoints have this name
        self.settings = settings
        self.trainable = tuple(trainable)
        for part in PARTS:
            getattr(network, part).requires_grad_(part in self.trainable)
        for name, encoder in network.signal_encoders.encoders.items():
            if f"signal_encoders.{name}" in self.trainable:
                encoder.requires_grad_(True)

    def on_train_epoch_start(self) -> None:
        """Switch off the dropout of frozen parts."""
        for part in PARTS:
            getattr(self.model, part).train(part in self.trainable)

    def on_train_batch_start(self, batch: list[dict], batch_idx: int) -> None:
        """Seed dropout with the step, so that a resumed run gives the same weights."""
        # Each process has nights of its own, and its own dropout.
        process = 1_000_000_007 * self.global_rank
        torch.manual_seed(self.settings.seed * 1_000_003 + self.global_step + process)

    def compute_loss(self, batch: dict) -> tuple[Tensor, Tensor]:
        """Compute the cross-entropy of a batch.

        Parameters
        ----------
        batch : dict
            A batch from :func:`~mne_wav2sleep.cohorts.batches.collate`.

        Returns
        -------
        total : Tensor
            Cross-entropy, summed over the scored epochs.
        count : Tensor
            Number of scored epochs.
        """
        return _sum_cross_entropy(self.compute_logits(batch), batch["stages"])

    def compute_logits(self, batch: dict) -> Tensor:
        """Compute the stage logits of a batch.

        Parameters
        ----------
        batch : dict
            A batch from :func:`~mne_wav2sleep.cohorts.batches.collate`.

        Returns
        -------
        logits : Tensor, shape (B, S, n_classes)
            Unnormalized log-probabilities of the stages.
        """
        return self.model.mix(self.encode_batch(batch), batch["available"])

    def encode_batch(self, batch: dict) -> dict[str, Tensor]:
        """Run the encoders on a batch.

        Parameters
        ----------
        batch : dict
            A batch from :func:`~mne_wav2sleep.cohorts.batches.collate`.

        Returns
        -------
        z : dict of str to Tensor, shape (B, S, feature_dim)
            Modality -> feature vectors, zeros for recordings without it.
        """
        n_recordings, n_epochs = batch["stages"].shape
        z = {}
        for name, x_RT in batch["x"].items():
            # Only recordings that have the signal are encoded; the rows of the others stay 0.
            z_RSF = self._encode(name, x_RT)
            z_BSF = z_RSF.new_zeros(n_recordings, n_epochs, z_RSF.shape[-1])
            z[name] = z_BSF.index_put((batch["rows"][name],), z_RSF)
        return z

    def _encode(self, name: str, x_RT: Tensor) -> Tensor:
        """Encode a signal, with the fast encoder if it needs no gradients."""
        encoders = self.model.signal_encoders
        encoder = encoders.encoders[encoders.signals[name]]
        is_training = torch.is_grad_enabled()
        if is_training and next(encoder.parameters()).requires_grad:
            if self.settings.gradient_checkpointing:
                return checkpoint(self.model.encode, {name: x_RT}, use_reentrant=False)[name]
            return self.model.encode({name: x_RT})[name]
        z_RSF = choose_backend(self.model, self.device).encode({name: x_RT})[name]
        if is_training and not set(self.trainable) & {*PARTS}:
            # Only some encoders are trained. A step without their signals has gradients of 0, since
            # a loss that depends on nothing cannot be differentiated.
            trained = [p for p in self.model.parameters() if p.requires_grad]
            z_RSF = z_RSF + 0 * torch.stack([p.sum() for p in trained]).sum()
        return z_RSF

    def training_step(self, batch: list[dict], batch_idx: int) -> None:
        """Take a step; stop if the loss is not finite."""
        optimizer: Any = self.optimizers()
        schedule: Any = self.lr_schedulers()
        names = [name for one in batch for name in one["names"]]
        # Gradients are averaged over processes: divided by the mean number of scored epochs of
        # all of them, every epoch has the same weight.
        scored = torch.stack([(one["stages"] >= 0).sum() for one in batch]).sum()
        counts: Any = self.all_gather(scored)
        count = counts.float().mean().clamp(min=1)
        at_once = [[one] for one in batch] if self.settings.micro_batch_size else [batch]
        optimizer.zero_grad()
        losses = []
        for part in at_once:
            with self._wait_for_others(part is at_once[-1]):
                total, _ = sum_losses(map(self.compute_loss, part))
                losses.append(total / count)
                # Gradients have the types of the layers, in which autocast would interfere.
                with torch.autocast(self.device.type, enabled=False):
                    self.manual_backward(losses[-1])
        losses_P = self._check_finite(torch.stack(losses).detach().sum(), names)
        optimizer.step()
        schedule.step()
        # The same on all processes, and weighted by the scored epochs, as in validation.
        self.log(
            "train_loss",
            losses_P.mean(),
            batch_size=max(int(counts.sum()), 1),
            prog_bar=True,
            on_step=False,
            on_epoch=True,
        )

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Limit the norm of the gradient, when it has its scale in any precision."""
        self.clip_gradients(optimizer, self.settings.clip, "norm")

    def _wait_for_others(self, is_last: bool) -> AbstractContextManager:
        """Add up the gradients of other processes with the last part of a step."""
        network: Any = self.trainer.strategy.model
        return nullcontext() if is_last or not hasattr(network, "no_sync") else network.no_sync()

    def _check_finite(self, loss: Tensor, names: Sequence[str]) -> Tensor:
        """Stop all processes if the loss of one of them is not finite; give those of all."""
        losses_P: Any = self.all_gather(loss)
        if torch.isfinite(losses_P).all():
            return losses_P
        found = [(float(loss), list(names))]
        if self.trainer.world_size > 1:
            found *= self.trainer.world_size
            torch.distributed.all_gather_object(found, found[0])
        value, names = next(one for one in found if not math.isfinite(one[0]))
        raise RuntimeError(
            f"The loss is {value} at step {self.global_step}, in a batch of {names}. Training "
            "stopped; the checkpoint of the last complete pass is kept. Check these nights, or "
            "lower the learning rate."
        )

    def validation_step(self, batch: list[dict], batch_idx: int) -> dict[str, Any]:
        """Log the loss of a validation batch; return its stages, and the losses of each signal."""
        losses, staged, losses_alone = [], [], []
        for one in batch:
            z, available = self.encode_batch(one), one["available"]
            logits_BSC = self.model.mix(z, available)
            losses.append(_sum_cross_entropy(logits_BSC, one["stages"]))
            # Each signal alone adds about a tenth to the time: encoding takes most of it.
            alone = {n: self.model.mix({n: z[n]}, {n: available[n]}) for n in sorted(z)}
            staged.append({n: x.argmax(-1) for n, x in ({RECORDED: logits_BSC} | alone).items()})
            known = {n: one["stages"].where(available[n], -1) for n in alone}
            losses_alone.append({n: _sum_cross_entropy(alone[n], known[n])[0] for n in alone})
        total, count = sum_losses(losses)
        self._check_finite(total, [name for one in batch for name in one["names"]])
        self.log(
            "val_loss",
            total / count.clamp(min=1),
            batch_size=int(count),
            prog_bar=True,
            on_epoch=True,
            sync_dist=True,
        )
        return {"staged": staged, "losses_alone": losses_alone}

    def configure_optimizers(self) -> Any:
        """Make AdamW for the trainable parts, with a warm-up and a decay of the learning rate."""
        settings = self.settings
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.schedule.compute_factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


class NightDataModule(pl.LightningDataModule):
    """The nights of each pass.

    Parameters
    ----------
    training, validation : sequence of PreparedNight
        The nights of the two splits.
    weights : LoadedWeights
        The initial weights, for their modalities, stages and preprocessing.
    settings : TrainingSettings
        The settings.
    """

    def __init__(
        self,
        training: Sequence[PreparedNight],
        validation: Sequence[PreparedNight],
        weights: LoadedWeights,
        settings: TrainingSettings,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.nights = list(training)
        self.validation_datasets = sorted({night.dataset for night in validation})
        network = (weights.modalities, len(weights.stage_names))
        padded: dict[str, Any] = asdict(weights.preprocessing)
        self.training = NightDataset(
            training,
            *network,
            crop=settings.crop,
            **padded,
            masking=settings.masking,
        )
        # Validation is the same in every pass: whole nights, nothing dropped or inverted.
        self.validation = WindowDataset(validation, *network, **padded)

    def train_dataloader(self) -> Any:
        """Make the loader of all passes, which Lightning tells the number of each."""
        settings = self.settings
        trainer: Any = self.trainer
        sampler = PassSampler(
            self.nights,
            settings.dataset_weights,
            settings.batch_size,
            seed=settings.seed,
            # Not current_epoch, which is that before in a resumed run. Processes that read nights
            # begin with this number, before Lightning tells them another one.
            number=trainer.fit_loop.epoch_progress.current.processed,
            rank=trainer.global_rank,
            n_processes=trainer.world_size,
        )
        return make_loader(
            self.training,
            sampler,
            settings.batch_size,
            settings.n_workers,
            settings.micro_batch_size,
        )

    def val_dataloader(self) -> Any:
        """Make the loader of the validation nights."""
        return make_loader(self.validation, None, 1, self.settings.n_workers)
