"""Arrays of npz files from elsewhere, which may be damaged or made to take much memory."""

import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mne_wav2sleep.network.files import check_regular

_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What numpy writes; zipfile decompresses these within a size."""
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_DAMAGES = (
    *(OSError, ValueError, KeyError, EOFError, OverflowError),
    *(RuntimeError, NotImplementedError),  # encrypted; of an unknown version; no regular file
    *(SyntaxError, tokenize.TokenError),  # the header of an array
    *(zipfile.BadZipFile, zlib.error),
)
"""What numpy and zipfile raise."""


def read_arrays(path: Path, names: Sequence[str], max_bytes: int) -> list[NDArray[Any]]:
    """Read arrays of an npz.

    Parameters
    ----------
    path : Path
        The file.
    names : sequence of str
        Names of the arrays.
    max_bytes : int
        Largest size in bytes of the file, also when it is not compressed.

    Returns
    -------
    arrays : list of array
        The arrays, without Python objects, which cannot be written to.

    Raises
    ------
    ValueError
        If the file is damaged or too large, or lacks an array; the message is a reason without the
        name of the file.
    """
    try:
        size = check_regular(path)
        if size <= max_bytes:
            with zipfile.ZipFile(path) as archive:
                size = max(size, sum(one.file_size for one in archive.infolist()))
                if size <= max_bytes:
                    return [_read_array(archive, name) for name in names]
    except _DAMAGES as error:
        raise ValueError(str(error) or type(error).__name__) from error
    raise ValueError(f"it has {size:,} bytes, more than {max_bytes:,}")


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Read an array, of no more than the bytes that the archive has of it."""
    try:
        info = archive.getinfo(f"{name}.npy")
    except KeyError as error:
        raise ValueError(f"it has no array {name}") from error
    if info.compress_type not in _COMPRESSIONS:
        raise ValueError(f"the array {name} is compressed in another way than numpy does it")
    content = archive.read(info)
    file = io.BytesIO(content)
    shape, is_fortran, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    # A header may say any shape, for which numpy would take memory.
    values = np.frombuffer(content, dtype, math.prod(shape), file.tell())
    return values.reshape(shape, order="F" if is_fortran else "C")
