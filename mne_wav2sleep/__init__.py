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

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)

__version__ = "0.1.0"
