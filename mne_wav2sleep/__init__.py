"""Sleep staging from heart and breathing: ECG, PPG and respiratory belts, no EEG.

How a night becomes a hypnogram, a module a step::

    recording   a Raw or a file is opened
    channels    labels and types say which channel feeds which modality
    reading     each channel is read at its own rate; what was not measured is found
    signals     it goes from its own rate to the network's grid
    tensors     padded to 10 h and z-scored
    model       the wav2sleep network gives logits per 30-s epoch
    hypnogram   logits become probabilities and a yasa.Hypnogram

:class:`SleepStagerW2S` does all of it; :func:`simulate_night` makes a night to try it on.
"""

from .hypnograms.reading import align_stages, read_stages
from .hypnograms.writing import write_hypnogram
from .network.folder import WeightsError, save_model
from .network.registry import list_weights, load_model
from .recordings.channels import match_channels
from .reports.night import plot_agreement
from .signals.validity import Validity
from .simulation.night import simulate_night
from .stager import SleepStagerW2S

__all__ = [
    "SleepStagerW2S",
    "Validity",
    "WeightsError",
    "align_stages",
    "list_weights",
    "load_model",
    "match_channels",
    "plot_agreement",
    "read_stages",
    "save_model",
    "simulate_night",
    "write_hypnogram",
]
__version__ = "0.1.0"
