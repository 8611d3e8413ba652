"""What PyTorch Lightning trains: the network with its loss and optimizer, and the data."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional

from ..cohorts import PreparedNight
from ..network import LoadedWeights, Wav2Sleep
from ..network.backends import choose_backend
from .masking import Masking
from .sampling import NightDataset, PassSampler, make_loader
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


class Wav2SleepModule(pl.LightningModule):
    """A network with its loss, optimizer and learning rate.

    Parameters
    ----------
    network : Wav2Sleep
        The network, which is trained in place.
    settings : TrainingSettings
        The settings.
    trainable : sequence of str
        The parts of :data:`PARTS` to train; the others are frozen.
    """

    def __init__(
        self, network: Wav2Sleep, settings: TrainingSettings, trainable: Sequence[str]
    ) -> None:
        super().__init__()
        self.model = network  # checkpoints have this name
        self.settings = settings
        self.trainable = tuple(trainable)
        for part in PARTS:
            getattr(network, part).requires_grad_(part in self.trainable)

    def on_train_epoch_start(self) -> None:
        """Switch off the dropout of frozen parts."""
        for part in PARTS:
            getattr(self.model, part).train(part in self.trainable)

    def on_train_batch_start(self, batch: list[dict], batch_idx: int) -> None:
        """Seed dropout with the step, so that a resumed run gives the same weights."""
        torch.manual_seed(self.settings.seed * 1_000_003 + self.global_step)

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
        return _sum_cross_entropy(
            self.model.mix(self.encode_batch(batch), batch["available"]), batch["stages"]
        )

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
            z_RSF = self._choose_encoder()({name: x_RT})[name]
            z_BSF = z_RSF.new_zeros(n_recordings, n_epochs, z_RSF.shape[-1])
            z[name] = z_BSF.index_put((batch["rows"][name],), z_RSF)
        return z

    def _choose_encoder(self) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
        """Choose the fast encoders if they need no gradients, else the plain ones."""
        if "signal_encoders" in self.trainable and torch.is_grad_enabled():
            return self.model.encode
        return choose_backend(self.model, self.device).encode

    def training_step(self, batch: list[dict], batch_idx: int) -> Tensor:
        """Compute the loss of a step; stop if it is not finite."""
        names, total, count = self._sum_losses(batch)
        if not torch.isfinite(total):
            raise RuntimeError(
                f"The loss is {float(total.detach())} at step {self.global_step}, in a batch of "
                f"{names}. Training stopped; the checkpoint of the last complete pass is "
                "kept. Check these nights, or lower the learning rate."
            )
        # Gradients are averaged over processes: divided by the mean number of scored epochs of
        # all of them, every epoch has the same weight.
        counts: Any = self.all_gather(count)
        loss = total / counts.float().mean().clamp(min=1)
        self.log(
            "train_loss",
            loss.detach(),
            batch_size=len(names),
            prog_bar=True,
            on_step=False,
            on_epoch=True,
            sync_dist=True,
        )
        return loss

    def _sum_losses(self, batches: list[dict]) -> tuple[list[str], Tensor, Tensor]:
        """Sum the losses of the batches of a step; return the names of their nights as well."""
        totals, counts = zip(*map(self.compute_loss, batches), strict=True)
        names = [name for batch in batches for name in batch["names"]]
        return names, torch.stack(totals).sum(), torch.stack(counts).sum()

    def validation_step(self, batch: list[dict], batch_idx: int) -> dict[str, Any]:
        """Log the loss of a validation batch; return its stages, which are counted elsewhere."""
        totals, counts, staged = [], [], []
        for one in batch:
            z, available = self.encode_batch(one), one["available"]
            logits_BSC = self.model.mix(z, available)
            total, count = _sum_cross_entropy(logits_BSC, one["stages"])
            totals.append(total)
            counts.append(count)
            # Each signal alone adds about a tenth to the time: encoding takes most of it.
            alone = {n: self.model.mix({n: z[n]}, {n: available[n]}).argmax(-1) for n in sorted(z)}
            staged.append({RECORDED: logits_BSC.argmax(-1)} | alone)
        total, count = torch.stack(totals).sum(), torch.stack(counts).sum()
        self.log(
            "val_loss",
            total / count.clamp(min=1),
            batch_size=int(count),
            prog_bar=True,
            on_epoch=True,
            sync_dist=True,
        )
        return {"staged": staged}

    def configure_optimizers(self) -> Any:
        """Make AdamW for the trainable parts, with a warm-up and a decay of the learning rate."""
        settings = self.settings
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

        def compute_factor(step: int) -> float:
            if step < settings.warmup_steps:
                return (step + 1) / settings.warmup_steps
            return float(np.exp(-(step - settings.warmup_steps) / settings.decay_steps))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, compute_factor)
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
        padded = weights.preprocessing.padded_epochs
        self.training = NightDataset(
            training,
            *network,
            crop=settings.crop,
            padded_epochs=padded,
            masking=settings.masking,
        )
        # Validation is the same in every pass: whole nights, nothing dropped or inverted.
        self.validation = NightDataset(
            validation, *network, crop=None, padded_epochs=padded, masking=Masking.off()
        )

    def train_dataloader(self) -> Any:
        """Make the loader of one pass; Lightning calls this before each."""
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
        """Make the loader of the validation nights."""
        return make_loader(self.validation, None, 1, self.settings.n_workers)
