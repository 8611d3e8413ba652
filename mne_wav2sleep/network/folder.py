"""Write model folders: the config, tensors and calibration of a network."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import safetensors.torch
import torch

from ..calibration import Calibration
from ..errors import FileWriteError, quote
from ..modalities import describe_added
from .info import FORMAT, OPTIONAL, check_text, describe_config, describe_error
from .model import Wav2Sleep
from .seen import NIGHTS_FILE
from .state import DTYPES, check_tensors
from .weights import LoadedWeights


def save_weights(
    weights: LoadedWeights | Wav2Sleep, folder: str | Path, *, dtype: torch.dtype = torch.float32
) -> Path:
    """Write weights to a model folder.

    Parameters
    ----------
    weights : LoadedWeights or Wav2Sleep
        Weights with their calibration, preprocessing, scorer and warning; or a network alone,
        which is saved with the preprocessing of the released weights, the default calibration, and
        the scorer ``"wav2sleep"``; ``dataclasses.replace`` changes those of ``LoadedWeights``.
    folder : str or Path
        Folder for ``config.json``, ``calibration.json`` and ``model.safetensors``, and
        ``nights.json`` if it is known what the weights were trained on. It is created if it does
        not exist. Existing files are replaced once the new ones are complete.
    dtype : torch.dtype
        Data type of the saved tensors, such as ``torch.float16`` to halve the file size.
        :func:`load_weights` always returns float32.

    Returns
    -------
    folder : Path
        The model folder, which is accepted wherever weights are. With the default ``dtype``,
        tensors are restored bit for bit.

    Raises
    ------
    TypeError, ValueError
        If ``weights`` has another type, ``dtype`` is not of 16- to 64-bit floating-point numbers,
        values are not finite in it, or ``folder`` is a file.
    WeightsError
        If the network is quantized, sparse, or has no values.
    OSError
        If the files cannot be written, in which case existing ones are kept.

    See Also
    --------
    load_weights : Load weights by name or from a model folder.

    Examples
    --------
    >>> import tempfile
    >>> from mne_wav2sleep.network import Wav2Sleep, Wav2SleepConfig
    >>> network = Wav2Sleep(Wav2SleepConfig(feature_dim=8))  # random weights
    >>> path = save_weights(network, tempfile.mkdtemp(), dtype=torch.float16)
    >>> sorted(file.name for file in path.iterdir())
    ['calibration.json', 'config.json', 'model.safetensors']
    """
    if isinstance(weights, Wav2Sleep):
        info = describe_config(weights.config, name=str(folder))
        weights = LoadedWeights(**vars(info), network=weights, calibration=Calibration())
    if not isinstance(weights, LoadedWeights):
        raise TypeError(
            "weights must be LoadedWeights, as returned by load_weights, or a Wav2Sleep, got "
            f"{type(weights).__name__}."
        )
    tensors = _convert(weights.network.state_dict(), dtype)
    calibration = asdict(weights.calibration)
    bases = [asdict(base) for base in weights.bases]
    texts = {
        # What is not known is left out, so that early versions of the package read the file.
        "calibration.json": {k: v for k, v in calibration.items() if v or k not in OPTIONAL},
        "config.json": {
            "format": FORMAT,
            "model": asdict(weights.config),
            "preprocessing": asdict(weights.preprocessing),
            "scorer": check_text("scorer", weights.scorer),
            "caution": check_text("caution", weights.caution),
            **describe_added(weights.modalities),
            **({"bases": bases} if bases else {}),
        },
    }
    folder = Path(folder).expanduser()
    if weights.seen or (folder / NIGHTS_FILE).exists():  # whose nights are of other weights
        texts = {NIGHTS_FILE: weights.seen.to_json(), **texts}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_whole(folder, tensors, texts)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(
            f"{folder} cannot be a model folder, because a file with that name, or with the name "
            "of a parent folder, exists. Choose another folder."
        ) from error
    except OSError as error:
        raise FileWriteError(
            error.errno,
            f"The weights could not be saved in {folder} ({describe_error(error)}). Files that it "
            "contained are unchanged. Free some space, or choose a folder that is writable.",
        ) from error
    return folder


def _convert(state: Mapping[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Convert tensors to the data type of a file, and check that they can be loaded again."""
    if dtype not in DTYPES:
        raise ValueError(
            f"dtype should be one of {', '.join(map(str, DTYPES))}, got {quote(dtype)}."
        )
    check_tensors(state, "The network")
    tensors = {name: t.detach().to("cpu", dtype).contiguous() for name, t in state.items()}
    if broken := [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]:
        raise ValueError(
            f"The network has values that are not finite as {dtype}, for example in {broken[0]}. "
            "Save it as torch.float32, or use weights from before training diverged."
        )
    return tensors


def _write_whole(
    folder: Path, tensors: dict[str, torch.Tensor], texts: Mapping[str, dict[str, Any]]
) -> None:
    """Write the files of a model folder, and replace old ones only when all are complete."""
    with TemporaryDirectory(dir=folder, prefix=".unfinished-") as name:
        unfinished = Path(name)
        for file, content in texts.items():
            text = json.dumps(content, indent=2) + "\n"
            (unfinished / file).write_text(text, encoding="utf-8")
        # Not save_file, which makes files that only their owner may read, and whose errors do not
        # say in a way to check whether the disk is full.
        (unfinished / "model.safetensors").write_bytes(safetensors.torch.save(tensors))
        previous = unfinished / "previous"
        previous.mkdir()
        # The config goes first and comes last: without it, the others are not taken for a whole.
        files = ("model.safetensors", *texts)
        try:
            for file in reversed(files):
                if (folder / file).is_file():
                    (folder / file).replace(previous / file)
            for file in files:
                (unfinished / file).replace(folder / file)
        except OSError:
            for file in files:
                if (previous / file).exists():
                    (previous / file).replace(folder / file)
            raise
