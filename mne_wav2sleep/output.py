"""Write files atomically, and never overwrite recordings."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

from .errors import FileWriteError, shorten

_RECORDINGS = (
    *(".ahdr", ".bdf", ".bin", ".cdt", ".cnt", ".con", ".dat", ".data", ".eeg", ".fdt", ".fif"),
    *(".gdf", ".gz", ".hdr", ".mat", ".mef", ".mefd", ".nedf", ".nxe", ".set", ".snirf", ".sqd"),
    *(".vhdr", ".vmrk"),
)
"""Extensions, except EDF's, of files that MNE reads as recordings. They are never overwritten."""

HYPNOGRAM_SUFFIXES = (".json", ".csv", ".tsv", ".edf", ".txt")
"""Suffixes of the files that :func:`~mne_wav2sleep.write_hypnogram` writes."""

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
"""Suffixes of tables of epochs."""

_written: ContextVar[list[Path] | None] = ContextVar("written", default=None)


def check_output(path: str | PathLike[str], *, overwrite: bool = False) -> Path:
    """Check that a file can be written, before its contents are computed.

    Parameters
    ----------
    path : path-like
        The file.
    overwrite : bool
        Whether an existing file may be overwritten. Recordings never are.

    Returns
    -------
    path : Path
        The absolute path of the file.

    Raises
    ------
    FileNotFoundError
        If its folder does not exist.
    FileExistsError
        If it exists, and ``overwrite`` is False.
    ValueError
        If it exists, and is a recording, or no file can have this name.
    OSError
        If it is a folder, or is not writable.

    Examples
    --------
    >>> check_output("none/night.json")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FileNotFoundError: There is no folder .../none to write night.json to. Choose another folder.
    """
    path = Path(path).expanduser().absolute()
    target = _resolve(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {target.parent} to write {path.name} to. Choose another folder."
        )
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Give the name of a file.")
    if target.exists() and not target.is_file():
        return path  # a pipe or a device, which has no contents that could be lost
    if target.exists() and _is_recording(target):
        raise ValueError(f"{path} holds a recording, which would be lost. Choose another name.")
    if target.exists() and not overwrite:
        raise FileExistsError(
            f"{path} already exists. Choose another name, or overwrite it with overwrite=True "
            "(--overwrite on the command line)."
        )
    if not all(os.access(one, os.W_OK) for one in (target, target.parent) if one.exists()):
        raise PermissionError(f"{path} is not writable. Choose another path.")
    return path


def _resolve(path: Path) -> Path:
    """Follow links; refuse a path that no file can have."""
    try:
        target = path.resolve()
        target.exists()  # which finds names that are too long
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"{shorten(path.name)} cannot be written ({reason}). Choose another name."
        ) from error
    return target


def _is_recording(path: Path) -> bool:
    """Check whether a file is a recording; an EDF that cannot be read counts as one."""
    if path.suffix.lower() != ".edf":
        return path.suffix.lower() in _RECORDINGS
    from .formats.edf import open_edf  # the command refuses wrong options without it, at once

    try:
        return bool(open_edf(path).signals)
    except ValueError:
        return path.stat().st_size > 0


@contextmanager
def keep_written() -> Iterator[list[Path]]:
    """Record the files that are written, so that a later error can name them.

    Yields
    ------
    written : list of Path
        The complete files so far, also those of an enclosing block.
    """
    written = _written.get()
    if written is None:
        written = []
    token = _written.set(written)
    try:
        yield written
    finally:
        _written.reset(token)


@contextmanager
def write_whole(
    path: str | PathLike[str], *, overwrite: bool = False, is_result: bool = True
) -> Iterator[Path]:
    """Write a file atomically.

    Parameters
    ----------
    path : path-like
        The file.
    overwrite : bool
        Whether an existing file may be overwritten. It is kept until the new one is complete.
    is_result : bool
        Whether the file is one that a user asked for, so that :func:`keep_written` records it.

    Yields
    ------
    unfinished : Path
        Path to write to: a file with the same name in a temporary folder beside ``path``. It is
        moved to ``path`` (or copied, if that is a pipe or a device) at the end of the block, or
        removed if the block raises an error.

    Raises
    ------
    ValueError, OSError
        As in :func:`check_output`, and OSError, with the ``errno`` of its cause, if the file cannot
        be written completely.

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
    target = path.resolve()  # so that a link is kept, and its target is replaced
    try:
        if target.exists() and not target.is_file():
            # A pipe or a device, in which no writer can go back to fill in a header.
            with TemporaryDirectory() as folder:
                unfinished = Path(folder) / path.name
                yield unfinished
                target.write_bytes(unfinished.read_bytes())
            return
        # In the same folder, because renaming works only within a file system.
        with TemporaryDirectory(dir=target.parent, prefix=".unfinished-") as folder:
            unfinished = Path(folder) / path.name
            yield unfinished
            if target.exists() and not overwrite:  # it may have been created in the meantime
                check_output(path)
            if target.exists():
                shutil.copymode(target, unfinished)
            unfinished.replace(target)
        # A checkpoint is written after each pass.
        written = _written.get() if is_result else None
        if written is not None and path not in written:
            written.append(path)
    except OSError as error:
        raise FileWriteError(
            error.errno,
            f"{path.name} could not be written to {path} ({error}). Free some space, or choose "
            "another path.",
        ) from error


def remove_leftovers(folder: Path, *, age_s: float = 0.0) -> None:
    """Remove what runs that were killed while they wrote a file have left behind.

    Parameters
    ----------
    folder : Path
        The folder of the files.
    age_s : float
        Age in seconds from which an unfinished file is removed: one that another process may still
        be writing should be left.
    """
    for path in folder.glob(".unfinished-*"):
        with suppress(OSError):  # of another user, or removed by another process
            if time.time() - path.stat().st_mtime >= age_s:
                shutil.rmtree(path)
