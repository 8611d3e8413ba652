"""A table of nights, as the commands take it."""

from pathlib import Path

import pandas as pd

from .nights import Night

_CARDIO_RESPIRATORY = ("ABD", "ECG", "PPG", "THX")


def read_nights(table: str | Path) -> list[Night]:
    """Read a list of nights from a table.

    Parameters
    ----------
    table : str or Path
        A CSV with the columns ``recording`` and ``subject``, and, where wanted, ``hypnogram``
        (else the recording's own annotations), ``dataset``, and ``ABD``, ``ECG``, ``PPG``, ``THX``
        for channel names (``none`` leaves a modality out). Paths count from the table's folder.

    Returns
    -------
    nights : list of Night
        One a row.

    Raises
    ------
    ValueError
        If a column or a value is missing.
    FileNotFoundError
        If there is no such table.
    """
    table = Path(table)
    if not table.exists():
        raise FileNotFoundError(f"There is no table of nights at {table}. Check the path.")
    rows = pd.read_csv(table, dtype=str, skipinitialspace=True).fillna("")
    known = {"recording", "subject", "hypnogram", "dataset", *_CARDIO_RESPIRATORY}
    if not {"recording", "subject"} <= set(rows.columns) or not set(rows.columns) <= known:
        raise ValueError(
            f"{table} has the columns {list(rows.columns)}. It needs 'recording' and 'subject'; "
            "'hypnogram', 'dataset', 'ABD', 'ECG', 'PPG' and 'THX' are possible too."
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
