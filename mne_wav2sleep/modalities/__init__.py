"""The signals that networks read, the epoch, and the names of the stages: facts, as data.

In: definitions, built in (``built_in``), added by users, or read from the config of weights.
Out: ``MODALITIES``, the table that all other rooms ask.
"""

from .built_in import COMMON_WORDS
from .definition import EPOCH_S, WAVE_BANDS, Modality, Vocabulary
from .known import (
    CARDIO_RESPIRATORY,
    MODALITIES,
    add_modality,
    adding,
    choose_prepared,
    describe_added,
    is_built_in,
    list_added,
    list_by_wave,
    read_modalities,
    remove_modality,
)

STAGE_NAMES: dict[int, tuple[str, ...]] = {
    4: ("WAKE", "LIGHT", "DEEP", "REM"),
    5: ("WAKE", "N1", "N2", "N3", "REM"),
}
"""Number of stages -> YASA's names of the stages, in the order of the network's outputs."""

PRECISIONS = ("float32", "bfloat16", "float16")
"""Types of numbers in which networks are run; torch's names."""

__all__ = [
    "CARDIO_RESPIRATORY",
    "COMMON_WORDS",
    "EPOCH_S",
    "MODALITIES",
    "PRECISIONS",
    "STAGE_NAMES",
    "WAVE_BANDS",
    "Modality",
    "Vocabulary",
    "add_modality",
    "adding",
    "choose_prepared",
    "describe_added",
    "is_built_in",
    "list_added",
    "list_by_wave",
    "read_modalities",
    "remove_modality",
]
