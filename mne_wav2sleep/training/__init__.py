"""Training and fine-tuning of wav2sleep networks; needs the extra ``train``.

::

    nights      a recording and its stages, prepared once and kept on disk
    table       a CSV of nights
    masking     which signals a network gets to see in training
    settings    how to train
    loading     prepared nights become batches
    fit         PyTorch Lightning trains, a model folder comes out
    evaluate    agreement with the scorer, for every subset of the signals
    calibrate   how far to believe the probabilities
"""

from ..cohorts.calibration import calibrate, measure_reliability, plot_reliability
from ..cohorts.evaluation import Evaluation, evaluate
from ..cohorts.nights import Night, PreparedNight, open_night, prepare_nights
from ..cohorts.table import read_nights
from ..network.backends import all_subsets
from .fit import fine_tune, train
from .masking import Masking
from .settings import FINE_TUNING, TrainingSettings

__all__ = [
    "FINE_TUNING",
    "Evaluation",
    "Masking",
    "Night",
    "PreparedNight",
    "TrainingSettings",
    "all_subsets",
    "calibrate",
    "evaluate",
    "fine_tune",
    "measure_reliability",
    "open_night",
    "plot_reliability",
    "prepare_nights",
    "read_nights",
    "train",
]
