"""Describe or load weights, by name or from a model folder."""

from dataclasses import replace
from pathlib import Path

from ..calibration import Calibration
from ..cautions import warn
from ..errors import WeightsError
from ..verbosity import Verbosity, verbose
from .download import check_bundled, fetch_weights
from .folder import find_tensors, read_calibration, read_info
from .forking import leave_lost_threads
from .registry import REGISTRY, RegistryEntry, get_entry
from .seen import SeenNights, read_seen
from .state import build_network, read_state
from .weights import LoadedWeights, WeightsInfo


def describe_weights(weights: str | Path | WeightsInfo) -> WeightsInfo:
    """Describe weights without downloading or loading them.

    Parameters
    ----------
    weights : str, Path or LoadedWeights
        Name of weights, a model folder, or loaded weights.

    Returns
    -------
    info : WeightsInfo
        Architecture, preprocessing, stage names, scorer and warning.

    Raises
    ------
    WeightsError
        If a model folder has no valid config, or bundled weights are missing.
    TypeError, ValueError
        If ``weights`` is neither a known name nor a folder.
    """
    if isinstance(weights, WeightsInfo):
        return weights
    found = resolve_weights(weights)
    if isinstance(found, Path):
        return read_info(found)
    info = found.info
    if info is None:
        info = read_info(check_bundled(found))
    return replace(info, name=found.name, scorer=found.scorer, caution=found.caution)


def resolve_weights(weights: str | Path) -> RegistryEntry | Path:
    """Look up weights in the registry, or find their model folder.

    Parameters
    ----------
    weights : str or Path
        Name of weights, or a model folder. A name has precedence over a folder of the same name.

    Returns
    -------
    found : RegistryEntry or Path
        The entry of the registry, or the folder.

    Raises
    ------
    TypeError, ValueError
        If ``weights`` is neither a known name nor a folder.
    """
    if not isinstance(weights, str | Path):
        raise TypeError(
            "weights must be a name, a model folder or LoadedWeights, got "
            f"{type(weights).__name__}. Known names: {', '.join(REGISTRY)}."
        )
    if isinstance(weights, str) and weights in REGISTRY:
        return REGISTRY[weights]
    try:
        folder = Path(weights).expanduser()
        # Path("") would be the working directory.
        is_folder = weights != "" and folder.is_dir()
    except (OSError, RuntimeError):  # a path that is too long, or of a user who does not exist
        is_folder = False
    return folder if is_folder else get_entry(str(weights))


@verbose
def load_weights(
    weights: str | Path | LoadedWeights = "wav2sleep", *, verbose: Verbosity = None
) -> LoadedWeights:
    """Load weights with their network, calibration and preprocessing.

    Parameters
    ----------
    weights : str, Path or LoadedWeights
        Name of weights (see :func:`list_weights`), which are downloaded on first use, or a model
        folder. Loaded weights are returned unchanged.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    weights : LoadedWeights
        The weights, which can be used for any number of recordings.

    Raises
    ------
    WeightsError
        If the weights cannot be found or downloaded, or do not match their config.
    TypeError, ValueError
        If ``weights`` is neither a known name nor a folder.

    See Also
    --------
    list_weights : List published and bundled weights.
    save_weights : Write weights to a model folder.

    Examples
    --------
    >>> weights = load_weights("mini", verbose="error")
    >>> weights
    <LoadedWeights | 'mini', ABD, ECG, PPG, THX -> WAKE, LIGHT, DEEP, REM>

    The network is a torch module, which can be used on its own:

    >>> import torch
    >>> x = {"THX": torch.randn(1, 10 * 256)}  # ten epochs of a belt
    >>> weights.network(x).shape
    torch.Size([1, 10, 4])
    """
    if isinstance(weights, LoadedWeights):
        return weights
    leave_lost_threads()
    info = describe_weights(weights)
    found = resolve_weights(weights)
    if isinstance(found, Path):
        path, calibration = find_tensors(found), read_calibration(found)
        if not path.exists():
            raise WeightsError(
                f"{found} has a config, but no {path.name}. Copy that file to the folder as well."
            )
    elif found.bundled:
        folder = check_bundled(found)
        path, calibration = find_tensors(folder), read_calibration(folder)
    else:
        path, calibration = fetch_weights(found.name), Calibration()
    seen = read_seen(found) if isinstance(found, Path) else SeenNights()
    state, sha256 = read_state(path)
    loaded = LoadedWeights(
        **vars(info),
        network=build_network(info.config, state, path),
        calibration=calibration,
        file=path.name,
        sha256=sha256,
        seen=seen,
    )
    if loaded.caution is not None:
        warn(loaded.caution)
    return loaded
