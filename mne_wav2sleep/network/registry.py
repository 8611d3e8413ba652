"""Registry of weights: published by the authors, or bundled with the package."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ..errors import WeightsError
from .config import Preprocessing, Wav2SleepConfig
from .info import describe_config, read_info
from .weights import WeightsInfo

_HUB = "https://huggingface.co/joncarter"


@dataclass(frozen=True)
class RegistryEntry:
    """Published or bundled weights.

    Attributes
    ----------
    name : str
        Name, which is accepted wherever weights are.
    license : str
        SPDX identifier, or ``"not known"``.
    trained_on : str
        Training data, as far as they are known.
    info : WeightsInfo or None
        Description of the weights; None for bundled weights, which are described by their model
        folder.
    url : str or None
        URL of the state dict, with its revision if known, or of the page where the weights are if
        their hash is not known; None for bundled weights.
    sha256 : str or None
        SHA-256 of the state dict; None if unknown, in which case the download is refused.
    size : int or None
        Size of the state dict in bytes.
    scorer : str
        Scorer of the hypnograms that are staged with the weights.
    caution : str or None
        Warning that is shown to every user.
    """

    name: str
    license: str
    trained_on: str
    info: WeightsInfo | None = None
    url: str | None = None
    sha256: str | None = None
    size: int | None = None
    scorer: str = "wav2sleep"
    caution: str | None = None

    @property
    def bundled(self) -> bool:
        """Whether the weights are part of the package, as a model folder in ``data``."""
        return self.url is None


REGISTRY: dict[str, RegistryEntry] = {
    entry.name: entry
    for entry in (
        RegistryEntry(
            name="wav2sleep",
            license="MIT",
            trained_on="overnight polysomnography; not stated for this checkpoint, the authors' "
            "training data are SHHS, MESA, WSC, CFS, CCSHS and CHAT",
            info=describe_config(Wav2SleepConfig(), name="wav2sleep"),
            url=f"{_HUB}/wav2sleep/resolve/8b6e46ab3ef6e3945282b81f631933c59db0b205/state_dict.pth",
            # Taken from one public third-party report.
            sha256="ea6fb4410315cf6cce406fe1ffd44cba83e8dc69be6a69101aff62cc2cbee0bc",
            size=9_666_562,
        ),
        RegistryEntry(
            name="wav2sleep-eog",
            license="MIT",
            trained_on="overnight polysomnography, two EOG channels",
            info=describe_config(
                Wav2SleepConfig(signals={"EOG-L": "EOG-L", "EOG-R": "EOG-R"}, n_classes=5),
                name="wav2sleep-eog",
            ),
            url=f"{_HUB}/wav2sleep-eog",
        ),
        RegistryEntry(
            name="wav2sleep-paper",
            license="not known",
            trained_on="overnight polysomnography: SHHS, MESA, WSC, CFS, CCSHS and CHAT",
            info=describe_config(
                Wav2SleepConfig.of_paper(),
                name="wav2sleep-paper",
                preprocessing=Preprocessing.of_paper(),
            ),
            url="https://drive.google.com/file/d/1Zc_Em459By5xQp11vaergok-LT85YFoM",
        ),
        RegistryEntry(
            name="mini",
            license="BSD-3-Clause",
            trained_on="simulated nights, and waveforms rendered from the real heartbeats and "
            "heart rates of 52 people",
            scorer="wav2sleep-mini",
            caution="The weights 'mini' were trained on simulated nights and on waveforms rendered "
            "from the real heartbeats and heart rates of 52 people. They are for trying out, "
            "teaching and tests, never for results; for those, use weights='wav2sleep'.",
        ),
    )
}


def get_entry(name: str) -> RegistryEntry:
    """Look up weights by name.

    Parameters
    ----------
    name : str
        Name of the weights.

    Returns
    -------
    entry : RegistryEntry
        The entry of the registry.

    Raises
    ------
    ValueError
        If there are no weights with that name; the message lists the known names.
    """
    if name not in REGISTRY:
        shown = repr(name) if len(name) <= 300 else f"{name[:300]!r}..."
        raise ValueError(
            f"There are no weights called {shown}, and no folder with that name. Give one of the "
            f"names {', '.join(REGISTRY)}, or the path of a model folder."
        )
    return REGISTRY[name]


def locate_bundled(name: str) -> Path:
    """Return the path that the model folder of bundled weights should have."""
    return Path(__file__).parents[1] / "data" / name


def list_weights() -> pd.DataFrame:
    """List published and bundled weights.

    Returns
    -------
    weights : pandas.DataFrame, shape (n_weights, 7)
        One row per set of weights, indexed by ``name``, with the columns ``modalities``,
        ``stages``, ``license``, ``size`` (in bytes), ``source`` (``"download"``, ``"bundled"``, or
        ``"your own copy"`` if a download could not be verified), ``trained_on``, and ``caution``,
        a warning that is shown to every user.

    See Also
    --------
    load_weights : Load weights by name or from a model folder.

    Examples
    --------
    >>> list_weights().loc["wav2sleep", "modalities"]
    'ABD, ECG, PPG, THX'
    """
    rows = {}
    for name, entry in REGISTRY.items():
        try:
            info = entry.info or read_info(locate_bundled(name))
            modalities, stages = ", ".join(info.modalities), ", ".join(info.stage_names)
        except WeightsError:
            modalities = stages = "unknown, because files are missing"
        source = "download" if entry.sha256 else "your own copy"
        rows[name] = {
            "modalities": modalities,
            "stages": stages,
            "license": entry.license,
            "size": entry.size,
            "source": "bundled" if entry.bundled else source,
            "trained_on": entry.trained_on,
            "caution": entry.caution or "",
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")
    return table.astype({"size": "Int64"})


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
