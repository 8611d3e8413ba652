"""Checksums of prepared nights, and hashes of files."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def compute_checksum(header: Mapping[str, Any], tensors: Mapping[str, NDArray]) -> str:
    """Compute the checksum of a prepared night.

    Parameters
    ----------
    header : mapping of str to object
        Its header; a checksum in it does not count.
    tensors : mapping of str to array
        Its tensors by name.

    Returns
    -------
    checksum : str
        The checksum, in hexadecimal digits.
    """
    rest = {key: value for key, value in header.items() if key != "checksum"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def hash_whole(path: Path) -> str:
    """Hash a file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    digest : str
        Its SHA-256, in hexadecimal digits.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
