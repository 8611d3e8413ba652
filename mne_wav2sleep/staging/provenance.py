"""Provenance of a hypnogram: what is needed to reproduce it, ready for JSON."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from ..hypnograms.names import is_stage
from ..network import LoadedWeights
from ..output import write_whole
from ..recordings import Channel, Recording
from ..signals import Reason

_PACKAGES = ("mne-wav2sleep", "mne", "yasa", "torch", "numpy", "scipy", "pandas")


def make_provenance(
    recording: Recording,
    channels: Sequence[Channel],
    availability: pd.DataFrame,
    weights: LoadedWeights,
    parameters: Mapping[str, Any],
) -> dict[str, Any]:
    """Describe where a hypnogram comes from.

    Parameters
    ----------
    recording : Recording
        The staged recording.
    channels : sequence of Channel
        The mapping.
    availability : pandas.DataFrame, shape (n_epochs, n_modalities)
        For each epoch and modality, whether it was measured, or why not, in words.
    weights : LoadedWeights
        The weights.
    parameters : mapping of str to object
        Device, precision and other settings, ready for JSON.

    Returns
    -------
    provenance : dict
        Only types that JSON has.
    """
    annotations = recording.reader.annotations.description
    config = json.dumps(asdict(weights.config), sort_keys=True, default=str)
    measured = availability == Reason.MEASURED.label
    return {
        "weights": {
            "name": weights.name,
            "file": weights.file,
            "sha256": weights.sha256,
            "bases": [asdict(base) for base in weights.bases],
            "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
        },
        "recording": {
            "files": recording.files,
            "start": recording.start and recording.start.isoformat(),
            "hours": recording.duration / 3600,
            "epochs": recording.n_epochs,
            "gaps_s": [list(gap) for gap in recording.reader.gaps],
            "annotated_bad": sum(text.upper().startswith("BAD") for text in annotations),
            "annotated_stages": sum(is_stage(text) for *_, text in recording.events),
        },
        "channels": {
            channel.modality: {
                "channel": channel.name if isinstance(channel.name, str) else [*channel.name],
                "reason": channel.reason,
                "sfreq": channel.sfreq,
                "epochs": {
                    str(k): int(v) for k, v in availability[channel.modality].value_counts().items()
                },
            }
            for channel in channels
        },
        "unscored_epochs": int((~measured.any(axis=1)).sum()),
        "parameters": dict(parameters),
        "versions": {name: metadata.version(name) for name in _PACKAGES}
        | {"python": platform.python_version()},
        "platform": platform.platform(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def provenance_path(hypnogram: Path) -> Path:
    """Get the path of a hypnogram's provenance.

    Parameters
    ----------
    hypnogram : Path
        The hypnogram's file.

    Returns
    -------
    path : Path
        A file in the same folder.

    Examples
    --------
    >>> provenance_path(Path("night.json")).name
    'night.json.provenance.json'
    """
    return hypnogram.with_name(f"{hypnogram.name}.provenance.json")


def write_provenance(
    provenance: Mapping[str, Any], hypnogram: Path, *, overwrite: bool = False
) -> Path:
    """Write provenance to a file beside its hypnogram.

    Parameters
    ----------
    provenance : mapping
        From :func:`make_provenance`.
    hypnogram : Path
        The hypnogram's file.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    path : Path
        The file, ``night.json.provenance.json`` for ``night.json``.

    Raises
    ------
    FileExistsError
        If the file exists, and may not be replaced.
    OSError
        If it cannot be written.
    """
    path = provenance_path(hypnogram)
    with write_whole(path, overwrite=overwrite) as unfinished:
        unfinished.write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
    return path
