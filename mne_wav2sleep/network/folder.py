"""Read and write model folders: the config, tensors and calibration of a network.

A model folder contains ``config.yaml`` and ``state_dict.pth``, as released by the authors, or
``config.json`` and ``model.safetensors``, as written by :func:`save_weights`. It may also contain
``calibration.json``. Files of a model folder are read as data; code in them is never run.
"""

import hashlib
import io
import json
import pickle
import shutil
import textwrap
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
import yaml
from pydantic import ValidationError

from ..calibration import Calibration
from ..errors import WeightsError, summarize_validation
from ..modalities import STAGE_NAMES
from .config import Preprocessing, Wav2SleepConfig
from .model import Wav2Sleep
from .weights import LoadedWeights, WeightsInfo

_FORMAT = "mne-wav2sleep"
_T = TypeVar("_T")
_RELEASED_KEYS = {
    "signal_encoders": {
        "feature_dim": "feature_dim",
        "initial_channels": "initial_channels",
        "max_channels": "max_channels",
        "causal": "encoder_causal",
        "chunk_causal": "chunk_causal",
        "signal_map": "signals",
    },
    "epoch_mixer": {
        "layers": "mixer_layers",
        "nhead": "mixer_heads",
        "dim_ff": "mixer_dim_ff",
        "dropout": "mixer_dropout",
    },
    "sequence_mixer": {
        "num_layers": "sequence_blocks",
        "num_dilations": "sequence_dilations",
        "kernel_size": "sequence_kernel",
        "dropout": "sequence_dropout",
        "causal": "sequence_causal",
    },
}
_RELEASED_FIXED: dict[str, dict[str, Any]] = {
    "signal_encoders": {
        "activation": "gelu",
        "norm": "instance",
        "output_norm": False,
        "use_residual": True,
    },
    "epoch_mixer": {"activation": "gelu"},
    "sequence_mixer": {"activation": "gelu", "norm": "layer"},
}
_KEYS = {"format", "model", "preprocessing", "scorer", "caution"}
_NOT_A_CONFIG = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,  # of files that are nested more deeply than Python's stack allows
    yaml.YAMLError,
)


def _read_released(data: Mapping[str, Any]) -> Wav2SleepConfig:
    """Read a config in the authors' format, without its ``_target_`` keys, which name code."""
    settings: dict[str, Any] = {"n_classes": data["num_classes"]}
    for section, keys in _RELEASED_KEYS.items():
        values = dict(data[section])
        fixed = _RELEASED_FIXED[section]
        for key, value in values.items():
            if key in fixed and value != fixed[key]:
                raise ValueError(f"{section}.{key} is {value!r}; only {fixed[key]!r} is supported")
            if key not in keys and key not in fixed and key not in ("_target_", "feature_dim"):
                raise ValueError(f"{section}.{key} is not a known setting")
        settings |= {ours: values[theirs] for theirs, ours in keys.items() if theirs in values}
        if values.get("feature_dim", settings["feature_dim"]) != settings["feature_dim"]:
            raise ValueError(
                f"{section}.feature_dim is {values['feature_dim']}, but that of the encoders is "
                f"{settings['feature_dim']}"
            )
    return _validate(Wav2SleepConfig, settings)


def _validate(kind: type[_T], data: Mapping[str, Any]) -> _T:
    """Make a validated dataclass from data; errors name the field, in one line."""
    try:
        return kind(**data)
    except ValidationError as error:
        raise ValueError(summarize_validation(error)) from error


def _read_ours(data: Mapping[str, Any], folder: Path) -> WeightsInfo:
    """Read a config in the format of :func:`save_weights`."""
    if data.get("format") != _FORMAT or not {"format", "model"} <= set(data) <= _KEYS:
        raise ValueError(
            "it was not written by this version of save_weights (a newer version?): it should have "
            f"the format {_FORMAT!r} and a model, got {data.get('format')!r} and {sorted(data)}"
        )
    model, preprocessing = dict(data["model"]), dict(data.get("preprocessing", {}))
    if "padded_epochs" in model:  # its place in early versions of the format
        preprocessing["padded_epochs"] = model.pop("padded_epochs")
    config = _validate(Wav2SleepConfig, model)
    texts = {key: data.get(key) for key in ("scorer", "caution")}
    for key, text in texts.items():
        if not isinstance(text, str | None):
            raise ValueError(f"{key} should be a string or null, got {text!r}")
    return WeightsInfo(
        name=str(folder),
        config=config,
        preprocessing=_validate(Preprocessing, preprocessing),
        stage_names=STAGE_NAMES[config.n_classes],
        scorer=texts["scorer"] or "wav2sleep",
        caution=texts["caution"],
    )


def read_info(folder: Path) -> WeightsInfo:
    """Read the config of a model folder.

    Parameters
    ----------
    folder : Path
        The model folder, with ``config.json`` (ours) or ``config.yaml`` (as released).

    Returns
    -------
    info : WeightsInfo
        Description of the weights. The authors' format specifies only the architecture; all else
        has the values of the released weights.

    Raises
    ------
    WeightsError
        If there is no config, or if it does not describe a wav2sleep network.
    """
    ours, released = folder / "config.json", folder / "config.yaml"
    path = ours if ours.exists() else released
    if not path.exists():
        raise WeightsError(
            f"{folder} is not a model folder: it has neither config.json nor config.yaml. It needs "
            "config.json and model.safetensors, or config.yaml and state_dict.pth."
        )
    try:
        text = path.read_text(encoding="utf-8")
        if path is ours:
            return _read_ours(json.loads(text), folder)
        config = _read_released(yaml.safe_load(text))
        return describe_config(config, name=str(folder))
    except _NOT_A_CONFIG as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        what = textwrap.shorten(what, 200, placeholder=" ...")  # errors of YAML have many lines
        raise WeightsError(
            f"{path} does not describe a wav2sleep network: {what}. Use the config that came with "
            "the weights."
        ) from error


def describe_config(config: Wav2SleepConfig, *, name: str) -> WeightsInfo:
    """Describe weights from their architecture, with the released weights' preprocessing."""
    return WeightsInfo(
        name=name,
        config=config,
        preprocessing=Preprocessing(),
        stage_names=STAGE_NAMES[config.n_classes],
        scorer="wav2sleep",
        caution=None,
    )


def read_calibration(folder: Path) -> Calibration:
    """Read the calibration of a model folder.

    Parameters
    ----------
    folder : Path
        The model folder.

    Returns
    -------
    calibration : Calibration
        The contents of ``calibration.json``, or the defaults if there is no such file.

    Raises
    ------
    WeightsError
        If the file does not contain a calibration.
    """
    path = folder / "calibration.json"
    if not path.exists():
        return Calibration()
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        known = set(asdict(Calibration()))
        if not isinstance(data, dict) or set(data) != known:
            found = sorted(data) if isinstance(data, dict) else type(data).__name__
            raise ValueError(f"it should have the keys {sorted(known)}, got {found}")
        return _validate(Calibration, data)
    except (ValueError, RecursionError, OSError) as error:
        raise WeightsError(
            f"{path} is not a calibration: {str(error).rstrip('.')}. Use the file that came with "
            "the weights, or remove it to use uncalibrated probabilities."
        ) from error


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
        If the file is damaged, or contains anything but tensors.
    """
    content = path.read_bytes()  # outside try: a file that cannot be opened is not damaged
    is_ours = path.suffix == ".safetensors"
    if not is_ours and not zipfile.is_zipfile(io.BytesIO(content)):
        raise WeightsError(
            f"{path} is not a zip archive, the format of torch.save: it is damaged, or a plain "
            "pickle, whose code is never run. Obtain it again from its source."
        )
    try:
        state = safetensors.torch.load(content) if is_ours else _load_pickle(content)
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
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise WeightsError(
            f"{path} does not contain a state dict (a dict of tensors and nothing else), but a "
            f"{type(state).__name__} with other objects. Save it with "
            "torch.save(model.state_dict(), path)."
        )
    return state, hashlib.sha256(content).hexdigest()


def _load_pickle(content: bytes) -> Any:
    """Load a file of torch.save that contains tensors alone."""
    with warnings.catch_warnings():
        # torch asks for a bug report before it rejects a pickle of another protocol.
        warnings.filterwarnings("ignore", message="Detected pickle protocol")
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


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
        If the network cannot be built, or if a tensor is missing, unexpected, of the wrong shape,
        or not finite.
    """
    try:
        with torch.device("meta"):
            network = Wav2Sleep(config)
    except Exception as error:  # torch's own checks, such as of sizes that overflow
        raise WeightsError(
            f"The network that the config of {path} describes cannot be built "
            f"({str(error).splitlines()[0]}). Use the config that came with the weights."
        ) from error
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    missing, extra = sorted(set(expected) - set(state)), sorted(set(state) - set(expected))
    if missing or extra:
        raise WeightsError(
            f"{path} does not match its config: {len(missing)} tensors are missing {missing[:3]}, "
            f"{len(extra)} are unexpected {extra[:3]}. Use the config that came with the weights."
        )
    if wrong := [name for name in expected if tuple(state[name].shape) != expected[name]]:
        name = wrong[0]
        raise WeightsError(
            f"{path} does not match its config: {name} has the shape {tuple(state[name].shape)}, "
            f"but should have {expected[name]}. Use the config that came with the weights."
        )
    if broken := [name for name in expected if not torch.isfinite(state[name]).all()]:
        raise WeightsError(
            f"{path} has values that are not finite, for example in {broken[0]}, and cannot be "
            "used. Obtain it again from its source, or save weights from before training diverged."
        )
    network.load_state_dict({k: v.to(torch.float32) for k, v in state.items()}, assign=True)
    return network.eval().requires_grad_(False)


def find_tensors(folder: Path) -> Path:
    """Return the path of the file of tensors in a model folder."""
    ours = (folder / "config.json").exists()
    return folder / ("model.safetensors" if ours else "state_dict.pth")


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
        Folder for ``config.json``, ``calibration.json`` and ``model.safetensors``, which is created
        if it does not exist. Existing files are overwritten.
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
        If ``weights`` has another type, or ``folder`` is a file.

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
    folder = Path(folder).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(
            f"{folder} cannot be a model folder, because a file with that name, or with the name "
            "of a parent folder, exists. Choose another folder."
        ) from error
    state = weights.network.state_dict().items()
    tensors = {name: t.detach().to("cpu", dtype).contiguous() for name, t in state}
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    calibration = json.dumps(asdict(weights.calibration), indent=2) + "\n"
    (folder / "calibration.json").write_text(calibration, encoding="utf-8")
    # safetensors makes files that only their owner may read.
    shutil.copymode(folder / "calibration.json", folder / "model.safetensors")
    config = {
        "format": _FORMAT,
        "model": asdict(weights.config),
        "preprocessing": asdict(weights.preprocessing),
        "scorer": weights.scorer,
        "caution": weights.caution,
    }
    # Written last, because its presence marks the folder as complete.
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return folder
