"""The registry of published weights, and their download."""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pooch
import requests
from mne.utils import logger, verbose

from .hypnogram import STAGE_NAMES
from .model import Wav2Sleep, Wav2SleepConfig
from .model_folder import WeightsError, build_model, read_model, read_state_dict

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
        return build_model(REGISTRY[weights].config, read_state_dict(path), path)
    folder = Path(weights).expanduser()
    if not folder.is_dir():
        _entry(str(weights))
    return read_model(folder)
