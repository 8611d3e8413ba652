"""A table of nights, as the commands take it."""

from pathlib import Path

import pandas as pd

from ..formats.edf import SUFFIXES
from ..recordings.opening import first_sentence
from .nights import Night

_CARDIO_RESPIRATORY = ("ABD", "ECG", "PPG", "THX")


def _read_table(path: Path) -> pd.DataFrame:
    """Read a CSV as text, or say what the file is instead."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder, no table of nights. Give the CSV in it.")
    if path.suffix.lower() in SUFFIXES:
        raise ValueError(
            f"{path} is a recording, no table of nights. Give a CSV with the columns 'recording', "
            "where this file is named, and 'subject'."
        )
    with path.open("rb") as file:
        if b"\0" in file.read(2**16):
            raise ValueError(
                f"{path} is no text, and no table of nights. Give a CSV in UTF-8 with the columns "
                "'recording' and 'subject'."
            )
        file.seek(0)
        header = file.readline().decode("utf-8", errors="replace")
    separator = next((mark for mark in ";\t" if mark in header), ",")
    try:
        return pd.read_csv(path, dtype=str, sep=separator, skipinitialspace=True).fillna("")
    except (UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise ValueError(
            f"{path} is no table of nights ({first_sentence(error)}). Give a CSV with the columns "
            "'recording' and 'subject'."
        ) from error


def read_nights(table: str | Path) -> list[Night]:
    """Read a list of nights from a table.

    Parameters
    ----------
    table : str or Path
        A CSV (commas, semicolons or tabs) with the columns ``recording`` and ``subject``, and,
        where wanted, ``hypnogram`` (else the recording's own annotations), ``dataset``, and
        ``ABD``, ``ECG``, ``PPG``, ``THX`` for channel names (``none`` leaves a modality out). Paths
        count from the table's folder.

    Returns
    -------
    nights : list of Night
        One a row.

    Raises
    ------
    ValueError
        If it is no table, or a column or a value is missing.
    FileNotFoundError
        If there is no such table.
    """
    table = Path(table)
    if not table.exists():
        raise FileNotFoundError(f"There is no table of nights at {table}. Check the path.")
    rows = _read_table(table)
    known = {"recording", "subject", "hypnogram", "dataset", *_CARDIO_RESPIRATORY}
    if not {"recording", "subject"} <= set(rows.columns) or not set(rows.columns) <= known:
        raise ValueError(
            f"{table} has the columns {list(rows.columns)[:10]}. It needs 'recording' and "
            "'subject'; 'hypnogram', 'dataset', 'ABD', 'ECG', 'PPG' and 'THX' are possible too."
        )
    nights = []
    for number, row in enumerate(rows.to_dict("records"), start=2):
        if not row["recording"] or not row["subject"]:
            raise ValueError(f"{table}, line {number}: the recording or the subject is missing.")
        channels = {m: row[m] for m in _CARDIO_RESPIRATORY if row.get(m)}
        nights.append(
            Night(
                table.parent / row["recording"],
                table.parent / row["hypnogram"] if row.get("hypnogram") else None,
                row["subject"],
                row.get("dataset") or "cohort",
                {m: None if c.lower() == "none" else c for m, c in channels.items()},
            )
        )
    return nights
