"""The registry of published and bundled weights, and their download."""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pooch
import requests
from mne.utils import logger, verbose
from requests.exceptions import ChunkedEncodingError, ContentDecodingError

from ..cautions import warn
from ..hypnograms.probabilities import STAGE_NAMES
from ..progress import are_bars_shown
from .config import Wav2SleepConfig
from .folder import (
    WeightsError,
    build_model,
    find_tensors,
    read_config,
    read_model,
    read_state_dict,
)
from .model import Wav2Sleep

_HUB = "https://huggingface.co/joncarter"
_CITATION = "Carter & Tarassenko, wav2sleep, ML4H 2024, arXiv 2411.04644"


@dataclass(frozen=True)
class Weights:
    """An entry of the registry of weights.

    Attributes
    ----------
    name : str
        What ``weights=`` takes.
    url : str or None
        Where the state dict is, with its revision where that is known; None if bundled.
    sha256 : str or None
        Its hash; None where it is not known, in which case the download is refused. That of
        ``"wav2sleep"`` comes from one public third-party report.
    size : int or None
        Its size in bytes.
    config : Wav2SleepConfig or None
        The architecture; None for bundled weights, whose folder says it.
    stage_names : tuple of str
        What the outputs stand for, in YASA's names.
    licence : str
        SPDX identifier.
    citation : str
        What to cite.
    trained_on : str
        What nights the network was trained on, as far as it is known.
    scorer : str
        What hypnograms name as their scorer.
    bundled : bool
        Whether the weights come with the package, as a model folder in ``data``.
    caution : str or None
        What every user has to know; a warning at each load.
    """

    name: str
    url: str | None
    sha256: str | None
    size: int | None
    config: Wav2SleepConfig | None
    stage_names: tuple[str, ...]
    licence: str
    citation: str
    trained_on: str
    scorer: str = "wav2sleep"
    bundled: bool = False
    caution: str | None = None


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
            "overnight polysomnography; not stated for this checkpoint, the authors' training data "
            "are SHHS, MESA, WSC, CFS, CCSHS and CHAT",
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
        Weights(
            "mini",
            None,
            None,
            None,
            None,
            STAGE_NAMES[4],
            "BSD-3-Clause",
            _CITATION,
            "simulated nights, and waves rendered over the real beats of a few public nights",
            scorer="wav2sleep-mini",
            bundled=True,
            caution="The weights 'mini' were trained on simulated nights and on waves rendered "
            "over the real beats of a few public nights. They are for trying out, teaching and "
            "tests, never for results; for those, take weights='wav2sleep'.",
        ),
    )
}


def list_weights() -> pd.DataFrame:
    """List the weights that have a name.

    Returns
    -------
    weights : pandas.DataFrame
        One row per entry of the registry, indexed by ``name``: modalities, stages, licence, size
        in bytes, source (``"download"``, ``"bundled"``, or ``"your own copy"`` where no download
        could be verified), what it was trained on, and what to be cautious about.

    Examples
    --------
    >>> list_weights().loc["wav2sleep", "modalities"]
    'ABD, ECG, PPG, THX'
    """
    rows = {}
    for name, entry in REGISTRY.items():
        try:
            modalities = ", ".join(sorted(read_weights_config(name).signals))
        except WeightsError:
            modalities = "not known, as its files are missing"
        source = "download" if entry.sha256 else "your own copy"
        rows[name] = {
            "modalities": modalities,
            "stages": ", ".join(entry.stage_names),
            "licence": entry.licence,
            "size": entry.size,
            "source": "bundled" if entry.bundled else source,
            "trained_on": entry.trained_on,
            "caution": entry.caution or "",
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")
    return table.astype({"size": "Int64"})


def _entry(name: str) -> Weights:
    """Look a name up in the registry, or say what is possible."""
    if name not in REGISTRY:
        raise ValueError(
            f"There are no weights called {name!r}, and no folder of that name. Weights with a "
            f"name: {', '.join(REGISTRY)}. A model folder is given by its path."
        )
    return REGISTRY[name]


def _resolve(weights: str | Path) -> Weights | Path:
    """Find the entry of the registry, or the model folder, that is meant."""
    if not isinstance(weights, str | Path):
        raise TypeError(
            f"weights must be a name or a model folder, got {type(weights).__name__}. Weights with "
            f"a name: {', '.join(REGISTRY)}."
        )
    if isinstance(weights, str) and weights in REGISTRY:
        return REGISTRY[weights]
    folder = Path(weights).expanduser()
    # Path("") would be the working directory.
    return folder if weights != "" and folder.is_dir() else _entry(str(weights))


def _bundled_folder(entry: Weights) -> Path:
    """Folder of bundled weights, if they are there."""
    folder = weights_path(entry.name)
    if not (folder / "model.safetensors").exists():
        raise WeightsError(
            f"The weights {entry.name!r} come with mne-wav2sleep, but are not at {folder}: this "
            "installation lacks them. Install the package again, or take other weights."
        )
    return folder


def read_weights_config(weights: str | Path) -> Wav2SleepConfig:
    """Read the architecture of weights, without downloading or loading them.

    Parameters
    ----------
    weights : str or Path
        Name of weights, or a model folder.

    Returns
    -------
    config : Wav2SleepConfig
        The architecture; errors are those of :func:`load_model`.
    """
    found = _resolve(weights)
    if isinstance(found, Path):
        return read_config(found)
    return found.config or read_config(_bundled_folder(found))


def hash_weights(weights: str | Path) -> tuple[str, str]:
    """Name and SHA-256 of the file of tensors that :func:`load_model` reads."""
    found = _resolve(weights)
    path = found if isinstance(found, Path) else weights_path(found.name)
    path = find_tensors(path) if path.is_dir() else path
    return path.name, pooch.file_hash(str(path))


def _repository(entry: Weights) -> pooch.Pooch:
    """Describe the cache to pooch."""
    file = f"{entry.name}/state_dict.pth"
    return pooch.create(
        path=pooch.os_cache("mne-wav2sleep"),
        env="MNE_WAV2SLEEP_DATA",
        base_url="",
        registry={file: f"sha256:{entry.sha256}"},
        urls={file: entry.url},
        retry_if_failed=2,
    )


def weights_path(name: str = "wav2sleep") -> Path:
    """Say where weights are, or would be, kept.

    Parameters
    ----------
    name : str
        Name of the weights.

    Returns
    -------
    path : Path
        The file in the cache, which the environment variable ``MNE_WAV2SLEEP_DATA`` moves; the
        model folder of bundled weights. It need not exist.
    """
    entry = _entry(name)
    if entry.bundled:
        return Path(__file__).parents[1] / "data" / name
    return Path(_repository(entry).abspath) / name / "state_dict.pth"


def _remove_if_damaged(entry: Weights, path: Path) -> str | None:
    """Remove a cached file whose hash is wrong; what was wrong, or None."""
    if entry.sha256 is None:
        raise WeightsError(
            f"The SHA-256 of the weights {entry.name!r} is not known, so no copy of them can be "
            f"checked, and a download is refused. Download them yourself from {entry.url} and give "
            "the folder with config.yaml and state_dict.pth as weights=."
        )
    if not path.exists() or (found := pooch.file_hash(path)) == entry.sha256:
        return None
    path.unlink(missing_ok=True)
    return f"{path} was damaged (SHA-256 {found}, expected {entry.sha256}) and has been removed."


def verify_weights(name: str = "wav2sleep") -> Path:
    """Check the hash of downloaded weights, or that bundled ones load.

    Parameters
    ----------
    name : str
        Name of the weights.

    Returns
    -------
    path : Path
        The verified file, or the folder of bundled weights.

    Raises
    ------
    WeightsError
        If they are not there, have no known hash, or are damaged; a damaged download is removed.
    """
    entry, path = _entry(name), weights_path(name)
    if entry.bundled:
        read_model(_bundled_folder(entry))
        return path
    if damage := _remove_if_damaged(entry, path):
        raise WeightsError(f"{damage} Run `mne-wav2sleep weights fetch {name}` for another copy.")
    if not path.exists():
        raise WeightsError(
            f"The weights {name!r} are not at {path}. Run `mne-wav2sleep weights fetch {name}`."
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
        The state dict in the cache, its hash checked; the folder of bundled weights.

    Raises
    ------
    WeightsError
        If the weights cannot be downloaded, are not what the registry says, or have no known hash.
    """
    entry, path = _entry(name), weights_path(name)
    if entry.bundled:
        logger.info(f"The weights {name!r} are bundled: there is nothing to download.")
        return _bundled_folder(entry)
    if damage := _remove_if_damaged(entry, path):
        warn(damage + " It is downloaded again.")
    remedy = (
        f"Download {entry.url} on another machine, put it at {path}, and run "
        f"`mne-wav2sleep weights verify {name}`."
    )
    pooch_logger = pooch.get_logger()
    level = pooch_logger.level
    try:
        pooch_logger.setLevel(logger.level)
        _repository(entry).fetch(
            f"{name}/{path.name}",
            downloader=pooch.HTTPDownloader(progressbar=are_bars_shown(), timeout=30),
        )
    except requests.HTTPError as error:
        status = getattr(error.response, "status_code", "unknown")
        what = "does not have" if status == 404 else "refused"
        raise WeightsError(
            f"The server {what} the weights {name!r} (HTTP status {status}). {remedy}"
        ) from error
    except (ChunkedEncodingError, ContentDecodingError) as error:
        came = re.search(r"(\d+) bytes read", str(error))
        raise WeightsError(
            f"The download of the weights {name!r} broke off; {came[1] if came else 'some'} of "
            f"{entry.size} bytes had come. Nothing was kept. Try again, or: {remedy}"
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
    finally:
        pooch_logger.setLevel(level)
    return path


@verbose
def load_model(
    weights: str | Path = "wav2sleep", *, verbose: bool | str | int | None = None
) -> Wav2Sleep:
    """Load a network with its weights.

    Parameters
    ----------
    weights : str or Path
        Name of weights (see :func:`list_weights`), which are downloaded once, or a model folder.
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

    Examples
    --------
    >>> import tempfile, torch
    >>> from mne_wav2sleep import save_model
    >>> network = Wav2Sleep(Wav2SleepConfig(feature_dim=8))  # random weights
    >>> model = load_model(save_model(network, tempfile.mkdtemp()))
    >>> model({"THX": torch.randn(1, 10 * 256)}).shape  # ten epochs of a belt
    torch.Size([1, 10, 4])
    """
    found = _resolve(weights)
    if isinstance(found, Path):
        return read_model(found)
    if found.bundled:
        model = read_model(_bundled_folder(found))
    else:
        path = fetch_weights(found.name)
        model = build_model(read_weights_config(found.name), read_state_dict(path), path)
    if found.caution is not None:
        warn(found.caution)
    return model
