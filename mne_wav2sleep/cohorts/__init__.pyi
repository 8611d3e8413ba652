from .bids.derivatives import write_bids_derivatives
from .bids.reading import read_bids, read_participants
from .calibration import calibrate, measure_reliability, plot_reliability
from .collecting import find_nights, preview_nights
from .comparison.comparing import compare
from .comparison.result import Comparison
from .diary import DiaryEntry, add_diary, read_diary
from .evaluation import Evaluation, evaluate
from .finding import find_recordings, pair_hypnograms
from .nights import Night, PreparedNight, open_night
from .nsrr.parts import draw_parts, read_parts, write_parts
from .nsrr.reading import read_nsrr
from .preparing import prepare_nights
from .results import Cohort, load_cohort
from .staging import stage_cohort
from .table import read_nights
from .table_writing import write_nights

__all__ = [
    "Cohort",
    "Comparison",
    "DiaryEntry",
    "Evaluation",
    "Night",
    "PreparedNight",
    "add_diary",
    "calibrate",
    "compare",
    "draw_parts",
    "evaluate",
    "find_nights",
    "find_recordings",
    "load_cohort",
    "measure_reliability",
    "open_night",
    "pair_hypnograms",
    "plot_reliability",
    "prepare_nights",
    "preview_nights",
    "read_bids",
    "read_diary",
    "read_nights",
    "read_nsrr",
    "read_participants",
    "read_parts",
    "stage_cohort",
    "write_bids_derivatives",
    "write_nights",
    "write_parts",
]
