"""Files of model folders, read within limits."""

import stat
from pathlib import Path

from ..errors import WeightsError

MAX_TEXT_BYTES = 100_000
"""Size of a config or a calibration at most; those of the released weights have about 1 kB."""
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def check_regular(path: Path) -> int:
    """Check that a path leads to a regular file, which reading cannot block on.

    Parameters
    ----------
    path : Path
        A file, or a link to a file.

    Returns
    -------
    size : int
        Its size in bytes.

    Raises
    ------
    WeightsError
        If it is a folder, a pipe or a device, or cannot be accessed.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise _cannot_read(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "a device")
        link = "a link to " if path.is_symlink() else ""
        raise WeightsError(
            f"{path} should be a file, but is {link}{kind}. Remove it, or replace it."
        )
    return found.st_size


def read_file(path: Path, max_bytes: int) -> bytes:
    """Read a file of a model folder, which must not be larger than expected.

    Parameters
    ----------
    path : Path
        The file.
    max_bytes : int
        Its size in bytes at most.

    Returns
    -------
    content : bytes
        Its contents.

    Raises
    ------
    WeightsError
        If it is larger, is not a regular file, or cannot be read.
    """
    if (size := check_regular(path)) <= max_bytes:
        try:
            with path.open("rb") as file:
                content = file.read(max_bytes + 1)  # the file may have grown
        except OSError as error:
            raise _cannot_read(path, error) from error
        if len(content) <= max_bytes:
            return content
        size = len(content)
    raise WeightsError(
        f"{path} has {size:,} bytes or more, but such a file of a model folder has {max_bytes:,} "
        "at most. Use the file that came with the weights."
    )


def _cannot_read(path: Path, error: OSError) -> WeightsError:
    """Make an error for a file that the system does not let us read."""
    return WeightsError(
        f"{path} cannot be read ({error.strerror or type(error).__name__}). Check that it exists, "
        "that links in its path are not broken, and that you may read it."
    )
