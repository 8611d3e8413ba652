"""Training and fine-tuning of wav2sleep networks, with PyTorch Lightning (extra ``train``).

In: nights (:class:`~mne_wav2sleep.cohorts.Night`), initial weights, and settings. Out: a model
folder with weights, calibration and a model card; from a cross-validation, whether that helps.
"""

from .adapting import adapt
from .cross_validation import CrossValidation, cross_validate
from .fit import fine_tune, train
from .masking import Masking
from .settings import FINE_TUNING, PAPER_TRAINING, TrainingSettings

__all__ = [
    "FINE_TUNING",
    "PAPER_TRAINING",
    "CrossValidation",
    "Masking",
    "TrainingSettings",
    "adapt",
    "cross_validate",
    "fine_tune",
    "train",
]
