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
