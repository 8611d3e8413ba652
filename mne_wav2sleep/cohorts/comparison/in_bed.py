"""The time in bed of the nights of a staged cohort."""

from collections.abc import Iterable

from ...cautions import warn
from ...errors import quote
from ...hypnograms.lights import WHOLE_RECORDING
from ...verbosity import pluralize
from ..results import Cohort

_EPOCHS = ("first_epoch", "epochs_in_bed")
"""Columns of the table of a cohort."""


def read_in_bed(cohort: Cohort, nights: Iterable[str]) -> dict[str, slice]:
    """Read the epochs in bed of the nights of a cohort, from its table.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    nights : iterable of str
        The nights.

    Returns
    -------
    in_bed : dict of str to slice
        Night -> its epochs from lights off to lights on. Nights of which only the whole recording
        is known are left out; those whose epochs are not valid are warned of.
    """
    in_bed: dict[str, slice] = {}
    lacking = []
    table = cohort.table
    for night in nights:
        source = table["time_in_bed"].get(night) if "time_in_bed" in table else None
        if not isinstance(source, str) or source == WHOLE_RECORDING:
            continue
        try:
            first, n_epochs = (int(table.at[night, name]) for name in _EPOCHS)
        except (KeyError, ValueError, TypeError, OverflowError):
            first = n_epochs = 0
        if first >= 0 and n_epochs > 0:
            in_bed[night] = slice(first, first + n_epochs)
        else:
            lacking.append(night)
    if lacking:
        n = len(lacking)
        warn(
            f"The time in bed of {n} night{pluralize(n)}, such as {quote(lacking[0])}, is not "
            "known, because nights.csv has no valid epochs of it. Sleep statistics are of all "
            "epochs that are compared. Stage the cohort again."
        )
    return in_bed
