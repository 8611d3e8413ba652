"""Files that are written whole or not at all, and never over what cannot be had again."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

from .formats import edf

_RECORDINGS = (
    *(".ahdr", ".bdf", ".bin", ".cdt", ".cnt", ".con", ".dat", ".data", ".eeg", ".fdt", ".fif"),
    *(".gdf", ".gz", ".hdr", ".mat", ".mef", ".mefd", ".nedf", ".nxe", ".set", ".snirf", ".sqd"),
    *(".vhdr", ".vmrk"),
)
"""Endings, but EDF's, of files that MNE reads recordings from; they are never replaced."""


def check_output(path: str | PathLike[str], *, overwrite: bool = False) -> Path:
    """Refuse a file that cannot be written, before the work is done that it is to hold.

    Parameters
    ----------
    path : path-like
        The file.
    overwrite : bool
        Whether a file that is there may be replaced. A recording never is.

    Returns
    -------
    path : Path
        Where it goes, as an absolute path.

    Raises
    ------
    FileNotFoundError
        If its folder does not exist.
    FileExistsError
        If it is there, and may not be replaced.
    ValueError
        If it is there, and a recording.
    OSError
        If it is a folder, or may not be written.

    Examples
    --------
    >>> check_output("none/night.json")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FileNotFoundError: There is no folder .../none to write night.json to. Choose another.
    """
    path = Path(path).expanduser().absolute()
    target = path.resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {target.parent} to write {path.name} to. Choose another."
        )
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Give the name of a file.")
    if target.exists() and not target.is_file():
        return path  # a pipe or a device, which holds nothing that could be lost
    if target.exists() and _is_recording(target):
        raise ValueError(f"{path} holds a recording, which would be lost. Choose another name.")
    if target.exists() and not overwrite:
        raise FileExistsError(
            f"{path} is there already. Choose another name, or replace it with overwrite=True "
            "(--overwrite of the command)."
        )
    if not all(os.access(one, os.W_OK) for one in (target, target.parent) if one.exists()):
        raise PermissionError(f"{path} may not be written. Choose another place.")
    return path


def _is_recording(path: Path) -> bool:
    """Whether a file is one of a recording; an EDF that cannot be read may be one."""
    if path.suffix.lower() != ".edf":
        return path.suffix.lower() in _RECORDINGS
    try:
        return bool(edf.read_rates(path))
    except ValueError:
        return path.stat().st_size > 0


@contextmanager
def write_whole(path: str | PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Write a file so that it is there whole or not at all.

    Parameters
    ----------
    path : path-like
        The file.
    overwrite : bool
        Whether a file that is there may be replaced; until the new one is whole, it is kept.

    Yields
    ------
    unfinished : Path
        Where to write, a file of the same name in a folder beside ``path``; it takes its place
        when the block ends, and is removed if it ends with an error.

    Raises
    ------
    ValueError, OSError
        As :func:`check_output`, and OSError if the file cannot be written to its end.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "stages.txt"
    >>> with write_whole(path) as unfinished:
    ...     n_characters = unfinished.write_text("W")
    >>> path.read_text()
    'W'
    """
    path = check_output(path, overwrite=overwrite)
    target = path.resolve()  # a link goes on to be one
    try:
        if target.exists() and not target.is_file():
            yield target
            return
        # In the same folder, as a file can only be renamed where it is.
        with TemporaryDirectory(dir=target.parent, prefix=".unfinished-") as folder:
            unfinished = Path(folder) / path.name
            yield unfinished
            if target.exists() and not overwrite:  # since then
                check_output(path)
            if target.exists():
                shutil.copymode(target, unfinished)
            unfinished.replace(target)
    except OSError as error:
        raise OSError(
            f"{path.name} could not be written to {path} ({error}). Make room, or choose another "
            "place."
        ) from error
