from . import cohorts, hypnograms, network, recordings, reports, signals, simulation, staging
from .cohorts import compare
from .errors import WeightsError
from .hypnograms import align_hypnogram, fold_hypnogram, read_hypnogram, write_hypnogram
from .modalities import Modality, Vocabulary, add_modality, remove_modality
from .network import list_weights, load_weights, save_weights
from .recordings import match_channels
from .reports import plot_agreement
from .signals import Validity
from .simulation import simulate_night
from .stager import SleepStagerW2S
from .system import sys_info

__all__ = [
    "Modality",
    "SleepStagerW2S",
    "Validity",
    "Vocabulary",
    "WeightsError",
    "add_modality",
    "align_hypnogram",
    "cohorts",
    "compare",
    "fold_hypnogram",
    "hypnograms",
    "list_weights",
    "load_weights",
    "match_channels",
    "network",
    "plot_agreement",
    "read_hypnogram",
    "recordings",
    "remove_modality",
    "reports",
    "save_weights",
    "signals",
    "simulate_night",
    "simulation",
    "staging",
    "sys_info",
    "write_hypnogram",
]

__version__: str
