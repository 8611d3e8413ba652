"""Simulated nights: the physiology first, then the signals of sensors.

In: stages, or a seed. Out: an MNE Raw with known stages (:func:`simulate_night`). The modules:

    subjects      populations, subjects, and the effects of stages on heart and breathing
    physiology    stages, breathing, arousals, movements
    beats         heart beats
    rendering     elements of rendered signals
    waves         ECG, pulse wave and belts, from simulated or real beats
"""

from .beats import RHYTHMS, beats_from_heart_rate, breathing_from_beats, simulate_beats
from .night import simulate_night
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
    "simulate_night",
    "simulate_stages",
]
