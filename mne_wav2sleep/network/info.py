"""Read what model folders say of their weights, without the tensors, and without torch.

A model folder contains ``config.yaml`` and ``state_dict.pth``, as released by the authors, or
``config.json`` and ``model.safetensors``, as written by :func:`save_weights`. It may also contain
``calibration.json`` and ``nights.json``. Files of a model folder are read as data; code in them is
never run.
"""

import json
import os
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ..calibration import Calibration
from ..errors import WeightsError, put_on_line, quote, summarize_validation
from ..modalities import STAGE_NAMES, adding, read_modalities
from .config import Preprocessing, Wav2SleepConfig
from .files import MAX_TEXT_BYTES, read_file
from .lineage import read_bases
from .plain_yaml import read_yaml
from .weights import WeightsInfo

FORMAT = "mne-wav2sleep"
_T = TypeVar("_T")
_RELEASED_KEYS: dict[str, dict[str, str]] = {
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
_PAPER_KEYS: dict[str, dict[str, str]] = {
    "signal_encoders": {"feature_dim": "feature_dim", "size": "size", "signal_map": "signals"},
    "epoch_mixer": {**_RELEASED_KEYS["epoch_mixer"], "permute_signals": "permute_signals"},
    "sequence_mixer": {"dropout": "sequence_dropout"},
}
_PAPER_FIXED: dict[str, dict[str, Any]] = {
    "signal_encoders": {"activation": "gelu", "norm": "instance"},
    "epoch_mixer": {"activation": "gelu"},
    "sequence_mixer": {"activation": "gelu", "norm": "layer"},
}
_KEYS = {"format", "model", "modalities", "preprocessing", "scorer", "caution", "bases"}
OPTIONAL = ("sources", "correlation_source")
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


def _read_authors(data: Any, name: str) -> WeightsInfo:
    """Read a config in the authors' format, without its ``_target_`` keys, which name code.

    That of the paper's model (2024) has a size; that of the released one (2026), numbers of
    channels. What they do not say differs.
    """
    data = _get_section(data)
    settings: dict[str, Any] = {"n_classes": data["num_classes"]}
    encoders = _get_section(data, "signal_encoders")
    is_paper = "size" in encoders
    if is_paper == ("initial_channels" in encoders):
        found = "both" if is_paper else "neither"
        raise ValueError(
            f"signal_encoders should have either size (the paper's model) or initial_channels (the "
            f"released one), got {found}"
        )
    if not is_paper:
        settings |= _collect(data, _RELEASED_KEYS, _RELEASED_FIXED, "the released model")
        return describe_config(_validate(Wav2SleepConfig, settings), name=name)
    _get_section(encoders, "signal_map")
    settings |= _collect(data, _PAPER_KEYS, _PAPER_FIXED, "the paper's model")
    # In training, it shuffled the order of the signals, on which the network does not depend.
    if not isinstance(shuffled := settings.pop("permute_signals", True), bool):
        raise ValueError(
            f"epoch_mixer.permute_signals should be true or false, got {quote(shuffled)}"
        )
    config = _validate(Wav2SleepConfig.of_paper, settings)
    return describe_config(config, name=name, preprocessing=Preprocessing.of_paper())


def _collect(
    data: Mapping[str, Any],
    known: Mapping[str, Mapping[str, str]],
    fixed: Mapping[str, Mapping[str, Any]],
    whose: str,
) -> dict[str, Any]:
    """Collect the settings of a config in the authors' format, by our names."""
    settings: dict[str, Any] = {}
    for section, keys in known.items():
        values = _get_section(data, section)
        for key, value in values.items():
            if key in fixed[section] and value != fixed[section][key]:
                raise ValueError(
                    f"{section}.{key} is {quote(value)}; only {fixed[section][key]!r} is supported"
                )
            if key not in {*keys, *fixed[section], "_target_", "feature_dim"}:
                raise ValueError(
                    f"{section} has {quote(key)}, which is not a known setting of {whose}"
                )
        settings |= {ours: values[theirs] for theirs, ours in keys.items() if theirs in values}
        if values.get("feature_dim", settings["feature_dim"]) != settings["feature_dim"]:
            raise ValueError(
                f"{section}.feature_dim is {quote(values['feature_dim'])}, but that of the "
                f"encoders is {quote(settings['feature_dim'])}"
            )
    return settings


def _validate(kind: Callable[..., _T], data: Mapping[str, Any]) -> _T:
    """Make a validated dataclass from data; errors name the field, in one line."""
    try:
        return kind(**data)
    except ValidationError as error:
        raise ValueError(summarize_validation(error)) from error


def check_text(key: str, text: Any) -> str | None:
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
    if data.get("format") != FORMAT or not {"format", "model"} <= set(data) <= _KEYS:
        raise ValueError(
            "it was not written by this version of save_weights (a newer version?): it should have "
            f"the format {FORMAT!r} and a model, got {quote(data.get('format'))} and "
            f"{quote(sorted(data))}"
        )
    model = dict(_get_section(data, "model"))
    preprocessing = dict(_get_section({"preprocessing": {}} | data, "preprocessing"))
    if "padded_epochs" in model:  # its place in early versions of the format
        preprocessing["padded_epochs"] = model.pop("padded_epochs")
    signals = _get_section({"signals": {}} | model, "signals")
    with adding(read_modalities(data.get("modalities", []), signals)):
        return _read_known(data, model, preprocessing, folder)


def _read_known(
    data: Mapping[str, Any], model: dict[str, Any], preprocessing: dict[str, Any], folder: Path
) -> WeightsInfo:
    """Read a config whose modalities are known."""
    config = _validate(Wav2SleepConfig, model)
    texts = {key: check_text(key, data.get(key)) for key in ("scorer", "caution")}
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
        has the values of the weights that it came with, released or of the paper.

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
        return _read_authors(read_yaml(text), str(folder))
    except (ValueError, KeyError, RecursionError) as error:
        raise WeightsError(
            f"{path} does not describe a wav2sleep network: {describe_error(error)}. Use the "
            "config that came with the weights."
        ) from error


def describe_error(error: Exception) -> str:
    """Describe why the contents of a file are not valid, in a part of a sentence."""
    if isinstance(error, KeyError):
        return f"it has no {error}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return put_on_line(str(error))


def describe_config(
    config: Wav2SleepConfig, *, name: str, preprocessing: Preprocessing | None = None
) -> WeightsInfo:
    """Describe weights from their architecture; by default, with the released preprocessing."""
    return WeightsInfo(
        name=name,
        config=config,
        preprocessing=preprocessing or Preprocessing(),
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
        needed = known - set(OPTIONAL)  # which early versions did not write
        if not isinstance(data, dict) or not needed <= set(data) <= known:
            found = quote(sorted(data)) if isinstance(data, dict) else type(data).__name__
            raise ValueError(f"it should have the keys {sorted(needed)}, got {found}")
        return _validate(Calibration, data)
    except (ValueError, RecursionError) as error:
        raise WeightsError(
            f"{path} is not a calibration: {describe_error(error)}. Use the file that came with "
            "the weights, or remove it to use uncalibrated probabilities."
        ) from error


def find_tensors(folder: Path) -> Path:
    """Return the path of the file of tensors in a model folder."""
    ours = os.path.lexists(folder / "config.json")
    return folder / ("model.safetensors" if ours else "state_dict.pth")
