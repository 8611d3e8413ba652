from .aligning import align_hypnogram
from .folding import fold_hypnogram
from .lights import TimeInBed
from .periods import find_sleep_periods
from .reading import read_hypnogram
from .writing import write_hypnogram

__all__ = [
    "TimeInBed",
    "align_hypnogram",
    "find_sleep_periods",
    "fold_hypnogram",
    "read_hypnogram",
    "write_hypnogram",
]
