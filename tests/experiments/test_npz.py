"""Damaged and hostile npz files are explained, and take no more memory than they may."""

import io
import zipfile

import numpy as np
import pytest
from npz import read_arrays

LARGEST = 2**16


def make_file(**arrays):
    """Make the bytes of an npz."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def write_header(path, header, compression=zipfile.ZIP_STORED):
    """Write an npz with an array that has any header."""
    text = header.ljust(117).encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(8)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("x.npy", content)


def test_arrays_are_read_as_numpy_reads_them(tmp_path):
    values = {
        "plain": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "scalar": np.array(3, dtype=np.int16),
        "empty": np.zeros(0),
    }
    path = tmp_path / "x.npz"
    path.write_bytes(make_file(**values))
    for found, wanted in zip(read_arrays(path, [*values], LARGEST), values.values(), strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


def test_no_damage_gives_another_error(tmp_path):
    whole = make_file(x=np.arange(100))
    rng = np.random.default_rng(0)
    path = tmp_path / "x.npz"
    reasons = []
    for number in range(2000):
        damaged = bytearray(whole[: rng.integers(1, len(whole))] if number % 2 else whole)
        for place in rng.integers(len(damaged), size=int(rng.integers(1, 4))):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_arrays(path, ["x"], LARGEST)
        except ValueError as error:
            reasons.append(str(error))
    assert len(reasons) > 1000
    assert all(reasons)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2, ",  # tokenize.TokenError
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 40 + ",)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -2)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '|V0', 'fortran_order': False, 'shape': (1,)}",
        "open('x')",
    ],
)
def test_a_header_that_lies_is_refused(tmp_path, header):
    write_header(tmp_path / "x.npz", header)
    with pytest.raises(ValueError, match=r"\w"):
        read_arrays(tmp_path / "x.npz", ["x"], LARGEST)


def test_what_is_wrong_is_said(tmp_path):
    path = tmp_path / "x.npz"
    with pytest.raises(ValueError, match="No such file"):
        read_arrays(path, ["x"], LARGEST)
    with pytest.raises(ValueError, match="a folder"):
        read_arrays(tmp_path, ["x"], LARGEST)
    path.write_bytes(make_file(x=np.zeros(LARGEST)))
    with pytest.raises(ValueError, match=r"it has 524,\d+ bytes, more than 65,536"):
        read_arrays(path, ["x"], LARGEST)
    path.write_bytes(bytes(LARGEST + 1))
    with pytest.raises(ValueError, match="it has 65,537 bytes, more than 65,536"):
        read_arrays(path, ["x"], LARGEST)
    path.write_bytes(make_file(y=np.zeros(3)))
    with pytest.raises(ValueError, match="it has no array x"):
        read_arrays(path, ["x"], LARGEST)
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}"
    write_header(path, header, zipfile.ZIP_BZIP2)
    with pytest.raises(ValueError, match="compressed in another way"):
        read_arrays(path, ["x"], LARGEST)
