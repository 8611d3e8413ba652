"""Download, cache and verify published weights; the only module that accesses the internet."""

import os
import re
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import pooch
import requests
from requests.exceptions import ChunkedEncodingError, ContentDecodingError

from ..cautions import warn
from ..errors import WeightsError, put_on_line
from ..progress import are_bars_shown
from ..verbosity import Verbosity, logger, verbose
from .files import check_regular
from .info import find_tensors, read_info
from .registry import RegistryEntry, check_bundled, get_entry, locate_bundled
from .state import build_network, read_state

_ANSWER_S = 30
"""Seconds for which a server may be silent."""
_GRACE_S = 60
_SLOWEST_BYTES_PER_S = 20_000
"""A download is stopped after the time it takes at this speed, and a minute."""


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
    if entry.sha256 is None or entry.size is None:
        raise WeightsError(
            f"The SHA-256 of the weights {entry.name!r} is not known, so a download cannot be "
            f"verified, and is refused. Download config.yaml and state_dict.pth yourself from "
            f"{entry.url}, put both into a folder, and pass that folder as weights."
        )
    if not os.path.exists(path):  # noqa: PTH110 - False if it may not be looked at
        return None
    is_link = path.is_symlink()
    if (size := check_regular(path)) > entry.size:
        damage = f"{size:,} bytes, expected {entry.size:,}"
    elif (found := pooch.file_hash(path)) != entry.sha256:
        damage = f"SHA-256 {found}, expected {entry.sha256}"
    else:
        return None
    path.unlink(missing_ok=True)
    return (
        f"{path} was damaged ({damage}) and has been removed"
        f"{', but not the file that it linked to' if is_link else ''}."
    )


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
    stopped = threading.Event()
    downloader = _make_downloader(entry, stopped)
    limit_s = _GRACE_S + (entry.size or 0) / _SLOWEST_BYTES_PER_S
    try:
        _run_within(
            limit_s, lambda: _make_cache(entry).fetch(f"{entry.name}/{path.name}", None, downloader)
        )
    except (WeightsError, ValueError, OSError) as error:
        if isinstance(error, TimeoutError):
            cause = (
                f"The download of the weights {entry.name!r} was stopped after {limit_s:.0f} s, "
                "because the server or the network is too slow. Try again, or:"
            )
        else:
            cause = _explain(error, entry, path)
        raise WeightsError(
            f"{cause} Download {entry.url} on another machine, copy it to {path}, and run "
            f"`mne-wav2sleep weights verify {entry.name}`."
        ) from error
    finally:
        stopped.set()


def _run_within(seconds: float, function: Callable[[], object]) -> None:
    """Run a function in a thread, and wait for it no longer than some seconds.

    No setting of requests limits the total time, only that between two packets.
    """
    future: Future[object] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    future.result(seconds)


class _BoundedFile:
    """A file that is not longer than the weights, for pooch to write to."""

    def __init__(self, file: BinaryIO, entry: RegistryEntry, stopped: threading.Event) -> None:
        self._file = file
        self._entry = entry
        self._stopped = stopped
        self._n_bytes = 0

    def write(self, chunk: bytes) -> None:
        """Write bytes, unless they are too many or nobody waits for them anymore."""
        self._n_bytes += len(chunk)
        if self._stopped.is_set():
            raise WeightsError("The download was stopped.")
        if self._n_bytes > (self._entry.size or 0):
            raise WeightsError(
                f"What {self._entry.url} sends is longer than the {self._entry.size:,} bytes of "
                f"the weights {self._entry.name!r}, and was not kept. Something on the way, such "
                "as a proxy, may answer in the server's place. Try again, or:"
            )
        self._file.write(chunk)

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()


def _make_downloader(
    entry: RegistryEntry, stopped: threading.Event
) -> Callable[[str, str, object], None]:
    """Make a downloader for pooch that stops at the size of the weights, or on demand."""
    is_shown = are_bars_shown()  # a setting of this thread

    def download(url: str, output_file: str, _: object) -> None:
        with ExitStack() as stack:

            def check(response: requests.Response, **_: object) -> None:
                stack.callback(response.close)
                _check_response(response)

            file = stack.enter_context(Path(output_file).open("wb"))
            http = pooch.HTTPDownloader(
                progressbar=is_shown,
                timeout=_ANSWER_S,
                headers={"Accept-Encoding": "identity"},
                hooks={"response": check},
            )
            try:
                http(url, _BoundedFile(file, entry, stopped), None)
            except requests.RequestException as error:
                if stopped.is_set():  # pooch tries again after other errors
                    raise WeightsError("The download was stopped.") from error
                raise

    return download


def _check_response(response: requests.Response) -> None:
    """Refuse responses that requests would read or unpack whole, however long they are."""
    if response.is_redirect:
        response.close()  # only the address is needed
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding not in ("identity", "gzip"):  # what is compressed repeatedly can unfold without end
        raise WeightsError(
            f"The server sends the weights compressed ({encoding[:40]!r}), which was not asked "
            "for. Try again, or:"
        )


def _explain(error: Exception, entry: RegistryEntry, path: Path) -> str:
    """Explain why a download failed, and what can be done, in sentences."""
    weights = f"The weights {entry.name!r}"
    if isinstance(error, WeightsError):
        return str(error)
    if isinstance(error, requests.HTTPError):
        status = getattr(error.response, "status_code", "unknown")
        who = "proxy" if status == 407 else "server"
        what = "does not have" if status in (404, 410) else "refused"
        return f"The {who} {what} the weights {entry.name!r} (HTTP status {status})."
    if isinstance(error, ChunkedEncodingError | ContentDecodingError):
        received = re.search(r"(\d+) bytes read", str(error))
        return (
            f"The download of the weights {entry.name!r} was interrupted after "
            f"{received[1] if received else 'some'} of {entry.size} bytes. Nothing was kept. Try "
            "again, or:"
        )
    is_address = isinstance(error, ValueError | requests.TooManyRedirects)
    if isinstance(error, requests.RequestException) and not is_address:
        return f"{weights} could not be downloaded: {_explain_connection(error, entry)}"
    # pooch verifies a temporary file, so that the cache never holds a damaged one.
    if isinstance(error, ValueError) and "known hash" in str(error):
        return (
            f"The file downloaded from {entry.url} is not the weights {entry.name!r}: its SHA-256 "
            f"is not {entry.sha256}. Nothing was kept. Try again, or:"
        )
    if is_address:
        return (
            f"{weights} could not be downloaded: the server, or the settings of a proxy, give an "
            f"address or answer that cannot be used ({_summarize(error)}). Check them, or:"
        )
    if "certificate" in str(error):  # requests has no type of its own for a missing file
        return (
            f"{weights} could not be downloaded, because the file of trusted certificates is "
            f"missing ({_summarize(error)}). Correct or unset REQUESTS_CA_BUNDLE and "
            "CURL_CA_BUNDLE, or:"
        )
    return (
        f"{weights} could not be written to {path} ({_summarize(error)}). Free some space, or set "
        "MNE_WAV2SLEEP_DATA to a writable folder. If that is not possible:"
    )


def _explain_connection(error: requests.RequestException, entry: RegistryEntry) -> str:
    """Explain why there was no connection to the server."""
    root: BaseException = error
    while inner := root.__cause__ or root.__context__:
        root = inner
    host = urlsplit(str(getattr(error.request, "url", entry.url))).hostname
    if isinstance(root, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {host} is not trusted ({root.verify_message}). If a proxy or an "
            "antivirus program inspects connections, set REQUESTS_CA_BUNDLE to a file with its "
            "certificate; otherwise, check the clock of this computer. Or:"
        )
    reason = _summarize(root)
    if isinstance(error, requests.exceptions.ProxyError):
        return (
            f"the proxy cannot be used ({reason}). Correct or unset HTTPS_PROXY and HTTP_PROXY, or "
            "the proxy in the settings of this computer, or:"
        )
    if isinstance(error, requests.Timeout) or isinstance(root, TimeoutError):
        return f"{host} sent nothing for {_ANSWER_S} s. Try again, or:"
    if isinstance(error, requests.exceptions.SSLError):
        return f"the secure connection to {host} failed ({reason}). Try again, or:"
    return f"{host} cannot be reached ({reason}). Check the network connection, or:"


def _summarize(error: BaseException) -> str:
    """Summarize an error in one short line."""
    return put_on_line(getattr(error, "strerror", None) or str(error) or type(error).__name__)
