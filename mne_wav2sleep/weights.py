"""Published weights, their download, and model folders.

A model folder holds ``config.yaml`` and ``state_dict.pth`` as released, or ``config.json`` and
``model.safetensors`` as written by :func:`save_model`. Both are read as data: nothing in them is
ever run.
"""

import json
import os
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pooch
import requests
import torch
import yaml
from mne.utils import logger, verbose
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .hypnogram import STAGE_NAMES
from .model import Wav2Sleep, Wav2SleepConfig

_HUB = "https://huggingface.co/joncarter"
_CITATION = "Carter & Tarassenko, wav2sleep, ML4H 2024, arXiv 2411.04644"


@dataclass(frozen=True)
class Weights:
    """An entry of the registry of published weights.

    Attributes
    ----------
    name : str
        What ``weights=`` takes.
    url : str
        Where the state dict is, with its revision.
    sha256 : str or None
        Its hash; None where it is not known, in which case the download is refused.
    size : int or None
        Its size in bytes.
    config : Wav2SleepConfig
        The architecture.
    stage_names : tuple of str
        What the outputs stand for, in YASA's names.
    licence : str
        SPDX identifier.
    citation : str
        What to cite.
    trained_on : str
        What nights the network was trained on.
    """

    name: str
    url: str
    sha256: str | None
    size: int | None
    config: Wav2SleepConfig
    stage_names: tuple[str, ...]
    licence: str
    citation: str
    trained_on: str


REGISTRY: dict[str, Weights] = {
    entry.name: entry
    for entry in (
        Weights(
            "wav2sleep",
            f"{_HUB}/wav2sleep/resolve/8b6e46ab3ef6e3945282b81f631933c59db0b205/state_dict.pth",
            "ea6fb4410315cf6cce406fe1ffd44cba83e8dc69be6a69101aff62cc2cbee0bc",
            9_666_562,
            Wav2SleepConfig(),
            STAGE_NAMES[4],
            "MIT",
            _CITATION,
            "overnight polysomnography of SHHS, MESA, WSC, CFS, CCSHS and CHAT",
        ),
        Weights(
            "wav2sleep-eog",
            f"{_HUB}/wav2sleep-eog",
            None,
            None,
            Wav2SleepConfig(signals={"EOG-L": "EOG-L", "EOG-R": "EOG-R"}, n_classes=5),
            STAGE_NAMES[5],
            "MIT",
            _CITATION,
            "overnight polysomnography, two EOG channels",
        ),
    )
}


class WeightsError(RuntimeError):
    """Weights cannot be had, or are not what they should be."""


def list_weights() -> pd.DataFrame:
    """List the published weights.

    Returns
    -------
    weights : pandas.DataFrame
        One row per entry of the registry, indexed by ``name``: modalities, stages, licence, size
        in bytes, whether a verified download is possible, and what it was trained on.

    Examples
    --------
    >>> list_weights().loc["wav2sleep", "modalities"]
    'ABD, ECG, PPG, THX'
    """
    rows = {
        entry.name: {
            "modalities": ", ".join(sorted(entry.config.signals)),
            "stages": ", ".join(entry.stage_names),
            "licence": entry.licence,
            "size": entry.size,
            "downloadable": entry.sha256 is not None,
            "trained_on": entry.trained_on,
        }
        for entry in REGISTRY.values()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")


def _entry(name: str) -> Weights:
    """Look a name up in the registry, or say what is possible."""
    if name not in REGISTRY:
        raise ValueError(
            f"There are no weights called {name!r}, and no folder of that name. Published weights: "
            f"{', '.join(REGISTRY)}. A model folder is given by its path."
        )
    return REGISTRY[name]


def weights_path(name: str = "wav2sleep") -> Path:
    """Say where published weights are, or would be, kept.

    Parameters
    ----------
    name : str
        Name of the weights.

    Returns
    -------
    path : Path
        The file in the cache, which the environment variable ``MNE_WAV2SLEEP_DATA`` moves. It need
        not exist.
    """
    cache = os.environ.get("MNE_WAV2SLEEP_DATA") or pooch.os_cache("mne-wav2sleep")
    return Path(cache).expanduser() / _entry(name).name / "state_dict.pth"


def _hash(path: Path) -> str:
    """SHA-256 of a file."""
    return sha256(path.read_bytes()).hexdigest()


def verify_weights(name: str = "wav2sleep") -> Path:
    """Check the hash of downloaded weights.

    Parameters
    ----------
    name : str
        Name of the weights.

    Returns
    -------
    path : Path
        The verified file.

    Raises
    ------
    WeightsError
        If they were never downloaded, or are damaged; a damaged file is removed.
    """
    entry, path = _entry(name), weights_path(name)
    if not path.exists():
        raise WeightsError(
            f"The weights {name!r} are not at {path}. Run `mne-wav2sleep weights fetch {name}`."
        )
    if (found := _hash(path)) != entry.sha256:
        path.unlink()
        raise WeightsError(
            f"{path} was damaged (SHA-256 {found}, expected {entry.sha256}) and has been removed. "
            f"Run `mne-wav2sleep weights fetch {name}` to download it again."
        )
    return path


@verbose
def fetch_weights(name: str = "wav2sleep", *, verbose: bool | str | int | None = None) -> Path:
    """Download published weights, unless they are in the cache.

    Parameters
    ----------
    name : str
        Name of the weights.
    verbose : bool, str, int or None
        MNE's verbosity; False hides the progress bar.

    Returns
    -------
    path : Path
        The state dict in the cache, its hash checked.

    Raises
    ------
    WeightsError
        If the weights cannot be downloaded, are not what the registry says, or have no known hash.
    """
    entry, path = _entry(name), weights_path(name)
    if entry.sha256 is None:
        raise WeightsError(
            f"The SHA-256 of the weights {name!r} is not known, so a download could not be "
            f"checked and is refused. Download them yourself from {entry.url} and give the folder "
            "with config.yaml and state_dict.pth as weights=."
        )
    if path.exists() and _hash(path) == entry.sha256:
        return path
    remedy = (
        f"Download {entry.url} on another machine, put it at {path}, and run "
        f"`mne-wav2sleep weights verify {name}`."
    )
    logger.info(f"Downloading the weights {name!r} to {path}")
    repository = pooch.create(
        path=path.parent,
        base_url="",
        registry={path.name: f"sha256:{entry.sha256}"},
        urls={path.name: entry.url},
        retry_if_failed=2,
    )
    try:
        repository.fetch(
            path.name,
            downloader=pooch.HTTPDownloader(progressbar=logger.level <= 20, timeout=30),
        )
    except requests.HTTPError as error:
        raise WeightsError(
            f"The server does not have the weights {name!r} ({error}). {remedy}"
        ) from error
    except ValueError as error:
        # pooch compares the hash of a temporary file: nothing bad was put in the cache.
        raise WeightsError(
            f"What was downloaded from {entry.url} is not the weights {name!r}: its SHA-256 is "
            f"not {entry.sha256}. Nothing was kept. Try again, or: {remedy}"
        ) from error
    except requests.RequestException as error:
        raise WeightsError(
            f"The weights {name!r} could not be downloaded; there seems to be no network "
            f"({type(error).__name__}). {remedy}"
        ) from error
    except OSError as error:
        raise WeightsError(
            f"The weights {name!r} could not be written to {path} ({error}). Set "
            "MNE_WAV2SLEEP_DATA to a folder that can be written to."
        ) from error
    return path


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
    default = asdict(Wav2SleepConfig())
    for key, value in settings.items():
        if key not in default:
            raise ValueError(f"{key} is not a known setting")
        wanted = type(default[key])
        if wanted is float and type(value) is int:
            continue
        if type(value) is not wanted:
            raise ValueError(f"{key} should be {wanted.__name__}, got {value!r}")
    if not all(isinstance(x, str) for pair in settings["signals"].items() for x in pair):
        raise ValueError(f"signals should map names to names, got {settings['signals']!r}")
    return Wav2SleepConfig(**settings)


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
            return _make_config(data["model"])
        return _config_from_released(data)
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise WeightsError(
            f"{path} does not describe a wav2sleep network: {what}. Use the config that came with "
            "the weights."
        ) from error


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
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{path} is damaged and cannot be read ({type(error).__name__}). Copy or download it "
            "again."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise WeightsError(f"{path} does not hold a state dict (names and tensors, nothing else).")
    return state


def _build(config: Wav2SleepConfig, state: Mapping[str, torch.Tensor], path: Path) -> Wav2Sleep:
    """Make a network and fill in its weights, strictly."""
    with torch.device("meta"):
        model = Wav2Sleep(config)
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
        raise WeightsError(f"{path} has values that are not finite in {broken[0]}.")
    model.load_state_dict({k: v.to(torch.float32) for k, v in state.items()}, assign=True)
    return model.eval().requires_grad_(False)


@verbose
def load_model(
    weights: str | Path = "wav2sleep", *, verbose: bool | str | int | None = None
) -> Wav2Sleep:
    """Load a network with its weights.

    Parameters
    ----------
    weights : str or Path
        Name of published weights, which are downloaded once, or a model folder.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    model : Wav2Sleep
        The network on the CPU, in evaluation mode: a dict of (B, n) tensors in, logits of shape
        (B, S, n_classes) out.

    Raises
    ------
    WeightsError
        If the weights cannot be had, or do not fit their config.
    TypeError, ValueError
        If ``weights`` is neither a known name nor a folder.
    """
    if not isinstance(weights, str | Path):
        raise TypeError(
            f"weights must be a name or a model folder, got {type(weights).__name__}. Published "
            f"weights: {', '.join(REGISTRY)}."
        )
    if isinstance(weights, str) and weights in REGISTRY:
        path = fetch_weights(weights)
        return _build(REGISTRY[weights].config, read_state_dict(path), path)
    folder = Path(weights).expanduser()
    if not folder.is_dir():
        _entry(str(weights))
    config = read_config(folder)
    name = "model.safetensors" if (folder / "config.json").exists() else "state_dict.pth"
    path = folder / name
    if not path.exists():
        raise WeightsError(f"{folder} has a config, but no {name}. Copy it there as well.")
    return _build(config, read_state_dict(path), path)


def save_model(model: Wav2Sleep, folder: str | Path) -> Path:
    """Write a model folder.

    Parameters
    ----------
    model : Wav2Sleep
        The network.
    folder : str or Path
        Where ``config.json`` and ``model.safetensors`` go; made if it does not exist.

    Returns
    -------
    folder : Path
        The model folder, which :func:`load_model` reads to the same bits.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    config = {"format": "mne-wav2sleep", "model": asdict(model.config)}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return folder
