"""How much memory a run needs, and has: an estimate before it starts."""

import copy
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..cautions import warn
from ..cohorts import PreparedNight
from ..modalities import MODALITIES
from ..network import Wav2Sleep
from ..staging.windows import plan_windows
from ..verbosity import logger, pluralize
from .settings import TrainingSettings

_PER_WEIGHT = 4
"""Tensors of the size of the weights: they, their gradients, and two moments of AdamW."""
_BASE = 0.5e9
"""Bytes that torch, the other libraries and the signals of a recording take in any case."""


@contextmanager
def _count_saved() -> Iterator[dict[int, Tensor]]:
    """Collect the tensors that are kept for the gradients, each storage once."""
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            saved[tensor.untyped_storage()._cdata] = tensor  # alive, so that none has its number
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield saved


def _sum_bytes(saved: dict[int, Tensor]) -> int:
    """Sum the bytes of storages."""
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


def estimate_memory(
    network: Wav2Sleep,
    settings: TrainingSettings,
    *,
    n_recordings: int,
    n_epochs: int,
    modalities: Sequence[str],
) -> float:
    """Estimate the peak memory of a training step.

    Parameters
    ----------
    network : Wav2Sleep
        The network, whose parameters know whether they are trained, and their precision.
    settings : TrainingSettings
        The settings.
    n_recordings, n_epochs : int
        Number of recordings that are computed at once, and of their 30-s epochs.
    modalities : sequence of str
        Their signals.

    Returns
    -------
    memory : float
        Bytes, which were within about 15 % of what was measured at the released size.

    Notes
    -----
    The network runs on torch's device "meta", where tensors have sizes but no values, and what
    autograd would keep for the gradients is counted.
    """
    hollow = copy.deepcopy(network).to("meta").train()
    dtype = next(hollow.parameters()).dtype
    encoded: list[int] = []
    z: dict[str, Tensor] = {}
    for name in modalities:
        n_samples = n_epochs * MODALITIES[name].samples_per_epoch
        x_BT = torch.empty(n_recordings, n_samples, device="meta", dtype=dtype)
        with _count_saved() as saved:
            z |= hollow.encode({name: x_BT})
        encoded.append(_sum_bytes(saved))
    stages = torch.zeros(n_recordings, n_epochs, device="meta", dtype=torch.long)
    everywhere = dict.fromkeys(modalities, stages == 0)
    with _count_saved() as saved:
        logits_BSC = hollow.mix(z, everywhere)
        functional.cross_entropy(logits_BSC.flatten(0, 1), stages.flatten())
    # Of encoders that are computed again for their gradients, one at a time is kept.
    kept = max(encoded) if settings.gradient_checkpointing else sum(encoded)
    halved = 2 if settings.precision.endswith("mixed") else 1
    weights = sum(p.numel() * p.element_size() for p in hollow.parameters())
    return (kept + _sum_bytes(saved)) / halved + _PER_WEIGHT * weights + _BASE


def find_memory(device: torch.device) -> float | None:
    """Find how much memory a device has.

    Parameters
    ----------
    device : torch.device
        The device.

    Returns
    -------
    memory : float or None
        Bytes: those that are free on a CUDA device, and those that the machine has, or that this
        process may use, for the CPU. None if it cannot be told.
    """
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu" or not hasattr(os, "sysconf"):
        return None
    memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    try:
        # The limit of a container, or of a job of a cluster; "max" if there is none.
        group = Path("/proc/self/cgroup").read_text(encoding="ascii").strip().rpartition("::/")[2]
        limit = Path("/sys/fs/cgroup", group, "memory.max").read_text(encoding="ascii")
        return min(memory, float(limit))
    except (OSError, ValueError):
        return memory


def check_memory(
    network: Wav2Sleep,
    settings: TrainingSettings,
    nights: Sequence[PreparedNight],
    padded_epochs: int,
    device: torch.device,
) -> None:
    """Log how much memory training needs, and warn if there is less.

    Parameters
    ----------
    network : Wav2Sleep
        The network.
    settings : TrainingSettings
        The settings.
    nights : sequence of PreparedNight
        The training nights.
    padded_epochs : int
        Epochs to which whole nights are padded.
    device : torch.device
        The device.
    """
    batch_size = settings.batch_size
    n_recordings = min(settings.micro_batch_size or batch_size, batch_size, len(nights))
    longest = max(plan_windows(night.n_epochs)[0][1] for night in nights)
    recorded = {name for night in nights for name in night.modalities}
    needed = estimate_memory(
        network,
        settings,
        n_recordings=n_recordings,
        n_epochs=settings.crop or max(longest, padded_epochs),
        modalities=sorted(recorded & set(network.config.signals)),
    )
    recordings = f"{n_recordings} recording{pluralize(n_recordings)} at once"
    logger.info(f"Training needs about {needed / 1e9:.1f} GB of memory for {recordings}.")
    available = find_memory(device)
    if available is not None and needed > available:
        warn(
            f"Training needs about {needed / 1e9:.1f} GB of memory for {recordings}, but the "
            f"device {str(device)!r} has {available / 1e9:.1f} GB. Lower micro_batch_size, which "
            "does not change the result, or set gradient_checkpointing=True."
        )
