"""The running mean of the weights."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from mne_wav2sleep.training.averaging import RunningMean


class Falling(pl.LightningModule):
    """A weight that falls by 1 in every step, from 0, and one that is frozen."""

    def __init__(self):
        super().__init__()
        self.moving = torch.nn.Parameter(torch.zeros(1))
        self.frozen = torch.nn.Parameter(torch.tensor([0.1]), requires_grad=False)

    def training_step(self, batch, batch_idx):
        return self.moving.sum()

    def configure_optimizers(self):
        return torch.optim.SGD([self.moving], lr=1.0)


@pytest.mark.parametrize(("decay", "n"), [(0.98, 1), (0.98, 20), (0.5, 30)])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_every_step_has_the_weight_that_it_should_have(decay, n):
    module = Falling()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[RunningMean(decay)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(range(n)))
    weights = decay ** np.arange(n)[::-1]
    expected = -np.average(np.arange(1, n + 1), weights=weights)
    # At a decay of 0.98, the mean of 20 steps was -4.5: two thirds of it were the first step.
    np.testing.assert_allclose(module.moving.item(), expected, rtol=1e-5)
    assert module.frozen.item() == torch.tensor(0.1).item()
