"""The wav2sleep network and its weights, with torch and without MNE.

In: z-scored signals on the network's grid. Out: stage logits per epoch. :func:`load_weights`
returns a network with its calibration and preprocessing, :func:`list_weights` lists published and
bundled weights, and an :class:`Engine` runs a network on a device.

    config     architecture and preprocessing
    model      the network, as in training; fast: the same numbers on a CPU, sooner
    weights    the values WeightsInfo and LoadedWeights; lineage: what they were fine-tuned from
    extend     weights for more stages or signals
    seen       the nights of training, by their hashes
    state      files of model folders, read within limits; networks built from them
    folder     model folders, read and written
    registry   the weights that have a name; download: their cache
    load       weights by name or from a folder
    backends   devices, precision, Engine; forking: threads of forked processes
"""

from ..calibration import Calibration, Source
from .backends import Engine
from .config import Preprocessing, Wav2SleepConfig
from .extend import extend_weights
from .folder import save_weights
from .lineage import BaseWeights
from .load import load_weights
from .model import Wav2Sleep
from .registry import list_weights
from .weights import LoadedWeights, WeightsInfo

__all__ = [
    "BaseWeights",
    "Calibration",
    "Engine",
    "LoadedWeights",
    "Preprocessing",
    "Source",
    "Wav2Sleep",
    "Wav2SleepConfig",
    "WeightsInfo",
    "extend_weights",
    "list_weights",
    "load_weights",
    "save_weights",
]
