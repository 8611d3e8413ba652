"""Read and write model folders: the config, tensors and calibration of a network.

A model folder contains ``config.yaml`` and ``state_dict.pth``, as released by the authors, or
``config.json`` and ``model.safetensors``, as written by :func:`save_weights`. It may also contain
``calibration.json`` and ``nights.json``. Files of a model folder are read as data; code in them is
never run.
"""

import json
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import safetensors.torch
import torch
from pydantic import ValidationError

from ..calibration import Calibration
from ..errors import FileWriteError, WeightsError, put_on_line, quote, summarize_validation
from ..modalities import STAGE_NAMES
from .config import Preprocessing, Wav2SleepConfig
from .lineage import read_bases
from .model import Wav2Sleep
from .plain_yaml import read_yaml
from .seen import NIGHTS_FILE
from .state import DTYPES, MAX_TEXT_BYTES, check_tensors, read_file
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
_KEYS = {"format", "model", "preprocessing", "scorer", "caution", "bases"}
_OPTIONAL = ("sources", "correlation_source")
"""Values of a calibration that its file may lack."""
_MAX_TEXT = {"scorer": 100, "caution": 1000}
"""Number of characters of the texts of a config at most."""


def _get_section(data: Any, section: str | None = None) -> dict[str, Any]:
    """Return a section of a config, or the whole, and check that it is a mapping."""
    found = data if section is None else data[section]
    if not isinstance(found, dict):
        what = "it" if section is None else section
        raise ValueError(f"{what} should be a mapping, got a {type(found).__name__}")
    return found


def _read_released(data: Any) -> Wav2SleepConfig:
    """Read a config in the authors' format, without its ``_target_`` keys, which name code."""
    data = _get_section(data)
    settings: dict[str, Any] = {"n_classes": data["num_classes"]}
    for section, keys in _RELEASED_KEYS.items():
        values = _get_section(data, section)
        fixed = _RELEASED_FIXED[section]
        for key, value in values.items():
            if key in fixed and value != fixed[key]:
                raise ValueError(
                    f"{section}.{key} is {quote(value)}; only {fixed[key]!r} is supported"
                )
            if key not in keys and key not in fixed and key not in ("_target_", "feature_dim"):
                raise ValueError(f"{section} has {quote(key)}, which is not a known setting")
        settings |= {ours: values[theirs] for theirs, ours in keys.items() if theirs in values}
        if values.get("feature_dim", settings["feature_dim"]) != settings["feature_dim"]:
            raise ValueError(
                f"{section}.feature_dim is {quote(values['feature_dim'])}, but that of the "
                f"encoders is {quote(settings['feature_dim'])}"
            )
    return _validate(Wav2SleepConfig, settings)


def _validate(kind: type[_T], data: Mapping[str, Any]) -> _T:
    """Make a validated dataclass from data; errors name the field, in one line."""
    try:
        return kind(**data)
    except ValidationError as error:
        raise ValueError(summarize_validation(error)) from error


def _check_text(key: str, text: Any) -> str | None:
    """Check a text that is shown to users, or written into their files."""
    if not isinstance(text, str | None):
        raise ValueError(f"{key} should be a string or null, got {quote(text)}")
    if text and len(text) > _MAX_TEXT[key]:
        raise ValueError(f"{key} has {len(text):,} characters, but {_MAX_TEXT[key]} at most")
    # Codes that control a terminal.
    if any(unicodedata.category(c) == "Cc" and not c.isspace() for c in text or ""):
        raise ValueError(f"{key} contains control characters, got {quote(text)}")
    return text


def _read_ours(data: Any, folder: Path) -> WeightsInfo:
    """Read a config in the format of :func:`save_weights`."""
    data = _get_section(data)
    if data.get("format") != _FORMAT or not {"format", "model"} <= set(data) <= _KEYS:
        raise ValueError(
            "it was not written by this version of save_weights (a newer version?): it should have "
            f"the format {_FORMAT!r} and a model, got {quote(data.get('format'))} and "
            f"{quote(sorted(data))}"
        )
    model = dict(_get_section(data, "model"))
    preprocessing = dict(_get_section({"preprocessing": {}} | data, "preprocessing"))
    if "padded_epochs" in model:  # its place in early versions of the format
        preprocessing["padded_epochs"] = model.pop("padded_epochs")
    config = _validate(Wav2SleepConfig, model)
    texts = {key: _check_text(key, data.get(key)) for key in ("scorer", "caution")}
    return WeightsInfo(
        name=str(folder),
        config=config,
        preprocessing=_validate(Preprocessing, preprocessing),
        stage_names=STAGE_NAMES[config.n_classes],
        scorer=texts["scorer"] or "wav2sleep",
        caution=texts["caution"],
        bases=read_bases(data.get("bases", [])),
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
    path = ours if os.path.lexists(ours) else released
    if not os.path.lexists(path):
        raise WeightsError(
            f"{folder} is not a model folder: it has neither config.json nor config.yaml. It needs "
            "config.json and model.safetensors, or config.yaml and state_dict.pth."
        )
    content = read_file(path, MAX_TEXT_BYTES)
    try:
        text = content.decode("utf-8")
        if path is ours:
            return _read_ours(json.loads(text), folder)
        return describe_config(_read_released(read_yaml(text)), name=str(folder))
    except (ValueError, KeyError, RecursionError) as error:
        raise WeightsError(
            f"{path} does not describe a wav2sleep network: {_describe_error(error)}. Use the "
            "config that came with the weights."
        ) from error


def _describe_error(error: Exception) -> str:
    """Describe why the contents of a file are not valid, in a part of a sentence."""
    if isinstance(error, KeyError):
        return f"it has no {error}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return put_on_line(str(error))


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
    if not os.path.lexists(path):
        return Calibration()
    content = read_file(path, MAX_TEXT_BYTES)
    try:
        data = json.loads(content.decode("utf-8"))
        known = {one.name for one in fields(Calibration)}
        needed = known - set(_OPTIONAL)  # which early versions did not write
        if not isinstance(data, dict) or not needed <= set(data) <= known:
            found = quote(sorted(data)) if isinstance(data, dict) else type(data).__name__
            raise ValueError(f"it should have the keys {sorted(needed)}, got {found}")
        return _validate(Calibration, data)
    except (ValueError, RecursionError) as error:
        raise WeightsError(
            f"{path} is not a calibration: {_describe_error(error)}. Use the file that came with "
            "the weights, or remove it to use uncalibrated probabilities."
        ) from error


def find_tensors(folder: Path) -> Path:
    """Return the path of the file of tensors in a model folder."""
    ours = os.path.lexists(folder / "config.json")
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
        "calibration.json": {k: v for k, v in calibration.items() if v or k not in _OPTIONAL},
        "config.json": {
            "format": _FORMAT,
            "model": asdict(weights.config),
            "preprocessing": asdict(weights.preprocessing),
            "scorer": _check_text("scorer", weights.scorer),
            "caution": _check_text("caution", weights.caution),
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
            f"The weights could not be saved in {folder} ({_describe_error(error)}). Files that it "
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
