"""The running mean of the weights."""

import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


class RunningMean(WeightAveraging):
    """Lightning's averaging, with the exponentially weighted mean of all steps so far.

    Validation and checkpoints use the mean, training its own weights.

    Parameters
    ----------
    decay : float
        Weight of a step relative to that of the next one, from 0 to below 1.

    Notes
    -----
    The usual recursion gives the first step the weight ``decay ** (n - 1)`` of ``n`` steps, two
    thirds after 20 steps at 0.98, as if training had stood still there before. Here, weights that
    decay from the last step back to the first one are divided by their sum, as Adam corrects its
    moments: a run shorter than the window keeps the plain mean of its steps. In long runs the two
    are the same. A warm-up of the decay would forget the beginning as well, but by a constant that
    has nothing to do with the setting.
    """

    def __init__(self, decay: float) -> None:
        def update(means: list[Tensor], weights: list[Tensor], n_averaged: Tensor) -> None:
            # Linear interpolation leaves frozen weights as they are, to the bit; the averages of
            # Lightning's EMAWeightAveraging do not.
            share = (1 - decay) / (1 - decay ** (int(n_averaged) + 1))
            torch._foreach_lerp_(means, weights, share)

        super().__init__(multi_avg_fn=torch.no_grad()(update))
