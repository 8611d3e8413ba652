from .calibration import calibrate, measure_reliability, plot_reliability
from .comparing import compare
from .comparison import Comparison
from .evaluation import Evaluation, evaluate
from .nights import Night, PreparedNight, open_night
from .preparing import prepare_nights
from .results import Cohort, load_cohort
from .table import read_nights

__all__ = [
    "Cohort",
    "Comparison",
    "Evaluation",
    "Night",
    "PreparedNight",
    "calibrate",
    "compare",
    "evaluate",
    "load_cohort",
    "measure_reliability",
    "open_night",
    "plot_reliability",
    "prepare_nights",
    "read_nights",
]
