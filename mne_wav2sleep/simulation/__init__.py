"""What a simulated night is made of: first what the body does, then what sensors show.

::

    subjects      who sleeps: populations, and what stages do to heart and breathing
    physiology    stages, breathing, arousals, movements
    beats         when the heart beats
    waves         ECG, pulse wave and belts, on simulated or real beats

:func:`mne_wav2sleep.simulation.night.simulate_night` makes an MNE Raw of it.
"""

from .beats import RHYTHMS, beats_from_heart_rate, breathing_from_beats, simulate_beats
from .physiology import simulate_activity, simulate_breathing, simulate_stages
from .subjects import OLDER_WEARABLE, Population, Subject, draw_subject
from .waves import render_belt, render_ecg, render_ppg

__all__ = [
    "OLDER_WEARABLE",
    "RHYTHMS",
    "Population",
    "Subject",
    "beats_from_heart_rate",
    "breathing_from_beats",
    "draw_subject",
    "render_belt",
    "render_ecg",
    "render_ppg",
    "simulate_activity",
    "simulate_beats",
    "simulate_breathing",
    "simulate_stages",
]
