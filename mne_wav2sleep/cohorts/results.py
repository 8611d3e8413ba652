"""What staging a cohort leaves in a folder, read back."""

import json
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yasa

from ..errors import quote
from ..hypnograms import read_hypnogram
from ..hypnograms.tables import expose_formula
from ..staging.provenance import provenance_path
from ..verbosity import check_type
from .checking import check_against_notes
from .notes import FAILED, STAGED

TABLE = "nights.csv"
"""Name of the table of a cohort: one row a night."""
HYPNOGRAMS = "hypnograms"
"""Name of the folder with a hypnogram in YASA's format, and its provenance, for each night."""
EPOCHS = "epochs"
"""Name of the folder with a table of epochs for each night, if they are asked for."""
PERIODS = "periods.csv"
"""Name of the table of sleep periods in recordings of days."""


def _check_staged(night: str, staged: Container[str]) -> None:
    """Refuse a night that was not staged."""
    if night not in staged:
        raise KeyError(f"No night {night!r} was staged. See the table of the cohort.")


class Hypnograms(Mapping[str, yasa.Hypnogram]):
    """The hypnograms of a cohort, each read from its file when it is asked for.

    Parameters
    ----------
    folder : Path
        The folder of the cohort.
    nights : sequence of str
        The nights that were staged.
    """

    def __init__(self, folder: Path, nights: list[str]) -> None:
        self._folder = folder
        self._nights = dict.fromkeys(nights)

    def __getitem__(self, night: str) -> yasa.Hypnogram:
        """Read the hypnogram of a night."""
        _check_staged(night, self._nights)
        return read_hypnogram(hypnogram_path(self._folder, night))

    def __iter__(self) -> Iterator[str]:
        return iter(self._nights)

    def __len__(self) -> int:
        return len(self._nights)


@dataclass(frozen=True)
class Cohort:
    """A cohort that was staged.

    Attributes
    ----------
    folder : Path
        The folder that was written.
    table : pandas.DataFrame
        One row per night, by its name (``night``): ``status`` (``"staged"`` or ``"failed"``),
        ``reason``, ``recording``, ``subject``, ``dataset``, ``hypnogram`` (the scorer's, if
        there is one), channels, what was measured, quality, warnings, sleep statistics with
        intervals, and ``copies``, the nights whose recordings have the same contents.
    hypnograms : mapping of str to yasa.Hypnogram
        Night -> hypnogram of each night that was staged, read when it is asked for.
    """

    folder: Path
    table: pd.DataFrame
    hypnograms: Mapping[str, yasa.Hypnogram]

    def __repr__(self) -> str:
        """Show how many nights there are."""
        n_failed = len(self.table) - len(self.hypnograms)
        return f"<Cohort | {len(self.hypnograms)} staged, {n_failed} failed, {self.folder}>"

    def provenance(self, night: str) -> dict[str, Any]:
        """Read where the stages of a night come from.

        Parameters
        ----------
        night : str
            Name of the night.

        Returns
        -------
        provenance : dict
            As from :meth:`SleepStagerW2S.provenance <mne_wav2sleep.SleepStagerW2S.provenance>`.

        Raises
        ------
        KeyError
            If no such night was staged.
        """
        _check_staged(night, self.hypnograms)
        path = provenance_path(hypnogram_path(self.folder, night))
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found


def hypnogram_path(folder: Path, night: str) -> Path:
    """Get the path of the hypnogram of a night."""
    return folder / HYPNOGRAMS / f"{night}.json"


def _is_plain(night: object) -> bool:
    """Whether the name of a night is that of a file, and leads to no other folder."""
    return isinstance(night, str) and night not in ("", ".", "..") and not set(night) & set("/\\\0")


def _check_rows(table: pd.DataFrame, path: Path) -> None:
    """Refuse a table of a cohort that was damaged, as by a slip in a spreadsheet."""
    if wrong := [name for name in table["night"] if not _is_plain(name)]:
        raise ValueError(
            f"{path} has the night {quote(wrong[0])}, which cannot be the name of a file. Stage "
            "the cohort again."
        )
    remedy = "Correct the table, or run stage_cohort again, which writes it anew."
    if twice := list(table["night"][table["night"].duplicated()]):
        raise ValueError(f"{path} has the night {quote(twice[0])} twice. {remedy}")
    for name, status in zip(table["night"], table["status"], strict=True):
        if status not in (STAGED, FAILED):
            raise ValueError(
                f"{path} has the status {quote(status)} of {quote(name)}, which is neither "
                f"{STAGED!r} nor {FAILED!r}. {remedy}"
            )


def load_cohort(out_dir: str | Path) -> Cohort:
    """Load a cohort that was staged.

    Parameters
    ----------
    out_dir : str or Path
        The folder that :func:`stage_cohort` wrote.

    Returns
    -------
    cohort : Cohort
        Its table and hypnograms.

    Raises
    ------
    FileNotFoundError
        If the folder has no table of nights.
    ValueError
        If the table is not that of a cohort, or was damaged since: a night is there twice, or
        neither staged nor failed.

    Notes
    -----
    A warning names the nights whose rows are not as they were staged, because a run was stopped
    before it wrote the table or is still running, or the table was changed since. If it is as it
    was written, by the hash in ``complete.json``, the notes on the nights are not read.
    """
    check_type(out_dir, "path-like", "out_dir")
    cohort = open_cohort(Path(out_dir).expanduser())
    check_against_notes(cohort.table, cohort.folder, cohort.folder / TABLE)
    return cohort


def open_cohort(folder: Path) -> Cohort:
    """Open a cohort, without comparing its table with what was staged.

    Parameters
    ----------
    folder : Path
        The folder that :func:`stage_cohort` wrote.

    Returns
    -------
    cohort : Cohort
        Its table and hypnograms.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`load_cohort`.
    """
    path = folder / TABLE
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {TABLE} in {folder}, so that it is not a staged cohort. Give the folder "
            "that stage_cohort (mne-wav2sleep cohort --out) wrote."
        )
    texts = ["night", "subject", "dataset", "recording", "hypnogram", "reason", "status"]
    # A subject "NA" is not missing, and "001" is not 1.
    table = pd.read_csv(
        path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=[""]
    )
    if missing := [name for name in texts if name not in table.columns]:
        raise ValueError(
            f"{path} lacks the column {missing[0]!r}, so that it is not the table of a staged "
            "cohort. Give the folder that stage_cohort wrote."
        )
    _check_rows(table, path)
    for name in table.columns:
        table[name] = [expose_formula(x) if isinstance(x, str) else x for x in table[name]]
    table = table.set_index("night")
    staged = list(table.index[table["status"] == STAGED])
    return Cohort(folder, table, Hypnograms(folder, staged))
