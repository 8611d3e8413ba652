"""Whether the table of a cohort has what was staged."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..cautions import warn
from ..network.files import read_file
from ..output import write_whole
from ..verbosity import pluralize
from .checksums import hash_whole
from .notes import ROWS, Row, read_row

_RECORD = "complete.json"
"""Name of the record of a run that was finished: the hash of the table that it wrote."""
_LARGEST = 2**16
"""Size in bytes of the record at most."""

_CHANGING = ("n_warnings",)
"""Numbers to which more is added when the table is written."""
_MOST_NAMES = 5
"""Number of nights that a message names at most."""


def write_record(folder: Path, path: Path) -> None:
    """Record that a run was finished, after all its other files.

    Parameters
    ----------
    folder : Path
        The folder of the cohort.
    path : Path
        The file of the table.
    """
    with write_whole(folder / _RECORD, overwrite=True, is_result=False) as unfinished:
        text = json.dumps({"complete": True, "sha256": hash_whole(path)}, indent=1)
        unfinished.write_text(f"{text}\n", encoding="utf-8")


def remove_record(folder: Path) -> None:
    """Remove the record of the last run, before nights are staged.

    Parameters
    ----------
    folder : Path
        The folder of the cohort.
    """
    (folder / _RECORD).unlink(missing_ok=True)


def _read_record(folder: Path) -> str | None:
    """Read the hash of the table of a run that was finished; None without it, or if damaged."""
    try:
        record = json.loads(read_file(folder / _RECORD, _LARGEST))
        return str(record["sha256"]) if record["complete"] is True else None
    except (RuntimeError, ValueError, TypeError, KeyError, RecursionError, OSError):
        return None


def check_against_notes(table: pd.DataFrame, folder: Path, path: Path) -> None:
    """Warn if the table of a cohort is not what the notes on its nights say.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per night, by its name.
    folder : Path
        The folder of the cohort. Without notes in it, nothing is compared.
    path : Path
        The file of the table. If it is as the last run wrote it, the notes are not read.
    """
    notes = folder / ROWS
    record = _read_record(folder)
    if not notes.is_dir() or record == hash_whole(path):
        return
    changed = [
        name
        for name, values in zip(table.index, table.to_dict("records"), strict=True)
        if (row := read_row(folder, name)) is None or not _is_alike(values, row)
    ]
    if record is None:
        changed += sorted({one.stem for one in notes.glob("*.json")} - set(table.index))
    if changed and record is None:
        warn(
            f"The last run in {folder} was not finished, or is still running, or {path.name} was "
            f"changed since: it does not have {_name(changed)} as staged. Run stage_cohort again, "
            "which writes it anew."
        )
    elif changed:
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
