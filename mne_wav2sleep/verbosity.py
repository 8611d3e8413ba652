"""MNE's logger, verbosity and argument checks, which are used without importing MNE elsewhere."""

from mne.utils import _check_option as check_option
from mne.utils import _pl as pluralize
from mne.utils import _validate_type as check_type
from mne.utils import logger, use_log_level, verbose

Verbosity = bool | str | int | None

__all__ = [
    "Verbosity",
    "check_option",
    "check_type",
    "logger",
    "pluralize",
    "use_log_level",
    "verbose",
]
