"""The records of an EDF or BDF file, as bytes."""

import mmap
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BYTES_AT_ONCE = 2**22
"""Bytes of a file that are read at once."""


class Records:
    """The complete records of a file.

    Parameters
    ----------
    path : Path
        The file.
    offset : int
        Bytes before the first record.
    size : int
        Bytes of a record.
    """

    def __init__(self, path: Path, offset: int, size: int) -> None:
        self._path = path
        self._offset = offset
        self._size = size
        self._count = max((path.stat().st_size - offset) // size, 0)

    def __len__(self) -> int:
        """Return the number of complete records."""
        return self._count

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the mapped file, which cannot be copied or pickled."""
        return {name: value for name, value in vars(self).items() if name != "_map"}

    @cached_property
    def _map(self) -> mmap.mmap:
        """The file, mapped to memory."""
        with self._path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def read(self, span: slice, first: int = 0, last: int | None = None) -> NDArray[np.uint8]:
        """Read the same bytes of successive records.

        Parameters
        ----------
        span : slice
            The bytes.
        first, last : int, int or None
            First record, and the one after the last; None for all that follow.

        Returns
        -------
        found : array of uint8, shape (n_records, n_bytes)
            The bytes of the records that are complete.
        """
        last = self._count if last is None else min(last, self._count)
        found = np.empty((max(last - first, 0), span.stop - span.start), dtype=np.uint8)
        at = 0
        for part in self.iterate(span, first, last):
            found[at : at + len(part)] = part
            at += len(part)
        return found

    def iterate(self, span: slice, first: int, last: int) -> Iterator[NDArray[np.uint8]]:
        """Read the same bytes of successive records, as many records at a time as are 4 MB.

        Parameters
        ----------
        span : slice
            The bytes.
        first, last : int
            First record, and the one after the last.

        Yields
        ------
        part : array of uint8, shape (n_records, n_bytes)
            The bytes of records, which are those of the file until the next ones are asked for.
        """
        step = max(_BYTES_AT_ONCE // self._size, 1)
        last = min(last, self._count)
        for begin in range(first, last, step):
            end = min(begin + step, last)
            offset, count = self._offset + begin * self._size, (end - begin) * self._size
            records = np.frombuffer(self._map, np.uint8, count, offset).reshape(-1, self._size)
            yield records[:, span]
            # What was read of the file counts as memory of the process until it is released.
            if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
                page = offset // mmap.PAGESIZE * mmap.PAGESIZE
                self._map.madvise(mmap.MADV_DONTNEED, page, offset + count - page)


def decode(samples: NDArray[np.uint8], size: int) -> NDArray[np.int16] | NDArray[np.int32]:
    """Decode little-endian integers.

    Parameters
    ----------
    samples : array of uint8, shape (n_records, n_bytes)
        Their bytes.
    size : int
        Bytes of each, 2 or 3.

    Returns
    -------
    decoded : array of int16 or int32, shape (n_samples,)
        The integers.
    """
    if size == 2:
        return samples.reshape(-1).view("<i2")
    triplets = samples.reshape(-1, 3)
    padded = np.zeros((len(triplets), 4), dtype=np.uint8)
    padded[:, 1:] = triplets
    return padded.reshape(-1).view("<i4") >> 8
