"""A set of weights: network, calibration, preprocessing, stage names and scorer."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..calibration import Calibration as Calibration
from ..calibration import Source as Source
from .config import Preprocessing, Wav2SleepConfig
from .lineage import MOST_BASES, BaseWeights, name_weights
from .seen import SeenNights

if TYPE_CHECKING:
    from .model import Wav2Sleep


@dataclass(frozen=True)
class WeightsInfo:
    """Description of a set of weights, which is known before they are loaded.

    Attributes
    ----------
    name : str
        Name of the weights, or path of their model folder.
    config : Wav2SleepConfig
        Architecture of the network.
    preprocessing : Preprocessing
        Preprocessing of its input.
    stage_names : tuple of str
        YASA's names of the stages, in the order of the network's outputs.
    scorer : str
        Scorer of the hypnograms that are staged with the weights.
    caution : str or None
        Warning that is shown to every user.
    bases : tuple of BaseWeights
        The weights that they were fine-tuned from, those before them, and so on.
    """

    name: str
    config: Wav2SleepConfig
    preprocessing: Preprocessing
    stage_names: tuple[str, ...]
    scorer: str
    caution: str | None
    bases: tuple[BaseWeights, ...] = ()

    def __post_init__(self) -> None:
        """Refuse padding of which features would be a part of what they are relative to."""
        if self.config.relative_features and self.preprocessing.padded_epochs:
            raise ValueError(
                "relative_features are relative to the recording, but its padding would count as "
                f"well: padded_epochs is {self.preprocessing.padded_epochs}. Set it to 0"
            )

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that the network reads, in alphabetical order."""
        return tuple(sorted(self.config.signals))


@dataclass(frozen=True, kw_only=True)
class LoadedWeights(WeightsInfo):
    """A set of weights, loaded once for any number of recordings.

    Attributes
    ----------
    name : str
        Name of the weights, or path of their model folder.
    config : Wav2SleepConfig
        Architecture of the network.
    preprocessing : Preprocessing
        Preprocessing of its input.
    stage_names : tuple of str
        YASA's names of the stages, in the order of the network's outputs.
    scorer : str
        Scorer of the hypnograms that are staged with the weights.
    caution : str or None
        Warning that is shown to every user.
    bases : tuple of BaseWeights
        The weights that they were fine-tuned from, those before them, and so on.
    network : Wav2Sleep
        The network, in evaluation mode.
    calibration : Calibration
        Calibration of its probabilities.
    file : str
        Name of the file that the tensors were read from; empty for a network in memory.
    sha256 : str
        SHA-256 of that file; empty for a network in memory.
    seen : SeenNights
        The nights of training and validation, known by hashes alone.

    See Also
    --------
    mne_wav2sleep.load_weights : Load weights by name or from a model folder.
    mne_wav2sleep.save_weights : Write weights to a model folder.

    Examples
    --------
    >>> from mne_wav2sleep import load_weights
    >>> weights = load_weights("mini", verbose="error")
    >>> weights.modalities, weights.scorer
    (('ABD', 'ECG', 'PPG', 'THX'), 'wav2sleep-mini')
    """

    network: "Wav2Sleep"
    calibration: Calibration
    file: str = ""
    sha256: str = ""
    seen: SeenNights = field(default_factory=SeenNights)

    @property
    def lineage(self) -> tuple[BaseWeights, ...]:
        """These weights, then those that they were fine-tuned from, and so on."""
        own = name_weights(self.name, self.sha256, self.network.state_dict())
        return (own, *self.bases)[:MOST_BASES]

    def __repr__(self) -> str:
        """Show the name, the modalities and the stages."""
        return (
            f"<LoadedWeights | {self.name!r}, {', '.join(self.modalities)} -> "
            f"{', '.join(self.stage_names)}>"
        )
