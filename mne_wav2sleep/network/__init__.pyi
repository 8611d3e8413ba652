from .backends import Engine
from .config import Preprocessing, Wav2SleepConfig
from .extend import extend_weights
from .folder import save_weights
from .lineage import BaseWeights
from .load import load_weights
from .model import Wav2Sleep
from .registry import list_weights
from .weights import Calibration, LoadedWeights, Source, WeightsInfo

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
