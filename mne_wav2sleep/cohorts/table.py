"""Tables of nights, the input of the commands."""

from pathlib import Path

import pandas as pd

from ..errors import summarize_error
from ..formats.edf import SUFFIXES
from ..modalities import CARDIO_RESPIRATORY
from .nights import Night


def _read_table(path: Path) -> pd.DataFrame:
    """Read a CSV as text; the error says what the file is instead."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a table of nights. Give the CSV in it.")
    if path.suffix.lower() in SUFFIXES:
        raise ValueError(
            f"{path} is a recording, not a table of nights. Give a CSV with the columns "
            "'recording' (the path of this file) and 'subject'."
        )
    with path.open("rb") as file:
        if b"\0" in file.read(2**16):
            raise ValueError(
                f"{path} is a binary file, not a table of nights. Give a CSV in UTF-8 with the "
                "columns 'recording' and 'subject'."
            )
        file.seek(0)
        header = file.readline().decode("utf-8", errors="replace")
    separator = next((mark for mark in ";\t" if mark in header), ",")
    try:
        # Without keep_default_na=False, a subject "NA" would be missing, and "None" as well.
        return pd.read_csv(
            path, dtype=str, sep=separator, skipinitialspace=True, keep_default_na=False
        ).fillna("")
    except (UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise ValueError(
            f"{path} is not a table of nights ({summarize_error(error)}). Give a CSV with the "
            "columns 'recording' and 'subject'."
        ) from error


def read_nights(table: str | Path) -> list[Night]:
    """Read a list of nights from a table.

    Parameters
    ----------
    table : str or Path
        A CSV (separated by commas, semicolons or tabs) with the columns ``recording`` and
        ``subject``. Optional columns are ``hypnogram`` (by default the recording's own
        annotations), ``dataset``, and ``ABD``, ``ECG``, ``PPG``, ``THX`` for channel names
        (``none`` leaves a modality out). Paths are relative to the table's folder.

    Returns
    -------
    nights : list of Night
        One night per row.

    Raises
    ------
    ValueError
        If it is not a table of nights, or a column or a value is missing.
    FileNotFoundError
        If the table does not exist.
    """
    table = Path(table)
    if not table.exists():
        raise FileNotFoundError(f"There is no table of nights at {table}. Check the path.")
    rows = _read_table(table)
    known = {"recording", "subject", "hypnogram", "dataset", *CARDIO_RESPIRATORY}
    if not {"recording", "subject"} <= set(rows.columns) or not set(rows.columns) <= known:
        raise ValueError(
            f"{table} has the columns {list(rows.columns)[:10]}. It needs 'recording' and "
            "'subject'; 'hypnogram', 'dataset', 'ABD', 'ECG', 'PPG' and 'THX' are optional."
        )
    nights = []
    for number, row in enumerate(rows.to_dict("records"), start=2):
        if not row["recording"] or not row["subject"]:
            raise ValueError(
                f"{table}, line {number}: the recording or the subject is missing. Add it."
            )
        channels = {m: row[m] for m in CARDIO_RESPIRATORY if row.get(m)}
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
