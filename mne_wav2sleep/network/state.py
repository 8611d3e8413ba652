"""Read files of tensors as data, and build networks from them."""

import hashlib
import io
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from ..cautions import catch_warnings
from ..errors import WeightsError
from .config import Wav2SleepConfig
from .files import read_file
from .model import Wav2Sleep

MAX_STATE_BYTES = 2**30
"""Size of a file of tensors at most; that of the released weights has 10 MB."""
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# What torch.save writes for dense tensors. torch.load would also call what takes memory by a number
# in the file, such as bytearray.
_PLAIN = re.compile(
    r"collections OrderedDict|torch \w+Storage"
    r"|torch\._utils _rebuild_(tensor_v2|parameter)"
)


def read_state(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Read a state dict as data, without running code in it.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` file, or one written by ``torch.save``.

    Returns
    -------
    state : dict of str to Tensor
        The tensors by name, on the CPU.
    sha256 : str
        SHA-256 of the file.

    Raises
    ------
    WeightsError
        If the file cannot be read, is damaged or too large, or contains anything but dense tensors
        of floating-point numbers.
    """
    content = read_file(path, MAX_STATE_BYTES)
    is_ours = path.suffix == ".safetensors"
    if not is_ours and not zipfile.is_zipfile(io.BytesIO(content)):
        raise WeightsError(
            f"{path} is not a zip archive, the format of torch.save: it is damaged, or a plain "
            "pickle, whose code is never run. Obtain it again from its source."
        )
    try:
        state = safetensors.torch.load(content) if is_ours else _load_pickle(content, path)
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} does not contain tensors alone: it is damaged, or contains code, which is "
            "never run. Obtain it again from its source."
        ) from error
    except Exception as error:  # parsers may raise anything on damaged files
        raise WeightsError(
            f"{path} is damaged and cannot be read ({type(error).__name__}). Copy or download it "
            "again."
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items()
    ):
        raise WeightsError(
            f"{path} does not contain a state dict (a dict of names and tensors, and nothing else),"
            f" but a {type(state).__name__} with other objects. Save it with "
            "torch.save(model.state_dict(), path)."
        )
    check_tensors(state, str(path))
    # Views with a stride of 0 can have more values than memory holds.
    if (claimed := sum(t.numel() * t.element_size() for t in state.values())) > len(content):
        raise WeightsError(
            f"{path} has {len(content):,} bytes, but its tensors would have {claimed:,}: they "
            "repeat values. Save contiguous tensors, or obtain it again from its source."
        )
    return state, hashlib.sha256(content).hexdigest()


def _load_pickle(content: bytes, path: Path) -> Any:
    """Load a file of torch.save that contains plain tensors alone."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if (unpacked := sum(entry.file_size for entry in entries)) > len(content):
            raise WeightsError(
                f"{path} has {len(content):,} bytes, but would unpack to {unpacked:,}; torch.save "
                "does not compress. Obtain it again from its source."
            )
        found = {
            str(value)
            for entry in entries
            if entry.filename.lower().endswith("data.pkl")  # torch ignores case
            for code, value, _ in pickletools.genops(archive.read(entry))
            if code.name == "GLOBAL"
        }
    if other := sorted(name.replace(" ", ".") for name in found if not _PLAIN.fullmatch(name)):
        raise WeightsError(
            f"{path} does not contain plain tensors alone, but also {', '.join(other)[:150]!r}: it "
            "has tensors of another kind (such as sparse, quantized, or without values), or code, "
            "which is never run. Save it with torch.save(model.float().state_dict(), path), or "
            "obtain it again from its source."
        )
    with catch_warnings():
        # torch asks for a bug report before it rejects a pickle of another protocol.
        warnings.filterwarnings("ignore", message="Detected pickle protocol")
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def check_tensors(state: Mapping[str, torch.Tensor], source: str) -> None:
    """Check that tensors have values that float32 can express, before these are computed with.

    Parameters
    ----------
    state : mapping of str to Tensor
        The tensors by name.
    source : str
        Where they are from, for the error message.

    Raises
    ------
    WeightsError
        If a tensor is not dense, has no values, or is not of floating-point numbers of 16 to 64
        bits.
    """
    for name, tensor in state.items():
        if tensor.dtype not in DTYPES:
            what = f"of {str(tensor.dtype).removeprefix('torch.')}"
        elif tensor.layout != torch.strided:
            what = "not dense"
        elif tensor.is_meta:
            what = "without values"
        else:
            continue
        raise WeightsError(
            f"{source} cannot be used as weights: the tensor {name[:60]!r} is {what}, but should "
            "be dense, of float16, bfloat16, float32 or float64. Save the trained network as "
            "float32, before it is quantized or pruned."
        )


def build_network(
    config: Wav2SleepConfig, state: Mapping[str, torch.Tensor], path: Path
) -> Wav2Sleep:
    """Build a network, and load its tensors strictly.

    Parameters
    ----------
    config : Wav2SleepConfig
        The architecture.
    state : mapping of str to Tensor
        The tensors by name, from :func:`read_state`.
    path : Path
        The file that they were read from, for error messages.

    Returns
    -------
    network : Wav2Sleep
        The network on the CPU, in evaluation mode, float32.

    Raises
    ------
    WeightsError
        If a tensor is missing, unexpected, of the wrong shape, or not finite.
    """
    with torch.device("meta"):
        network = Wav2Sleep(config)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    missing, extra = sorted(set(expected) - set(state)), sorted(set(state) - set(expected))
    if missing or extra:
        raise WeightsError(
            f"{path} does not match its config: {len(missing)} tensors are missing "
            f"{_list_names(missing)}, {len(extra)} are unexpected {_list_names(extra)}. Use the "
            "config that came with the weights."
        )
    if wrong := [name for name in expected if tuple(state[name].shape) != expected[name]]:
        name = wrong[0]
        raise WeightsError(
            f"{path} does not match its config: {name} has the shape {tuple(state[name].shape)}, "
            f"but should have {expected[name]}. Use the config that came with the weights."
        )
    state = {name: tensor.to(torch.float32) for name, tensor in state.items()}
    if broken := [name for name in expected if not torch.isfinite(state[name]).all()]:
        raise WeightsError(
            f"{path} has values that are not finite, for example in {broken[0]}, and cannot be "
            "used. Obtain it again from its source, or save weights from before training diverged."
        )
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def _list_names(names: list[str]) -> list[str]:
    """List the first of some names, which may be long."""
    return [name if len(name) <= 80 else f"{name[:77]}..." for name in names[:3]]
