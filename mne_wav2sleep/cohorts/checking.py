"""Whether the table of a cohort has what was staged."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..cautions import warn
from ..verbosity import pluralize
from .notes import ROWS, Row, read_row, row_path

_CHANGING = ("n_warnings",)
"""Numbers to which more is added when the table is written."""
_MOST_NAMES = 5
"""Number of nights that a message names at most."""


def check_against_notes(table: pd.DataFrame, folder: Path, path: Path) -> None:
    """Warn if the table of a cohort is not what the notes on its nights say.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per night, by its name.
    folder : Path
        The folder of the cohort. Without notes in it, nothing is compared.
    path : Path
        The file of the table, whose age tells a run that was stopped from a change of the table.
    """
    notes = folder / ROWS
    if not notes.is_dir():
        return
    there = {one.stem for one in notes.glob("*.json")}
    written = path.stat().st_mtime_ns
    stopped: list[str] = []
    changed: list[str] = []
    for name, values in zip(table.index, table.to_dict("records"), strict=True):
        row = read_row(folder, name)
        if row is None or not _is_alike(values, row):
            is_newer = row is not None and row_path(folder, name).stat().st_mtime_ns > written
            (stopped if is_newer else changed).append(name)
    for name in sorted(there - set(table.index)):
        if row_path(folder, name).stat().st_mtime_ns > written:
            stopped.append(name)
    if stopped:
        warn(
            f"The last run in {folder} was not finished: {path.name} does not have "
            f"{_name(stopped)} as staged since. Run stage_cohort again, which finishes it."
        )
    if changed:
        warn(
            f"{path} was changed since it was written: {_name(changed)} {_be(changed)} not as "
            "staged, or not known. Correct it, or run stage_cohort again, which writes it anew."
        )


def _is_alike(values: Mapping[Any, Any], row: Row) -> bool:
    """Compare the status and the numbers of a night with its note."""
    if values["status"] != row.values["status"]:
        return False
    numbers = {
        name: float(value)
        for name, value in row.values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    for name, number in numbers.items():
        if name in _CHANGING or name not in values:
            continue
        try:
            if not np.isclose(float(values[name]), number, rtol=1e-6, atol=1e-6):
                return False
        except (TypeError, ValueError):  # a text since
            return False
    return True


def _name(names: Sequence[str]) -> str:
    """Name the first of some nights."""
    some = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
    return f"{len(names)} night{pluralize(names)} ({some})"


def _be(names: Sequence[str]) -> str:
    """Give the verb for some nights."""
    return "are" if len(names) > 1 else "is"
