"""Simulated nights: the physiology first, then the signals of sensors.

In: stages, or a seed. Out: an MNE Raw with known stages (:func:`simulate_night`). The modules:

    subjects      populations, subjects, and the effects of stages on heart and breathing
    physiology    stages, breathing, arousals, movements
    beats         heart beats
    rendering     elements of rendered signals
    waves         ECG, pulse wave and belts, from simulated or real beats
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
