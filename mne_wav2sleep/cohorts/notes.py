"""The note on each night of a cohort, from which a run is resumed and the table is made."""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..network.files import read_file
from ..output import write_whole
from .nights import Night

ROWS = "rows"
"""Name of the folder of notes."""
STAGED, FAILED = "staged", "failed"
"""Values of the column ``status``."""
SEPARATOR = " | "
"""What is between several warnings, or nights, in a cell of the table."""
_LARGEST = 2**22
"""Size in bytes of a note at most."""


@dataclass(frozen=True)
class Row:
    """What is known of a night after it was staged, or could not be.

    Attributes
    ----------
    key : dict of str to str
        What the result depends on: hashes of the recording and of the weights, the version of the
        package, and each parameter.
    values : dict of str to object
        The columns of the table that staging gives.
    files : dict of str to str
        The files that were written, by their paths in the folder of the cohort, and their SHA-256;
        empty for those that differ from one run to the next.
    is_final : bool
        Whether the same would come out again. A lack of memory, or a file that could not be read
        for a while, is not final.
    periods : sequence of dict
        The sleep periods, if the recording is longer than a night.
    """

    key: Mapping[str, str]
    values: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)
    is_final: bool = True
    periods: Sequence[Mapping[str, Any]] = ()

    @property
    def is_staged(self) -> bool:
        """Whether the night was staged."""
        return bool(self.values["status"] == STAGED)


def row_path(folder: Path, name: str) -> Path:
    """Get the path of the note on a night."""
    return folder / ROWS / f"{name}.json"


def write_row(folder: Path, name: str, row: Row) -> None:
    """Write the note on a night, the last of its files."""
    path = row_path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(path, overwrite=True, is_result=False) as unfinished:
        unfinished.write_text(json.dumps(vars(row), indent=1) + "\n", encoding="utf-8")


def read_row(folder: Path, name: str) -> Row | None:
    """Read the note on a night; None if there is none, or it is damaged."""
    path = row_path(folder, name)
    if not path.is_file():
        return None
    try:
        row = Row(**json.loads(read_file(path, _LARGEST)))
        parts = row.key, row.values, row.files
        is_valid = all(isinstance(one, dict) for one in parts) and row.values["status"] in (
            STAGED,
            FAILED,
        )
    except (RuntimeError, ValueError, TypeError, KeyError, RecursionError, OSError):
        return None
    return row if is_valid else None


def list_changes(old: Mapping[str, str], new: Mapping[str, str]) -> Sequence[str]:
    """List what has changed of what a result depends on."""
    return [name for name in new if old.get(name) != new[name]]


def list_others(named: Mapping[str, Night], folder: Path) -> list[str]:
    """List the nights of earlier runs that are not among these.

    Parameters
    ----------
    named : mapping of str to Night
        Name -> night.
    folder : Path
        The folder of the cohort.

    Returns
    -------
    others : list of str
        Names of the other nights that have a note, in alphabetical order.
    """
    return sorted(path.stem for path in (folder / ROWS).glob("*.json") if path.stem not in named)


def find_renamed(
    named: Mapping[str, Night],
    contents: Mapping[str, str],
    folder: Path,
    before: Collection[str],
) -> dict[str, str]:
    """Find the nights that the last run had in its table by another name.

    Parameters
    ----------
    named : mapping of str to Night
        Name -> night.
    contents : mapping of str to str
        Name -> hash of the contents of the recording, of each night that was staged.
    folder : Path
        The folder of the cohort.
    before : collection of str
        The nights in the table of the last run.

    Returns
    -------
    renamed : dict of str to str
        New name -> old name. The new name was not in that table, and the old one is not among the
        nights any longer; otherwise, the recordings are copies.
    """
    olds = {
        row.key.get("recording"): name
        for name in list_others(named, folder)
        if name in before and (row := read_row(folder, name)) is not None and row.is_staged
    }
    return {
        name: olds[digest]
        for name, digest in contents.items()
        if name not in before and digest in olds
    }


def describe_lost_hypnogram(night: Night) -> str | None:
    """Describe that the file of a scorer's hypnogram is not there; None if it is, or none is named.

    Parameters
    ----------
    night : Night
        The night.

    Returns
    -------
    caution : str or None
        The warning.
    """
    scored = night.hypnogram
    if not isinstance(scored, str | Path) or os.path.exists(scored):  # noqa: PTH110 (no error)
        return None
    return f"There is no hypnogram at {scored}. Check the path; staging does not need it."
