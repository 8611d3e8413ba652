"""A batch through the network, on the device that is there."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import combinations

import torch
from mne.utils import _validate_type
from torch import Tensor

from ..cautions import warn
from ..progress import track
from ..recordings.opening import first_sentence
from .model import Wav2Sleep

Subset = tuple[str, ...]
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(device: str | torch.device) -> torch.device:
    """Resolve "auto", and refuse a device that is not there or computes nothing."""
    _validate_type(device, (str, torch.device), "device")
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).cpu()  # the device "meta" has no values
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise ValueError(
            f"device={str(device)!r} cannot be used here ({first_sentence(error)}). Use 'auto', "
            "'cpu', or a device that torch finds."
        ) from error
    return chosen


def all_subsets(modalities: Sequence[str]) -> list[Subset]:
    """Every subset but the empty one, the smallest first.

    Examples
    --------
    >>> all_subsets(["ECG", "THX"])
    [('ECG',), ('THX',), ('ECG', 'THX')]
    """
    names = sorted(modalities)
    return [s for size in range(1, len(names) + 1) for s in combinations(names, size)]


def run_subsets(
    model: Wav2Sleep,
    x: Mapping[str, Tensor],
    available: Mapping[str, Tensor],
    subsets: Sequence[Subset],
    precision: str,
) -> dict[Subset, Tensor]:
    """Run the network on subsets of the signals, each encoder once.

    Parameters
    ----------
    model : Wav2Sleep
        The network. Where its device has too little memory, it is moved to the CPU, with a
        warning.
    x, available : mapping of str to Tensor
        The batch, from :func:`~mne_wav2sleep.signals.batch.make_batch`.
    subsets : sequence of tuple of str
        Signals of the batch.
    precision : str
        One of :data:`PRECISIONS`.

    Returns
    -------
    logits : dict of tuple to Tensor, shape (B, S, n_classes)
        What each subset says.
    """
    device = next(model.parameters()).device
    x_there, available_there = (
        {name: tensor.to(device) for name, tensor in part.items()} for part in (x, available)
    )
    dtype = PRECISIONS[precision]
    # Some devices have no autocast, not even to be switched off.
    context: AbstractContextManager = (
        nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)
    )
    with torch.inference_mode(), context:
        try:
            z = model.encode(x_there)
            return {
                subset: model.mix(
                    {name: z[name] for name in subset},
                    {name: mask for name, mask in available_there.items() if name in subset},
                )
                for subset in track(subsets, "Comparing", "subset")
            }
        except RuntimeError as error:
            # Only CUDA has a type for it; MPS says "MPS backend out of memory".
            if device.type == "cpu" or "out of memory" not in str(error).lower():
                raise
    del x_there, available_there
    warn(
        f"The device {str(device)!r} has too little free memory for this recording, which is "
        "staged on the CPU instead, and everything that follows. Close what else uses it, or give "
        "device='cpu'."
    )
    model.to("cpu")
    torch.cuda.empty_cache()
    return run_subsets(model, x, available, subsets, precision)
