"""Model folders: a network's config and its tensors, read and written as data.

A model folder holds ``config.yaml`` and ``state_dict.pth`` as released, or ``config.json`` and
``model.safetensors`` as written by :func:`save_model`; a ``calibration.json`` beside them says how
far to believe the probabilities. Nothing in them is ever run.
"""

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

import torch
import yaml
from safetensors.torch import load_file, save_file

from .config import Calibration, Wav2SleepConfig
from .model import Wav2Sleep


class WeightsError(RuntimeError):
    """Weights cannot be had, or are not what they should be."""


_FORMAT = "mne-wav2sleep"
_Kind = TypeVar("_Kind", Wav2SleepConfig, Calibration)
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


def _config_from_released(data: Mapping[str, Any]) -> Wav2SleepConfig:
    """Read the authors' config format; its ``_target_`` keys are not looked at."""
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
                f"{section}.feature_dim is {values['feature_dim']}, the encoders' is "
                f"{settings['feature_dim']}"
            )
    return _make_config(settings)


def _make_config(settings: Mapping[str, Any]) -> Wav2SleepConfig:
    """Build a config from data, its types checked against the released one's."""
    signals = settings.get("signals", {})
    if isinstance(signals, dict) and not all(isinstance(x, str) for x in signals.values()):
        raise ValueError(f"signals should map names to names, got {signals!r}")
    return _make(Wav2SleepConfig, settings)


def _make(kind: type[_Kind], settings: Mapping[str, Any]) -> _Kind:
    """Build one of our dataclasses from data, its types checked against the defaults."""
    default = asdict(kind())
    for key, value in settings.items():
        if key not in default:
            raise ValueError(f"{key} is not a known setting")
        wanted = type(default[key])
        if wanted is float and type(value) is int:
            continue
        if type(value) is not wanted or (
            wanted is dict and not all(isinstance(name, str) for name in value)
        ):
            raise ValueError(f"{key} should be {wanted.__name__}, got {value!r}")
    return kind(**settings)


def _read_calibration(folder: Path) -> Calibration:
    """Read how far to believe the probabilities; the defaults where nothing is known of it."""
    path = folder / "calibration.json"
    if not path.exists():
        return Calibration()
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        known = set(asdict(Calibration()))
        if not isinstance(data, dict) or set(data) != known:
            found = sorted(data) if isinstance(data, dict) else type(data).__name__
            raise ValueError(f"it should hold {sorted(known)}, got {found}")
        return _make(Calibration, data)
    except (ValueError, RecursionError, OSError) as e:
        raise WeightsError(
            f"{path} is no calibration: {str(e).rstrip('.')}. Use the one that came with the "
            "weights, or remove it, and probabilities are taken as they are."
        ) from e


def read_config(folder: Path) -> Wav2SleepConfig:
    """Read the config of a model folder.

    Parameters
    ----------
    folder : Path
        The model folder, with ``config.json`` (ours) or ``config.yaml`` (as released).

    Returns
    -------
    config : Wav2SleepConfig
        The architecture.

    Raises
    ------
    WeightsError
        If there is no config, or it does not describe a wav2sleep network.
    """
    ours, released = folder / "config.json", folder / "config.yaml"
    path = ours if ours.exists() else released
    if not path.exists():
        raise WeightsError(
            f"{folder} is no model folder: it has neither config.json nor config.yaml. It needs "
            "config.json and model.safetensors, or config.yaml and state_dict.pth."
        )
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path is ours else yaml.safe_load(text)
        if path is ours:
            if data.get("format") != _FORMAT or set(data) != {"format", "model"}:
                raise ValueError(
                    f"it should hold the format {_FORMAT!r} and a model, got the format "
                    f"{data.get('format')!r} and {sorted(data)} (written by a newer version?)"
                )
            return _make_config(data["model"])
        return _config_from_released(data)
    # Nothing deeper than Python's stack is a config either.
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
        yaml.YAMLError,
    ) as e:
        what = f"it has no {e}" if isinstance(e, KeyError) else str(e).rstrip(".")
        what = textwrap.shorten(what, 200, placeholder=" ...")  # YAML's errors have many lines
        raise WeightsError(
            f"{path} does not describe a wav2sleep network: {what}. Use the config that came with "
            "the weights."
        ) from e


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict as data, running nothing that is in it.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` file, or one written by ``torch.save``.

    Returns
    -------
    state : dict of str to Tensor
        The tensors by name, on the CPU.

    Raises
    ------
    WeightsError
        If the file is damaged, or holds anything but tensors.
    """
    with path.open("rb") as file:  # a file that cannot be opened is not damaged
        if path.suffix != ".safetensors" and not zipfile.is_zipfile(file):
            raise WeightsError(
                f"{path} is no zip archive, as torch.save writes: it is damaged, or a pickle, "
                "whose code is never run. Get it again from its source."
            )
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            with warnings.catch_warnings():
                # On a foreign pickle torch asks for a bug report, before it refuses the file.
                warnings.filterwarnings("ignore", message="Detected pickle protocol")
                state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is not a plain file of tensors: it is damaged, or holds code, which is never "
            "run. Get it again from its source."
        ) from error
    except Exception as error:  # what parsers raise on untrusted bytes cannot be listed
        raise WeightsError(
            f"{path} is damaged and cannot be read ({type(error).__name__}). Copy or download it "
            "again."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise WeightsError(
            f"{path} does not hold a state dict (names and tensors, nothing else), but "
            f"{type(state).__name__} with other things. Save it with "
            "torch.save(model.state_dict(), path)."
        )
    return state


def build_model(
    config: Wav2SleepConfig, state: Mapping[str, torch.Tensor], path: Path
) -> Wav2Sleep:
    """Make a network and fill in its weights, strictly.

    Parameters
    ----------
    config : Wav2SleepConfig
        The architecture.
    state : mapping of str to Tensor
        The tensors by name, from :func:`read_state_dict`.
    path : Path
        Where they came from, for the errors.

    Returns
    -------
    model : Wav2Sleep
        The network on the CPU, in evaluation mode, float32.

    Raises
    ------
    WeightsError
        If the config makes no network, or a tensor is missing, extra, of another shape, or not
        finite.
    """
    try:
        with torch.device("meta"):
            model = Wav2Sleep(config)
    except Exception as error:  # torch's own checks, of sizes that overflow for one
        raise WeightsError(
            f"The config of {path} makes no network ({str(error).splitlines()[0]}). Use the config "
            "that came with the weights."
        ) from error
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    missing, extra = sorted(set(expected) - set(state)), sorted(set(state) - set(expected))
    if missing or extra:
        raise WeightsError(
            f"{path} does not fit its config: {len(missing)} tensors are missing {missing[:3]}, "
            f"{len(extra)} are not expected {extra[:3]}. Use the config that came with the weights."
        )
    if wrong := [name for name in expected if tuple(state[name].shape) != expected[name]]:
        name = wrong[0]
        raise WeightsError(
            f"{path} does not fit its config: {name} has the shape {tuple(state[name].shape)}, "
            f"the config says {expected[name]}. Use the config that came with the weights."
        )
    if broken := [name for name in expected if not torch.isfinite(state[name]).all()]:
        raise WeightsError(
            f"{path} has values that are not finite, in {broken[0]} for one, so it cannot stage. "
            "Get it again from its source, or save weights that training has not broken."
        )
    model.load_state_dict({k: v.to(torch.float32) for k, v in state.items()}, assign=True)
    return model.eval().requires_grad_(False)


def find_tensors(folder: Path) -> Path:
    """Find the file of tensors of a model folder, in our format or the authors'."""
    ours = (folder / "config.json").exists()
    return folder / ("model.safetensors" if ours else "state_dict.pth")


def read_model(folder: Path) -> Wav2Sleep:
    """Read a model folder.

    Parameters
    ----------
    folder : Path
        The model folder.

    Returns
    -------
    model : Wav2Sleep
        The network on the CPU, in evaluation mode.

    Raises
    ------
    WeightsError
        If a file is missing or damaged, or the tensors do not fit the config.
    """
    config = read_config(folder)
    path = find_tensors(folder)
    if not path.exists():
        raise WeightsError(f"{folder} has a config, but no {path.name}. Copy it there as well.")
    model = build_model(config, read_state_dict(path), path)
    model.calibration = _read_calibration(folder)
    return model


def save_model(model: Wav2Sleep, folder: str | Path, *, dtype: torch.dtype = torch.float32) -> Path:
    """Write a model folder.

    Parameters
    ----------
    model : Wav2Sleep
        The network.
    folder : str or Path
        Where ``config.json``, ``calibration.json`` and ``model.safetensors`` go; made if it does
        not exist.
    dtype : torch.dtype
        The type to store, such as ``torch.float16`` for half the size. Loading gives float32.

    Returns
    -------
    folder : Path
        The model folder, for ``load_model`` and ``weights=``; from float32, the same bits.

    Raises
    ------
    TypeError, ValueError
        If ``model`` is no Wav2Sleep, or ``folder`` a file.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> path = save_model(Wav2Sleep(Wav2SleepConfig(feature_dim=8)), folder, dtype=torch.float16)
    >>> sorted(file.name for file in path.iterdir())
    ['calibration.json', 'config.json', 'model.safetensors']
    """
    if not isinstance(model, Wav2Sleep):
        raise TypeError(
            f"model must be a Wav2Sleep, of load_model for one, got {type(model).__name__}."
        )
    folder = Path(folder).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(
            f"{folder} cannot be a model folder: a file is in the way. Give the name of a folder."
        ) from error
    state = {
        name: t.detach().to("cpu", dtype).contiguous() for name, t in model.state_dict().items()
    }
    save_file(state, folder / "model.safetensors")
    calibration = json.dumps(asdict(model.calibration), indent=2) + "\n"
    (folder / "calibration.json").write_text(calibration, encoding="utf-8")
    # What safetensors writes, its writer alone may read.
    shutil.copymode(folder / "calibration.json", folder / "model.safetensors")
    # Last, for it says that the folder is whole.
    config = {"format": _FORMAT, "model": asdict(model.config)}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return folder
