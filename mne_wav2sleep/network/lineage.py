"""Which weights a set of weights was fine-tuned from, by name and hash."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

MOST_BASES = 100
"""Number of weights in a lineage at most."""
_LONGEST = 100
"""Characters of a name at most."""


@dataclass(frozen=True)
class BaseWeights:
    """Weights that others were fine-tuned from.

    Parameters
    ----------
    name : str
        Their name, or the name of their model folder, without its path.
    sha256 : str
        SHA-256 of the file of their tensors.
    """

    name: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} (SHA-256 {self.sha256})"


def name_weights(name: str, sha256: str, state: "Mapping[str, Tensor]") -> BaseWeights:
    """Name weights without the folder that they are in.

    Parameters
    ----------
    name : str
        Name of the weights, or path of their model folder.
    sha256 : str
        SHA-256 of the file of their tensors; empty for a network in memory.
    state : mapping of str to Tensor
        The tensors. Those of a network in memory are hashed as the file that
        :func:`~mne_wav2sleep.save_weights` would write.

    Returns
    -------
    base : BaseWeights
        Their name and hash.
    """
    import safetensors.torch

    if not sha256:
        tensors = {key: t.detach().cpu().float().contiguous() for key, t in state.items()}
        sha256 = hashlib.sha256(safetensors.torch.save(tensors)).hexdigest()
    last = Path(name).resolve().name  # "." has no name of its own
    shown = "".join(c if c.isprintable() else "?" for c in last) or "unnamed"
    return BaseWeights(shown[:_LONGEST], sha256)


def read_bases(data: Any) -> tuple[BaseWeights, ...]:
    """Read a lineage from the config of a model folder.

    Parameters
    ----------
    data : object
        What JSON has: a list of mappings with ``name`` and ``sha256``.

    Returns
    -------
    bases : tuple of BaseWeights
        The lineage.

    Raises
    ------
    ValueError
        If it is anything else; the message is a part of a sentence.
    """
    if not isinstance(data, list) or len(data) > MOST_BASES:
        raise ValueError(f"bases should be a list of {MOST_BASES} weights at most")
    return tuple(_read_base(one) for one in data)


def _read_base(data: Any) -> BaseWeights:
    """Read one of the weights of a lineage."""
    if not isinstance(data, dict) or set(data) != {"name", "sha256"}:
        raise ValueError("each of bases should be a mapping with 'name' and 'sha256'")
    name, sha256 = data["name"], data["sha256"]
    if not (isinstance(name, str) and 0 < len(name) <= _LONGEST and name.isprintable()):
        raise ValueError(
            f"each name in bases should have 1 to {_LONGEST} characters, without control characters"
        )
    if not (isinstance(sha256, str) and re.fullmatch("[0-9a-f]{64}", sha256)):
        raise ValueError("each sha256 in bases should have 64 hexadecimal digits")
    return BaseWeights(name, sha256)
