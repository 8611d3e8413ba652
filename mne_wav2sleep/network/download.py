"""Download, cache and verify published weights; the only module that accesses the internet."""

import re
from pathlib import Path

import pooch
import requests
from requests.exceptions import ChunkedEncodingError, ContentDecodingError

from ..cautions import warn
from ..errors import WeightsError
from ..progress import are_bars_shown
from ..verbosity import Verbosity, logger, verbose
from .folder import find_tensors, read_info
from .registry import RegistryEntry, get_entry, locate_bundled
from .state import build_network, read_state


def check_bundled(entry: RegistryEntry) -> Path:
    """Find the model folder of bundled weights.

    Parameters
    ----------
    entry : RegistryEntry
        Bundled weights.

    Returns
    -------
    folder : Path
        Their model folder.

    Raises
    ------
    WeightsError
        If the installation does not contain them.
    """
    folder = locate_bundled(entry.name)
    if not (folder / "model.safetensors").exists():
        raise WeightsError(
            f"The weights {entry.name!r} are bundled with mne-wav2sleep, but are not at {folder}: "
            "this installation lacks them. Reinstall the package, or use other weights."
        )
    return folder


def _make_cache(entry: RegistryEntry) -> pooch.Pooch:
    """Make pooch's view of the cache."""
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
    """Return the path at which weights are stored, or will be.

    Parameters
    ----------
    name : str
        Name of the weights.

    Returns
    -------
    path : Path
        A file in the cache, whose folder can be set with the environment variable
        ``MNE_WAV2SLEEP_DATA``; for bundled weights, their model folder. It may not exist.
    """
    entry = get_entry(name)
    if entry.bundled:
        return locate_bundled(name)
    return Path(_make_cache(entry).abspath) / name / "state_dict.pth"


def _remove_if_damaged(entry: RegistryEntry, path: Path) -> str | None:
    """Remove a cached file with a wrong hash; return a description of the damage, or None."""
    if entry.sha256 is None:
        raise WeightsError(
            f"The SHA-256 of the weights {entry.name!r} is not known, so a download cannot be "
            f"verified, and is refused. Download them yourself from {entry.url}, and pass the "
            "folder with config.yaml and state_dict.pth as weights."
        )
    if not path.exists() or (found := pooch.file_hash(path)) == entry.sha256:
        return None
    path.unlink(missing_ok=True)
    return f"{path} was damaged (SHA-256 {found}, expected {entry.sha256}) and has been removed."


def verify_weights(name: str = "wav2sleep") -> Path:
    """Verify the hash of downloaded weights, or that bundled weights can be loaded.

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
        If the weights are missing, damaged, or have no known hash. A damaged download is removed.
    """
    entry, path = get_entry(name), weights_path(name)
    if entry.bundled:
        folder = check_bundled(entry)
        tensors = find_tensors(folder)
        build_network(read_info(folder).config, read_state(tensors)[0], tensors)
        return path
    if damage := _remove_if_damaged(entry, path):
        raise WeightsError(
            f"{damage} Run `mne-wav2sleep weights fetch {name}` to download it again."
        )
    if not path.exists():
        raise WeightsError(
            f"The weights {name!r} are not at {path}. Run `mne-wav2sleep weights fetch {name}` to "
            "download them."
        )
    return path


@verbose
def fetch_weights(name: str = "wav2sleep", *, verbose: Verbosity = None) -> Path:
    """Download published weights unless they are in the cache.

    Parameters
    ----------
    name : str
        Name of the weights.
    verbose : bool, str, int or None
        MNE's verbosity; False hides the progress bar.

    Returns
    -------
    path : Path
        The verified state dict in the cache; for bundled weights, their model folder.

    Raises
    ------
    WeightsError
        If the weights cannot be downloaded, have the wrong hash, or have no known hash.
    """
    entry, path = get_entry(name), weights_path(name)
    if entry.bundled:
        logger.info(f"The weights {name!r} are bundled; there is nothing to download.")
        return check_bundled(entry)
    if damage := _remove_if_damaged(entry, path):
        warn(damage + " It is downloaded again.")
    pooch_logger = pooch.get_logger()
    level = pooch_logger.level
    try:
        pooch_logger.setLevel(logger.level)
        _download(entry, path)
    finally:
        pooch_logger.setLevel(level)
    return path


def _download(entry: RegistryEntry, path: Path) -> None:
    """Download a state dict into the cache; errors describe the cause and the remedy."""
    remedy = (
        f"Download {entry.url} on another machine, copy it to {path}, and run "
        f"`mne-wav2sleep weights verify {entry.name}`."
    )
    downloader = pooch.HTTPDownloader(progressbar=are_bars_shown(), timeout=30)
    try:
        _make_cache(entry).fetch(f"{entry.name}/{path.name}", downloader=downloader)
    except requests.HTTPError as error:
        status = getattr(error.response, "status_code", "unknown")
        what = "does not have" if status == 404 else "refused"
        raise WeightsError(
            f"The server {what} the weights {entry.name!r} (HTTP status {status}). {remedy}"
        ) from error
    except (ChunkedEncodingError, ContentDecodingError) as error:
        received = re.search(r"(\d+) bytes read", str(error))
        raise WeightsError(
            f"The download of the weights {entry.name!r} was interrupted after "
            f"{received[1] if received else 'some'} of {entry.size} bytes. Nothing was kept. Try "
            f"again, or: {remedy}"
        ) from error
    except ValueError as error:
        # pooch verifies a temporary file, so that the cache never holds a damaged one.
        raise WeightsError(
            f"The file downloaded from {entry.url} is not the weights {entry.name!r}: its SHA-256 "
            f"is not {entry.sha256}. Nothing was kept. Try again, or: {remedy}"
        ) from error
    except requests.RequestException as error:
        raise WeightsError(
            f"The weights {entry.name!r} could not be downloaded; there seems to be no network "
            f"connection ({type(error).__name__}). {remedy}"
        ) from error
    except OSError as error:
        raise WeightsError(
            f"The weights {entry.name!r} could not be written to {path} ({error}). Free some "
            "space, or set MNE_WAV2SLEEP_DATA to a writable folder."
        ) from error
