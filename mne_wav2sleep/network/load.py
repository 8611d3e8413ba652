"""Load weights, by name or from a model folder."""

from pathlib import Path

from ..calibration import Calibration
from ..cautions import warn
from ..errors import WeightsError
from ..verbosity import Verbosity, verbose
from .forking import leave_lost_threads
from .info import find_tensors, read_calibration
from .registry import check_bundled, describe_weights, resolve_weights
from .seen import SeenNights, read_seen
from .state import build_network, read_state
from .weights import LoadedWeights


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
        from .download import fetch_weights

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
