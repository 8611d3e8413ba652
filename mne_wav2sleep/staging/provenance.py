"""Where a hypnogram comes from: everything that it takes to make it again, ready for JSON."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from ..network.config import Wav2SleepConfig
from ..output import write_whole
from ..recordings.opening import Recording
from ..signals.validity import MEASURED, REASONS

_PACKAGES = ("mne-wav2sleep", "mne", "yasa", "torch", "numpy", "scipy", "pandas")


def make_provenance(
    recording: Recording,
    channels: pd.DataFrame,
    availability: pd.DataFrame,
    weights: Mapping[str, str],
    config: Wav2SleepConfig,
    parameters: Mapping[str, Any],
) -> dict[str, Any]:
    """Say where a hypnogram comes from.

    Parameters
    ----------
    recording : Recording
        What was staged.
    channels : pandas.DataFrame
        From which channels.
    availability : pandas.DataFrame
        What was measured.
    weights : mapping of str to str
        By which weights: their name, file and SHA-256.
    config : Wav2SleepConfig
        Their architecture.
    parameters : mapping of str to object
        How, JSON-ready.

    Returns
    -------
    provenance : dict
        Nothing but what JSON knows.
    """
    files = [str(name) for name in recording.raw.filenames if name is not None]
    measured = availability == REASONS[MEASURED]
    return {
        "weights": {
            **weights,
            "config_sha256": hashlib.sha256(
                json.dumps(asdict(config), sort_keys=True, default=str).encode()
            ).hexdigest(),
        },
        "recording": {
            "files": [str(recording.path)] if recording.path else files,
            "start": recording.start and recording.start.isoformat(),
            "hours": recording.n_samples / float(recording.raw.info["sfreq"]) / 3600,
            "epochs": recording.n_epochs,
            "gaps_s": [list(gap) for gap in recording.gaps],
            "annotated_bad": sum(
                text.upper().startswith("BAD") for text in recording.annotations.description
            ),
        },
        "channels": {
            str(modality): {
                "channel": row["channel"] if isinstance(row["channel"], str) else [*row["channel"]],
                "reason": row["reason"],
                "sfreq": float(row["sfreq"]),
                "epochs": {
                    str(k): int(v) for k, v in availability[modality].value_counts().items()
                },
            }
            for modality, row in channels.iterrows()
        },
        "unscored_epochs": int((~measured.any(axis=1)).sum()),
        "parameters": dict(parameters),
        "versions": {name: metadata.version(name) for name in _PACKAGES}
        | {"python": platform.python_version()},
        "platform": platform.platform(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def provenance_path(hypnogram: Path) -> Path:
    """Name the file of a hypnogram's provenance.

    Parameters
    ----------
    hypnogram : Path
        The hypnogram's file.

    Returns
    -------
    path : Path
        A file beside it.

    Examples
    --------
    >>> provenance_path(Path("night.json")).name
    'night.json.provenance.json'
    """
    return hypnogram.with_name(f"{hypnogram.name}.provenance.json")


def write_provenance(
    provenance: Mapping[str, Any], hypnogram: Path, *, overwrite: bool = False
) -> Path:
    """Write provenance beside a hypnogram.

    Parameters
    ----------
    provenance : mapping
        From :func:`make_provenance`.
    hypnogram : Path
        The hypnogram's file.
    overwrite : bool
        Whether the provenance that is there, of a hypnogram of that name, may be replaced.

    Returns
    -------
    path : Path
        The file, ``night.json.provenance.json`` beside ``night.json``.

    Raises
    ------
    FileExistsError
        If there is such a file, and it may not be replaced.
    OSError
        If it cannot be written.
    """
    path = provenance_path(hypnogram)
    with write_whole(path, overwrite=overwrite) as unfinished:
        unfinished.write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
    return path
