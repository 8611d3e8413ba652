"""A tidy table of the epochs of a recording, and its file."""

import importlib.util
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
import yasa

from ..hypnograms.lights import TimeInBed
from ..hypnograms.tables import hide_formula
from ..modalities import EPOCH_S
from ..output import TABLE_SUFFIXES, write_whole
from ..signals.quality import choose_rate


def tabulate_epochs(
    hyp: yasa.Hypnogram,
    availability: pd.DataFrame,
    beats: Mapping[str, pd.DataFrame],
    time_in_bed: TimeInBed,
) -> pd.DataFrame:
    """Tabulate the epochs of a recording.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        Its stages, with their probabilities.
    availability : pandas.DataFrame, shape (n_epochs, n_modalities)
        For each epoch and modality, whether it was measured, or why not, in words.
    beats : mapping of str to pandas.DataFrame
        Modality -> beats or breaths by epoch.
    time_in_bed : TimeInBed
        The time in bed.

    Returns
    -------
    epochs : pandas.DataFrame, shape (n_epochs, n_columns)
        As from :meth:`SleepStagerW2S.epoch_table <mne_wav2sleep.SleepStagerW2S.epoch_table>`.
    """
    number = np.arange(hyp.n_epochs)
    start = None if hyp.start is None else pd.Timestamp(hyp.start)
    clock = pd.DatetimeIndex([pd.NaT] * hyp.n_epochs)
    if start is not None:
        # In the zone, if there is one, in which clocks may change in the night.
        clock = pd.date_range(start, periods=hyp.n_epochs, freq=pd.Timedelta(seconds=EPOCH_S))
        clock = clock.tz_localize(None)
    proba = hyp.proba.drop(columns="UNS", errors="ignore")
    table = pd.DataFrame(
        {
            "epoch": number,
            "onset": number * EPOCH_S,
            "start": clock,
            "stage": hyp.hypno.astype(str).to_numpy(dtype=object),
            **{f"proba_{name}": proba[name].to_numpy() for name in proba},
            **{f"measured_{name}": availability[name].to_numpy() for name in availability},
        }
    )
    # Nothing was measured: the probabilities are unknown, not 0.
    table.loc[table["stage"] == "UNS", [f"proba_{name}" for name in proba]] = np.nan
    for column, rhythm in (("heart_rate", "heart"), ("breathing_rate", "breath")):
        chosen = choose_rate(beats, rhythm)
        table[column] = np.nan if chosen is None else chosen[1].reindex(number).to_numpy()
    table["in_bed"] = (time_in_bed.first <= number) & (number < time_in_bed.stop)
    return table


def check_table_path(path: str | PathLike[str]) -> None:
    """Check that a table can be written to a file of this kind.

    Parameters
    ----------
    path : path-like
        The file.

    Raises
    ------
    ValueError
        If it is of another kind.
    RuntimeError
        If it is a Parquet file, for which pyarrow is needed, and that is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise ValueError(
            f"{path} must end in {', '.join(TABLE_SUFFIXES)}. Choose one of these formats."
        )
    if suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise RuntimeError(
            "Parquet files need pyarrow, which is not installed. Install it with `pip install "
            "'mne-wav2sleep[parquet]'`, or write a .csv."
        )


def write_table(table: pd.DataFrame, path: str | PathLike[str], *, overwrite: bool = False) -> None:
    """Write a tidy table to a file.

    Parameters
    ----------
    table : pandas.DataFrame
        The table; its index is not written.
    path : path-like
        The file: ``.csv``, ``.tsv``, or ``.parquet``, which keeps the types of the columns. In text
        files, texts that a spreadsheet would take for a formula are quoted.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    ValueError, RuntimeError
        As :func:`check_table_path`.
    FileExistsError
        If the file exists, and may not be replaced.
    OSError
        If it cannot be written.
    """
    check_table_path(path)
    suffix = Path(path).suffix.lower()
    with write_whole(path, overwrite=overwrite) as unfinished:
        if suffix == ".parquet":
            table.to_parquet(unfinished, engine="pyarrow", index=False)
            return
        safe = table.map(lambda value: hide_formula(value) if isinstance(value, str) else value)
        safe.to_csv(unfinished, index=False, sep="\t" if suffix == ".tsv" else ",")
