"""Sleep staging from heart and breathing: ECG, PPG and respiratory belts, no EEG.

How a night becomes a hypnogram, one subpackage for each step::

    recordings   a Raw or a file is opened, its channels are mapped and read by the clock
    signals      what was measured is found; signals go to the network's grid, z-scored
    network      wav2sleep encodes each signal, and gives logits per 30-s epoch
    hypnograms   logits become probabilities and a yasa.Hypnogram, with statistics
    staging      ties these together, window by window
    reports      figures, and one HTML file

:class:`SleepStagerW2S` does all of it. ``cohorts`` and ``training`` are for many nights;
:func:`simulate_night` makes a night to try it on.
"""

from .errors import WeightsError
from .hypnograms import align_hypnogram, read_hypnogram, write_hypnogram
from .network import list_weights, load_weights, save_weights
from .recordings import match_channels
from .reports import plot_agreement
from .signals import Validity
from .simulation import simulate_night
from .stager import SleepStagerW2S
from .sys_info import sys_info

__all__ = [
    "SleepStagerW2S",
    "Validity",
    "WeightsError",
    "align_hypnogram",
    "list_weights",
    "load_weights",
    "match_channels",
    "plot_agreement",
    "read_hypnogram",
    "save_weights",
    "simulate_night",
    "sys_info",
    "write_hypnogram",
]
__version__ = "0.1.0"
